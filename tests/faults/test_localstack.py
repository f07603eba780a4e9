"""LocalStack ends by itself: it is started again with all objects, and what runs goes on."""

from __future__ import annotations

from collections.abc import Callable

from emulated import BUCKET, log_lines
from machine import Machine, create_job, ended, store_words
from rehearsal import poll

PROGRAM = """
import time
from pathlib import Path
print("before", flush=True)
while not Path(FLAG).exists():
    time.sleep(0.05)
(BASE / "model/m").write_text("made")
print("after")
"""


def test_a_job_goes_on_and_its_model_is_there(start: Callable[..., Machine]) -> None:
    """Killed while a job trains: requests wait, objects are those of before, the job ends as Completed with its log."""
    machine = start()
    store_words(machine)
    flag = machine.folder / "go-on"
    create_job(machine, "job", None, program=PROGRAM.replace("FLAG", repr(str(flag))))
    poll(lambda: "before" in log_lines(machine.emulated, "/aws/sagemaker/TrainingJobs"), "the script", 40)
    s3 = machine.patient_client("s3")
    for number in range(50):
        s3.put_object(Bucket=BUCKET, Key=f"objects/{number}", Body=b"x")
    poll(lambda: sum(path.is_file() for path in (machine.state / "s3").glob("*/*")) == 52, "the snapshot", 40)

    machine.kill_localstack()
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 51  # it waits until all are back
    flag.touch()
    assert ended(machine, "job")["TrainingJobStatus"] == "Completed"
    assert s3.head_object(Bucket=BUCKET, Key="models/job/output/model.tar.gz")["ContentLength"] > 0
    assert log_lines(machine.emulated, "/aws/sagemaker/TrainingJobs") == ["after"]  # lines are LocalStack's own
    assert "LocalStack ended by itself" in machine.said()
    assert "LocalStack answers again" in machine.said()


def test_what_was_not_on_disk_yet_is_named(start: Callable[..., Machine]) -> None:
    """It is lost, and nobody need find out by himself."""
    machine = start()
    s3 = machine.patient_client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="just-now", Body=b"x")
    machine.kill_localstack()
    s3.list_buckets()
    poll(lambda: f"is lost: s3://{BUCKET}" in machine.said(), "the name", 10)
