# SPDX-License-Identifier: Apache-2.0
"""Annotated points: which count, and the place of those outside an image."""

import numpy as np

from barrel_jax.faces.annotated import clamp
from tests.kit.toy import SCHEME, make_truth


def test_a_point_counts_when_it_is_labelled_and_both_its_coordinates_are_known():
    points = np.array([[[1, 2], [3, np.nan], [5, 6]], [[1, 2], [3, 4], [5, 6]]])
    truth = make_truth(SCHEME, points, visible=np.array([[1, 2, 0], [2, 1, 2]], np.uint8))
    assert truth.labelled.tolist() == [[True, False, False], [True, True, True]] and len(truth) == 2
    assert not truth.clamped and truth.partial == ""  # unless somebody says so


def test_points_outside_an_image_are_moved_to_its_outer_edges():
    points = np.array([[[-3, 20], [120, -7], [40, 60], [99.4, 49.4]]], np.float32)
    moved = clamp(points, np.array([[100, 50]]))
    np.testing.assert_array_equal(moved, np.array([[[-0.5, 20], [99.5, -0.5], [40, 49.5], [99.4, 49.4]]], np.float32))
