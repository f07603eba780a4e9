"""All training jobs that run: starts, stops and ends them, and settles what an earlier emulator left unfinished."""

from __future__ import annotations

import threading

from emulator.lifecycle import training_states as states
from emulator.lifecycle.ports import Services
from emulator.lifecycle.training_run import INTERNAL_ERROR, TrainingRun, end_job
from emulator.store.port import Change, Kind, Listing, Resource, update

LOST = f"{INTERNAL_ERROR} The emulator ended while the job was running; create the job again under another name."
_EVERY = 2**31


class TrainingJobs:
    """Owns every transition of every training job; a thread a running job."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: dict[str, tuple[TrainingRun, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._closing = False

    def start(self, name: str) -> None:
        """Run the job of that name, which has just been stored; while shutting down it ends at once."""
        run = TrainingRun(self._services, name)
        thread = threading.Thread(target=self._run, args=(name, run), name=f"training job {name}", daemon=True)
        with self._lock:
            self._running[name] = run, thread
            if self._closing:
                run.shut_down()
        thread.start()

    def stop(self, name: str) -> Resource:
        """Turn the job Stopping and end it soon; one that is Stopping or has ended is left and returned as it is."""

        def decide(job: Resource) -> Change | None:
            if job.status != states.IN_PROGRESS:
                return None
            if "Stopping" not in states.FOLLOWERS[job.document["SecondaryStatus"]]:
                return None
            return states.enter(job, "Stopping", states.STOPPING_MESSAGE, self._services.clock.now())

        job = update(self._services.store, Kind.TRAINING_JOB, name, decide)
        with self._lock:
            running = self._running.get(name)
        if job.status == states.STOPPING and running:
            running[0].stop()
        return job

    def settle(self) -> None:
        """To be called once, before anything starts: jobs that a killed emulator left unfinished come to their end."""
        for status in states.UNFINISHED:
            for job in self._services.store.list(Kind.TRAINING_JOB, Listing(status=status, limit=_EVERY)):
                if job.status == states.STOPPING:
                    end_job(self._services, job.name, "Stopped")
                else:
                    end_job(self._services, job.name, "Failed", FailureReason=LOST)

    def shut_down(self, seconds: float) -> None:
        """Stop every running job, and wait at most that long for all of them."""
        with self._lock:
            self._closing = True
            running = list(self._running.values())
        for run, _ in running:
            threading.Thread(target=run.shut_down, daemon=True).start()
        deadline = self._services.clock.monotonic() + seconds
        for _, thread in running:
            thread.join(max(0.0, deadline - self._services.clock.monotonic()))

    def _run(self, name: str, run: TrainingRun) -> None:
        try:
            run.run()
        finally:
            with self._lock:
                self._running.pop(name, None)
