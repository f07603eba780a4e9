"""Exact K-means over a sparse matrix that never becomes dense: Lloyd's iterations over all rows, from k-means++.

The same seed gives the same centres, bit for bit, whatever the number of threads: labels are those of float64
arithmetic in a fixed order, and sums are integers, which have no order (see `lloyd_kernels`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse

import lloyd_kernels as kernels

Array = np.ndarray[Any, Any]
NARROW = 2**16  # films that fit 16-bit column indices, half the memory to read
TASKS_A_THREAD = 4  # so that a thread that was held up does not hold up the others
INTEGER_BITS = 62  # that sums may fill


@dataclass(frozen=True)
class Fit:
    """What iterations led to."""

    centres: Array
    """float64 [clusters, films]; unit vectors for the cosine distance."""
    inertias: tuple[float, ...]
    """Of the centres that each iteration began with."""
    converged: bool


@dataclass(frozen=True)
class Nearest:
    """Where rows belong."""

    labels: Array
    """int32: the nearest centre of each row, the first one of equals."""
    distances: Array
    """float64: the distances to those."""


class Rows:
    """The rows to cluster, and the threads that work on them.

    The distance is half the squared Euclidean distance of the rows scaled to length 1 (`cosine`: 1 - cos; a row
    without ratings is at distance 1 of every centre), or the squared Euclidean distance.
    """

    def __init__(self, ratings: scipy.sparse.csr_matrix, cosine: bool, threads: int) -> None:
        """Take a CSR matrix, float32, none negative, without duplicate entries. Only its indices are copied."""
        self.shape: tuple[int, int] = ratings.shape
        self.cosine = cosine
        self._indptr = ratings.indptr.astype(np.int64)
        narrow = self.shape[1] <= NARROW
        self._indices = ratings.indices.astype(np.uint16) if narrow else ratings.indices
        self._data = ratings.data
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lloyd")
        self._tasks = threads * TASKS_A_THREAD
        # About as many ratings in each, and an end of the last row.
        even = np.linspace(0, self._indptr[-1] + self.shape[0], self._tasks + 1)
        self._cuts = np.searchsorted(self._indptr + np.arange(self.shape[0] + 1), even)
        self._csr = (self._indptr, self._indices, self._data)
        self.squares = np.empty(self.shape[0])
        self._by_rows(kernels.squared_lengths, self._indptr, self._data, self.squares)
        # The integer of a rating: rating · weight. No sum of a film's ratings can then be too large.
        largest = 1.0 if cosine else float(self._data.max(initial=0)) or 1.0
        self.unit = 2.0 ** (math.ceil(math.log2(largest * max(1, self.shape[0])) + 0.5) - INTEGER_BITS)
        self._weights = np.full(self.shape[0], 1 / self.unit)
        if cosine:
            np.divide(self._weights, np.sqrt(self.squares), out=self._weights, where=self.squares > 0)

    def each(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Call a function with each of these arguments, in the threads; their results in order."""
        return list(self._pool.map(lambda each: function(*each), arguments))

    def _by_rows(self, kernel: Any, *arguments: Any) -> None:
        self.each(kernel, ((*arguments, first, last) for first, last in pairwise(self._cuts)))

    def labels(self, centres: Array, lengths: Array) -> Array:
        """Find the nearest centre of each row, int32, the first one of equals. `lengths`: the centres' squared."""
        width = kernels.width_of(len(centres))
        tables = np.zeros((-(-len(centres) // width), self.shape[1], width), np.float32)
        films = np.linspace(0, self.shape[1], self._tasks + 1).astype(np.int64)
        self.each(kernels.fill_tables, ((centres, tables, *ends) for ends in pairwise(films)))
        halves = np.zeros(len(centres)) if self.cosine else lengths / 2
        labels = np.empty(self.shape[0], np.int32)
        self._by_rows(kernels.assign(width), *self._csr, tables, centres, halves, labels)
        return labels

    def distances(self, centres: Array, lengths: Array, labels: Array) -> Array:
        """Compute the distance of each row to the centre that it is labelled with, float64."""
        products = np.empty(self.shape[0])
        self._by_rows(kernels.own_products, *self._csr, centres, labels, products)
        return self._distances(products, lengths[labels])

    def nearest(self, centres: Array) -> Nearest:
        """Find each row's nearest centre; centres float64 [clusters, films], none negative, of length 1 for cosine."""
        lengths = (centres * centres).sum(axis=1)
        labels = self.labels(centres, lengths)
        return Nearest(labels, self.distances(centres, lengths, labels))

    def distances_to_rows(self, chosen: Array) -> Array:
        """Compute the distances of all rows to a few of them, float64 [few, rows]."""
        width = kernels.width_of(len(chosen))
        table = np.zeros((self.shape[1], width))
        for number, row in enumerate(chosen):
            table[self._films(row), number] = self._values(row)
        out = np.empty((len(chosen), self.shape[0]))
        self._by_rows(kernels.candidate_products(width), *self._csr, table, out)
        lengths = np.where(self.squares[chosen] > 0, 1.0, 0.0) if self.cosine else self.squares[chosen]
        distances = self._distances(out, lengths[:, None])
        distances[np.arange(len(chosen)), chosen] = 0.0
        return distances

    def _distances(self, products: Array, lengths: Array) -> Array:
        if self.cosine:
            cosines = np.divide(products, np.sqrt(self.squares), out=np.zeros_like(products), where=self.squares > 0)
            return np.asarray(np.maximum(1 - cosines, 0.0))
        return np.asarray(np.maximum(self.squares - 2 * products + lengths, 0.0))

    def _films(self, row: int) -> Array:
        return np.asarray(self._indices[self._indptr[row] : self._indptr[row + 1]])

    def _values(self, row: int) -> Array:
        """The ratings of a row, float64; scaled to length 1 for the cosine distance."""
        values = np.asarray(self._data[self._indptr[row] : self._indptr[row + 1]], dtype=np.float64)
        return values / np.sqrt(self.squares[row]) if self.cosine and self.squares[row] else values

    def dense(self, chosen: Array) -> Array:
        """Make centres of a few rows, float64 [few, films]."""
        centres = np.zeros((len(chosen), self.shape[1]))
        for number, row in enumerate(chosen):
            centres[number, self._films(row)] = self._values(row)
        return centres

    def moved(self, cluster: int, before: Array, after: Array, sums: Array) -> None:
        """Bring a cluster's sums up to date."""
        kernels.move(*self._csr, self._weights, before, after, cluster, sums)

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Iterations:
    """Centres on their way to a local optimum, one iteration at a time."""

    def __init__(self, rows: Rows, centres: Array) -> None:
        """Begin with these centres, float64 [clusters, films]; none may be negative."""
        self._rows = rows
        self.centres = np.array(centres, dtype=np.float64, order="C")
        self._lengths = (self.centres * self.centres).sum(axis=1)
        self._labels: Array | None = None
        self._sums = np.zeros(self.centres.shape, np.int64)

    def step(self) -> float:
        """Assign all rows to their nearest centres, then set the centres to the rows' means.

        Returns the inertia of the assignment: the distances to the centres as they were. A cluster without rows gets
        the row that is farthest from its centre, of equals the first, out of a cluster that has others; several get
        the farthest of the rest in turn.
        """
        rows, clusters = self._rows, len(self.centres)
        labels = rows.labels(self.centres, self._lengths)
        sizes = np.bincount(labels, minlength=clusters)
        inertia = None
        if not sizes.all():
            distances = rows.distances(self.centres, self._lengths, labels)
            inertia = float(distances.sum())
            labels, sizes = _reseeded(labels, sizes, distances)
        before = self._labels
        if before is None or 2 * np.count_nonzero(before != labels) > len(labels):
            before = np.full_like(labels, -1)  # to add all up again is less work than to move most
            self._sums[:] = 0
        settled = rows.each(
            self._settle, ((cluster, before, labels, sizes[cluster]) for cluster in np.argsort(-sizes, kind="stable"))
        )
        self._labels = labels
        products, lengths = np.empty(clusters), self._lengths
        self._lengths = np.empty(clusters)
        for cluster, product, length in settled:
            products[cluster], self._lengths[cluster] = product, length
        if inertia is None:
            # Σ|x - c|² = Σ|x|² - 2 Σx·c + Σ|c|²; the rows' sums are there.
            if rows.cosine:
                inertia = rows.shape[0] - float(products.sum())
            else:
                inertia = float(rows.squares.sum() - 2 * products.sum() + (sizes * lengths).sum())
        return max(inertia, 0.0)

    def _settle(self, cluster: int, before: Array, after: Array, size: int) -> tuple[int, float, float]:
        self._rows.moved(cluster, before, after, self._sums[cluster])
        cosine = self._rows.cosine
        return cluster, *kernels.settle(self._sums[cluster], self._rows.unit, size, cosine, self.centres[cluster])


def _reseeded(labels: Array, sizes: Array, distances: Array) -> tuple[Array, Array]:
    """Move a row to each cluster without rows: the farthest first (of equals the first), none that is alone."""
    labels, sizes = labels.copy(), sizes.copy()
    farthest = iter(np.argsort(-distances, kind="stable"))
    for cluster in np.flatnonzero(sizes == 0):
        row = next(row for row in farthest if sizes[labels[row]] > 1)
        sizes[labels[row]] -= 1
        labels[row], sizes[cluster] = cluster, 1
    return labels, sizes


def k_means_plus_plus(rows: Rows, clusters: int, random: np.random.Generator) -> Array:
    """Choose rows as initial centres, far apart: int64 [clusters].

    Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding", with their greedy variant: of
    2 + ln k rows, drawn in proportion to the distance from the nearest chosen row, the one that lowers the sum most.
    """
    count = rows.shape[0]
    tries = 2 + int(math.log(clusters))
    chosen = np.empty(clusters, np.int64)
    chosen[0] = random.integers(count)
    nearest = rows.distances_to_rows(chosen[:1])[0]
    for number in range(1, clusters):
        nearest[chosen[:number]] = 0.0
        reach = np.cumsum(nearest)
        drawn = np.minimum(np.searchsorted(reach, random.random(tries) * reach[-1], side="right"), count - 1)
        if not reach[-1] > 0:  # all rows lie on chosen ones: any that is left
            drawn = np.setdiff1d(np.arange(count), chosen[:number])[:1]
        candidates = np.minimum(rows.distances_to_rows(drawn), nearest)
        best = int(candidates.sum(axis=1).argmin())
        chosen[number], nearest = drawn[best], candidates[best]
    return chosen


@dataclass(frozen=True)
class Start:
    """How initial centres are chosen."""

    clusters: int
    plus_plus: bool
    """k-means++; otherwise any different rows."""
    restarts: int
    """Starts, of which the best one after `refinements` iterations is taken; the only one is taken as it is."""
    refinements: int
    seed: int


def best_start(rows: Rows, start: Start) -> Array:
    """Choose initial centres, float64 [clusters, films]: those of least inertia of all starts; of equals the first."""
    best, lowest = None, math.inf
    for restart in range(start.restarts):
        random = np.random.default_rng([start.seed, restart])
        if start.plus_plus:
            chosen = k_means_plus_plus(rows, start.clusters, random)
        else:
            chosen = random.choice(rows.shape[0], start.clusters, replace=False)
        centres = rows.dense(chosen)
        if start.restarts == 1:
            return centres
        iterations = Iterations(rows, centres)
        for _ in range(start.refinements):
            iterations.step()
        inertia = float(rows.nearest(iterations.centres).distances.sum())
        if best is None or inertia < lowest:
            best, lowest = iterations.centres, inertia
    assert best is not None  # noqa: S101  # there is at least one start
    return best


def fit(rows: Rows, centres: Array, max_iterations: int, is_converged: Callable[[float], bool]) -> Fit:
    """Iterate from these centres; `is_converged` is asked with each iteration's inertia."""
    iterations = Iterations(rows, centres)
    inertias: list[float] = []
    converged = False
    while not converged and len(inertias) < max_iterations:
        inertias.append(iterations.step())
        converged = is_converged(inertias[-1])
    return Fit(iterations.centres, tuple(inertias), converged)
