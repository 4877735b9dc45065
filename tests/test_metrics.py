# SPDX-License-Identifier: Apache-2.0
"""The score against numbers worked out by hand and against the published COFW-68 results (protocol.md section 6)."""

from pathlib import Path

import numpy as np
import pytest

from barrel_jax import metrics

COFW68 = Path(__file__).resolve().parents[2] / "shared" / "cofw68"

# NME %, FR %, AUC at 10 %, FR %, AUC at 8 %: protocol.md section 6, with the outer eye corners 36 and 45.
KNOWN = {
    "CFSS": (6.2831, 9.07, 0.4296, 16.77, 0.3169),
    "HPM": (6.7167, 6.71, 0.3438, 18.54, 0.2084),
    "SAPM": (6.6350, 5.72, 0.3523, 17.55, 0.2167),
}


def three_points():
    """One face: eye corners (0, 0) and (10, 0), chin (5, 10); the prediction misses by 5 (3-4-5), 0 and 1 pixels."""
    truth = np.array([[[0, 0], [10, 0], [5, 10]]], np.float64)
    return truth + np.array([[[3, 4], [0, 0], [-1, 0]]], np.float64), truth


def test_nme_of_three_points_by_hand():
    points, truth = three_points()
    labelled = np.ones((1, 3), bool)
    np.testing.assert_allclose(metrics.point_errors(points, truth, labelled, (0, 1)), [[0.5, 0.0, 0.1]], atol=1e-15)
    np.testing.assert_allclose(metrics.nme(points, truth, labelled, (0, 1)), [0.2], atol=1e-15)
    # From the first eye corner to the chin it is sqrt(125): another unit, another number.
    np.testing.assert_allclose(metrics.nme(points, truth, labelled, (0, 2)), [2 / np.sqrt(125)], atol=1e-15)


def test_a_point_without_label_does_not_count_whatever_its_value():
    points, truth = three_points()
    labelled = np.array([[True, True, False]])
    truth[0, 2], points[0, 2] = np.nan, 1e9
    np.testing.assert_allclose(metrics.nme(points, truth, labelled, (0, 1)), [0.25], atol=1e-15)
    points[0, 2] = np.nan
    np.testing.assert_allclose(metrics.nme(points, truth, labelled, (0, 1)), [0.25], atol=1e-15)


def test_faces_without_a_unit_are_counted_not_dropped():
    points, truth = (np.repeat(array, 4, 0) for array in three_points())
    labelled = np.ones((4, 3), bool)
    labelled[1, 0] = False
    labelled[2] = False
    truth[3, 1] = truth[3, 0]
    nmes = metrics.nme(points, truth, labelled, (0, 1))
    np.testing.assert_allclose(nmes, [0.2, np.nan, np.nan, np.nan], atol=1e-15)
    assert metrics.unscorable(truth, labelled, (0, 1)) == {"normaliser_missing": 2, "normaliser_zero": 1}
    summary = metrics.summarise(nmes)
    assert (summary["num_images"], summary["num_unscorable"]) == (1, 3)
    assert summary["nme"] == pytest.approx(20) and summary["fr"] == {"0.08": 100, "0.10": 100}


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
    summary = metrics.summarise(np.array([0.02, 0.04, 0.09, 0.25]))
    assert summary["nme"] == pytest.approx(10)
    assert summary["fr"] == {"0.08": 50, "0.10": 25}
    assert summary["auc"]["0.10"] == pytest.approx((0.8 + 0.6 + 0.1 + 0) / 4)
    assert summary["auc"]["0.08"] == pytest.approx((0.75 + 0.5 + 0 + 0) / 4)
    assert summary["percentiles"]["50"] == pytest.approx(6.5)
    empty = metrics.summarise(np.array([np.nan]))
    assert (empty["num_images"], empty["num_unscorable"]) == (0, 1)
    assert all(
        np.isnan(value)
        for value in (empty["nme"], empty["fr"]["0.08"], empty["auc"]["0.10"], empty["percentiles"]["95"])
    )
    assert np.isnan(metrics.cumulative_error(np.array([]), np.array([0.1]))).all()


def test_sums_are_double():
    nmes = np.full(3_000_000, 0.1, np.float32)
    assert metrics.summarise(nmes)["nme"] == pytest.approx(100 * float(np.float32(0.1)), abs=1e-12)


def test_wrong_shapes_points_and_normalisers_are_refused():
    points, truth = three_points()
    labelled = np.ones((1, 3), bool)
    with pytest.raises(ValueError, match=r"predicted points \(1, 2, 2\), true points \(1, 3, 2\)"):
        metrics.nme(points[:, :2], truth, labelled, (0, 1))
    for normaliser in ((0, 3), (1, 1), (-1, 0), (0,)):
        with pytest.raises(ValueError, match=r"two different points of 0\.\.2"):
            metrics.nme(points, truth, labelled, normaliser)
    points[0, 2, 1] = np.inf
    with pytest.raises(ValueError, match=r"1 predicted points are not finite, first: face 0 .*, point 2"):
        metrics.nme(points, truth, labelled, (0, 1))


def read_cofw68(detector):
    """Detections (four lines a face: number, x, y, occlusion) and annotations, both 1-based: [507, 68, 2] each."""
    matlab = pytest.importorskip("scipy.io")
    lines = (COFW68 / "results" / f"{detector}.txt").read_text().splitlines()
    points, truth = [], []
    for number, xs, ys in zip(lines[0::4], lines[1::4], lines[2::4], strict=True):
        points.append(np.stack([np.array(xs.split(), float), np.array(ys.split(), float)], -1))
        truth.append(matlab.loadmat(COFW68 / "test_annotations" / f"{int(number)}_points.mat")["Points"])
    return np.stack(points), np.stack(truth)


@pytest.mark.skipif(not COFW68.is_dir(), reason="the COFW-68 annotations are not beside the project")
@pytest.mark.parametrize("detector", KNOWN)
def test_published_detections_on_cofw68(detector):
    points, truth = read_cofw68(detector)
    nmes = metrics.nme(points, truth, np.ones(truth.shape[:2], bool), (36, 45))
    summary = metrics.summarise(nmes)
    got = (summary["nme"], summary["fr"]["0.10"], summary["auc"]["0.10"], summary["fr"]["0.08"], summary["auc"]["0.08"])
    assert summary["num_images"] == 507
    assert (round(got[0], 4), round(got[1], 2), round(got[2], 4), round(got[3], 2), round(got[4], 4)) == KNOWN[detector]
