# SPDX-License-Identifier: Apache-2.0
"""The score of a face whose points lie about a line, and the side by which it is measured."""

import numpy as np
import pytest

from barrel_jax.predict.face import EVEN, face_score, relative_sigma, square_side
from barrel_jax.predict.tracks import side


def test_the_side_of_a_face_is_that_of_its_area_and_of_points_about_a_line_half_their_length():
    assert square_side(40.0, 90.0) == 60 == square_side(90.0, 40.0)
    assert square_side(60.0, 0.0) == square_side(0.0, 60.0) == 30 == side(np.array([5.0, 9, 60, 0]))
    assert side(np.array([5.0, 9, 0, 0])) == 1


def test_two_level_eyes_are_scored_as_two_that_are_not():
    """A model that is sure to a thirtieth of their distance: by the area of their box they would be none."""
    level, tilted = np.array([[10.0, 20], [70, 20]]), np.array([[10.0, 20], [70, 22]])
    sigma = np.full(2, 1.0)
    assert relative_sigma(level, sigma) == pytest.approx(1 / 30) == relative_sigma(tilted, sigma)
    assert face_score(level, sigma) == pytest.approx(1 / (1 + (1 / 30 / EVEN) ** 4))
    face = np.array([[0.0, 0], [100, 100]])
    assert relative_sigma(face, np.full(2, 5.0)) == pytest.approx(0.05) and face_score(
        face, 5 * sigma
    ) == pytest.approx(0.5)
