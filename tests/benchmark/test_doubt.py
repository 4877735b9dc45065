# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the scripts on doubt and on attention, against numbers that are known."""

import numpy as np
import pytest

from benchmarks.boxes import variants
from benchmarks.coarse_doubt import agreement
from benchmarks.doubt import NOMINAL, auc, calibration, hidden
from benchmarks.looks import looks, transforms


def test_auc_by_hand():
    assert auc(np.array([0.9, 0.4]), np.array([0.1, 0.5])) == 0.75  # three of four pairs, in order
    assert auc(np.array([0.5]), np.array([0.5])) == 0.5
    assert auc(np.array([1.0, 2.0]), np.array([0.0])) == 1


def test_laplace_errors_are_covered_as_they_should_be():
    random = np.random.default_rng(0)
    sigma = random.uniform(1, 5, (400, 20))
    errors = random.laplace(scale=(sigma / 2**0.5)[..., None], size=(400, 20, 2))
    errors[0, 0] = np.nan
    found = calibration(errors, sigma)
    np.testing.assert_allclose(found["coverage"], NOMINAL, atol=0.015)
    np.testing.assert_allclose(found["expected_px"], found["observed_px"], rtol=0.08)
    assert found["rank_correlation"] > 0.2
    doubled = calibration(errors, 2 * sigma)
    assert doubled["coverage"][2] == pytest.approx(1 - 0.5**2, abs=0.015)  # exp(-2 log 2) is left outside


def test_doubts_rank_points_and_faces_by_hand():
    errors = np.array([[1.0, 2.0, np.nan], [4.0, 3.0, 9.0]])
    doubt = np.array([[0.1, 0.3, 7.0], [0.5, 0.4, 0.2]])  # the 7.0 is of a point without a label
    found = agreement(doubt, errors)
    # Ranks of the five labelled points: 1 3 5 4 2 beside 1 2 4 3 5, whose squared differences sum to 12.
    assert found["of_points"] == pytest.approx(1 - 6 * 12 / (5 * 24))
    assert found["of_faces"] == pytest.approx(1)  # 0.2 and 0.37 beside 1.5 and 5.3


def test_patches_lie_in_the_corners_of_the_box_in_turns():
    box = np.array([10.0, 20, 100, 50])
    assert hidden(box, 0, 0.4).tolist() == [10, 20, 50, 40]
    assert hidden(box, 3, 0.4).tolist() == [70, 50, 110, 70]


def test_boxes_of_the_cases_by_hand():
    found = variants(np.array([[100.0, 200, 40, 80]]))
    assert found["25 % taller at the forehead"][0].tolist() == [[100, 180, 40, 100]]
    np.testing.assert_allclose(found["1.3 times as large"][0], [[94, 188, 52, 104]])
    np.testing.assert_allclose(found["0.85 times as large"][0], [[103, 206, 34, 68]])
    moves = [case[0] - [100, 200, 40, 80] for case in found["shifted by 10 %"]]
    np.testing.assert_allclose([np.hypot(x / 40, y / 80) for x, y, *_ in moves], 0.1)
    assert len(moves) == 4 and not np.any([move[2:] for move in moves])


def test_where_a_query_looks_by_hand():
    maps = np.zeros((1, 2, 2, 2))
    maps[0, 0, 0, 1] = 1  # the upper right cell alone
    maps[0, 1] = 0.25
    points = np.array([[[0.75, 0.25], [0.5, 0.9]]])
    found = looks(points, maps)
    assert found["from_its_point"] == pytest.approx((0 + 0.4) / 2)
    assert found["spread"] == pytest.approx((0 + found["spread_if_even"]) / 2)
    assert found["moves_with_the_face"] == 0


def test_transforms_by_hand():
    u = np.zeros((2, 4, 4))
    u[0, 0, 1], u[1, 2, 3] = 3, 4  # of rank one each, none in common
    found = transforms({"kernel1": np.eye(4) + u})
    assert found["change"] == pytest.approx((3 + 4) / 2 / 2)
    assert found["ranks"]["1"] == pytest.approx(1)
    assert found["shared_by_all"] == pytest.approx((9 / 4 + 16 / 4) / 12.5)
