"""The inner loops of `lloyd`, compiled when they are first called: they release the GIL, and threads share their rows.

Every kernel's result is defined without regard to how rows are divided among threads. Labels are those of float64
arithmetic in the order of a row's films; float32, in which nearly all rows are settled, only decides where its own
rounding cannot. Sums are integers (fixed point), so that no order of addition changes them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 8  # floats of a vector: AVX2's; LLVM splits it where the processor's are shorter
WIDEST = 64  # clusters of one table, whose scores are all in registers
_ROUNDING = 2.0**-24  # of float32, relative
_SMALLEST = 2.0**-149
# IEEE arithmetic as it is written: no kernel but the float32 scores may fuse or reorder anything.
_compile = numba.njit(nogil=True, error_model="numpy")


def width_of(clusters: int) -> int:
    """The number of clusters that one table has room for: as few tables as can be, and as narrow."""
    tables = -(-clusters // WIDEST)
    return -(-clusters // (tables * LANES)) * LANES


def _scores_of(width: int, double: bool) -> Any:
    """Make the innermost loop: the products of one row with `width` columns of a table [films, width], all at once.

    As LLVM's own vectors: what numba makes of the loop in Python keeps the sums in memory, four times slower.
    """
    kind, flags = (ir.DoubleType(), ()) if double else (ir.FloatType(), ("contract",))
    vector, int64, int32 = ir.VectorType(kind, LANES), ir.IntType(64), ir.IntType(32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, table, indices, data = (
            context.make_array(each)(context, builder, argument).data
            for each, argument in zip(signature.args[:4], arguments[:4], strict=True)
        )
        start, end = arguments[4:]
        zero, undefined = ir.Constant(vector, [0.0] * LANES), ir.Constant(vector, ir.Undefined)
        before = builder.block
        head, body, done = (builder.append_basic_block(name) for name in ("row", "rating", "row_done"))
        builder.branch(head)
        builder.position_at_end(head)
        place = builder.phi(int64)
        sums = [builder.phi(vector) for _ in range(width // LANES)]
        for phi, first in ((place, start), *((each, zero) for each in sums)):
            phi.add_incoming(first, before)
        builder.cbranch(builder.icmp_signed("<", place, end), body, done)

        builder.position_at_end(body)
        film, rating = builder.load(builder.gep(indices, [place])), builder.load(builder.gep(data, [place]))
        if film.type.width < int64.width:
            film = builder.zext(film, int64)  # never negative
        if double:
            rating = builder.fpext(rating, kind)
        everywhere = builder.shuffle_vector(
            builder.insert_element(undefined, rating, int32(0)),
            undefined,
            ir.Constant(ir.VectorType(int32, LANES), [0] * LANES),
        )
        for number, each in enumerate(sums):
            offset = builder.add(builder.mul(film, int64(width)), int64(number * LANES))
            column = builder.load(builder.bitcast(builder.gep(table, [offset]), vector.as_pointer()))
            column.align = kind_bytes
            product = builder.fmul(everywhere, column, flags=flags)
            each.add_incoming(builder.fadd(each, product, flags=flags), body)
        place.add_incoming(builder.add(place, int64(1)), body)
        builder.branch(head)

        builder.position_at_end(done)
        for number, each in enumerate(sums):
            target = builder.bitcast(builder.gep(out, [int64(number * LANES)]), vector.as_pointer())
            builder.store(each, target).align = kind_bytes
        return context.get_dummy_value()

    kind_bytes = 8 if double else 4

    @intrinsic  # type: ignore[untyped-decorator]  # numba has no types
    def scores(typing: Any, out: Any, table: Any, indices: Any, data: Any, start: Any, end: Any) -> Any:
        del typing, start, end
        return types.void(out, table, indices, data, types.int64, types.int64), generate

    return scores


@cache
def assign(width: int) -> Any:
    """Make the kernel that labels rows with their nearest centres.

    `assign(indptr, indices, data, tables, centres, halves, labels, first, last)`: `centres` float64 [k, films], none
    negative; `halves` float64 [k], what is taken off a row's product with a centre (half the centre's squared length,
    or 0 for unit vectors); `tables` float32 [t, films, width], the same centres, zeros beyond k. The label of each row
    from `first` up to `last` is the centre with the highest float64 product less its half, the first one of equals.

    All terms are ≥ 0, so a float32 product is off by less than (n + 4) · 2^-24 of itself for n ratings, whatever the
    order and fusing of its operations (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1). Where the best
    is ahead of the second by less than both errors, those in question are compared in float64.
    """
    scores = _scores_of(width, double=False)

    def kernel(
        indptr: Any, indices: Any, data: Any, tables: Any, centres: Any, halves: Any, labels: Any, first: Any, last: Any
    ) -> None:
        clusters = len(centres)
        products = np.empty(len(tables) * width, np.float32)
        lead = np.empty(clusters, np.float32)
        half = halves.astype(np.float32)
        for row in range(first, last):
            start, end = np.int64(indptr[row]), np.int64(indptr[row + 1])
            for tile in range(len(tables)):
                scores(products[tile * width :], tables[tile], indices, data, start, end)
            best, largest, nearest = np.float32(-np.inf), np.float32(0), 0
            for j in range(clusters):
                lead[j] = products[j] - half[j]
                largest = max(largest, products[j] + half[j])
                if lead[j] > best:
                    best, nearest = lead[j], j
            relative = (end - start + 4) * _ROUNDING
            error = relative / (1 - 2 * relative) * largest + (end - start) * _SMALLEST if relative < 0.25 else np.inf
            bar = best - 2 * error
            rivals = 0
            for j in range(clusters):
                rivals += not (lead[j] < bar)  # also what is no number, after an overflow
            if rivals > 1:
                highest = -np.inf
                for j in range(clusters):
                    if not (lead[j] < bar):
                        exact = 0.0
                        for place in range(start, end):
                            exact += np.float64(data[place]) * centres[j, indices[place]]
                        exact -= halves[j]
                        if exact > highest:
                            highest, nearest = exact, j
            labels[row] = nearest

    return _compile(kernel)


@cache
def candidate_products(width: int) -> Any:
    """Make the kernel for the products of rows with a few candidate rows: float64, in the order of a row's films.

    `products(indptr, indices, data, table, out, first, last)`: `table` float64 [films, width]; `out` float64 [c, rows].
    """
    scores = _scores_of(width, double=True)

    def kernel(indptr: Any, indices: Any, data: Any, table: Any, out: Any, first: Any, last: Any) -> None:
        products = np.empty(width, np.float64)
        for row in range(first, last):
            scores(products, table, indices, data, np.int64(indptr[row]), np.int64(indptr[row + 1]))
            for j in range(len(out)):
                out[j, row] = products[j]

    return _compile(kernel)


@_compile  # type: ignore[untyped-decorator]
def squared_lengths(indptr: Any, data: Any, out: Any, first: Any, last: Any) -> None:
    """Set `out[row]` to the sum of the squares of a row's ratings, float64."""
    for row in range(first, last):
        total = 0.0
        for place in range(indptr[row], indptr[row + 1]):
            total += np.float64(data[place]) * np.float64(data[place])
        out[row] = total


