"""What a run says: commands that work as they stand, and figures with what they mean."""

from __future__ import annotations

import ast
import dataclasses
import io
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from runner import config, preprocess, summary
from runner.generate import generate
from runner.recommend import ClusterFilms, RatedFilm
from runner.remove import Removal
from runner.settings import Settings

RUNNER_TOML = Path(__file__).parents[3] / "runner.toml"
NAME = "tmdb-kmeans-20250101-000000-abcd"
SCORES = {
    "train_inertia": 1234.5,
    "test_inertia": 300.25,
    "rmse": {"hidden_ratings": 1000, "cluster_mean": 0.9, "film_mean": 0.8, "global_mean": 1.0},
}
DELETIONS = {
    "endpoint": f"aws sagemaker delete-endpoint --endpoint-name {NAME}",
    "endpoint_config": f"aws sagemaker delete-endpoint-config --endpoint-config-name {NAME}",
    "model": f"aws sagemaker delete-model --model-name {NAME}",
}


def settings(*, emulator: bool) -> Settings:
    """The project's own, with and without the emulator, in a region of their own."""
    loaded = config.load(["--mode", "local", "--config", str(RUNNER_TOML)], {"REHEARSAL_REGION": "eu-west-1"})
    return loaded.model_copy(update={"emulator": emulator})


def commands(*, emulator: bool) -> list[str]:
    """The lines for a shell: all below the first."""
    return [line.strip() for line in summary.kept(NAME, settings(emulator=emulator)).splitlines()[1:]]


@pytest.mark.parametrize("emulator", [True, False])
def test_the_lines_for_a_kept_endpoint_are_shell(emulator: bool) -> None:
    """Bash can parse them, and Python what they hand to it."""
    lines = commands(emulator=emulator)
    parsed = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, capture_output=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    [program] = [words[2] for words in map(shlex.split, lines) if words[:2] == ["python", "-c"]]
    assert f"EndpointName='{NAME}'" in program
    ast.parse(program)


def test_a_kept_endpoint_is_reached_where_it_is() -> None:
    """In the emulator, which is then taken down, or in the region that it was made in."""
    within, without = commands(emulator=True), commands(emulator=False)
    assert within[0] == 'eval "$(python -m emulator env)"'
    assert within[-1] == "python -m emulator down"
    assert without[0] == "export AWS_DEFAULT_REGION=eu-west-1"
    assert within[1:-1] == without[1:]
    assert [line for line in without if " delete-" in line] == list(DELETIONS.values())


@pytest.mark.parametrize("gone", [(), ("endpoint",), ("endpoint", "model"), ("endpoint_config",)])
def test_what_is_left_is_named_and_nothing_else(gone: tuple[str, ...]) -> None:
    """A command for each thing that may be left, and none for what is gone."""
    removal = Removal(**{name: name in gone for name in DELETIONS}, problems=("endpoint x: throttled",))
    told, _, by_hand = summary.not_removed(NAME, removal).partition(" Remove it by hand: ")
    assert by_hand.split("; ") == [command for name, command in DELETIONS.items() if name not in gone]
    assert "it may cost money (endpoint x: throttled)" in told


def test_a_number_of_clusters_that_was_found_is_shown_with_its_curve() -> None:
    """The choice, the rule, and each point; nothing where the number was given."""
    curve = [
        {"num_clusters": 1, "inertia": 0.5, "prediction_strength": 1.0},
        {"num_clusters": 2, "inertia": 0.25, "prediction_strength": 0.975},
    ]
    metrics = {"num_clusters": 2, "num_clusters_rule": "prediction strength", "num_clusters_curve": curve}
    choice, points = summary.cluster_count(metrics)
    assert choice.startswith("2 clusters, by prediction strength")
    assert points == "1: 0.5, 1.00 | 2: 0.25, 0.97"
    assert list(summary.cluster_count({"num_clusters": 2})) == []


def test_a_removal_without_a_problem_took_too_long() -> None:
    """A reason is always given."""
    assert "(it took too long)" in summary.not_removed(NAME, Removal(False, True, True))


def test_scores_say_what_they_beat_and_what_they_miss() -> None:
    """A smaller error than the mean's is the better one."""
    lines = list(summary.evaluation(SCORES))
    assert lines[0] == "inertia: 1,234.50 on train, 300.25 on test"
    assert lines[-2] == "the cluster's mean beats the global mean by 10.0%"
    assert lines[-1] == "the cluster's mean misses the film mean by 12.5%"


def test_the_rand_index_is_told_where_groups_are_known() -> None:
    """Real users have no hidden groups."""
    assert not any("Rand" in line for line in summary.evaluation(SCORES))
    told = list(summary.evaluation(SCORES | {"adjusted_rand_index": 0.9876}))
    assert told[1] == "adjusted Rand index against the hidden groups: 0.988"


def test_counts_and_shapes_of_the_data() -> None:
    """What was skipped comes with its first place, and the matrix with its density."""
    dataset = dataclasses.replace(
        generate(20, 30, num_groups=2, seed=1),
        skipped={"rating: no number": 2},
        examples={"rating: no number": "ratings.csv, row 3"},
    )
    first, skipped = summary.dataset(dataset)
    assert first.startswith("20 users, ")
    assert first.endswith(f"of 30 films rated, {len(dataset.ratings):,} ratings")
    assert skipped == "skipped 2 × rating: no number (first: ratings.csv, row 3)"
    told = summary.split(preprocess.split(preprocess.to_matrix(dataset), 0.2, 1))
    assert told == f"matrix: 16 users to train, 4 to test, 30 films, {len(dataset.ratings) / 600:.1%} rated"


def test_titles_are_shown_as_they_are() -> None:
    """A title in brackets is none of rich's markup, and a user without films is told so."""
    rec = RatedFilm(1, "[REC]", 7.0, 7.25, 9)
    clusters = [ClusterFilms(0, 12, [rec], [])]
    found = [
        {"user": 1001, "cluster": 0, "films": [{"title": "[bold]", "score": 8.04}]},
        {"user": 1002, "cluster": 0, "films": []},
    ]
    screen = io.StringIO()
    Console(file=screen, width=120).print(summary.findings(found, clusters))
    shown = screen.getvalue()
    assert "[REC] (7.0)" in shown
    assert "[bold] (8.0)" in shown
    assert "nothing: no similar user liked a film" in shown
