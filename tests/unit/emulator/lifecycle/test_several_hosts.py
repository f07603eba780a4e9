from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.account import TRAINING_LOG_GROUP
from emulator.engine.fake import History
from emulator.engine.port import Work
from emulator.lifecycle.fake import FakeStorage
from emulator.operations import OPERATIONS
from emulator.store.port import Kind, Resource

Make = Callable[..., SimpleNamespace]
Request = Callable[..., dict[str, Any]]
MODEL, OUTPUT = "s3://bucket/models/job/output/model.tar.gz", "s3://bucket/models/job/output/output.tar.gz"
WAITS = History(lines=("go",), runs_until_stopped=True)


def create(emulator: SimpleNamespace, request: dict[str, Any], hosts: int = 2) -> None:
    """CreateTrainingJob on so many hosts."""
    request["ResourceConfig"] |= {"InstanceCount": hosts}
    OPERATIONS["CreateTrainingJob"](emulator.context, request)


def ended(emulator: SimpleNamespace) -> Resource:
    """The job, once it has ended."""

    def look() -> Resource | None:
        job = emulator.store.get(Kind.TRAINING_JOB, "job")
        return job if job.status in {"Completed", "Failed", "Stopped"} else None

    found: Resource = emulator.poll(look, "the job's end")
    return found


def running(emulator: SimpleNamespace, hosts: int = 2) -> None:
    """Wait until a line of each host was read."""
    emulator.poll(lambda: len([lines for lines in emulator.logs.lines.values() if lines]) == hosts, "their first lines")


def leave(**files: str) -> Callable[[Work], None]:
    """Write these files, `__` for `/`, below the tree."""

    def act(work: Work) -> None:
        for name, text in files.items():
            path = work.base_dir / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    return act


def contents(archive: bytes) -> dict[str, bytes]:
    """What the files of an archive hold."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: file.read() for m in tar.getmembers() if (file := tar.extractfile(m))}


def test_every_host_has_a_tree_a_log_and_a_place_in_the_network(emulator: Make, job_request: Request) -> None:
    """Each knows itself and all; the lines of each are in a stream of its own; the network is gone afterwards."""
    seen: dict[str, Any] = {}

    def look(work: Work) -> None:
        seen[work.host] = json.loads((work.base_dir / "input/config/resourceconfig.json").read_text("utf-8"))

    made = emulator(History(("one",), act=look, on={"algo-3": History(("three",), act=look)}))
    create(made, job_request(), hosts=3)
    assert ended(made).status == "Completed"
    hosts = ["algo-1", "algo-2", "algo-3"]
    assert {name: resources["current_host"] for name, resources in seen.items()} == {name: name for name in hosts}
    assert all(resources["hosts"] == hosts for resources in seen.values())
    assert {each["network_interface_name"] for each in seen.values()} == {made.engine.network_interface}
    assert all(resources["instance_groups"][0]["hosts"] == hosts for resources in seen.values())
    time = int(made.clock.now().timestamp())
    texts = dict(zip(hosts, ("one", "one", "three"), strict=True))
    assert made.logs.lines == {(TRAINING_LOG_GROUP, f"job/{name}-{time}"): [texts[name]] for name in hosts}
    assert made.logs.flushed == dict.fromkeys(made.logs.lines, 1)
    (network,) = made.engine.networks
    assert (network.name, network.hosts, network.closed) == ("training-job/job", tuple(hosts), True)
    works = [container.work for container in made.engine.started]
    assert [work.name for work in works] == [f"training-job/job/{name}" for name in hosts]
    assert all(work.network is network for work in works)
    assert len({work.base_dir for work in works}) == 3
    assert list(made.work.iterdir()) == []


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("FullyReplicated", {"algo-1": ["a", "b", "c"], "algo-2": ["a", "b", "c"]}),
        ("ShardedByS3Key", {"algo-1": ["a", "c"], "algo-2": ["b"]}),
    ],
)
def test_the_data_of_each_host(
    emulator: Make, job_request: Request, distribution: str, expected: dict[str, list[str]]
) -> None:
    """All of it, or its share of the objects; what one host does to its copy no other sees."""
    seen = {}
    first = threading.Event()

    def look(work: Work) -> None:
        if work.host != "algo-1":
            assert first.wait(10)
        folder = work.base_dir / "input/data/train"
        seen[work.host] = sorted(path.name for path in folder.iterdir())
        assert all(path.read_text("utf-8") == "1" for path in folder.iterdir())
        for path in folder.iterdir():
            path.write_text("2", "utf-8")
        first.set()

    storage = FakeStorage({f"s3://bucket/train/{name}": b"1" for name in "abc"})
    made = emulator(History(act=look), storage=storage)
    request = job_request()
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = distribution
    create(made, request)
    assert ended(made).status == "Completed"
    assert seen == expected


def test_one_archive_of_what_all_hosts_leave(emulator: Make, job_request: Request) -> None:
    """Model and output hold the files of all hosts; of equal names the first host's."""
    other = History(act=leave(model__1__same="2", model__1__other="2", output__data__same="2", output__data__two="2"))
    first = leave(model__1__same="1", model__one="1", output__data__same="1")
    made = emulator(History(act=first, on={"algo-2": other}))
    create(made, job_request())
    assert ended(made).status == "Completed"
    assert contents(made.storage.objects[MODEL]) == {"1/same": b"1", "1/other": b"2", "one": b"1"}
    assert contents(made.storage.objects[OUTPUT]) == {"same": b"1", "two": b"2"}


