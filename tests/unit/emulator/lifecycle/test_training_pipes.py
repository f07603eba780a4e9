"""Pipe mode: a named pipe an epoch, for each channel of each host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from emulator.engine.fake import History
from emulator.engine.port import Work
from emulator.lifecycle.fake import FakeStorage
from emulator.lifecycle.ports import StorageError
from emulator.lifecycle.training_pipes import Pipe
from emulator.operations import OPERATIONS
from emulator.store.port import Kind

Make = Callable[..., SimpleNamespace]
Request = Callable[..., dict[str, Any]]
BIG = bytes(range(256)) * 2000  # more than a pipe holds


def test_a_job_reads_its_data_from_pipes(emulator: Make, job_request: Request) -> None:
    """Two epochs, each host its share; the mode is in inputdataconfig.json, and no folder of the channel's name."""
    seen: dict[str, Any] = {}

    def read(work: Work) -> None:
        data = work.base_dir / "input/data"
        seen[work.host] = [(data / f"train_{epoch}").read_bytes() for epoch in (0, 1)]
        seen["config"] = (work.base_dir / "input/config/inputdataconfig.json").read_text("utf-8")
        seen["folder"] = (data / "train").exists()

    storage = FakeStorage({"s3://bucket/train/a": b"one", "s3://bucket/train/b": BIG})
    made = emulator(History(act=read), storage=storage)
    request = job_request()
    request["AlgorithmSpecification"]["TrainingInputMode"] = "Pipe"
    request["ResourceConfig"]["InstanceCount"] = 2
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    OPERATIONS["CreateTrainingJob"](made.context, request)
    made.poll(lambda: made.store.get(Kind.TRAINING_JOB, "job").status == "Completed", "the job's end")
    assert seen["algo-1"] == [b"one", b"one"]
    assert seen["algo-2"] == [BIG, BIG]
    assert '"TrainingInputMode": "Pipe"' in seen["config"]
    assert seen["folder"] is False
    assert list(made.work.iterdir()) == []


def test_data_that_cannot_be_had_fails_the_job(emulator: Make, job_request: Request) -> None:
    """The reason is S3's, not what the script makes of an empty pipe."""

    def read(work: Work) -> None:
        assert (work.base_dir / "input/data/train_0").read_bytes() == b""

    made = emulator(History(act=read, runs_until_stopped=True), storage=FakeStorage())
    request = job_request()
    request["InputDataConfig"][0]["InputMode"] = "Pipe"
    OPERATIONS["CreateTrainingJob"](made.context, request)
    made.poll(lambda: made.store.get(Kind.TRAINING_JOB, "job").status == "Failed", "the job's end")
    reason = made.store.get(Kind.TRAINING_JOB, "job").document["FailureReason"]
    assert reason.startswith("ClientError: Data download failed:No S3 objects found")


def test_an_epoch_that_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Closing the pipe ends it; the next one has its own data from the beginning."""
    pipe = Pipe(tmp_path, "train", lambda number: iter([str(number).encode(), BIG, BIG]), lambda: None)
    pipe.begin()
    with (tmp_path / "train_0").open("rb", buffering=0) as file:
        assert file.read(1) == b"0"
    assert (tmp_path / "train_1").read_bytes() == b"1" + BIG + BIG
    pipe.close()
    assert pipe.error is None


def test_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    """Ends when the job does."""

    def never(_number: int) -> Iterator[bytes]:
        raise StorageError("nobody asked")

    pipe = Pipe(tmp_path, "train", never, lambda: None)
    pipe.begin()
    assert (tmp_path / "train_0").is_fifo()
    pipe.close()
    assert pipe.error is None
