"""One training job from its start to its end, in a thread of its own; nothing but its own thread changes its phases."""

from __future__ import annotations

import math
import shutil
import threading
from contextlib import ExitStack, suppress
from typing import Any

from emulator import opt_ml
from emulator.account import TRAINING_LOG_GROUP, training_log_stream
from emulator.engine.port import EngineLost, ImageNotFound, Network, StartFailed
from emulator.lifecycle import training_artifacts as artifacts
from emulator.lifecycle import training_request as request
from emulator.lifecycle import training_states as states
from emulator.lifecycle.ports import Services, StorageError
from emulator.lifecycle.training_host import Followers, TrainingHost, stop_all
from emulator.lifecycle.training_inputs import Inputs
from emulator.lifecycle.training_metrics import Metrics
from emulator.store.port import Change, Kind, NotFound, Resource, update

_FLUSH_SECONDS = 10.0
_STORE_AGAIN_SECONDS = 1.0  # between two attempts to store how a job ended
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
        self._closing = threading.Event()  # the emulator ends
        self._stop_requested = False
        self._shut_down = False
        self._exceeded = ""  # the SecondaryStatus that says which time
        self._deadline: float | None = None  # once a container has started
        self._metrics: Metrics | None = None

    def stop(self) -> None:
        """End it soon, keeping what it has made so far. The store says Stopping already."""
        self._stop_requested = True
        self._wake.set()

    def shut_down(self) -> None:
        """End it now: nothing is uploaded. Blocks while the containers end."""
        self._shut_down = True
        self._closing.set()
        self.stop()
        # They may be being given two minutes already.
        with suppress(EngineLost):  # the job's own thread finds that, too
            stop_all(list(self._hosts), self._services.shutdown_grace_seconds)

    def run(self) -> None:
        """From Starting to an end; every outcome is one, a mistake of ours included."""
        retried = 0
        while True:
            try:
                outcome, reason = self._attempt(), ""
            except _Failure as failure:
                outcome, reason = ("Failed", None), str(failure)
            except Exception as error:  # noqa: BLE001 - whatever went wrong in here must not leave a job that never ends
                if self._begins_again(retried):
                    retried += 1
                    continue
                outcome, reason = ("Failed", None), f"{INTERNAL_ERROR} ({type(error).__name__}: {error})"
            if self._shut_down and reason:
                outcome, reason = self._stopped(), ""
            more = {"FailureReason": reason[: states.FAILURE_REASON_LIMIT]} if reason else {}
            self._end(*outcome, **more)
            return

    def _attempt(self) -> tuple[str, str | None]:
        job = self._services.store.get(Kind.TRAINING_JOB, self._name)
        self._metrics = Metrics(job, self._services.clock)
        inputs = Inputs(self._services, job, self._base)
        if self._left_to_wait(job) <= 0:
            return "MaxWaitTimeExceeded", None
        try:
            self._prepare(job, inputs)
            return self._train(job, inputs)
        except _Stop:
            return self._stopped()
        finally:
            shutil.rmtree(self._base, ignore_errors=True)

    def _begins_again(self, retried: int) -> bool:
        """After an internal error: leave that attempt behind; whether there is to be another.

        RetryStrategy is for an InternalServerError, for nothing that the script or the request did.
        """
        over = self._deadline is not None and self._services.clock.monotonic() >= self._deadline
        if self._stop_requested or over:
            return False
        try:
            if retried >= request.retries(self._services.store.get(Kind.TRAINING_JOB, self._name)):
                return False
            self._hosts = []
            self._wake.clear()
            self._enter("Restarting", states.RESTARTING)
            self._enter("Starting", states.STARTING)
        except _Stop:
            return False
        except Exception:  # noqa: BLE001 - it was the store itself that failed
            return False
        return not self._stop_requested

    # Each phase in turn

    def _prepare(self, job: Resource, inputs: Inputs) -> None:
        self._enter(job.document["SecondaryStatus"], states.PREPARING)
        started = job.document.get("TrainingStartTime", self._services.clock.now())
        self._enter("Downloading", states.DOWNLOADING_DATA, TrainingStartTime=started)
        inputs.write_trees()
        try:
            inputs.fetch(self._raise_if_stopped)
        except StorageError as error:
            raise _Failure(f"ClientError: Data download failed:{error}") from error
        self._enter("Downloading", states.DOWNLOADING_IMAGE)
        try:
            self._services.engine.prepare(request.image(job))
        except (ImageNotFound, StartFailed) as error:
            raise _Failure(f"ClientError: Cannot pull algorithm container. {error}") from error

    def _train(self, job: Resource, inputs: Inputs) -> tuple[str, str | None]:
        self._enter("Training", states.TRAINING)
        first_failed = self._run_hosts(job, inputs)
        checkpoint_error = inputs.finish()
        if self._shut_down:
            return self._stopped()
        if (pipe_error := inputs.pipe_error()) and not self._stop_requested:
            raise _Failure(f"ClientError: Data download failed:{pipe_error}")
        outcome = self._conclude(job, first_failed)
        if checkpoint_error:
            raise _Failure(f"ClientError: Checkpoint upload failed:{checkpoint_error}")
        return outcome

    def _run_hosts(self, job: Resource, inputs: Inputs) -> TrainingHost | None:
        """Until nothing of them runs any more; returns the one that failed first."""
        with ExitStack() as undo:
            undo.callback(inputs.finish)  # does nothing the second time
            try:
                network = self._services.engine.connect(f"training-job/{self._name}", request.hosts(job))
                undo.callback(self._end_hosts, network)
                inputs.begin(self._wake.set)
                for name in request.hosts(job):
                    self._start(job, name, network)
                self._services.engine.warm_up()
                return self._watch(job)
            except (ImageNotFound, StartFailed) as error:
                raise _Failure(f"ClientError: The training container could not be started. {error}") from error

    def _end_hosts(self, network: Network) -> None:
        try:
            stop_all(self._hosts, self._services.shutdown_grace_seconds)
        finally:
            network.close()
            for host in self._hosts:
                host.log.flush(_FLUSH_SECONDS)

    def _start(self, job: Resource, name: str, network: Network) -> None:
        log = self._services.logs.open(
            TRAINING_LOG_GROUP, training_log_stream(self._name, name, self._services.clock.now())
        )
        work = request.work(job, name, self._base / name, network, self._services.environment)
        self._hosts.append(TrainingHost(name, work.base_dir, self._services.engine.start(work), log))

    def _watch(self, job: Resource) -> TrainingHost | None:
        """Until all hosts have ended: by themselves, or because one failed, the time is over or the job is stopped."""
        services = self._services
        if self._deadline is None:
            self._deadline = services.clock.monotonic() + request.max_runtime(job)
        assert self._metrics is not None  # noqa: S101 - each attempt begins with them
        followers = Followers(self._hosts, self._metrics.read, self._wake)
        left_to_run, left_to_wait = self._deadline - services.clock.monotonic(), self._left_to_wait(job)
        if not services.clock.wait(self._wake, min(left_to_run, left_to_wait)):
            self._exceeded = "MaxRuntimeExceeded" if left_to_run <= left_to_wait else "MaxWaitTimeExceeded"
        grace = services.training_grace_seconds
        if followers.first_failed:
            grace = services.peer_grace_seconds
        if self._shut_down:
            grace = services.shutdown_grace_seconds
        stop_all(self._hosts, grace)
        followers.join()
        return followers.first_failed

    def _conclude(self, job: Resource, first_failed: TrainingHost | None) -> tuple[str, str | None]:
        if self._stop_requested or self._exceeded:
            if not self._stop_requested:
                self._enter("Stopping", states.STOPPING_MESSAGE)
            self._upload(job, model=True)
            return ("Stopped" if self._stop_requested else self._exceeded), None
        if first_failed:
            failure = opt_ml.read_failure(first_failed.base)
            self._upload(job, model=False)
            raise _Failure(states.algorithm_error(failure, first_failed.last_line, first_failed.code))
        self._upload(job, model=True)
        return "Completed", None

    def _upload(self, job: Resource, *, model: bool) -> None:
        self._enter("Uploading", states.UPLOADING, interruptible=False)
        try:
            artifacts.store(self._services.storage, job, [host.base for host in self._hosts], model=model)
        except StorageError as error:
            raise _Failure(f"ClientError: Artifact upload failed:{error}") from error

    # The pieces

    def _left_to_wait(self, job: Resource) -> float:
        """Seconds of MaxWaitTimeInSeconds, which counts from the job's creation."""
        limit = request.max_wait(job)
        if limit is None:
            return math.inf
        return limit - (self._services.clock.now() - job.created).total_seconds()

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
        """Store the end. On a disk that is full, say, as soon as that can be done; the next start does it otherwise."""
        metrics = self._metrics.final() if self._metrics else []
        if metrics:
            more["FinalMetricDataList"] = metrics
        while True:
            try:
                return end_job(self._services, self._name, secondary, message, **more)
            except (states.IllegalTransition, NotFound):
                raise
            except Exception:
                if self._services.clock.wait(self._closing, _STORE_AGAIN_SECONDS):
                    raise


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
