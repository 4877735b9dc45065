# SPDX-License-Identifier: Apache-2.0
"""Statistical significance of means over test faces: bootstrap intervals, and a paired test of two means.

Both resample faces, with a fixed seed, so that the same scores give the same digits. They tell how a score would move
with other faces of the same kind, not how it would move with another training seed.
"""

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
FLIPS = 10_000
BLOCK = 2**20  # faces or signs drawn at once


def bootstrap_intervals(
    values: Float[np.ndarray, "n C"], resamples: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "C 2"]:
    """95 % percentile bootstrap intervals of the means of the columns of `values` [n, C]: float64 [C, 2].

    All columns share the drawn faces. NaN with fewer than two faces. A column of equal values (a failure rate of 0)
    gives an interval without width, as every bootstrap does.
    """
    values = np.asarray(values, np.float64)
    count, columns = values.shape
    if count < 2:
        return np.full((columns, 2), np.nan)
    rng = np.random.default_rng(seed)
    sums, block = [], max(1, BLOCK // count)  # resamples at once: memory for a million faces, whatever their number
    for start in range(0, resamples, block):
        at_once = min(block, resamples - start)
        drawn = rng.integers(count, size=(at_once, count)) + count * np.arange(at_once)[:, None]
        # How often each face is drawn, in the place of the drawn faces.
        sums.append(np.bincount(drawn.ravel(), minlength=at_once * count).reshape(at_once, count) @ values)
    return np.percentile(np.concatenate(sums) / count, [2.5, 97.5], axis=0).T


def sign_flip_p(differences: Float[np.ndarray, " n"], flips: int = FLIPS, seed: int = 0) -> float:
    """Two-sided p-value of the paired sign-flip permutation test of the mean difference `differences` [n].

    If it did not matter which of two predictors made which prediction, every face's difference could as well have the
    other sign. The p-value is the share of `flips` random choices of signs, the observed one counted with them, whose
    mean is at least as far from zero: 1 / (flips + 1) at least. NaN without faces.
    """
    differences = np.asarray(differences, np.float64)
    if not len(differences):
        return float("nan")
    rng = np.random.default_rng(seed)
    total = differences.sum()
    observed = abs(total) * (1 - 1e-12)  # sums of the same numbers in another order may differ in the last digit
    as_far, block = 1, max(1, BLOCK // len(differences))
    for start in range(0, flips, block):
        kept = rng.integers(0, 2, size=(min(block, flips - start), len(differences)), dtype=np.uint8)
        as_far += int((np.abs(2 * (kept @ differences) - total) >= observed).sum())
    return as_far / (flips + 1)
