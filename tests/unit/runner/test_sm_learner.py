"""What the SDK is told fits the entry point, and the entry point fits AWS's image."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from runner import config
from runner.sm_learner import METRIC_DEFINITIONS, METRICS, dependencies

ROOT = Path(__file__).parents[3]
ENTRY_POINT = ROOT / "entry_point" / "kmeans_clustering.py"
SOURCES = sorted(ENTRY_POINT.parent.rglob("*.py"))
IN_THE_IMAGE = {"numpy", "scipy", "tensorflow"}
SENT_ALONG = {"lloyd_kernels.py": {"numba", "llvmlite"}}  # by entry_point/lloyd-requirements


@pytest.fixture(scope="module")
def entry_point() -> ast.Module:
    """Its syntax: its packages are the image's and not here."""
    return ast.parse(ENTRY_POINT.read_text())


def metric_lines(tree: ast.Module) -> list[ast.Call]:
    """The calls of print that write `[kmeans] {name}=…` for more than one name."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and ast.unparse(node.args[0]).startswith(("f'[kmeans] {name}=", 'f"[kmeans] {name}='))
    ]


def found(line: str) -> dict[str, float]:
    """What SageMaker reads off a line of the log."""
    matches = {each["Name"]: re.search(each["Regex"], line) for each in METRIC_DEFINITIONS}
    return {name: float(match[1]) for name, match in matches.items() if match}


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        ("[kmeans] train_inertia=275.3495378;", {"train_inertia": 275.3495378}),
        ("[kmeans] test_inertia=1.5e-07;", {"test_inertia": 1.5e-07}),
        ("[kmeans] iterations=12;", {"iterations": 12}),
        ("[kmeans] iteration=3 inertia=281.2;", {}),
        ("Training on 800 users x 1200 movies, 64000 ratings", {}),
    ],
)
def test_metrics_are_read_off_the_log(line: str, metrics: dict[str, float]) -> None:
    """Each line has one metric at most; those of single iterations are none."""
    assert found(line) == metrics


@pytest.mark.parametrize("value", [275.34953781234, 12, 0, 1e-12, 6.02e23])
def test_the_entry_points_own_line_is_read(
    entry_point: ast.Module, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    """Its own `print`, taken out of its source, writes what the regular expressions match, to ten digits."""
    [call] = metric_lines(entry_point)
    program = compile(ast.Expression(call), str(ENTRY_POINT), "eval")
    for name in METRICS:
        eval(program, {"name": name, "metrics": {name: value}, "print": print})
        assert found(capsys.readouterr().out) == {name: pytest.approx(value, rel=1e-9)}


def test_the_entry_point_prints_each_metric(entry_point: ast.Module) -> None:
    """The loop around its `print` goes over the names that the job's metrics have."""
    [call] = metric_lines(entry_point)
    [loop] = [node for node in ast.walk(entry_point) if isinstance(node, ast.For) and call in ast.walk(node)]
    assert ast.literal_eval(loop.iter) == METRICS


def test_every_hyperparameter_is_an_argument_of_the_entry_point(entry_point: ast.Module) -> None:
    """One that it does not know would end the job on AWS, after minutes."""
    arguments = {
        node.args[0].value.removeprefix("--")
        for node in ast.walk(entry_point)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        and isinstance(node.args[0], ast.Constant)
    }
    settings = config.load(["--mode", "local", "--config", str(ROOT / "runner.toml")], {})
    assert "num_clusters" in settings.hyperparameters
    assert set(settings.hyperparameters) - arguments == set()
    assert "model_dir" in arguments  # the SDK adds it


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_entry_point_is_python_3_10(source: Path) -> None:
    """AWS's image has 3.10, whatever runs the tests."""
    ast.parse(source.read_text(), feature_version=(3, 10))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_entry_point_imports_what_the_image_has(source: Path) -> None:
    """The standard library, numpy, scipy and tensorflow; modules beside it travel with it."""
    tree = ast.parse(source.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    sources = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names = {alias.name for node in imports for alias in node.names} | {str(node.module) for node in sources}
    assert {"numpy"} <= names or source != ENTRY_POINT
    beside = {path.stem for path in SOURCES}
    there = sys.stdlib_module_names | IN_THE_IMAGE | beside | SENT_ALONG.get(source.name, set())
    assert {name.partition(".")[0] for name in names} - there == set()


@pytest.mark.parametrize(
    ("update", "sent"),
    [
        ({}, False),
        ({"algorithm": "lloyd"}, True),
        ({"num_clusters": "auto"}, True),
        ({"algorithm": "lloyd", "emulator": True}, False),
    ],
)
def test_what_awss_image_lacks_is_sent_along(update: dict[str, Any], sent: bool) -> None:
    """To AWS only, and only when it is needed: our own image has it."""
    settings = config.load(["--mode", "local", "--config", str(ROOT / "runner.toml")], {})
    settings = settings.model_copy(update={"emulator": False, **update})
    expected = [str(ENTRY_POINT.parent / "lloyd-requirements" / "requirements.txt")] if sent else []
    assert dependencies(settings) == expected
