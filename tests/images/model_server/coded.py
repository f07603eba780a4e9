"""Model folders with code, as people bring them to AWS's container."""

import zipfile
from pathlib import Path

# From the README of AWS's container, in short.
PAIR = """
import json
from lines import split

def input_handler(data, context):
    if context.request_content_type == "text/csv":
        return json.dumps({"instances": [[float(cell) for cell in line.split(",")] for line in split(data)]})
    raise ValueError(f"Unsupported content type {context.request_content_type or 'unknown'}")

def output_handler(response, context):
    if response.status_code != 200:
        raise ValueError(response.content.decode("utf-8"))
    assert response.json() == json.loads(response.text)
    assert response.headers["Content-Type"] == "application/json"
    return response.content, context.accept_header
"""
# Does what the request's first custom attribute says.
ANY = """
import json, os, sys
import requests

def handler(data, context):
    what = (context.custom_attributes or "").split(",")[0]
    if what == "post":
        response = requests.post(context.rest_uri, data=data.read())
        return response.content, response.headers["Content-Type"]
    if what == "wait":
        print("Waiting", flush=True)
        sys.stdin.readline()
        return requests.post(context.rest_uri, data=data.read()).content, "application/json"
    if what == "fail":
        raise RuntimeError("told to\\nfail")
    told = json.dumps([data.read().decode(), context._asdict()], default=lambda value: type(value).__name__)
    return told, "text/x-echo; charset=utf-8"
"""
LINES = "def split(data):\n    return data.read().decode().splitlines()\n"


def write(folder: Path, **files: str) -> Path:
    """The files; `inference` is inference.py, `lib_x` is lib/x.py."""
    for name, text in files.items():
        path = folder / f"{name.replace('_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def wheel(folder: Path, name: str, version: str, text: str) -> Path:
    """A wheel of one module of that name."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path
