"""`--engine sdk`: the SDK's own local mode trains and serves, for real, and leaves nothing however the run ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from rehearsal import SMALL, Rehearsal, settings

Rehearse = Callable[..., Rehearsal]
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_compose"), pytest.mark.timeout(1800)]
DIRECTORY = "com.docker.compose.project.working_dir"  # Compose's label: where the file is
SDK = settings(**SMALL, engine="sdk")


@pytest.fixture
def composed(docker_daemon: Any, tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """Lists the containers that the SDK made below the test's folder; none may be left at the end."""

    def find() -> list[str]:
        containers = docker_daemon.client.containers.list(all=True, filters={"label": DIRECTORY})
        return [each.id for each in containers if each.labels[DIRECTORY].startswith(str(tmp_path))]

    yield find
    left = find()
    for container in left:
        docker_daemon.client.containers.get(container).remove(force=True)
    assert left == []
    assert docker_daemon.client.networks.list(filters={"label": "com.docker.compose.network=sagemaker-local"}) == []


def script(folder: Path, *lines: str) -> dict[str, str]:
    """Settings with a training script of these lines."""
    path = folder / "source" / "script.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return settings(entry_point_script=str(path))


def assert_nothing_left(run: Rehearsal) -> None:
    """No process, no temporary file, and none of the folders that the SDK works in."""
    run.assert_nothing_left()
    assert list((run.folder / "state" / "sagemaker-rehearsal" / "local-mode").glob("run-*")) == []


@pytest.mark.usefixtures("composed")
def test_two_whole_workflows_at_once(tmp_path: Path) -> None:
    """Each has an endpoint of its own; by the SDK and by its client the answers are the same, the CLI is not asked."""
    runs = [rehearsal.start(tmp_path / name, **SDK) for name in "ab" if not (tmp_path / name).mkdir()]
    try:
        for run in runs:
            assert run.process.wait(timeout=1500) == 0, run.output
            assert run.finish() == 0
            report = run.report
            assert (report["engine"], report["error"], report["removed"]) == ("sdk", None, True)
            assert set(report["invocations"]) == {"predictor", "boto3"}
            assert report["invocations"]["predictor"] == report["invocations"]["boto3"]
            assert "got a list of 151 values" in run.output  # the endpoint's own refusal of a vector that is too long
            assert "the AWS CLI was not asked" in run.output
            assert_nothing_left(run)
    finally:
        for run in runs:
            run.process.terminate()  # no error where it has ended
            run.finish()
    assert runs[0].report["predictions"] == runs[1].report["predictions"]


@pytest.mark.usefixtures("composed")
def test_a_failing_script(rehearse: Rehearse, tmp_path: Path) -> None:
    """The run ends with the script's own reason."""
    run = rehearse(**SDK | script(tmp_path, "raise ValueError('no luck today')"))
    assert run.finish() == 1
    assert "no luck today" in run.report["error"]  # AWS's toolkit may miss the last line that the script wrote
    assert_nothing_left(run)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_training(
    rehearse: Rehearse, tmp_path: Path, composed: Callable[[], list[str]], number: signal.Signals, status: int
) -> None:
    """The containers are taken down, though the SDK has no call for that."""
    run = rehearse(**SDK | endless(tmp_path))
    run.wait_for("training goes on")
    assert composed()
    (run.signal_group if number == signal.SIGINT else run.signal)(number)
    assert run.finish() == status, run.output
    assert run.report["removed"] is True
    assert_nothing_left(run)


def test_kill_9_is_mended_at_the_next_start(
    rehearse: Rehearse, tmp_path: Path, composed: Callable[[], list[str]]
) -> None:
    """What a run that was killed left, containers and files of root's included, the next one ends."""
    run = rehearse(**SDK | endless(tmp_path))
    run.wait_for("training goes on")
    run.signal(signal.SIGKILL)
    assert run.finish() == -signal.SIGKILL
    (left,) = composed()
    again = rehearse(**SDK | endless(tmp_path))
    again.wait_for("engine sdk")  # by then it has looked for what is left
    assert left not in composed()
    again.signal(signal.SIGTERM)
    assert again.finish() == 143
    assert_nothing_left(again)


def endless(folder: Path) -> dict[str, str]:
    """Settings with a script that does not end by itself."""
    return script(folder, "import signal", "print('training goes on', flush=True)", "signal.pause()")
