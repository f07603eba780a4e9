"""Fixtures of the runner's unit tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from scipy.sparse import csr_matrix

# How fast an example runs says more of the machine than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

KMeans = Callable[[csr_matrix, int, int], tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def spherical_k_means() -> KMeans:
    """K-means by cosine distance on raw rating rows (k-means++, Lloyd, the best of ten starts), as the job does it.

    Takes the rows, k and a seed; returns the rows' clusters and the normalised centres.
    """

    def run(ratings: csr_matrix, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        points = ratings.toarray()
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        starts = [_start(points, k, np.random.default_rng([seed, start])) for start in range(10)]
        refined = [_lloyd(points, centres, 5) for centres in starts]
        centres = _lloyd(points, max(refined, key=lambda each: (points @ each.T).max(axis=1).sum()), 50)
        return (points @ centres.T).argmax(axis=1), centres

    return run


def _start(points: np.ndarray, k: int, random: np.random.Generator) -> np.ndarray:
    """Choose k centres by k-means++, each the best of four tries."""
    chosen = [int(random.integers(len(points)))]
    nearest = 1 - points @ points[chosen[0]]
    for _ in range(1, k):
        odds = np.maximum(nearest, 0)
        tries = random.choice(len(points), 4, p=odds / odds.sum())
        left = np.minimum(nearest[:, None], 1 - points @ points[tries].T)
        best = int(left.sum(axis=0).argmin())
        nearest = left[:, best]
        chosen.append(int(tries[best]))
    return points[chosen]


def _lloyd(points: np.ndarray, centres: np.ndarray, iterations: int) -> np.ndarray:
    """Move the centres to the means of their points, as often as is said."""
    for _ in range(iterations):
        member = np.eye(len(centres), dtype=np.float32)[(points @ centres.T).argmax(axis=1)]
        sums = member.T @ points
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres
