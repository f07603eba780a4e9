"""What a trained clustering is good for: its scores, recommendations to new users, and what each cluster likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from runner.data import Dataset, Scale
from runner.evaluate import HeldOut, adjusted_rand_index, rating_errors
from runner.preprocess import Split
from runner.recommend import Clustered, ClusterFilms, cluster_films, recommend
from runner.settings import Settings
from runner.source import NewUsers
from runner.training_output import TrainingOutput

Assign = Callable[[csr_matrix], "np.ndarray[Any, np.dtype[np.int64]]"]


@dataclass(frozen=True)
class Sample:
    """New users and the cluster that the endpoint put each of them into."""

    users: NewUsers
    clusters: Sequence[int]


@dataclass(frozen=True)
class Trained:
    """The split data and what training found in it."""

    split: Split
    output: TrainingOutput
    scale: Scale

    @property
    def clustered(self) -> Clustered:
        """The training users with their clusters."""
        return Clustered(self.split.train, self.output.train_clusters, self.split.movies)


def evaluate(trained: Trained, dataset: Dataset, held_out: HeldOut, assign: Assign) -> dict[str, Any]:
    """Score the clustering; `assign` asks the deployed model for the clusters of rows.

    Inertia as the training measured it. Where the hidden groups are known, the adjusted Rand index of all users'
    clusters against them. And the errors of foretelling held-out ratings of test users (see `rating_errors`).
    """
    split, output = trained.split, trained.output
    scores: dict[str, Any] = {name: output.metrics[name] for name in ("train_inertia", "test_inertia")}
    if dataset.groups is not None:
        users = np.concatenate([split.train_users, split.test_users])
        clusters = np.concatenate([output.train_clusters, output.test_clusters])
        scores["adjusted_rand_index"] = adjusted_rand_index(clusters, dataset.groups.loc[users].to_numpy())
    errors = rating_errors(split.train, output.train_clusters, held_out, assign)
    scores["rmse"] = asdict(errors)
    return scores


def recommendations(trained: Trained, sample: Sample, settings: Settings) -> list[dict[str, Any]]:
    """Films for each new user, with titles, from the training users of its cluster."""
    clustered = trained.clustered
    return [
        {
            "user": user,
            "cluster": cluster,
            "films": [
                asdict(film)
                for film in recommend(
                    clustered,
                    sample.users.matrix[row],
                    cluster,
                    threshold=settings.rating_threshold * trained.scale[1],
                    num_neighbors=settings.num_neighbors,
                    count=settings.num_recommendations,
                )
            ],
        }
        for row, (user, cluster) in enumerate(zip(sample.users.user_ids, sample.clusters, strict=True))
    ]


def clusters(trained: Trained, settings: Settings) -> list[ClusterFilms]:
    """Each cluster's best and worst films."""
    return cluster_films(trained.clustered, count=settings.num_recommendations)
