"""What an emulator is started with; filled in by `__main__` and `up_command`, read by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

APP = "sagemaker-rehearsal"  # names the user's folders


@dataclass(frozen=True)
class Settings:
    """One start."""

    state_dir: Path  # store, work folders, LocalStack's data, the log of a detached start
    processes_dir: Path  # what runs; shared by all emulators of a user, so that each can clear up after a killed one
    cache_dir: Path  # environments of images and of LocalStack
    source_root: Path  # the repository: docker/, local/
    images: Path  # the catalogue of images
    region: str = "us-east-1"
    port: int = 0  # 0: any free one
    engine: str = "auto"
    docker_url: str = ""  # where the Docker daemon answers; empty: at Docker's own place
    limits: bool = False  # hold containers to the vCPUs and memory of their instance types
    jobs: int = 2  # training jobs that run at once; the others wait
    record: Path | None = None  # where requests are recorded
    private: bool = False  # nothing outlives it
    log: Path | None = None  # what is written to standard error goes there, if it was started in the background
    s3_endpoint: str | None = None  # used instead of a LocalStack of ours
    hold_seconds: float = 5.0  # the longest that a Describe of something in transition is held back; 0: not at all
