"""Lines of JSON, whole and without secrets."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emulator.recording import Entry, Recorder


def entry(parameters: dict[str, Any] | None = None, query: list[tuple[str, str]] | None = None) -> Entry:
    """A request of that input."""
    return Entry("sagemaker", "InvokeEndpoint", "POST", "/", query or [], parameters, 200)


def test_a_line_tells_the_request(tmp_path: Path) -> None:
    """Times are text, blobs are hash and size."""
    parameters = {"Body": b"abc", "Tags": [{"Key": "ü"}], "When": datetime(2024, 1, 2, tzinfo=UTC)}
    Recorder(tmp_path / "r", print).write(entry(parameters))
    line = json.loads((tmp_path / "r").read_text(encoding="utf-8"))
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "service": "sagemaker",
        "operation": "InvokeEndpoint",
        "method": "POST",
        "path": "/",
        "query": [],
        "input": {
            "Body": {"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "size": 3},
            "Tags": [{"Key": "ü"}],
            "When": "2024-01-02T00:00:00+00:00",
        },
        "status": 200,
    }


def test_credentials_in_the_query_are_left_out(tmp_path: Path) -> None:
    """Of both signature versions; the rest of the query stays."""
    names = ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature"]
    Recorder(tmp_path / "r", print).write(entry(query=[(name, "secret") for name in names] + [("list-type", "2")]))
    text = (tmp_path / "r").read_text(encoding="utf-8")
    assert json.loads(text)["query"] == [["list-type", "2"]]
    assert "secret" not in text


def test_it_appends_whole_lines_from_many_threads(tmp_path: Path) -> None:
    """Nothing is lost or mixed, and what was there stays."""
    (tmp_path / "r").write_text("{}\n", encoding="utf-8")
    recorder = Recorder(tmp_path / "r", print)
    threads = [
        threading.Thread(target=lambda: [recorder.write(entry({"text": "x" * 20_000})) for _ in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in (tmp_path / "r").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 161


def test_a_line_is_one_line(tmp_path: Path) -> None:
    """Whatever characters a request has: newlines, terminal codes, half characters."""
    odd = "a\nb\r\x1b[31m\0\u2028\ud800"
    Recorder(tmp_path / "r", print).write(entry({"Odd": odd}, [(odd, odd)]))
    raw = (tmp_path / "r").read_bytes()
    assert raw.count(b"\n") == 1
    assert b"\x1b" not in raw
    line = json.loads(raw)
    assert (line["input"], line["query"]) == ({"Odd": odd}, [[odd, odd]])


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    """The request was served: its answer does not suffer."""
    reports: list[str] = []
    recorder = Recorder(tmp_path, reports.append)
    for _ in range(2):
        recorder.write(entry({}))
    assert len(reports) == 1
    assert "requests cannot be recorded" in reports[0]
