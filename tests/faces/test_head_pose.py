# SPDX-License-Identifier: Apache-2.0
"""Turns of heads, by hand."""

import numpy as np
import pytest

from barrel_jax.faces.head_pose import NOSE_TIP, fifths, turned
from barrel_jax.faces.landmarks import COFW_29, SCHEMES, W300_68, WFLW_98
from tests.kit.toy import SCHEME, make_crops


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_turns_by_hand(scheme):
    eyes, nose = list(scheme.normaliser.points), NOSE_TIP[scheme.name]
    points = np.full((5, scheme.num_points, 2), 3.0)
    points[:, eyes] = [[10, 10], [30, 10]]
    points[:, nose] = [[20, 25], [15, 25], [30, 40], [35, 0], [20, 25]]
    labelled = np.ones((5, scheme.num_points), bool)
    labelled[4, nose] = False
    expected = [0, 0.5, 1, 1.5, np.nan]
    np.testing.assert_allclose(turned(scheme, points, labelled), expected, atol=1e-12)
    # Tilted in the image's plane and twice as large.
    tilt = 2 * np.array([[np.cos(0.6), np.sin(0.6)], [-np.sin(0.6), np.cos(0.6)]])
    np.testing.assert_allclose(turned(scheme, points @ tilt, labelled), expected, atol=1e-12)
    points[0, eyes] = 10
    assert np.isnan(turned(scheme, points, labelled)[0])
    assert scheme.flip[nose] == nose


def test_noses_are_where_the_schemes_say_and_unknown_ones_are_not_guessed():
    assert (NOSE_TIP[W300_68.name], NOSE_TIP[WFLW_98.name], NOSE_TIP[COFW_29.name]) == (30, 54, 20)
    crops = make_crops(3)
    assert turned(SCHEME, crops.points_px, crops.labelled) is None


def test_fifths_by_hand():
    groups = fifths(np.array([0.5, 0.1, np.nan, 0.3, 0.2, 0.4, 0.05]))
    assert [group.tolist() for group in groups] == [[6, 1], [4], [3], [5], [0]]
