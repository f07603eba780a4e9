from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from emulator.private import private_folder


def test_the_folder_goes_with_the_block(tmp_path: Path) -> None:
    """Whatever was put into it."""
    with private_folder("state-", tmp_path) as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_in_use_stays(tmp_path: Path) -> None:
    """A second private emulator does not touch the first one's, not even one that is still empty."""
    with private_folder("state-", tmp_path) as first:
        (first / "file").write_text("x")
        (tmp_path / "state-new").mkdir()
        with private_folder("state-", tmp_path) as second:
            assert first != second
        assert (first / "file").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["state-new"]


def test_one_that_a_kill_left_is_removed(tmp_path: Path) -> None:
    """By the next one that starts."""
    code = (
        "import os, signal, sys; from pathlib import Path; from emulator.private import private_folder\n"
        "with private_folder('state-', Path(sys.argv[1])) as f:\n"
        "    (f / 'file').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "file").exists()
    with private_folder("state-", tmp_path):
        assert not left.exists()
