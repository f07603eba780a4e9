"""Pearson's correlation between users over the films that both have rated, on sparse rows."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

LEAST_OVERLAP = 3  # two points always lie on a line
FULL_OVERLAP = 50  # co-rated films from which a correlation counts in full


def correlations(user: csr_matrix, others: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return Pearson's r of one user (1 × films) with each of `others` (n × films), and the number of co-rated films.

    Means and deviations are those of the co-rated films alone. Where r is not defined (fewer than two co-rated films,
    or ratings of either that are all the same) it is 0: nothing is known. Time and memory are proportional to the
    ratings of `others`. Source: Resnick et al. 1994, "GroupLens", https://doi.org/10.1145/192844.192905.
    """
    films, ours = user.indices, user.data.astype(np.float64)
    common = others[:, films].tocsr()
    common.data = common.data.astype(np.float64)
    count = np.diff(common.indptr).astype(np.int64)
    row = np.repeat(np.arange(len(count)), count)
    mine, theirs = ours[common.indices], common.data
    some = np.maximum(count, 1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(row, weights=values, minlength=len(count))

    mine = mine - (total(mine) / some)[row]
    theirs = theirs - (total(theirs) / some)[row]
    spread = np.sqrt(total(mine**2) * total(theirs**2))
    # Rounding leaves constant ratings with a spread of about 1e-15; half a step on one of two films makes 0.125.
    defined = (count >= 2) & (spread > 1e-9)
    r = np.divide(total(mine * theirs), spread, out=np.zeros(len(count)), where=defined)
    return np.clip(r, -1.0, 1.0), count


def similarities(
    user: csr_matrix,
    others: csr_matrix,
    least_overlap: int = LEAST_OVERLAP,
    full_overlap: int = FULL_OVERLAP,
) -> np.ndarray:
    """Return how far each of `others` can be trusted to share the user's taste, from -1 to 1.

    The significance rule: 0 below `least_overlap` co-rated films, else r × min(n, `full_overlap`) / `full_overlap` for
    n co-rated films, so that a perfect match on three films does not beat a good one on fifty. Source: Herlocker,
    Konstan, Borchers and Riedl 1999, https://doi.org/10.1145/312624.312682 (with n/50, as there).
    """
    r, count = correlations(user, others)
    weight = np.minimum(count, full_overlap) / full_overlap
    return np.where(count >= least_overlap, r * weight, 0.0)
