"""The catalogue of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.engine.port import ImageNotFound
from emulator.images import Catalogue, CatalogueInvalid, split

REPOSITORY = Path(__file__).parents[3]
AWS = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def catalogue() -> Catalogue:
    """The project's own catalogue."""
    return Catalogue.load(REPOSITORY / "docker/images.toml")


@pytest.mark.parametrize(
    ("uri", "name", "command"),
    [
        (f"{AWS}/tensorflow-training:2.14.1-cpu-py310", "tensorflow-training", "train"),
        (f"{AWS}/tensorflow-training:2.14.1-cpu-py310-ubuntu20.04-sagemaker", "tensorflow-training", "train"),
        (
            "763104351884.dkr.ecr.eu-west-3.amazonaws.com/tensorflow-inference:2.14.1-cpu",
            "tensorflow-inference",
            "serve",
        ),
    ],
)
def test_aws_images_are_found(catalogue: Catalogue, uri: str, name: str, command: str) -> None:
    """The URIs that the SDK asks for, of any region, lead to a folder with requirements and a command."""
    image = catalogue.find(uri)
    assert image.name == name
    assert list(image.commands) == [command]
    assert image.requirements.is_file()


@pytest.mark.parametrize(
    "uri",
    [
        f"{AWS}/tensorflow-training:2.15.0-cpu-py310",
        f"{AWS}/tensorflow-training:2.14.1-gpu-py310",
        f"{AWS}/tensorflow-training",
        f"{AWS}/other/tensorflow-training:2.14.1-cpu-py310",
    ],
)
def test_other_images_are_not_found(catalogue: Catalogue, uri: str) -> None:
    """Another version, device, tag or repository is an error that lists what there is and how to add one."""
    with pytest.raises(ImageNotFound, match=r"tensorflow-training:2\.14\.1-cpu-py310.*To add one"):
        catalogue.find(uri)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("host.example/a/b:1", ("a/b", "1")),
        ("localhost:5000/a:1", ("a", "1")),
        ("localhost/a", ("a", "latest")),
        ("a/b:1", ("a/b", "1")),
        ("a", ("a", "latest")),
        ("host.example/a:1@sha256:00", ("a", "1")),
    ],
)
def test_split(uri: str, parts: tuple[str, str]) -> None:
    """The registry is told from a repository's first part as Docker does it."""
    assert split(uri) == parts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[image]", "images.toml"),
        ('[[image]]\nrepository = "a"\nfolder = "a"', "number 1 misses tags"),
        ('[[image]]\nrepository = "a"\nfolder = "a"\ntags = []\ntrian = []', "number 1 does not know trian"),
    ],
)
def test_a_wrong_catalogue_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    """A mistake in the file is named."""
    path = tmp_path / "images.toml"
    path.write_text(text)
    with pytest.raises(CatalogueInvalid, match=problem):
        Catalogue.load(path)


def test_programs_in_the_images_folder(tmp_path: Path) -> None:
    """A command can name them, wherever the catalogue lies."""
    text = '[[image]]\nrepository = "mine"\ntags = ["*"]\nfolder = "image"\nserve = ["python", "{folder}/serve.py"]\n'
    (tmp_path / "images.toml").write_text(text)
    image = Catalogue.load(tmp_path / "images.toml").find("mine:1")
    assert image.commands == {"serve": ("python", f"{tmp_path}/image/serve.py")}
