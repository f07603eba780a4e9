from pathlib import Path

import pytest

from model_server import saved_models
from model_server.errors import StartError


def lay(folder: Path, *names: str) -> Path:
    """Empty files below the folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_every_model_and_version_is_found(tmp_path: Path) -> None:
    """Models in the order of their paths, versions ascending as numbers, however they are written."""
    lay(
        tmp_path / "model",
        "b/10/saved_model.pb",
        "b/009/saved_model.pb",
        "deep/down/a/1/saved_model.pb",
        "2/saved_model.pb",
        "export/saved_model.pb",
        "b/10/variables/variables.index",
    )
    found = saved_models.find(tmp_path / "model")
    assert [(model.name, model.version) for model in found] == [("model", 2), ("b", 9), ("b", 10), ("a", 1)]
    assert found[1].path == tmp_path / "model" / "b" / "009"


def test_two_folders_of_one_version_are_refused(tmp_path: Path) -> None:
    """Names must tell models apart, as tensorflow_model_server demands."""
    lay(tmp_path, "x/a/1/saved_model.pb", "y/a/01/saved_model.pb")
    with pytest.raises(StartError, match=r"version 1 twice: .*x/a/1 and .*y/a/01"):
        saved_models.find(tmp_path)


def test_what_is_there_instead_is_listed(tmp_path: Path) -> None:
    """Without a SavedModel the message shows the files, at most twenty."""
    with pytest.raises(StartError, match="directory is empty"):
        saved_models.find(lay(tmp_path))
    with pytest.raises(StartError, match=r"Found: model/saved_model\.pb, model\.h5$"):
        saved_models.find(lay(tmp_path, "model.h5", "model/saved_model.pb"))
    with pytest.raises(StartError, match=r"f19, …$"):
        saved_models.find(lay(tmp_path / "many", *(f"f{number:02}" for number in range(30))))


def test_a_missing_directory(tmp_path: Path) -> None:
    """The directory itself is named."""
    with pytest.raises(StartError, match="nowhere does not exist"):
        saved_models.find(tmp_path / "nowhere")
