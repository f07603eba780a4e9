"""Images of the Docker engine: the daemon's own where it has the very one that was asked for, else built."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import DockerException, NullResource
from docker.errors import ImageNotFound as NotThere
from filelock import FileLock, Timeout
from requests import RequestException

from emulator.engine.docker_base import Base, BaseUnavailable
from emulator.engine.docker_build import POLL_SECONDS, Builder, BuildFailed
from emulator.engine.docker_labels import NAME, PROJECT
from emulator.engine.port import ImageNotFound
from emulator.images import Catalogue, ImageDefinition, split

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Wider than the grammar of distribution/reference, and narrow enough to stay one thing within a path.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
EPOCH = 0  # of all files in a build's context: the same content gives the same layers
RECIPE = b"1"  # to be changed with anything here that makes another image of the same files


@dataclass(frozen=True)
class Image:
    """An image that the daemon has."""

    reference: str
    entrypoint: tuple[str, ...]
    built_here: bool
    size: int  # bytes


@dataclass(frozen=True)
class Listed:
    """An image for people: of the catalogue (built or not), or one of the daemon's own that takes its place."""

    name: str  # what it stands for, or its own URI
    image: Image | None


class Images:
    """The images of one daemon and catalogue; `report` gets a line for people when something takes its time."""

    def __init__(
        self, client: Any, catalogue: Catalogue, source_root: Path, cache_dir: Path, report: Callable[[str], None]
    ) -> None:
        self._client = client
        self._catalogue = catalogue
        self._source_root = source_root
        self._cache_dir = cache_dir
        self._report = report
        self._builder = Builder(client)
        self._base = Base(client, self._builder, source_root / "docker" / "base" / "debootstrap.sh", cache_dir, report)

    def find(self, uri: str) -> Image:
        """The image behind a URI, built when it must be. Raises ImageNotFound."""
        image = self._look(uri)
        if image is not None:
            return image
        definition = self._catalogue.find(uri)
        try:
            return self.build(definition)
        except (BuildFailed, BaseUnavailable, DockerException, RequestException, OSError) as error:
            raise ImageNotFound(f"The image {uri!r} could not be made ready. {error}") from error

    def look(self, uri: str) -> Image | None:
        """The image behind a URI; None when it is yet to be built. Raises ImageNotFound for one that nobody knows."""
        return self._look(uri) or self._built(self._catalogue.find(uri))

    def build(self, definition: ImageDefinition) -> Image:
        """The image of a definition, built unless it is there. Raises BuildFailed, BaseUnavailable, OSError."""
        if not (definition.folder / "Dockerfile").is_file():
            raise BuildFailed(f"There is no Dockerfile in {definition.folder}. Add one, or use --engine venv.")
        tag = self.tag(definition)
        image = self._look(tag)
        if image is not None:
            return image
        with self._turn():
            image = self._look(tag)
            return image if image is not None else self._build(definition, tag)

    def pull(self, uri: str) -> Image:
        """Fetch the image of that URI from its registry. Raises ImageNotFound."""
        try:
            self._client.images.pull(uri)
        except (DockerException, RequestException) as error:
            raise ImageNotFound(f"The image {uri!r} cannot be pulled: {error}") from error
        image = self._look(uri)
        if image is None:
            raise ImageNotFound(f"The image {uri!r} was pulled, but the daemon does not have it.")
        return image

    def tag(self, definition: ImageDefinition) -> str:
        """What the image of a definition is called: a change of any of its files gives another name."""
        digest = hashlib.sha256(RECIPE)
        for name, path in self._files(definition):
            digest.update(f"\0{name}\0{path.stat().st_mode & 0o111}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
        return f"{NAME}/{definition.name.lower()}:{digest.hexdigest()[:16]}"

    def listing(self) -> Iterator[Listed]:
        """Every image of the catalogue, then those of the daemon's own that take the place of one."""
        for definition in self._catalogue.images:
            yield Listed(f"{definition.repository}:{' '.join(definition.tags)}", self._built(definition))
        for found in self._client.images.list():
            for uri in found.tags:
                if any(definition.stands_for(*split(uri)) for definition in self._catalogue.images):
                    yield Listed(uri, self._look(uri))

    def missing(self) -> list[str]:
        """The names of the catalogue's images that are yet to be built. Raises ImageNotFound, OSError."""
        return list(dict.fromkeys(image.name for image in self._catalogue.images if self._built(image) is None))

    def stop(self) -> None:
        """Give up what is being built; whoever waits for it gets its error. From any thread."""
        self._builder.stop()

    def _built(self, definition: ImageDefinition) -> Image | None:
        return self._look(self.tag(definition)) if (definition.folder / "Dockerfile").is_file() else None

    def _look(self, uri: str) -> Image | None:
        if not _REFERENCE.fullmatch(uri) or ".." in uri:
            return None  # no daemon has it; its API would get it as a part of a path
        try:
            found = self._client.images.get(uri)
        except (NotThere, NullResource):
            return None
        except (DockerException, RequestException) as error:
            raise ImageNotFound(f"The image {uri!r} cannot be looked up: {error}") from error
        entrypoint = found.attrs["Config"].get("Entrypoint") or ()
        return Image(uri, tuple(entrypoint), found.labels.get(PROJECT) == NAME, int(found.attrs["Size"]))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One build at a time: what one clears up at its end could be a layer that another goes on from."""
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._cache_dir / "docker-build.lock")
        while True:
            self._builder.raise_if_stopped()
            with suppress(Timeout):
                lock.acquire(timeout=POLL_SECONDS)
                break
        try:
            yield
        finally:
            lock.release()

    def _build(self, definition: ImageDefinition, tag: str) -> Image:
        base = self._base.reference()
        self._report(f"{definition.name}: building its Docker image on {base} (once; takes minutes)")
        started = time.monotonic()
        self._builder.build(
            self._context(definition), dockerfile=f"docker/{definition.name}/Dockerfile", tag=tag, base=base
        )
        image = self._look(tag)
        if image is None:
            raise BuildFailed(f"{definition.name}: the daemon built its image, but does not have it")
        took = time.monotonic() - started
        self._report(f"{definition.name}: Docker image ready after {took:.0f} s ({image.size / 1e6:.0f} MB): {tag}")
        return image

    def _files(self, definition: ImageDefinition) -> list[tuple[str, Path]]:
        """The files of the build's context and their names in it: those of the repository."""
        roots = [(f"docker/{definition.name}", definition.folder)]
        roots += [(name, self._source_root / name) for name in definition.context]
        return [
            (f"{name}/{path.relative_to(root)}", path)
            for name, root in roots
            for path in sorted(root.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]

    def _context(self, definition: ImageDefinition) -> bytes:
        """The build's context as a tar; with this machine's root certificates, which no layer of the image keeps."""
        files = self._files(definition)
        if CERTIFICATES.is_file():
            files.append((f"docker/{definition.name}/ca-certificates.crt", CERTIFICATES))
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for name, path in files:
                content = path.read_bytes()
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), EPOCH
                member.mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
                tar.addfile(member, io.BytesIO(content))
        return made.getvalue()
