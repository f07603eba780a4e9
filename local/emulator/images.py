"""The catalogue of images: which image URI stands for which folder below `docker/`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from emulator.engine.port import Command, ImageNotFound

FOLDER = "{folder}"  # in a command: where the image's folder is, for programs that lie in it


@dataclass(frozen=True)
class ImageDefinition:
    """One entry of the catalogue."""

    repository: str  # as in the URI, without the registry
    tags: tuple[str, ...]  # shell patterns
    folder: Path  # holds requirements.txt and, for the Docker engine, the Dockerfile
    commands: Mapping[Command, tuple[str, ...]] = field(default_factory=dict)
    python_path: str = ""  # relative to the repository
    standby: tuple[str, ...] = ()  # a `serve` that waits to be told what to serve (venv engine)
    context: tuple[str, ...] = ()  # folders of the repository that the Dockerfile copies from, besides its own

    @property
    def name(self) -> str:
        """A name for people and for folders of a cache."""
        return self.folder.name

    @property
    def requirements(self) -> Path:
        """The pinned packages of the image."""
        return self.folder / "requirements.txt"

    def stands_for(self, repository: str, tag: str) -> bool:
        """Whether an image of this repository and tag is this one."""
        return repository == self.repository and any(fnmatchcase(tag, pattern) for pattern in self.tags)


class CatalogueInvalid(Exception):
    """The catalogue's file is not what it should be; the message says where."""


@dataclass(frozen=True)
class Catalogue:
    """All images that there are."""

    path: Path
    images: tuple[ImageDefinition, ...]

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read `images.toml`; the folders in it are beside it. Raises CatalogueInvalid."""
        try:
            entries = tomllib.loads(path.read_text("utf-8")).get("image", [])
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise CatalogueInvalid(f"{path}: {error}") from error
        return cls(path, tuple(_definition(path, number, entry) for number, entry in enumerate(entries, 1)))

    def find(self, uri: str) -> ImageDefinition:
        """The definition behind an image URI (`[registry/]repository[:tag]`). Raises ImageNotFound."""
        repository, tag = split(uri)
        for image in self.images:
            if image.stands_for(repository, tag):
                return image
        known = ", ".join(f"{image.repository}:{tag}" for image in self.images for tag in image.tags) or "none"
        raise ImageNotFound(
            f"No image here stands for {uri!r}. There are: {known}. "
            f"To add one, make a folder with its requirements.txt beside {self.path}, and an [[image]] entry in that."
        )


def split(uri: str) -> tuple[str, str]:
    """Repository and tag of an image URI: the registry and a digest are dropped; the default tag is `latest`."""
    first, slash, rest = uri.partition("/")
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    repository, _, tag = (rest if is_registry else uri).partition("@")[0].partition(":")
    return repository, tag or "latest"


def _definition(path: Path, number: int, entry: Mapping[str, Any]) -> ImageDefinition:
    unknown = sorted(
        set(entry) - {"repository", "tags", "folder", "train", "serve", "standby", "python_path", "context"}
    )
    missing = sorted({"repository", "tags", "folder"} - set(entry))
    for problem, names in (("does not know", unknown), ("misses", missing)):
        if names:
            raise CatalogueInvalid(f"{path}: image number {number} {problem} {', '.join(names)}")
    folder = path.parent / entry["folder"]
    commands: dict[Command, tuple[str, ...]] = {}
    for command in ("train", "serve"):
        if command in entry:
            commands[command] = tuple(part.replace(FOLDER, str(folder.absolute())) for part in entry[command])
    return ImageDefinition(
        repository=entry["repository"],
        tags=tuple(entry["tags"]),
        folder=folder,
        commands=commands,
        python_path=entry.get("python_path", ""),
        standby=tuple(entry.get("standby", ())),
        context=tuple(entry.get("context", ())),
    )
