"""One training job from its start to its end, in a thread of its own; nothing but its own thread changes its phases."""

from __future__ import annotations

import re
import shutil
import threading
from collections import deque
from typing import Any

from emulator import opt_ml
from emulator.account import TRAINING_LOG_GROUP, training_log_stream
from emulator.engine.port import Container, Exited, ImageNotFound, Line, StartFailed, Work
from emulator.lifecycle import training_states as states
from emulator.lifecycle.ports import LogStream, Services, StorageError
from emulator.store.port import Change, Kind, Resource, update

HOST = "algo-1"
DEFAULT_MAX_RUNTIME = 86_400  # AWS's default of MaxRuntimeInSeconds
_FLUSH_SECONDS = 10.0
INTERNAL_ERROR = "InternalServerError: We encountered an internal error. Please try again."
SHUT_DOWN = "Training job stopped: the emulator was shut down"


class _Stop(Exception):
    """The job was asked to stop."""


class _Failure(Exception):
    """The job cannot go on; the message is its FailureReason."""


class TrainingRun:
    """Runs the job of that name; `run` is the body of its thread, the other methods may be called from any."""

    def __init__(self, services: Services, name: str) -> None:
        self._services = services
        self._name = name
        self._base = services.work_dir / f"training-job-{name}"
        self._wake = threading.Event()  # stop, shut down, or the container's end
        self._container: Container | None = None
        self._stop_requested = False
        self._shut_down = False
        self._timed_out = False
        self._metrics: dict[str, dict[str, Any]] = {}
        self._last_lines: deque[str] = deque(maxlen=1)

    def stop(self) -> None:
        """End it soon, keeping what it has made so far. The store says Stopping already."""
        self._stop_requested = True
        self._wake.set()

    def shut_down(self) -> None:
        """End it now: nothing is uploaded. Blocks while the container ends."""
        self._shut_down = True
        self.stop()
        if self._container is not None:  # its watchdog may be giving it two minutes already
            self._container.stop(self._services.shutdown_grace_seconds)

    def run(self) -> None:
        """From Starting to an end; every outcome is one, a mistake of ours included."""
        try:
            self._end(*self._work())
        except _Failure as failure:
            if self._shut_down:
                self._end(*self._stopped())
            else:
                self._end("Failed", FailureReason=str(failure)[: states.FAILURE_REASON_LIMIT])
        except Exception as error:  # noqa: BLE001 - whatever went wrong in here must not leave a job that never ends
            reason = f"{INTERNAL_ERROR} ({type(error).__name__}: {error})"
            self._end("Failed", FailureReason=reason[: states.FAILURE_REASON_LIMIT])

    def _work(self) -> tuple[str, str | None]:
        job = self._services.store.get(Kind.TRAINING_JOB, self._name)
        try:
            self._prepare(job)
            return self._train(job)
        except _Stop:
            return self._stopped()
        finally:
            shutil.rmtree(self._base, ignore_errors=True)

    # Each phase in turn

    def _prepare(self, job: Resource) -> None:
        self._enter("Downloading", states.DOWNLOADING_DATA, TrainingStartTime=self._services.clock.now())
        self._base.mkdir(parents=True, exist_ok=True)
        opt_ml.write_training_tree(self._base, _training_spec(job))
        for channel in job.document.get("InputDataConfig", ()):
            self._raise_if_stopped()
            try:
                self._services.storage.download_channel(channel, self._base / "input" / "data" / channel["ChannelName"])
            except StorageError as error:
                raise _Failure(f"ClientError: Data download failed:{error}") from error
        self._enter("Downloading", states.DOWNLOADING_IMAGE)
        try:
            self._services.engine.prepare(_image(job))
        except (ImageNotFound, StartFailed) as error:
            raise _Failure(f"ClientError: Cannot pull algorithm container. {error}") from error

    def _train(self, job: Resource) -> tuple[str, str | None]:
        log = self._services.logs.open(
            TRAINING_LOG_GROUP, training_log_stream(self._name, HOST, self._services.clock.now())
        )
        self._enter("Training", states.TRAINING)
        try:
            container = self._container = self._services.engine.start(self._work_of(job))
        except (ImageNotFound, StartFailed) as error:
            raise _Failure(f"ClientError: The training container could not be started. {error}") from error
        try:
            code = self._watch(container, job, log)
        finally:
            container.stop(self._services.shutdown_grace_seconds)
            log.flush(_FLUSH_SECONDS)
        return self._stopped() if self._shut_down else self._conclude(job, code)

    def _watch(self, container: Container, job: Resource, log: LogStream) -> int:
        limit = job.document.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME)
        watchdog = threading.Thread(
            target=self._interrupt, args=(container, limit), name=f"watchdog {self._name}", daemon=True
        )
        watchdog.start()
        patterns = [
            (definition["Name"], re.compile(definition["Regex"]))
            for definition in job.document["AlgorithmSpecification"].get("MetricDefinitions", ())
        ]
        code = 0
        for event in container.events():
            if isinstance(event, Line):
                log.write(event.text)
                self._read_metrics(event.text, patterns)
                if event.text.strip():
                    self._last_lines.append(event.text)
            elif isinstance(event, Exited):
                code = event.code
        self._wake.set()
        watchdog.join()
        return code

    def _interrupt(self, container: Container, limit: float) -> None:
        if not self._services.clock.wait(self._wake, limit):
            self._timed_out = True
        grace = self._services.shutdown_grace_seconds if self._shut_down else self._services.training_grace_seconds
        container.stop(grace)

    def _conclude(self, job: Resource, code: int) -> tuple[str, str | None]:
        failure = opt_ml.read_failure(self._base)
        if self._stop_requested or self._timed_out:
            if self._timed_out and not self._stop_requested:
                self._enter("Stopping", states.STOPPING_MESSAGE)
            self._upload(job, ["model", "output/data"])
            return ("Stopped" if self._stop_requested else "MaxRuntimeExceeded"), None
        if code != 0:
            self._upload(job, ["output/data"])
            last = self._last_lines[-1] if self._last_lines else ""
            raise _Failure(states.algorithm_error(failure, last, code))
        self._upload(job, ["model", "output/data"])
        return "Completed", None

    def _upload(self, job: Resource, folders: list[str]) -> None:
        self._enter("Uploading", states.UPLOADING, interruptible=False)
        for folder in folders:
            source = self._base / folder
            if not source.is_dir() or not any(source.iterdir()):
                continue
            archive = "model.tar.gz" if folder == "model" else "output.tar.gz"
            try:
                self._services.storage.upload(opt_ml.pack(source), artifact_uri(job, archive))
            except StorageError as error:
                raise _Failure(f"ClientError: Artifact upload failed:{error}") from error

    # The pieces

    def _work_of(self, job: Resource) -> Work:
        environment = {
            **job.document.get("Environment", {}),
            "TRAINING_JOB_NAME": self._name,
            "TRAINING_JOB_ARN": job.arn,
            **self._services.environment,
        }
        return Work(
            f"training-job/{self._name}/{HOST}",
            _image(job),
            "train",
            self._base,
            HOST,
            environment,
            _instance_type(job),
        )

    def _read_metrics(self, line: str, patterns: list[tuple[str, re.Pattern[str]]]) -> None:
        for name, pattern in patterns:
            found = pattern.search(line)
            if found is None or not found.groups():
                continue
            try:
                value = float(found.group(1))
            except (TypeError, ValueError):
                continue  # matched something that is no number; AWS leaves it out as well
            self._metrics[name] = {"MetricName": name, "Value": value, "Timestamp": self._services.clock.now()}

    def _stopped(self) -> tuple[str, str | None]:
        return "Stopped", SHUT_DOWN if self._shut_down else None

    def _raise_if_stopped(self) -> None:
        if self._stop_requested:
            raise _Stop

    def _enter(self, secondary: str, message: str, *, interruptible: bool = True, **more: Any) -> None:
        def decide(job: Resource) -> Change | None:
            if interruptible and secondary != "Stopping" and (job.status == states.STOPPING or self._stop_requested):
                raise _Stop
            if secondary == "Stopping" and job.status == states.STOPPING:
                return None
            return states.enter(job, secondary, message, self._services.clock.now(), **more)

        update(self._services.store, Kind.TRAINING_JOB, self._name, decide)

    def _end(self, secondary: str, message: str | None = None, **more: Any) -> None:
        if self._metrics:
            more["FinalMetricDataList"] = list(self._metrics.values())
        end_job(self._services, self._name, secondary, message, **more)


