"""`python -m emulator images build|list`: the images of the Docker engine, for people, and as JSON for programs."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from docker.errors import DockerException
from requests import RequestException

from emulator.engine.docker_base import BaseUnavailable
from emulator.engine.docker_build import BuildFailed
from emulator.engine.docker_daemon import DockerUnavailable, connect
from emulator.engine.docker_images import Images, Listed
from emulator.engine.port import ImageNotFound
from emulator.images import Catalogue, CatalogueInvalid
from emulator.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    build: bool  # else list
    uris: tuple[str, ...] = ()  # of the images that are meant; none: all of the catalogue
    pull: tuple[str, ...] = ()  # the URIs of images to fetch from their registries first
    as_json: bool = False

    @classmethod
    def of(cls, options: Namespace) -> Wish:
        """What the command line says."""
        return cls(options.action == "build", tuple(options.uris), tuple(options.pull), options.json)


def run(settings: Settings, wish: Wish, say: Say, report: Say) -> int:
    """Do it: `say` gets the answer, `report` the progress and errors. Returns the exit status."""
    try:
        daemon = connect(settings.docker_url)
    except DockerUnavailable as error:
        report(f"There are no images without Docker: {error}")
        return 1
    try:
        catalogue = Catalogue.load(settings.images)
        images = Images(daemon.client, catalogue, settings.source_root, settings.cache_dir, report)
        for uri in wish.pull:
            report(f"{uri}: pulling it")
            images.pull(uri)
        listed = list(_wanted(images, catalogue, wish))
    except (
        *(BaseUnavailable, BuildFailed, CatalogueInvalid, ImageNotFound),
        *(DockerException, RequestException, OSError),
    ) as error:
        report(str(error))
        return 1
    finally:
        daemon.client.close()
    say(as_json(listed) if wish.as_json else table(listed))
    return 0


def as_json(listed: Iterable[Listed]) -> str:
    """One object: by name or URI what `docker run` takes, whether it was built here, its bytes; null: not built."""
    return json.dumps(
        {
            one.name: one.image
            and {"reference": one.image.reference, "built_here": one.image.built_here, "size": one.image.size}
            for one in listed
        }
    )


def table(listed: Iterable[Listed]) -> str:
    """The same in columns, for people."""
    rows = [("STANDS FOR", "IMAGE", "SIZE"), *map(_row, listed)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _wanted(images: Images, catalogue: Catalogue, wish: Wish) -> Iterable[Listed]:
    if wish.uris:
        find = images.find if wish.build else images.look
        return (Listed(uri, find(uri)) for uri in dict.fromkeys(wish.uris))
    for definition in catalogue.images if wish.build else ():
        images.build(definition)
    return images.listing()


def _row(listed: Listed) -> tuple[str, str, str]:
    if listed.image is None:
        return listed.name, "not built (built when it is needed, or by: images build)", "–"
    reference = listed.image.reference
    what = "used as it is" if reference == listed.name else reference
    return listed.name, what, f"{listed.image.size / 1e6:.0f} MB"
