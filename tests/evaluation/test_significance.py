# SPDX-License-Identifier: Apache-2.0
"""Intervals and p-values against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from barrel_jax.evaluation import significance
from barrel_jax.evaluation.significance import bootstrap_intervals, sign_flip_p

pytestmark = pytest.mark.quick


def test_intervals_are_scipys_percentile_bootstrap():
    errors = np.random.default_rng(0).gamma(2, 0.03, 60)
    columns = np.stack([errors, errors > 0.08], axis=1)
    ends = bootstrap_intervals(columns, resamples=20_000)
    for column, (low, high) in zip(columns.T, ends, strict=True):
        theirs = stats.bootstrap(
            (column,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
        ).confidence_interval
        width = theirs.high - theirs.low
        assert (low, high) == (
            pytest.approx(theirs.low, abs=0.03 * width),
            pytest.approx(theirs.high, abs=0.03 * width),
        )
    np.testing.assert_array_equal(ends, bootstrap_intervals(columns, resamples=20_000))
    np.testing.assert_array_equal(bootstrap_intervals(columns), bootstrap_intervals(columns, resamples=2000, seed=0))


@pytest.mark.parametrize("block", [1, 7 * 30 + 5])
def test_how_many_resamples_are_drawn_at_once_changes_nothing(monkeypatch, block):
    columns = np.random.default_rng(0).random((30, 2))
    expected = bootstrap_intervals(columns)
    monkeypatch.setattr(significance, "BLOCK", block)
    np.testing.assert_allclose(bootstrap_intervals(columns), expected, rtol=1e-12)


def test_no_interval_of_fewer_than_two_faces():
    assert np.isnan(bootstrap_intervals(np.zeros((1, 3)))).all() and bootstrap_intervals(np.zeros((0, 3))).shape == (
        3,
        2,
    )
    np.testing.assert_array_equal(bootstrap_intervals(np.full((5, 1), 0.25)), [[0.25, 0.25]])


@pytest.mark.parametrize("shift", [0.0, 0.4, 1.0])
def test_p_value_is_scipys_exact_permutation_test(shift):
    differences = np.random.default_rng(3).normal(shift, 1, 11)
    exact = stats.permutation_test(
        (differences, np.zeros(11)), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    ).pvalue  # fmt: skip
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.015)
    assert sign_flip_p(-differences) == sign_flip_p(differences)


def test_p_value_at_its_ends():
    assert sign_flip_p(np.zeros(20)) == 1
    assert sign_flip_p(np.full(3000, 0.1)) == 1 / 10_001
    assert sign_flip_p(np.array([0.1, 0.2, 0.3])) == pytest.approx(0.25, abs=0.02)  # two of eight choices of signs
    assert np.isnan(sign_flip_p(np.array([])))
