"""A disk that is full: each request and job that meets it ends with the reason, and all others go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from emulated import BUCKET, ROLE
from machine import MB, Machine, attempt, create_job, ended, filled, job, store_words
from rehearsal import poll, processes_of

Start = Callable[..., Machine]


def test_data_that_does_not_fit(start: Start, small_disk: Path, localstack: str) -> None:
    """The job fails with AWS's reason for it, and its files are in nobody's way; the next job completes."""
    machine = start("--state-dir", str(small_disk), "--s3-endpoint", localstack)
    words = store_words(machine, "disk-data")
    machine.client("s3").put_object(Bucket="disk-data", Key="large/data", Body=bytes(60 * MB))
    create_job(machine, "large", "s3://disk-data/large/")
    description = ended(machine, "large")
    assert description["TrainingJobStatus"] == "Failed"
    assert "Data download failed" in description["FailureReason"]
    assert "No space left on device" in description["FailureReason"]
    create_job(machine, "small", words)
    machine.client("s3").create_bucket(Bucket=BUCKET)
    assert ended(machine, "small")["TrainingJobStatus"] == "Completed"


def test_a_script_that_fills_the_disk(start: Start, small_disk: Path, localstack: str) -> None:
    """It fails of its own error, which is the reason; the emulator goes on."""
    machine = start("--state-dir", str(small_disk), "--s3-endpoint", localstack)
    fill = "(BASE / 'model/large').write_bytes(bytes(60_000_000))"
    create_job(machine, "filler", None, program=fill)
    description = ended(machine, "filler")
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("AlgorithmError")
    assert "No space left on device" in description["FailureReason"]
    assert attempt(lambda: machine.client("sagemaker").list_training_jobs()) == ""


def test_nothing_can_be_written_for_a_while(start: Start, small_disk: Path, localstack: str) -> None:
    """What finds no room is answered with an error that clients try again; a job that ends meanwhile is not lost."""
    machine = start("--state-dir", str(small_disk), "--s3-endpoint", localstack)
    machine.client("s3").create_bucket(Bucket=BUCKET)
    flag = machine.folder / "go-on"
    wait = f"import time; from pathlib import Path\nwhile not Path({str(flag)!r}).exists(): time.sleep(0.05)"
    create_job(machine, "meanwhile", None, program=wait)
    poll(lambda: job(machine, "meanwhile")["SecondaryStatus"] == "Training", "it trains", 40)
    sagemaker = machine.client("sagemaker")
    large = {f"VARIABLE_{number}": "x" * 1024 for number in range(90)}
    container = {"Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/x", "Environment": large}

    def create(name: str) -> str:
        return attempt(
            lambda: sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        )

    with filled(small_disk):
        codes = list(iter(map(create, map("m{}".format, itertools.count())).__next__, "InternalFailure"))
        assert set(codes) == {""}  # those that the store had room for beforehand
        assert len(sagemaker.list_models(MaxResults=100)["Models"]) == len(codes)
        flag.touch()
        poll(lambda: processes_of(Path("training-job-meanwhile")) == [], "the script's end", 40)
    assert ended(machine, "meanwhile")["TrainingJobStatus"] in ("Completed", "Failed")
    assert create("after") == ""


def test_no_room_for_the_snapshot(start: Start, small_disk: Path) -> None:
    """It is said once; when there is room again what waited is saved, and is there at the next start."""
    machine = start("--state-dir", str(small_disk))
    s3 = machine.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="first", Body=bytes(11 * MB))
    poll(lambda: large_files(small_disk) == 1, "the first", 20)
    # LocalStack's copy finds room, ours does not: the two of the first, and the store, have taken 30 of 50 MB.
    s3.copy_object(Bucket=BUCKET, Key="second", CopySource=f"{BUCKET}/first")
    poll(lambda: "cannot be kept for the next start at the moment" in machine.said(), "the trouble", 20)
    assert "No space left" in machine.said()
    s3.delete_object(Bucket=BUCKET, Key="first")
    poll(lambda: "kept for the next start again" in machine.said(), "its end", 20)
    poll(lambda: large_files(small_disk) == 1, "the first's removal", 20)  # or both came back, and had no room in S3
    machine.kill()
    machine.up()
    contents = machine.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [(content["Key"], content["Size"]) for content in contents] == [("second", 11 * MB)]


def large_files(disk: Path) -> int:
    """How many large objects the snapshot has."""
    return sum(path.stat().st_size > 11 * MB for path in (disk / "s3").glob("*/*") if path.suffix != ".new")