@_compile  # type: ignore[untyped-decorator]
def own_products(
    indptr: Any, indices: Any, data: Any, centres: Any, labels: Any, out: Any, first: Any, last: Any
) -> None:
    """Set `out[row]` to the product of a row with the centre of its label, float64."""
    for row in range(first, last):
        total, label = 0.0, labels[row]
        for place in range(indptr[row], indptr[row + 1]):
            total += np.float64(data[place]) * centres[label, indices[place]]
        out[row] = total


@_compile  # type: ignore[untyped-decorator]
def move(indptr: Any, indices: Any, data: Any, weights: Any, before: Any, after: Any, cluster: Any, sums: Any) -> None:
    """Bring one cluster's sums, int64 [films], up to date: rows that left it are taken off, those that came added.

    A rating counts as the integer nearest to rating · weight, so that what is taken off is what had been added.
    """
    for row in range(len(before)):
        if before[row] != after[row] and (before[row] == cluster or after[row] == cluster):
            sign = 1 if after[row] == cluster else -1
            weight = weights[row]
            for place in range(indptr[row], indptr[row + 1]):
                sums[indices[place]] += sign * np.int64(np.float64(data[place]) * weight + 0.5)


@_compile  # type: ignore[untyped-decorator]
def settle(sums: Any, unit: Any, rows: Any, to_unit_length: Any, centre: Any) -> Any:
    """Set a centre to the mean of its rows, or to the direction of their sum; `sums · unit` is what they add up to.

    Returns the product of that sum with the centre as it was, and the new centre's squared length.
    """
    product = squares = 0.0
    for film in range(len(sums)):
        total = sums[film] * unit
        product += total * centre[film]
        squares += total * total
    divisor = np.sqrt(squares) if to_unit_length else np.float64(rows)
    squares = 0.0
    for film in range(len(sums)):
        centre[film] = sums[film] * unit / divisor
        squares += centre[film] * centre[film]
    return product, squares


@_compile  # type: ignore[untyped-decorator]
def fill_tables(centres: Any, tables: Any, first: Any, last: Any) -> None:
    """Copy the centres' films from `first` up to `last` into the tables: a film's values for all clusters together."""
    width = tables.shape[2]
    for film in range(first, last):
        for j in range(len(centres)):
            tables[j // width, film, j % width] = centres[j, film]
