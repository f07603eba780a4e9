"""`python -m emulator images build|list`: the images of the Docker engine, for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from docker.errors import DockerException
from requests import RequestException

from emulator.engine.docker_base import BaseUnavailable
from emulator.engine.docker_build import BuildFailed
from emulator.engine.docker_daemon import DockerUnavailable, connect
from emulator.engine.docker_images import Images
from emulator.engine.port import ImageNotFound
from emulator.images import Catalogue, CatalogueInvalid
from emulator.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    build: bool  # else list
    pull: tuple[str, ...] = ()  # the URIs of images to fetch from their registries first


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
        for definition in catalogue.images if wish.build else ():
            images.build(definition)
        _list(images, say)
    except (
        *(BaseUnavailable, BuildFailed, CatalogueInvalid, ImageNotFound),
        *(DockerException, RequestException, OSError),
    ) as error:
        report(str(error))
        return 1
    finally:
        daemon.client.close()
    return 0


def _list(images: Images, say: Say) -> None:
    rows = [("STANDS FOR", "IMAGE", "SIZE")]
    for listed in images.listing():
        if listed.image is None:
            rows.append((listed.name, "not built (built when it is needed, or by: images build)", "–"))
        else:
            reference = listed.image.reference
            rows.append(
                (listed.name, "used as it is" if reference == listed.name else reference, _size(listed.image.size))
            )
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
