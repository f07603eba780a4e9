"""The script as SageMaker runs it: a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import kmeans_clustering

SCRIPT = Path(kmeans_clustering.__file__)


def start(job, *arguments):
    """Start the script with the variables that the training toolkit sets, and the temporary folder of the job."""
    temporary = job.folder / "tmp"
    temporary.mkdir()
    # TF_CPP_MIN_LOG_LEVEL=1 is what the toolkit of AWS's image sets.
    environment = {**os.environ, **job.environment, "TMPDIR": str(temporary), "TF_CPP_MIN_LOG_LEVEL": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_prints_only_what_says_something(rated_job):
    """The whole output is the script's own: nothing of TensorFlow's deprecations or devices."""
    job, _, _ = rated_job
    with start(job, "--max_iterations", "3") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert all(line.startswith(("[kmeans] ", "Training on 240 users")) for line in out.splitlines())
    assert (job.folder / "model" / "1" / "saved_model.pb").exists()


def test_stops_at_once_on_sigterm(rated_job):
    """A stopped job ends with a shell's status for SIGTERM, says nothing, and leaves no temporary folder."""
    job, _, _ = rated_job
    endless = ["--use_mini_batch", "true", "--tolerance", "0", "--max_iterations", "1000000", "--batch_size", "8"]
    with start(job, *endless) as process:
        while not process.stdout.readline().startswith("[kmeans] iteration="):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "")
    assert list((job.folder / "tmp").iterdir()) == []
    assert not (job.folder / "model").exists()