def end_job(services: Services, name: str, secondary: str, message: str | None = None, **more: Any) -> None:
    """Bring the job to that end, by way of Stopping where AWS goes that way; a job that has ended is left alone.

    A job that is Stopping does not end as Completed, even if it was too late to stop it.
    """

    def decide(job: Resource) -> Change | None:
        now = services.clock.now()
        if job.status in states.TERMINAL:
            return None
        last = "Stopped" if secondary == "Completed" and job.status == states.STOPPING else secondary
        if last not in states.FOLLOWERS[job.document["SecondaryStatus"]]:
            return states.enter(job, "Stopping", states.STOPPING_MESSAGE, now)
        change = states.end(job, last, now, **more)
        if message and change.document:
            change.document["SecondaryStatusTransitions"][-1]["StatusMessage"] = message
        return change

    while update(services.store, Kind.TRAINING_JOB, name, decide).status not in states.TERMINAL:
        pass


def artifact_uri(job: Resource, archive: str) -> str:
    """Where an archive of the job goes: S3OutputPath/JOB/output/ARCHIVE."""
    path: str = job.document["OutputDataConfig"]["S3OutputPath"]
    return f"{path.rstrip('/')}/{job.name}/output/{archive}"


def _image(job: Resource) -> str:
    image: str = job.document["AlgorithmSpecification"]["TrainingImage"]
    return image


def _instance_type(job: Resource) -> str:
    instance_type: str = job.document["ResourceConfig"].get("InstanceType", "")
    return instance_type


def _training_spec(job: Resource) -> opt_ml.TrainingSpec:
    return opt_ml.TrainingSpec(
        hyperparameters=job.document.get("HyperParameters", {}),
        channels=job.document.get("InputDataConfig", []),
        hosts=(HOST,),
        current_host=HOST,
        instance_type=_instance_type(job),
    )
