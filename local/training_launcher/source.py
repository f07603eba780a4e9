"""Brings the user's code to the job: fetches and unpacks the submit directory, and installs its requirements."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import shlex
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from training_launcher import process
from training_launcher.errors import CommandError

logger = logging.getLogger("sagemaker-training-toolkit")


def s3_client(variables: Mapping[str, str], region: str) -> Any:
    """Make an S3 client. Imports boto3 only now: it takes a third of a second, and a local job needs none."""
    import boto3

    return boto3.client(
        "s3",
        region_name=variables.get("AWS_REGION") or region or None,
        endpoint_url=variables.get("S3_ENDPOINT_URL"),
    )


def fetch(uri: str, target: Path, variables: Mapping[str, str], region: str) -> None:
    """Put the code at `uri` (s3:// tarball, local folder, tarball or file) into `target`, unless that has some already.

    Raises what boto3, tarfile or the file system raise.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        return
    if uri.startswith("s3://"):
        location = urlsplit(uri, allow_fragments=False)
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "sourcedir.tar.gz"
            s3_client(variables, region).download_file(location.netloc, location.path.lstrip("/"), str(archive))
            _unpack(archive, target)
        return
    source = Path(uri.removeprefix("file://"))
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif tarfile.is_tarfile(source):
        _unpack(source, target)
    else:
        shutil.copy2(source, target)


def _unpack(archive: Path, target: Path) -> None:
    def checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        # Up to Python 3.11.12 a chain of links leads the `data` filter astray (CVE-2025-4517): write through none.
        name = PurePosixPath(member.name)
        if any((target / part).is_symlink() for part in name.parents if part.parts):
            raise tarfile.ExtractError(f"{member.name!r} leads through a link")
        if member.issym() and ".." in PurePosixPath(member.linkname).as_posix().lstrip("./").split("/"):
            raise tarfile.ExtractError(f"{member.name!r} is a link down and up again")
        return tarfile.data_filter(member, folder)

    with tarfile.open(archive, "r:gz", errorlevel=2) as tar:
        tar.extractall(target, filter=checked)  # noqa: S202 - refuses members that would leave the folder


def install_requirements(code: Path, target: Path, variables: Mapping[str, str]) -> bool:
    """Install `requirements.txt` of the user's code, if there is one, into the folder `target`; say whether it did.

    A folder of the job's own, because the environment below is shared by all jobs of an image, where AWS has a fresh
    container for each. As pip would do there, packages of the image are kept where the requirements allow it.

    Raises CommandError named InstallRequirementsError.
    """
    if not (code / "requirements.txt").exists():
        return False
    logger.info("Installing dependencies from requirements.txt")
    installer = _installer(variables)
    constraints = target.with_suffix(".constraints.txt")
    constraints.write_text(
        "".join(sorted({f"{item.name}=={item.version}\n" for item in importlib.metadata.distributions()})),
        encoding="utf-8",
    )
    command = [*installer, "--target", str(target), "-r", "requirements.txt"]
    attempts = [[*command, "--constraint", str(constraints)], command]
    for last, attempt in zip((False, True), attempts, strict=True):
        try:
            process.run(shlex.join(attempt), code, variables, "InstallRequirementsError")
        except CommandError:
            if last:
                raise
            logger.info("Trying again with other versions than the image's")
        else:
            break
    return True


def _installer(variables: Mapping[str, str]) -> list[str]:
    """Find pip, or uv: environments that uv made have no pip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    uv = variables.get("UV") or shutil.which("uv", path=variables.get("PATH"))
    if not uv:
        raise CommandError(
            "InstallRequirementsError",
            1,
            "requirements.txt cannot be installed: this environment has no pip, and there is no uv, "
            "neither in the variable UV nor on the PATH",
            "pip install -r requirements.txt",
        )
    return [uv, "pip", "install", "--python", sys.executable]
