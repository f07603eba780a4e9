"""What a run says to its reader: titles, not ids, and figures with what they mean."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from runner.data import Dataset
from runner.preprocess import Split
from runner.recommend import ClusterFilms, RatedFilm
from runner.remove import Removal
from runner.settings import Settings

BODY = "body.json"  # in report_dir, when the endpoint is kept: the request of the predict step


def dataset(data: Dataset) -> Iterator[str]:
    """How much there is, and what was skipped, with the first place of each reason."""
    counts = data.counts
    films = f"{counts['movies']:,} of {counts['movies_known']:,} films rated"
    yield f"{counts['users']:,} users, {films}, {counts['ratings']:,} ratings"
    for reason, count in sorted(data.skipped.items()):
        yield f"skipped {count:,} × {reason} (first: {data.examples.get(reason, 'unknown')})"


def split(parts: Split) -> str:
    """The shape of the matrix."""
    density = (parts.train.nnz + parts.test.nnz) / ((parts.train.shape[0] + parts.test.shape[0]) * parts.train.shape[1])
    return (
        f"matrix: {parts.train.shape[0]:,} users to train, {parts.test.shape[0]:,} to test, "
        f"{parts.train.shape[1]:,} films, {density:.1%} rated"
    )


def cluster_count(metrics: Mapping[str, Any]) -> Iterator[str]:
    """How the number of clusters was found, where it was: the choice, and the curve that it was made from."""
    if "num_clusters_curve" not in metrics:
        return
    yield f"{metrics['num_clusters']} clusters, by {metrics['num_clusters_rule']} (k: mean distance, strength)"
    points = [
        f"{point['num_clusters']}: {point['inertia']:.4g}, {point['prediction_strength']:.2f}"
        for point in metrics["num_clusters_curve"]
    ]
    yield " | ".join(points)


def evaluation(scores: Mapping[str, Any]) -> Iterator[str]:
    """The scores, one a line."""
    yield f"inertia: {scores['train_inertia']:,.2f} on train, {scores['test_inertia']:,.2f} on test"
    if "adjusted_rand_index" in scores:
        yield f"adjusted Rand index against the hidden groups: {scores['adjusted_rand_index']:.3f}"
    errors = scores["rmse"]
    yield (
        f"RMSE on {errors['hidden_ratings']:,} held-out ratings: cluster's mean {errors['cluster_mean']:.4f}, "
        f"film's mean {errors['film_mean']:.4f}, global mean {errors['global_mean']:.4f}"
    )
    for name in ("global_mean", "film_mean"):
        better = 1 - errors["cluster_mean"] / errors[name]
        verb = "beats" if better > 0 else "misses"
        yield f"the cluster's mean {verb} the {name.replace('_', ' ')} by {abs(better):.1%}"


def findings(recommendations: Sequence[Mapping[str, Any]], clusters: Sequence[ClusterFilms]) -> Group:
    """Recommendations for the sample users, and each cluster's best and worst films."""
    users = _table("user", "cluster", "recommended, best first (expected rating)")
    for each in recommendations:
        films = "; ".join(f"{film['title']} ({film['score']:.1f})" for film in each["films"])
        users.add_row(str(each["user"]), str(each["cluster"]), Text(films or "nothing: no similar user liked a film"))
    films_of = _table("cluster", "users", "best films (score)", "worst films (score)")
    for cluster in clusters:
        films_of.add_row(str(cluster.cluster), str(cluster.users), _titles(cluster.best), _titles(cluster.worst))
    return Group("", users, "", films_of, "")


def kept(name: str, settings: Settings) -> str:
    """How to invoke and how to remove an endpoint that was kept: lines for a shell, as they stand."""
    body = str((settings.report_dir / BODY).absolute())
    lines = [f"The endpoint {name} is kept. To invoke it with the new users' ratings, and to remove it:"]
    if settings.emulator:
        lines.append('    eval "$(python -m emulator env)"')
    else:
        lines.append(f"    export AWS_DEFAULT_REGION={settings.region}")
    python = (
        "import json, sys, boto3, sagemaker.tensorflow; rows = json.load(open(sys.argv[1])); "
        f"print(sagemaker.tensorflow.TensorFlowPredictor('{name}').predict(rows)); "
        f"print(boto3.client('sagemaker-runtime').invoke_endpoint(EndpointName='{name}', "
        "ContentType='application/json', Body=json.dumps(rows))['Body'].read())"
    )
    lines += [
        f'    python -c "{python}" {shlex.quote(body)}',
        f"    aws sagemaker-runtime invoke-endpoint --endpoint-name {name} --content-type application/json "
        f"--body fileb://{shlex.quote(body)} answer.json",
        f"    aws sagemaker delete-endpoint --endpoint-name {name}",
        f"    aws sagemaker wait endpoint-deleted --endpoint-name {name}",
        f"    aws sagemaker delete-endpoint-config --endpoint-config-name {name}",
        f"    aws sagemaker delete-model --model-name {name}",
    ]
    if settings.emulator:
        lines.append("    python -m emulator down")
    return "\n".join(lines)


def not_removed(name: str, removal: Removal) -> str:
    """What may be left, and how to remove it by hand."""
    left = [
        command
        for gone, command in (
            (removal.endpoint, f"aws sagemaker delete-endpoint --endpoint-name {name}"),
            (removal.endpoint_config, f"aws sagemaker delete-endpoint-config --endpoint-config-name {name}"),
            (removal.model, f"aws sagemaker delete-model --model-name {name}"),
        )
        if not gone
    ]
    problems = "; ".join(removal.problems) or "it took too long"
    return f"NOT everything was removed, it may cost money ({problems}). Remove it by hand: {'; '.join(left)}"


def _titles(films: Sequence[RatedFilm]) -> Text:
    return Text("; ".join(f"{film.title} ({film.score:.1f})" for film in films))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
