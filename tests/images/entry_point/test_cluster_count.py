"""The number of clusters that a run finds by itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cluster_count
from cluster_count import KNEE, PREDICTION_STRENGTH, Point


def test_finds_the_number_of_groups(rated_job, capsys):
    """Eight, as there are; the curve is in the log and in metrics.json."""
    job, _, _ = rated_job
    metrics = job.run(algorithm="lloyd", num_clusters="auto")
    assert (metrics["num_clusters"], metrics["num_clusters_rule"]) == (8, PREDICTION_STRENGTH)
    assert len(metrics["cluster_sizes"]) == 8
    curve = metrics["num_clusters_curve"]
    assert [point["num_clusters"] for point in curve] == list(range(1, 21))
    assert curve[7]["prediction_strength"] > 0.9 > 0.8 > max(point["prediction_strength"] for point in curve[8:])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[kmeans] num_clusters=")]
    assert len(lines) == 20
    assert json.loads((job.folder / "output" / "metrics.json").read_text()) == metrics


def test_the_estimator_can_be_told_that_number(rated_job):
    """The number is found before training, whatever trains."""
    job, _, _ = rated_job
    metrics = job.run(num_clusters="auto", num_restarts=5)
    assert (metrics["num_clusters"], metrics["algorithm"]) == (8, "estimator")


def test_the_largest_stable_number_is_taken():
    """Not the first, and not one beyond it."""
    curve = [Point(k, 1 / k, strength) for k, strength in enumerate([1, 0.9, 0.5, 0.8, 0.7], start=1)]
    assert cluster_count.decide(curve) == (4, PREDICTION_STRENGTH)


def test_without_groups_the_knee_is_taken():
    """Where nothing above 1 is stable: the farthest point below the line between the curve's ends."""
    inertias = [10, 6, 3, 2.5, 2, 1.5]
    curve = [Point(k, inertia, float(k == 1)) for k, inertia in enumerate(inertias, start=1)]
    assert cluster_count.decide(curve) == (3, KNEE)


def test_too_few_users_make_one_cluster():
    """Three users, in halves of one and two, say nothing about groups."""
    assert cluster_count.decide([Point(1, 1.0, 1.0)]) == (1, PREDICTION_STRENGTH)


def test_strength_is_the_share_of_pairs_of_the_weakest_cluster():
    """Of the second cluster's three pairs one stays together; a cluster of one row counts as 0."""
    own = np.asarray([0, 0, 0, 1, 1, 1])
    predicted = np.asarray([1, 1, 1, 0, 0, 1])
    assert cluster_count.prediction_strength(own, predicted, 2) == pytest.approx(1 / 3)
    assert cluster_count.prediction_strength(np.asarray([0, 0, 1]), np.asarray([0, 0, 1]), 2) == 0
