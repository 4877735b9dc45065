# SPDX-License-Identifier: Apache-2.0
"""The score against numbers worked out by hand."""

import inspect
import math

import jaxtyping
import numpy as np
import pytest

from barrel_jax.evaluation import metrics

pytestmark = pytest.mark.quick

UNIT = np.array([10.0])  # of the face below: its eye corners


def summarise(nmes):
    return metrics.summarise(nmes, np.full_like(nmes, np.nan))


def nme(*arguments):
    return metrics.face_means(metrics.point_errors(*arguments))


def three_points():
    """One face: eye corners (0, 0) and (10, 0), chin (5, 10); the prediction misses by 5 (3-4-5), 0 and 1 pixels."""
    truth = np.array([[[0, 0], [10, 0], [5, 10]]], np.float64)
    return truth + np.array([[[3, 4], [0, 0], [-1, 0]]], np.float64), truth


def test_nme_of_three_points_by_hand():
    points, truth = three_points()
    labelled = np.ones((1, 3), bool)
    np.testing.assert_allclose(metrics.point_errors(points, truth, labelled, UNIT), [[0.5, 0.0, 0.1]], atol=1e-15)
    np.testing.assert_allclose(nme(points, truth, labelled, UNIT), [0.2], atol=1e-15)
    # From the first eye corner to the chin it is sqrt(125): another unit, another number.
    unit = np.sqrt([125])
    np.testing.assert_allclose(nme(points, truth, labelled, np.array(unit)), [2 / np.sqrt(125)], atol=1e-15)


def test_a_point_without_label_does_not_count_whatever_its_value():
    points, truth = three_points()
    labelled = np.array([[True, True, False]])
    truth[0, 2], points[0, 2] = np.nan, 1e9
    np.testing.assert_allclose(nme(points, truth, labelled, UNIT), [0.25], atol=1e-15)
    points[0, 2] = np.nan
    np.testing.assert_allclose(nme(points, truth, labelled, UNIT), [0.25], atol=1e-15)


def test_faces_without_a_unit_are_counted_not_dropped():
    points, truth = (np.repeat(array, 4, 0) for array in three_points())
    unit = np.array([10, np.nan, np.nan, 0])
    nmes = nme(points, truth, np.ones((4, 3), bool), unit)
    np.testing.assert_allclose(nmes, [0.2, np.nan, np.nan, np.nan], atol=1e-15)
    assert metrics.unscorable(unit) == {"normaliser_missing": 2, "normaliser_zero": 1}
    summary = summarise(nmes)
    assert (summary.num_images, summary.num_unscorable) == (1, 3)
    assert summary.nme == pytest.approx(20) and summary.fr == {"0.08": 100, "0.10": 100}


def test_a_failure_is_strictly_above_the_threshold():
    nmes = np.array([0.05, 0.08, 0.1, np.nextafter(0.1, 1)])
    assert metrics.failure_rate(nmes, 0.1) == 0.25
    assert metrics.failure_rate(nmes, 0.08) == 0.5
    # The curve counts "at most", so that curve and failure rate add up to one at every threshold.
    np.testing.assert_array_equal(
        metrics.cumulative_error(nmes, np.array([0.0, 0.05, 0.08, 0.1, 1.0])), [0, 0.25, 0.5, 0.75, 1]
    )


def test_auc_is_the_integral_of_the_step_function():
    nmes = np.random.default_rng(0).gamma(2, 0.03, 101)
    for threshold in (0.08, 0.1):
        centres = (np.arange(20_000) + 0.5) / 20_000 * threshold
        integral = (nmes[:, None] <= centres).mean()
        assert metrics.auc(nmes, threshold) == pytest.approx(integral, abs=1e-4)
        assert metrics.cumulative_error(nmes, centres).mean() == pytest.approx(integral, abs=1e-12)
    assert metrics.auc(np.array([0.0, 0.05, 0.2]), 0.1) == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-15)


def test_summary_by_hand():
    summary = summarise(np.array([0.02, 0.04, 0.09, 0.25]))
    assert summary.nme == pytest.approx(10)
    assert summary.fr == {"0.08": 50, "0.10": 25}
    assert summary.auc["0.10"] == pytest.approx((0.8 + 0.6 + 0.1 + 0) / 4)
    assert summary.auc["0.08"] == pytest.approx((0.75 + 0.5 + 0 + 0) / 4)
    assert summary.percentiles["50"] == pytest.approx(6.5)
    empty = summarise(np.array([np.nan]))
    assert (empty.num_images, empty.num_unscorable) == (0, 1)
    assert all(np.isnan(value) for value in (empty.nme, empty.fr["0.08"], empty.auc["0.10"], empty.percentiles["95"]))
    assert np.isnan(metrics.cumulative_error(np.array([]), np.array([0.1]))).all()


def test_sums_are_double():
    nmes = np.random.default_rng(0).gamma(2, 0.03, 20_000).astype(np.float32)
    exact = 100 * math.fsum(nmes.tolist()) / len(nmes)
    assert summarise(nmes).nme == pytest.approx(exact, rel=1e-14)
    assert abs(100 * float(nmes.mean()) - exact) > 1e-9  # what single precision gives


def test_intervals_are_those_of_the_three_means():
    nmes = np.random.default_rng(0).gamma(2, 0.03, 2000)
    summary = summarise(np.append(nmes, np.nan))
    for value, (low, high), per_face in (
        (summary.nme, summary.nme_interval, 100 * nmes),
        (summary.fr["0.08"], summary.fr_interval["0.08"], 100 * (nmes > 0.08)),
        (summary.fr["0.10"], summary.fr_interval["0.10"], 100 * (nmes > 0.10)),
        (summary.auc["0.10"], summary.auc_interval["0.10"], np.maximum(0, 1 - nmes / 0.10)),
    ):
        spread = 1.96 * per_face.std() / np.sqrt(len(nmes))  # what the central limit theorem says
        assert low == pytest.approx(value - spread, abs=0.15 * spread)
        assert high == pytest.approx(value + spread, abs=0.15 * spread)
    alone = summarise(np.array([0.05]))
    assert alone.nme == 5 and np.isnan(alone.nme_interval).all()


def test_wrong_shapes_points_and_normalisers_are_refused():
    points, truth = three_points()
    labelled = np.ones((1, 3), bool)
    point_errors = inspect.unwrap(metrics.point_errors)  # its signature, which only tests check, would refuse shapes
    with pytest.raises(ValueError, match=r"predicted points \(1, 2, 2\), true points \(1, 3, 2\)"):
        point_errors(points[:, :2], truth, labelled, UNIT)
    for unit in ([10.0, 10.0], [-1.0], [np.inf]):
        with pytest.raises(ValueError, match="1 faces need as many normalising distances of 0 or more"):
            point_errors(points, truth, labelled, np.array(unit))
    with pytest.raises(jaxtyping.TypeCheckError, match="point_errors"):
        metrics.point_errors(points[:, :2], truth, labelled, UNIT)
    points[0, 2, 1] = np.inf
    with pytest.raises(ValueError, match=r"1 predicted points are not finite, first: face 0 .*, point 2"):
        nme(points, truth, labelled, UNIT)
