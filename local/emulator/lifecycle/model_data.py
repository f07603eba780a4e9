"""A container's model: fetched from S3 once for all instances, and put into each one's tree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator import opt_ml
from emulator.lifecycle.ports import Storage, StorageError

MODELS = "models"  # the folder of a multi-model container's models, as SageMaker has it below /opt/ml


class ModelDataFailed(Exception):
    """The model cannot be had; the message says whether of S3 or of what lay there."""


def is_multi_model(container: Mapping[str, Any]) -> bool:
    """Whether the container loads models as requests name them."""
    return bool(container.get("Mode") == "MultiModel")


def model_prefix(container: Mapping[str, Any]) -> str:
    """The S3 prefix that TargetModel is relative to, with a slash at its end."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    prefix: str = source.get("S3Uri") or container["ModelDataUrl"]
    return prefix.rstrip("/") + "/"


def fetch(storage: Storage, container: Mapping[str, Any], folder: Path, variant: str) -> None:
    """Fill `folder` with the model of the container definition: nothing when it has none. Raises ModelDataFailed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    uri = container.get("ModelDataUrl") if source is None else source["S3Uri"]
    if uri is None or is_multi_model(container):  # models of the latter come with the requests
        folder.mkdir()
    elif source is None or source["CompressionType"] == "Gzip":
        _fetch_archive(storage, uri, folder, variant)
    else:
        folder.mkdir()
        _fetch_files(storage, source, folder, variant)


def fetch_one(storage: Storage, uri: str, folder: Path) -> None:
    """Fill `folder` with a model of a multi-model container, a .tar.gz. Raises StorageError and opt_ml.BadArchive."""
    archive = folder.with_name(f"{folder.name}.tar.gz")
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage.download(uri, archive)
        folder.mkdir()
        opt_ml.extract(archive, folder)
    finally:
        archive.unlink(missing_ok=True)


def share(source: Path, folder: Path) -> None:
    """Make `folder` a copy of the source: its files are the same files, since containers only read their model."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, symlinks=True, copy_function=_link)


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:  # a file system without them
        shutil.copy2(source, destination, follow_symlinks=False)


def _fetch_archive(storage: Storage, uri: str, folder: Path, variant: str) -> None:
    try:
        fetch_one(storage, uri, folder)
    except StorageError as error:
        raise ModelDataFailed(
            f"Failed to download model data for production variant {variant} from {uri}: {error}"
        ) from error
    except opt_ml.BadArchive as error:
        raise ModelDataFailed(
            f"Failed to extract model data archive for production variant {variant} from URL {uri}: {error}"
        ) from error


def _fetch_files(storage: Storage, source: Mapping[str, Any], folder: Path, variant: str) -> None:
    uri = source["S3Uri"]
    try:
        if source["S3DataType"] == "S3Object":
            storage.download(uri, folder / uri.rpartition("/")[2])
        else:
            data = {"S3DataType": "S3Prefix", "S3Uri": uri}
            storage.download_channel({"ChannelName": "model", "DataSource": {"S3DataSource": data}}, folder)
    except StorageError as error:
        raise ModelDataFailed(
            f"Failed to download model data for production variant {variant} from {uri}: {error}"
        ) from error
