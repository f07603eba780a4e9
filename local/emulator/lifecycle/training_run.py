"""One training job from its start to its end, in a thread of its own; nothing but its own thread changes its phases."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from emulator import opt_ml
from emulator.account import TRAINING_LOG_GROUP, training_log_stream
from emulator.engine.port import EngineLost, ImageNotFound, Network, StartFailed, Work
from emulator.lifecycle import training_states as states
from emulator.lifecycle.ports import Services, StorageError
from emulator.lifecycle.training_host import Followers, TrainingHost, host_names, stop_all
from emulator.store.port import Change, Kind, Resource, update

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
        self._wake = threading.Event()  # stop, shut down, a host that failed, or the end of all
        self._hosts: list[TrainingHost] = []
        self._stop_requested = False
        self._shut_down = False
        self._timed_out = False
        self._metrics: dict[str, dict[str, Any]] = {}

    def stop(self) -> None:
        """End it soon, keeping what it has made so far. The store says Stopping already."""
        self._stop_requested = True
        self._wake.set()

    def shut_down(self) -> None:
        """End it now: nothing is uploaded. Blocks while the containers end."""
        self._shut_down = True
        self.stop()
        # They may be being given two minutes already.
        with suppress(EngineLost):  # the job's own thread finds that, too
            stop_all(list(self._hosts), self._services.shutdown_grace_seconds)

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
        names = _host_names(job)
        for name in names:
            spec = _training_spec(job, name, self._services.engine.network_interface)
            opt_ml.write_training_tree(self._base / name, spec)
        for channel in job.document.get("InputDataConfig", ()):
            folders = [self._base / name / "input" / "data" / channel["ChannelName"] for name in names]
            try:
                self._download(channel, folders)
            except StorageError as error:
                raise _Failure(f"ClientError: Data download failed:{error}") from error
        self._enter("Downloading", states.DOWNLOADING_IMAGE)
        try:
            self._services.engine.prepare(_image(job))
        except (ImageNotFound, StartFailed) as error:
            raise _Failure(f"ClientError: Cannot pull algorithm container. {error}") from error

    def _train(self, job: Resource) -> tuple[str, str | None]:
        self._enter("Training", states.TRAINING)
        network = None
        try:
            network = self._services.engine.connect(f"training-job/{self._name}", _host_names(job))
            for name in _host_names(job):
                self._start(job, name, network)
            self._services.engine.warm_up()
            first_failed = self._watch(job)
        except (ImageNotFound, StartFailed) as error:
            raise _Failure(f"ClientError: The training container could not be started. {error}") from error
        finally:
            try:
                stop_all(self._hosts, self._services.shutdown_grace_seconds)
            finally:
                if network is not None:
                    network.close()
                for host in self._hosts:
                    host.log.flush(_FLUSH_SECONDS)
        return self._stopped() if self._shut_down else self._conclude(job, first_failed)

    def _start(self, job: Resource, name: str, network: Network) -> None:
        log = self._services.logs.open(
            TRAINING_LOG_GROUP, training_log_stream(self._name, name, self._services.clock.now())
        )
        container = self._services.engine.start(self._work_of(job, name, network))
        self._hosts.append(TrainingHost(name, self._base / name, container, log))

    def _watch(self, job: Resource) -> TrainingHost | None:
        """Until all hosts have ended: by themselves, or because one failed, the time is over or the job is stopped."""
        services = self._services
        began = services.clock.monotonic()
        followers = Followers(self._hosts, self._metrics_reader(job), self._wake)
        limit = job.document.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME)
        if not services.clock.wait(self._wake, began + limit - services.clock.monotonic()):
            self._timed_out = True
        grace = services.training_grace_seconds
        if followers.first_failed:
            grace = services.peer_grace_seconds
        if self._shut_down:
            grace = services.shutdown_grace_seconds
        stop_all(self._hosts, grace)
        followers.join()
        return followers.first_failed

    def _conclude(self, job: Resource, first_failed: TrainingHost | None) -> tuple[str, str | None]:
        if self._stop_requested or self._timed_out:
            if self._timed_out and not self._stop_requested:
                self._enter("Stopping", states.STOPPING_MESSAGE)
            self._upload(job, ["model", "output/data"])
            return ("Stopped" if self._stop_requested else "MaxRuntimeExceeded"), None
        if first_failed:
            failure = opt_ml.read_failure(first_failed.base)
            self._upload(job, ["output/data"])
            raise _Failure(states.algorithm_error(failure, first_failed.last_line, first_failed.code))
        self._upload(job, ["model", "output/data"])
        return "Completed", None

    def _upload(self, job: Resource, folders: list[str]) -> None:
        self._enter("Uploading", states.UPLOADING, interruptible=False)
        for folder in folders:
            source = opt_ml.merge([host.base / folder for host in self._hosts])
            if not source.is_dir() or not any(source.iterdir()):
                continue
            archive = "model.tar.gz" if folder == "model" else "output.tar.gz"
            try:
                self._services.storage.upload(opt_ml.pack(source), artifact_uri(job, archive))
            except StorageError as error:
                raise _Failure(f"ClientError: Artifact upload failed:{error}") from error

    # The pieces

    def _download(self, channel: dict[str, Any], folders: list[Path]) -> None:
        """Fill the channel's folder of each host: with its share, or with the same, which is fetched once."""
        source = channel["DataSource"]["S3DataSource"]
        for number, folder in enumerate(folders):
            self._raise_if_stopped()
            if number and source.get("S3DataDistributionType") != "ShardedByS3Key":
                shutil.copytree(folders[0], folder, dirs_exist_ok=True)
            else:
                self._services.storage.download_channel(channel, folder, number, len(folders))

    def _work_of(self, job: Resource, host: str, network: Network) -> Work:
        environment = {
            **job.document.get("Environment", {}),
            "TRAINING_JOB_NAME": self._name,
            "TRAINING_JOB_ARN": job.arn,
            **self._services.environment,
        }
        return Work(
            f"training-job/{self._name}/{host}",
            _image(job),
            "train",
            self._base / host,
            host,
            environment,
            network,
            _instance_type(job),
        )

    def _metrics_reader(self, job: Resource) -> Callable[[str], None]:
        """What reads the metrics out of the lines, of whichever host."""
        definitions = job.document["AlgorithmSpecification"].get("MetricDefinitions", ())
        patterns = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
        return lambda line: self._read_metrics(line, patterns)

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


def _host_names(job: Resource) -> tuple[str, ...]:
    return host_names(job.document["ResourceConfig"].get("InstanceCount", 1))


def _instance_type(job: Resource) -> str:
    instance_type: str = job.document["ResourceConfig"].get("InstanceType", "")
    return instance_type


def _training_spec(job: Resource, host: str, network_interface: str) -> opt_ml.TrainingSpec:
    return opt_ml.TrainingSpec(
        hyperparameters=job.document.get("HyperParameters", {}),
        channels=job.document.get("InputDataConfig", []),
        hosts=_host_names(job),
        current_host=host,
        instance_type=_instance_type(job),
        network_interface=network_interface,
    )
