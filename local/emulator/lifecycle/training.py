"""All training jobs: starts, queues, stops and ends them, and settles what an earlier emulator left unfinished."""

from __future__ import annotations

import threading
from collections import deque

from emulator.lifecycle import training_states as states
from emulator.lifecycle.ports import Services
from emulator.lifecycle.training_run import INTERNAL_ERROR, TrainingRun, end_job
from emulator.store.port import Change, Kind, Listing, Resource, update

LOST = f"{INTERNAL_ERROR} The emulator ended while the job was running; create the job again under another name."
_EVERY = 2**31


class TrainingJobs:
    """Owns every transition of every training job; a thread a running job, and a queue of those that wait."""

    def __init__(self, services: Services, at_once: int) -> None:
        """`at_once` jobs run at the same time; the others wait in Pending, first come, first served."""
        self._services = services
        self._at_once = at_once
        self._running: dict[str, tuple[TrainingRun, threading.Thread]] = {}
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()
        self._closing = False

    def start(self, name: str) -> None:
        """Run the job of that name, which has just been stored, now or when its turn comes.

        While shutting down it is only kept: the next emulator starts it (see `settle`).
        """
        with self._lock:
            if self._closing:
                return
            if len(self._running) < self._at_once:
                self._begin(name)
                return
            self._waiting.append(name)
            job = update(self._services.store, Kind.TRAINING_JOB, name, self._to_pending)
            if job.status == states.IN_PROGRESS:
                return
            self._waiting.remove(name)
        end_job(self._services, name, "Stopped")

    def stop(self, name: str) -> Resource:
        """Turn the job Stopping and end it soon; one that is Stopping or has ended is left and returned as it is."""

        def decide(job: Resource) -> Change | None:
            if job.status != states.IN_PROGRESS:
                return None
            if "Stopping" not in states.FOLLOWERS[job.document["SecondaryStatus"]]:
                return None
            return states.enter(job, "Stopping", states.STOPPING_MESSAGE, self._services.clock.now())

        job = update(self._services.store, Kind.TRAINING_JOB, name, decide)
        if job.status != states.STOPPING:
            return job
        with self._lock:
            running = self._running.get(name)
            waited = name in self._waiting
            if waited:
                self._waiting.remove(name)
        if running:
            running[0].stop()
        elif waited:
            end_job(self._services, name, "Stopped")
        return job

    def settle(self) -> None:
        """To be called once, before anything starts: jobs that an emulator before this left unfinished.

        One that waited is started, as nothing of it is lost; one that had begun comes to its end.
        """
        store = self._services.store
        for job in store.list(Kind.TRAINING_JOB, Listing(status=states.STOPPING, limit=_EVERY)):
            end_job(self._services, job.name, "Stopped")
        for job in store.list(Kind.TRAINING_JOB, Listing(status=states.IN_PROGRESS, limit=_EVERY)):
            if "TrainingStartTime" in job.document:
                end_job(self._services, job.name, "Failed", FailureReason=LOST)
            else:
                self.start(job.name)

    def shut_down(self, seconds: float) -> None:
        """Stop every running job, and wait at most that long for all of them; those that wait stay as they are."""
        with self._lock:
            self._closing = True
            self._waiting.clear()
            running = list(self._running.values())
        for run, _ in running:
            threading.Thread(target=run.shut_down, daemon=True).start()
        deadline = self._services.clock.monotonic() + seconds
        for _, thread in running:
            thread.join(max(0.0, deadline - self._services.clock.monotonic()))

    def _to_pending(self, job: Resource) -> Change | None:
        """The change to Pending; None for one that waits already, or was stopped since it was stored."""
        if job.status != states.IN_PROGRESS or job.document["SecondaryStatus"] != "Starting":
            return None
        return states.enter(job, "Pending", states.WAITING, self._services.clock.now())

    def _begin(self, name: str) -> None:
        """Give the job a thread. Called with the lock."""
        run = TrainingRun(self._services, name)
        thread = threading.Thread(target=self._run, args=(name, run), name=f"training job {name}", daemon=True)
        self._running[name] = run, thread
        thread.start()

    def _run(self, name: str, run: TrainingRun) -> None:
        try:
            run.run()
        finally:
            with self._lock:
                if self._running.get(name, (None,))[0] is run:  # not one that took the name of a deleted job
                    del self._running[name]
                while self._waiting and len(self._running) < self._at_once:
                    self._begin(self._waiting.popleft())
