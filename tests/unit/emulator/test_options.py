"""Options of `up` that cannot work are errors in one line, which names them."""

from __future__ import annotations

import socket
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from emulator.options import (
    OptionUnusable,
    check_record,
    check_s3_endpoint,
    check_state_dir,
    differences,
    hold,
    jobs,
    port,
    region,
)


def test_port() -> None:
    """What TCP has."""
    assert (port("0"), port("65535")) == (0, 65535)
    for text in ("99999", "65536", "-1", "x", ""):
        with pytest.raises(ArgumentTypeError, match="0 to 65535"):
            port(text)


def test_jobs() -> None:
    """At least one has to run."""
    assert (jobs("1"), jobs("50")) == (1, 50)
    for text in ("0", "-1", "x", "", "1.5", "10000"):
        with pytest.raises(ArgumentTypeError, match="from 1 to 9999"):
            jobs(text)


def test_hold() -> None:
    """Less than the minute that clients wait for an answer."""
    assert [hold(text) for text in ("0", "2.5", "50")] == [0.0, 2.5, 50.0]
    for text in ("-1", "51", "nan", "inf", "long", ""):
        with pytest.raises(ArgumentTypeError, match="from 0 to 50"):
            hold(text)


@pytest.mark.parametrize("name", ["us-east-1", "ap-southeast-2", "us-gov-west-1", "us-iso-east-1", "eusc-de-east-1"])
def test_regions(name: str) -> None:
    """Names of all partitions."""
    assert region(name) == name


@pytest.mark.parametrize("name", ["nowhere", "", "us-east", "US-EAST-1", "us-east-1a", "us-east-1\n", "us_east_1"])
def test_what_is_no_region(name: str) -> None:
    """Neither a zone nor a word."""
    with pytest.raises(ArgumentTypeError, match="us-east-1"):
        region(name)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://", "https://127.0.0.1:4566", "http://127.0.0.1:99999", "http://127.0.0.1:1/path", "s3:x"],
)
def test_what_is_no_endpoint(url: str) -> None:
    """The option and a URL that would do are named."""
    with pytest.raises(OptionUnusable, match=r"^--s3-endpoint .*http://HOST:PORT"):
        check_s3_endpoint(url)


def test_an_endpoint_where_nothing_answers() -> None:
    """Neither a closed port nor a server that speaks something else will do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    with pytest.raises(OptionUnusable, match=rf"^--s3-endpoint http://127.0.0.1:{number}: nothing answers there"):
        check_s3_endpoint(f"http://127.0.0.1:{number}")


def test_record_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Not found out at the first request."""
    with pytest.raises(OptionUnusable, match=r"^--record .*none/r\.jsonl.*No such file"):
        check_record(tmp_path / "none" / "r.jsonl")
    with pytest.raises(OptionUnusable, match=r"^--record .*directory"):
        check_record(tmp_path)
    (tmp_path / "r").write_text("before")
    check_record(tmp_path / "r")
    assert (tmp_path / "r").read_text() == "before"


def test_a_state_dir_that_cannot_be_made(tmp_path: Path) -> None:
    """The reason is the system's."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(OptionUnusable, match=r"^--state-dir .*file"):
            check_state_dir(path)
    check_state_dir(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


FOUND = {"--port": "4566", "--engine": "venv", "--region": "us-east-1", "--record": None}


def test_the_same_options_are_no_difference() -> None:
    """Nor is what every emulator satisfies, or what was not asked for."""
    for asked in ({}, {"--port": "4566", "--region": "us-east-1"}, {"--port": "0", "--engine": "auto"}):
        assert differences(asked, FOUND) == []


def test_other_options_are_named_with_what_there_is() -> None:
    """Each of them."""
    asked = {"--port": "1", "--region": "eu-west-1", "--record": "/r", "--engine": "venv"}
    assert differences(asked, FOUND) == [
        "--port 1 (it has 4566)",
        "--region eu-west-1 (it has us-east-1)",
        "--record /r (it has none)",
    ]
