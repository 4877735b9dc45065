# SPDX-License-Identifier: Apache-2.0
"""Boxes of one kind from those of another, by hand."""

import numpy as np

from barrel_jax.faces.box_fit import BoxFit, fit_of_landmarks


def test_a_box_by_hand():
    fit = BoxFit(shift=(0.0, 0.25), size=(0.5, 1.5))
    # Centre (30, 40) of a box of 20 x 40 moves down by 10; the sides become 10 and 60.
    np.testing.assert_allclose(fit.apply(np.array([[20.0, 20.0, 20.0, 40.0]])), [[25, 20, 10, 60]])
    assert fit.apply(np.zeros((0, 4))).shape == (0, 4)


def test_the_fit_of_a_sets_boxes_gives_them_back():
    rng = np.random.default_rng(0)
    corners, sides = rng.uniform(0, 200, (5, 1, 2)), rng.uniform(50, 150, (5, 1, 2))
    points = corners + sides * np.array([[0, 0], [1, 0.5], [0.4, 1]])  # their tight boxes are corners and sides
    tight = np.concatenate([corners + 0.5, sides], axis=2)[:, 0]  # edge coordinates
    fit = BoxFit(shift=(0.05, -0.1), size=(1.1, 1.4))
    boxes, labelled = fit.apply(tight), np.ones((5, 3), bool)
    labelled[4, 0], boxes[4] = False, 0  # a face without all its points says nothing
    found = fit_of_landmarks(boxes, points, labelled)
    np.testing.assert_allclose(found, fit, atol=1e-9)
    assert fit_of_landmarks(boxes[4:], points[4:], labelled[4:]) is None


def test_one_box_gone_wrong_does_not_move_the_fit():
    points = np.tile([[0.0, 0.0], [10.0, 20.0]], (3, 1, 1))
    boxes = np.tile([0.5, 0.5, 10.0, 20.0], (3, 1))
    boxes[2] = [40.5, 0.5, 100, 400]
    assert fit_of_landmarks(boxes, points, np.ones((3, 2), bool)) == BoxFit((0.0, 0.0), (1.0, 1.0))
