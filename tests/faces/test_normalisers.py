# SPDX-License-Identifier: Apache-2.0
"""Normalising distances by hand, and what cannot be had is refused by name."""

import numpy as np
import pytest

from barrel_jax.faces.landmarks import COFW_29, SCHEMES, W300_68, WFLW_98, LandmarkScheme, Normaliser, make_scheme
from barrel_jax.faces.normalisers import distances, normalised_by, normaliser_points, normaliser_words
from tests.kit.toy import SCHEME, SHAPE

ALL = np.ones((1, 3), bool)


def some_face(scheme):
    return np.random.default_rng(0).normal(0, 50, (1, scheme.num_points, 2)), np.ones((1, scheme.num_points), bool)


def test_distances_by_hand():
    shape = SHAPE[None]  # (10, 10), (30, 10), (20, 30)
    assert distances(SCHEME, shape, ALL) == [20]
    assert distances(normalised_by(SCHEME, Normaliser.parse("points_0_2")), shape, ALL) == [pytest.approx(np.sqrt(500))]
    assert distances(normalised_by(SCHEME, Normaliser.parse("box")), shape, ALL) == [20]
    flat = np.array([[[0, 0], [8, 0], [4, 2]]], float)
    assert distances(normalised_by(SCHEME, Normaliser.parse("box")), flat, ALL) == [4]  # the root of 8 x 2


@pytest.mark.parametrize(("scheme", "left", "right"), [(WFLW_98, 96, 97), (COFW_29, 16, 17)])
def test_annotated_pupils(scheme, left, right):
    truth, labelled = some_face(scheme)
    expected = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1)
    found = distances(normalised_by(scheme, Normaliser.parse("pupils")), truth, labelled)
    assert found == pytest.approx(expected, rel=1e-14)  # in double precision
    labelled[0, left] = False
    assert np.isnan(distances(normalised_by(scheme, Normaliser.parse("pupils")), truth, labelled)).all()


def test_pupils_of_68_points_are_the_means_of_the_eyes():
    truth, labelled = some_face(W300_68)
    expected = np.linalg.norm(truth[:, 36:42].mean(1) - truth[:, 42:48].mean(1), axis=-1)
    assert distances(normalised_by(W300_68, Normaliser.parse("pupils")), truth, labelled) == pytest.approx(expected)
    labelled[0, 40] = False
    assert np.isnan(distances(normalised_by(W300_68, Normaliser.parse("pupils")), truth, labelled)).all()


def test_the_box_is_that_of_the_labelled_points():
    truth = np.repeat(SHAPE[None], 3, 0)
    labelled = np.array([[True, True, False], [False, False, False], [False, False, True]])
    truth[0, 2] = np.nan
    got = distances(normalised_by(SCHEME, Normaliser.parse("box")), truth, labelled)
    np.testing.assert_array_equal(got, [0, np.nan, 0])  # a line, nothing, a point


def test_points_that_are_not_labelled_or_coincide():
    truth = np.repeat(SHAPE[None], 2, 0)
    truth[1, 1] = truth[1, 0]
    np.testing.assert_array_equal(distances(SCHEME, truth, np.array([[True, False, True], [True] * 3])), [np.nan, 0])


def test_names():
    assert [str(Normaliser.parse(name)) for name in ("outer_eye_corners", "pupils", "box")] == [
        "outer_eye_corners",
        "pupils",
        "box",
    ]
    assert str(Normaliser.parse("36,45")) == str(Normaliser.parse("points_36_45")) == "points_36_45"
    for wrong in ("eyes", "36", "36,45,3", "a,b", "-1,2", ""):
        with pytest.raises(ValueError, match="neither of outer_eye_corners, pupils, box nor two points"):
            Normaliser.parse(wrong)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_the_corners_given_as_points_are_the_corners(scheme):
    first, second = scheme.normaliser.points
    assert normalised_by(scheme, Normaliser.parse(f"points_{first}_{second}")) == scheme
    assert (
        normalised_by(normalised_by(scheme, Normaliser.parse("box")), Normaliser.parse("outer_eye_corners")) == scheme
    )


def test_corners_of_a_known_name_stay_known_when_points_mirror_otherwise():
    own = make_scheme(68, ((0, 16),), (), W300_68)  # 'custom-68' by a config's pairs
    corners = Normaliser.parse("outer_eye_corners")
    assert normalised_by(own, corners) == own and normaliser_points(own) == [36, 45]


def test_what_the_landmarks_do_not_have_is_refused():
    for name in ("pupils", "outer_eye_corners"):
        with pytest.raises(ValueError, match=f"custom-3 have no known {name.replace('_', ' ')}: normalise by box"):
            normalised_by(SCHEME, Normaliser.parse(name))
    for name in ("points_0_3", "points_1_1"):
        with pytest.raises(ValueError, match=r"two different points between 0 and 2 \(custom-3\)"):
            normalised_by(SCHEME, Normaliser.parse(name))
    alone = LandmarkScheme("custom-1", 1, (0,), Normaliser(), ())
    with pytest.raises(ValueError, match="custom-1 have no normaliser"):
        distances(alone, np.zeros((1, 1, 2)), np.ones((1, 1), bool))
    with pytest.raises(ValueError, match=r"must be \[n, 68, 2\]"):
        distances(W300_68, SHAPE[None], ALL)


def test_in_words_and_as_points():
    def said(scheme, name):
        chosen = normalised_by(scheme, Normaliser.parse(name))
        return normaliser_words(chosen), normaliser_points(chosen)

    assert said(W300_68, "outer_eye_corners") == ("the distance of the outer eye corners (points 36 and 45)", [36, 45])
    assert said(COFW_29, "pupils") == ("the distance of the pupils (points 16 and 17)", [16, 17])
    words, points = said(W300_68, "pupils")
    assert words == "the distance of the pupils (means of points 36..41 and 42..47)"
    assert points == [[36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47]]
    assert said(SCHEME, "points_0_2") == ("the distance of points 0 and 2", [0, 2])
    assert said(SCHEME, "box")[1] == [] and "box" in said(SCHEME, "box")[0]
