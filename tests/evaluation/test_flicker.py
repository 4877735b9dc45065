# SPDX-License-Identifier: Apache-2.0
"""Flicker in a face of 100 px that is worked out by hand."""

import numpy as np
import pytest

from barrel_jax.evaluation.flicker import normalised_mean_flicker

SQUARE = np.array([[0.0, 0], [100, 0], [0, 100], [100, 100]])


def test_flicker_is_what_errors_change():
    truth = np.tile(SQUARE, (3, 1, 1))
    assert normalised_mean_flicker(truth + 5, truth) == 0  # an error that stays
    points = truth.copy()
    points[1] += [3, 4]  # 5 px there and 5 px back, in a face of 100
    assert normalised_mean_flicker(points, truth) == pytest.approx(0.05)
    hidden = truth + 50.0  # away from the origin, where a point that is not annotated might be taken to lie
    hidden[:, 3] = np.nan
    assert normalised_mean_flicker(points + 50.0, hidden) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="two frames or more"):
        normalised_mean_flicker(points[:1], truth[:1])


def test_a_face_that_moves_and_grows_does_not_flicker_by_that():
    truth = np.stack([SQUARE, 2 * SQUARE + 30])
    assert normalised_mean_flicker(truth + 5, truth) == pytest.approx(0, abs=1e-15)
    # Of 200 px in the second frame of the pair; one point of four by 20 px: the root of the mean of squares.
    points = truth.copy()
    points[1, 2, 0] += 20
    assert normalised_mean_flicker(points, truth) == pytest.approx(np.sqrt(0.1**2 / 4))


def test_frames_whose_points_have_no_box_are_left_out():
    truth = np.tile(SQUARE, (4, 1, 1))
    points = truth + [[[0.0, 0]], [[6, 8]], [[0, 0]], [[70, 0]]]
    truth[3, 1:] = np.nan  # a single point
    assert normalised_mean_flicker(points, truth) == pytest.approx(0.1)
    truth[3, :2] = [[0, 0], [100, 0]]  # two on a line
    assert normalised_mean_flicker(points, truth) == pytest.approx(0.1)


def test_frames_without_annotation_are_left_out():
    truth = np.tile(SQUARE, (4, 1, 1))
    points = truth + [[[0.0, 0]], [[6, 8]], [[0, 0]], [[70, 0]]]
    truth[3] = np.nan
    assert normalised_mean_flicker(points, truth) == pytest.approx(0.1)
    truth[1] = np.nan
    with pytest.raises(ValueError, match="no point is annotated in two frames that follow each other"):
        normalised_mean_flicker(points, truth)
