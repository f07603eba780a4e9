"""The engine of scripted histories."""

from __future__ import annotations

from pathlib import Path

from emulator.engine.fake import FakeEngine, History
from emulator.engine.port import Work


def test_its_work_is_done_before_the_lines(tmp_path: Path) -> None:
    """A history may write what a container would, a model, say."""
    history = History(("done",), act=lambda work: work.base_dir.joinpath("model").write_text("42"))
    engine = FakeEngine({"image": history})
    container = engine.start(Work("a", "image", "train", tmp_path))
    list(container.events())
    assert (tmp_path / "model").read_text() == "42"


def test_it_remembers_what_was_asked_of_it(tmp_path: Path) -> None:
    """Tests can see what was prepared and started, and with which work."""
    engine = FakeEngine({"image": History()})
    work = Work("a", "image", "train", tmp_path)
    engine.prepare("image")
    engine.start(work)
    assert engine.prepared == ["image"]
    assert [container.work for container in engine.started] == [work]
