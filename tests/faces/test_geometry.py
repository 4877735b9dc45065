# SPDX-License-Identifier: Apache-2.0
"""Frames of points: the definition, and maps there and back."""

import numpy as np
import pytest

from barrel_jax.faces.geometry import px_to_unit, unit_to_px

pytestmark = pytest.mark.quick


def test_the_whole_image_as_a_window_agrees_with_the_definition():
    # Pixel j of S lies at (j + 0.5) / S.
    windows = np.array([[0.0, 0.0, 4.0, 8.0]])
    points = np.array([[[0.0, 0.0], [3.0, 7.0], [1.5, 3.5]]])
    np.testing.assert_allclose(px_to_unit(points, windows), [[[0.125, 0.0625], [0.875, 0.9375], [0.5, 0.5]]])


def test_there_and_back():
    rng = np.random.default_rng(0)
    windows = np.concatenate([rng.uniform(-50, 50, (5, 2)), rng.uniform(10, 300, (5, 2))], axis=1)
    points = rng.uniform(-100, 400, (5, 7, 2))
    np.testing.assert_allclose(unit_to_px(px_to_unit(points, windows), windows), points, atol=1e-10)
