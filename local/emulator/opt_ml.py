"""The container contract: the tree that is /opt/ml to a container, written and read alike for every engine.

Source: "How Amazon SageMaker provides training information" and "… processes training output" in AWS's developer guide.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.archives import BadArchive as BadArchive
from emulator.archives import extract as extract

FAILURE_CHARACTERS = 1024  # of the failure file, in FailureReason
GROUP = "homogeneousCluster"  # what AWS calls the one group of a cluster without instance groups
GZIP_LEVEL = 6


@dataclass(frozen=True)
class TrainingSpec:
    """What a training container is told about its job."""

    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Sequence[Mapping[str, Any]] = ()  # InputDataConfig, in AWS's own words
    hosts: tuple[str, ...] = ("algo-1",)
    current_host: str = "algo-1"
    instance_type: str = "local"
    network_interface: str = "eth0"  # as on AWS
    input_mode: str = "File"


def write_training_tree(base: Path, spec: TrainingSpec) -> None:
    """Make the folders and the files of input/config below `base`."""
    for folder in ("input/config", "input/data", "model", "output/data", "code"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for channel in spec.channels:
        if channel.get("InputMode", spec.input_mode) != "Pipe":  # in place of a folder that has pipes beside it
            (base / "input" / "data" / channel["ChannelName"]).mkdir(exist_ok=True)
    config = base / "input" / "config"
    _write_json(config / "hyperparameters.json", dict(spec.hyperparameters))
    _write_json(config / "inputdataconfig.json", {c["ChannelName"]: _channel(c, spec) for c in spec.channels})
    _write_json(config / "resourceconfig.json", _resources(spec))


def read_failure(base: Path) -> str | None:
    """The beginning of output/failure, as much as FailureReason shows of it; None when nothing was written."""
    try:
        with (base / "output" / "failure").open(encoding="utf-8", errors="replace") as file:
            return file.read(FAILURE_CHARACTERS).strip() or None
    except OSError:
        return None


def pack(folder: Path) -> Path:
    """Pack what is in the folder into a .tar.gz beside it, and return that; the same content gives the same bytes.

    Names are relative to the folder. A link that stays within it is kept as a link; of one that leads out of it the
    content is packed, since nobody could follow it after the job. Sockets, pipes and links to nothing are left out.
    """
    archive = folder.with_name(f"{folder.name}.tar.gz")
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(folder.iterdir()):
            _add(tar, path, path.name, (folder.resolve(),))
    return archive


def merge(folders: Sequence[Path]) -> Path:
    """Move what is in the other hosts' folders into the first host's, and return that.

    SageMaker makes one archive of what all hosts leave, and asks for different names ("How Amazon SageMaker processes
    training output"); of equal names the first host's stays, where both are folders their contents are merged.
    """
    first, *others = folders
    for other in others:
        if other.is_dir():
            first.mkdir(parents=True, exist_ok=True)
            _move_into(first, other, other.resolve())
    return first


def _move_into(target: Path, source: Path, root: Path) -> None:
    for path in sorted(source.iterdir()):
        moved = target / path.name
        if path.is_symlink():
            if not os.path.lexists(moved):
                # From where it is now a relative link would lead elsewhere, and an absolute one out of the new root.
                leads = path.resolve()
                inside = leads.is_relative_to(root)
                moved.symlink_to(os.path.relpath(leads, path.parent.resolve()) if inside else leads)
        elif path.is_dir():
            if not os.path.lexists(moved):
                moved.mkdir()
                shutil.copymode(path, moved)
            if moved.is_dir() and not moved.is_symlink():
                _move_into(moved, path, root)
        elif not os.path.lexists(moved):
            path.rename(moved)


def _add(tar: tarfile.TarFile, path: Path, name: str, above: tuple[Path, ...]) -> None:
    """Add a file, a link or a folder with all that is in it; `above` are the real folders that hold it, root first."""
    root, real = above[0], path.resolve()
    member = tarfile.TarInfo(name)  # of nobody, from 1970: the same content gives the same bytes
    if path.is_symlink() and path.exists() and real.is_relative_to(root):
        member.type = tarfile.SYMTYPE
        member.linkname = os.path.relpath(real, path.parent.resolve())
        tar.addfile(member)
    elif path.is_dir() and real not in above and not root.is_relative_to(real):
        member.type, member.mode = tarfile.DIRTYPE, path.stat().st_mode & 0o777
        tar.addfile(member)
        for child in sorted(path.iterdir()):
            _add(tar, child, f"{name}/{child.name}", (*above, real))
    elif path.is_file():
        member.size, member.mode = path.stat().st_size, path.stat().st_mode & 0o777
        with path.open("rb") as file:
            tar.addfile(member, file)


def _channel(channel: Mapping[str, Any], spec: TrainingSpec) -> dict[str, str]:
    source = channel.get("DataSource", {}).get("S3DataSource", {})
    described = {
        "TrainingInputMode": channel.get("InputMode", spec.input_mode),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if "ContentType" in channel:
        described["ContentType"] = channel["ContentType"]
    return described


def _resources(spec: TrainingSpec) -> dict[str, Any]:
    hosts = list(spec.hosts)
    return {
        "current_host": spec.current_host,
        "current_instance_type": spec.instance_type,
        "current_group_name": GROUP,
        "hosts": hosts,
        "instance_groups": [
            {"instance_group_name": GROUP, "instance_type": spec.instance_type, "hosts": hosts},
        ],
        "network_interface_name": spec.network_interface,
    }


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), "utf-8")
