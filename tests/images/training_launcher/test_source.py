"""Where the code comes from, and what is installed with it."""

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from training_launcher import source
from training_launcher.errors import CommandError

URI = "s3://bucket/job/source/sourcedir.tar.gz"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
SAVE = "import os, pathlib\npathlib.Path(os.environ['SM_MODEL_DIR'], 'region').write_text(os.environ['S3_REGION'])\n"


def test_runs_code_from_s3(tree, s3):
    """The tarball that the SDK uploads is fetched from the endpoint in the environment, and unpacked."""
    s3.put_tarball("/bucket/job/source/sourcedir.tar.gz", {"train.py": SAVE, "package/helper.py": ""})
    tree.variables = {**KEYS, "AWS_ENDPOINT_URL": s3.url}
    tree.configure(
        {
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps(URI),
            "sagemaker_region": json.dumps("us-east-1"),
            "model_dir": json.dumps("s3://models/job/model"),
        }
    )
    code, output = tree.run()
    assert code == 0, output
    assert (tree.base / "code" / "package" / "helper.py").exists()
    # The region of the bucket of model_dir, which AWS's image asks S3 for.
    assert (tree.base / "model" / "region").read_text() == "eu-west-1"
    assert "GET /models?location" in s3.requests


def test_code_that_is_not_in_s3(tree, s3):
    """S3's own answer reaches the failure file."""
    tree.variables = {**KEYS, "AWS_ENDPOINT_URL": s3.url}
    tree.configure(
        {"sagemaker_program": json.dumps("train.py"), "sagemaker_submit_directory": json.dumps(URI)},
    )
    assert tree.run()[0] == 1
    assert "(404) when calling the HeadObject operation: Not Found" in tree.failure


def test_code_that_is_there_already(tmp_path):
    """A code folder with content is left alone, as the toolkit does."""
    (tmp_path / "train.py").touch()
    source.fetch("s3://nowhere/at/all", tmp_path, {}, "")
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


def test_a_tarball_that_would_leave_the_folder(tmp_path, s3):
    """Members that point out of the code folder are refused."""
    s3.put_tarball("/x.tar.gz", {"../outside.py": ""})
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(s3.objects["/x.tar.gz"])
    with pytest.raises(Exception, match="outside the destination"):
        source.fetch(str(archive), tmp_path / "code", {}, "")
    assert not (tmp_path / "outside.py").exists()


def test_a_tarball_of_links(tmp_path):
    """The chain of links that Python's own filter follows out of the folder until 3.11.12 (CVE-2025-4517)."""
    (tmp_path / "outside").mkdir()
    long, path = "d" * 247, ""
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:

        def add(name: str, kind: bytes, target: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o755
            tar.addfile(member)

        for letter in "abcdefghijklmnop":
            add(f"{path}{long}", tarfile.DIRTYPE)
            add(f"{path}{letter}", tarfile.SYMTYPE, long)
            path += f"{long}/"
        chain = f"{'/'.join('abcdefghijklmnop')}/{'l' * 254}"
        add(chain, tarfile.SYMTYPE, "../" * 16)
        add("escape", tarfile.SYMTYPE, f"{chain}/../outside")
        add("escape/planted", tarfile.REGTYPE)
    with pytest.raises(tarfile.TarError, match="leads through a link"):
        source.fetch(str(tmp_path / "x.tar.gz"), tmp_path / "code", {}, "")
    assert list((tmp_path / "outside").iterdir()) == []


def test_links_within_a_tarball(tmp_path):
    """They are kept, up and down; down and up again is refused."""
    for name, target, fine in (("in/up", "../train.py", True), ("bad", "in/../../x", False)):
        with tarfile.open(tmp_path / f"{fine}.tar.gz", "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("train.py"))
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    source.fetch(str(tmp_path / "True.tar.gz"), tmp_path / "code", {}, "")
    assert (tmp_path / "code/in/up").read_bytes() == b""
    with pytest.raises(tarfile.TarError, match="down and up"):
        source.fetch(str(tmp_path / "False.tar.gz"), tmp_path / "other", {}, "")


def wheel(folder: Path, version: str) -> None:
    """Write a wheel of a package `made_here` that knows its version, without a build tool."""
    info = f"made_here-{version}.dist-info"
    with zipfile.ZipFile(folder / f"made_here-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("made_here.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: made-here\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the interpreters of an environment with pip, and of one without, as uv makes them."""
    made = {}
    for name, options in (("with pip", []), ("without pip", ["--without-pip"])):
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True)
        made[name] = folder / "bin" / "python"
    return made


@pytest.fixture
def pip_python(environments: dict[str, Path]) -> Path:
    """Give the one with pip."""
    return environments["with pip"]


@pytest.fixture
def bare_python(environments: dict[str, Path]) -> Path:
    """Give the one without."""
    return environments["without pip"]


def test_installs_requirements_for_the_job_only(tree, pip_python, monkeypatch):
    """The script imports what its requirements.txt names; the environment that jobs share does not get it."""
    tree.script("import made_here\nassert made_here.version == '2.0'\n")
    wheel(tree.source, "1.0")
    wheel(tree.source, "2.0")
    (tree.source / "requirements.txt").write_text("--no-index\n--find-links .\nmade-here\n")
    monkeypatch.setattr(sys, "executable", str(pip_python))
    code, output = tree.run()
    assert code == 0, output
    assert "Installing dependencies from requirements.txt" in output
    check = subprocess.run([str(pip_python), "-c", "import made_here"], capture_output=True, check=False)
    assert check.returncode == 1


def test_requirements_that_cannot_be_installed(tree, pip_python, monkeypatch):
    """The error is the toolkit's, with the command."""
    tree.script("")
    (tree.source / "requirements.txt").write_text("--no-index\nno-such-package\n")
    monkeypatch.setattr(sys, "executable", str(pip_python))
    assert tree.run()[0] == 1
    assert tree.failure.startswith("InstallRequirementsError:\nExitCode 1\n")
    assert "-m pip install" in tree.failure


def test_requirements_without_pip_or_uv(tree, bare_python, monkeypatch):
    """The error says what is missing."""
    tree.script("")
    (tree.source / "requirements.txt").write_text("numpy\n")
    monkeypatch.setattr(sys, "executable", str(bare_python))
    tree.variables = {"PATH": "/nowhere"}
    assert tree.run()[0] == 1
    assert "this environment has no pip, and there is no uv" in tree.failure


def test_requirements_with_uv_from_the_environment(tree, bare_python, monkeypatch, tmp_path):
    """The variable UV names the uv to install with, into the job's folder, for the environment's interpreter."""
    tree.script("import made_here\n")
    (tree.source / "requirements.txt").write_text("made-here\n")
    uv = tmp_path / "fake-uv"
    uv.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "print(*sys.argv[1:])\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--target') + 1])\n"
        "target.mkdir()\n"
        "(target / 'made_here.py').touch()\n"
    )
    uv.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare_python))
    tree.variables = {"UV": str(uv)}
    code, output = tree.run()
    assert code == 0, output
    assert f"pip install --python {bare_python} --target {tree.base / 'packages'} -r requirements.txt" in output


def test_no_requirements(tmp_path):
    """Nothing is installed where nothing is asked for."""
    assert not source.install_requirements(tmp_path, tmp_path / "packages", {})


def test_an_installer_is_named_in_the_error(tmp_path, monkeypatch):
    """In this process, too: neither pip nor uv."""
    (tmp_path / "requirements.txt").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CommandError, match="InstallRequirementsError"):
        source.install_requirements(tmp_path, tmp_path / "packages", {"PATH": "/nowhere"})