@pytest.mark.parametrize("failing", ["algo-1", "algo-2", "algo-3"])
def test_the_job_fails_with_the_host_that_fails(emulator: Make, job_request: Request, failing: str) -> None:
    """The others are stopped; the reason is that host's, whatever the others say while they are stopped."""
    act = leave(output__failure="no luck", output__data__note="kept", model__m="lost")
    waits = History(("go",), runs_until_stopped=True, act=leave(output__failure="stopped", output__data__more="kept"))
    histories = dict.fromkeys(("algo-1", "algo-2", "algo-3"), waits)
    made = emulator(History(on={**histories, failing: History(("oh",), code=3, act=act)}))
    create(made, job_request(), hosts=3)
    job = ended(made)
    assert job.status == "Failed"
    assert job.document["FailureReason"] == "AlgorithmError: no luck, exit code: 3"
    assert contents(made.storage.objects[OUTPUT]) == {"note": b"kept", "more": b"kept"}
    assert MODEL not in made.storage.objects
    assert not any(container.alive() for container in made.engine.started)
    assert made.engine.networks[0].closed


def test_without_a_failure_file_the_last_line_of_that_host(emulator: Make, job_request: Request) -> None:
    """Not the last line of any host."""
    made = emulator(History(on={"algo-1": WAITS, "algo-2": History(("that is why", " "), code=1)}))
    create(made, job_request())
    assert ended(made).document["FailureReason"] == "AlgorithmError: that is why, exit code: 1"


def test_a_host_that_is_done_waits_for_the_others(emulator: Make, job_request: Request) -> None:
    """Status 0 of one host ends nothing."""
    go_on = threading.Event()
    slow = History(("late",), act=lambda work: go_on.wait(10) and leave(model__m="1")(work))
    made = emulator(History(("early",), on={"algo-1": slow}))
    create(made, job_request())
    made.poll(lambda: len(made.engine.started) == 2 and not made.engine.started[1].alive(), "the end of algo-2")
    assert made.store.get(Kind.TRAINING_JOB, "job").status == "InProgress"
    go_on.set()
    assert ended(made).status == "Completed"
    assert MODEL in made.storage.objects


def test_stopping_stops_every_host(emulator: Make, job_request: Request) -> None:
    """What each had made is kept."""
    made = emulator(
        History(
            on={
                name: History(("go",), runs_until_stopped=True, act=leave(**{f"model__{number}": "1"}))
                for number, name in enumerate(("algo-1", "algo-2"))
            }
        )
    )
    create(made, job_request())
    running(made)
    OPERATIONS["StopTrainingJob"](made.context, {"TrainingJobName": "job"})
    assert ended(made).document["SecondaryStatus"] == "Stopped"
    assert not any(container.alive() for container in made.engine.started)
    assert sorted(contents(made.storage.objects[MODEL])) == ["0", "1"]


def test_the_time_of_a_job_is_over_for_every_host(emulator: Make, job_request: Request) -> None:
    """MaxRuntimeInSeconds: all are stopped, also those beside one that is done."""
    made = emulator(History(("go",), on={"algo-2": WAITS, "algo-3": WAITS}))
    create(made, job_request(), hosts=3)
    running(made, 3)
    made.clock.advance(601)
    assert ended(made).document["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert not any(container.alive() for container in made.engine.started)


def test_shutting_down_ends_every_host(emulator: Make, job_request: Request) -> None:
    """None outlives the emulator."""
    made = emulator(WAITS)
    create(made, job_request())
    running(made)
    made.jobs.shut_down(5)
    assert made.store.get(Kind.TRAINING_JOB, "job").status == "Stopped"
    assert not any(container.alive() for container in made.engine.started)


def test_a_host_that_does_not_start_ends_those_that_did(emulator: Make, job_request: Request) -> None:
    """The job fails, nothing runs on, the network is closed."""
    made = emulator(History(on={"algo-1": WAITS, "algo-2": History(fails_to_start="no room")}))
    create(made, job_request())
    assert "no room" in ended(made).document["FailureReason"]
    assert [container.alive() for container in made.engine.started] == [False]
    assert made.engine.networks[0].closed


def test_a_mistake_of_ours_on_one_host_ends_the_job(emulator: Make, job_request: Request) -> None:
    """The other hosts are stopped."""

    def break_down(work: Work) -> None:
        raise RuntimeError("a mistake")

    made = emulator(History(on={"algo-1": WAITS, "algo-2": History(act=break_down)}))
    create(made, job_request())
    assert "a mistake" in ended(made).document["FailureReason"]
    assert not made.engine.started[0].alive()


def test_metrics_are_read_from_every_host(emulator: Make, job_request: Request) -> None:
    """Whichever host writes the line."""
    made = emulator(History(on={"algo-2": History(("loss=0.5;",))}))
    algorithm = job_request()["AlgorithmSpecification"]
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+);"}]
    create(made, job_request(AlgorithmSpecification={**algorithm, "MetricDefinitions": definitions}))
    assert ended(made).document["FinalMetricDataList"][0]["Value"] == 0.5


def test_work_folders_are_by_host(emulator: Make, job_request: Request) -> None:
    """A single host's tree lies where that of the first of several does."""
    made = emulator(History())
    create(made, job_request(), hosts=1)
    ended(made)
    assert made.engine.started[0].work.base_dir == Path(made.work / "training-job-job" / "algo-1")
