# SPDX-License-Identifier: Apache-2.0
"""Flip permutations against docs/protocols.md, "Left and right", and schemes found from data."""

import dataclasses
import json

import numpy as np
import pytest

from barrel_jax.faces.landmarks import (
    COFW_29,
    PUPILS,
    REGIONS,
    SCHEMES,
    W300_68,
    WFLW_98,
    Normaliser,
    is_involution,
    make_scheme,
)
from barrel_jax.faces.symmetry import find_scheme, mean_shape
from tests.kit.shared import SHARED, needs_shared

FACES68 = SHARED / "faces68"

# Eyes, nose and the corners of a broad mouth.
FIVE = np.array([[-1, -1], [1, -1], [0, 0.2], [-1.4, 1], [1.4, 1]])

# docs/protocols.md: pairs, points that are their own mirror image, eye corners, and the sum of i^2 flip[i]
# over the permutation as printed there.
PINNED = {
    "wflw-98": (44, [16, 51, 52, 53, 54, 57, 79, 85, 90, 94], (60, 72), 22239501),
    "300w-68": (29, [8, 27, 28, 29, 30, 33, 51, 57, 62, 66], (36, 45), 5137091),
    "cofw-29": (11, [20, 21, 24, 25, 26, 27, 28], (8, 9), 164373),
}


@pytest.mark.parametrize("name", PINNED)
def test_known_permutations_are_the_protocols(name):
    scheme, (pairs, midline, corners, checksum) = SCHEMES[name], PINNED[name]
    assert is_involution(scheme.flip, scheme.num_points)
    assert sum(i < j for i, j in enumerate(scheme.flip)) == pairs
    assert [i for i, j in enumerate(scheme.flip) if i == j] == midline
    assert sum(i * i * j for i, j in enumerate(scheme.flip)) == checksum
    assert scheme.normaliser.points == corners
    assert scheme.flip[corners[0]] == corners[1]
    assert scheme.normaliser.name == "outer_eye_corners"


def test_some_pairs_that_everybody_knows():
    assert (WFLW_98.flip[0], WFLW_98.flip[33], WFLW_98.flip[38], WFLW_98.flip[96]) == (32, 46, 50, 97)
    assert (W300_68.flip[0], W300_68.flip[36], W300_68.flip[41], W300_68.flip[48]) == (16, 45, 46, 54)
    assert (COFW_29.flip[4], COFW_29.flip[5], COFW_29.flip[12], COFW_29.flip[22]) == (6, 7, 14, 23)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_contours_mirror_into_contours(scheme):
    lines = {frozenset(line) for line in scheme.contours}
    assert {frozenset(scheme.flip[point] for point in line) for line in scheme.contours} == lines
    assert all(0 <= point < scheme.num_points for line in scheme.contours for point in line)


def test_brows_eyes_and_lips_are_closed_lines_and_no_point_is_in_two():
    closed = {scheme.name: sum(line[0] == line[-1] for line in scheme.contours) for scheme in SCHEMES.values()}
    assert closed == {"wflw-98": 6, "300w-68": 4, "cofw-29": 6}  # 300W's brows are open lines
    for scheme in (WFLW_98, W300_68):
        drawn = [point for line in scheme.contours for point in set(line)]
        pupils = REGIONS[scheme.name].get("pupils", ())
        assert sorted([*drawn, *pupils]) == list(range(scheme.num_points))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_point_is_in_one_facial_region(scheme):
    regions = REGIONS[scheme.name]
    assert sorted(point for points in regions.values() for point in points) == list(range(scheme.num_points))
    for name, points in regions.items():  # a region and its mirror image are the same one
        assert {scheme.flip[point] for point in points} == set(points), name
    left, right = PUPILS[scheme.name]
    assert {scheme.flip[point] for point in left} == set(right)
    assert set(left) | set(right) <= set(regions["pupils" if "pupils" in regions else "eyes"])
    assert set(scheme.normaliser.points) <= set(regions["eyes"])


def test_is_involution():
    assert is_involution((1, 0, 2), 3)
    assert not is_involution((1, 2, 0), 3)
    assert not is_involution((1, 0), 3)
    assert not is_involution((0, 0, 2), 3)


def mirrored_faces(flip, seed=0, n=30, missing=0.3, noise=0.05):
    """Faces of a random mirror-symmetric shape that obeys `flip`: moved, scaled, rolled, noisy, with points missing."""
    rng = np.random.default_rng(seed)
    shape = np.zeros((len(flip), 2))
    for i, j in enumerate(flip):
        if i <= j:
            # One point on each level of the vertical, so that no two midline points trade places under noise.
            x, y = rng.uniform(0.3, 1.0), (2.0 * i + 1) / len(flip) - 1
            shape[i], shape[j] = (x, y) if i != j else (0, y), (-x, y) if i != j else (0, y)
    roll = rng.normal(0, 0.2, (n, 1))
    x, y = shape[:, 0], shape[:, 1]
    turned = np.stack([x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)], axis=-1)
    points = turned * rng.uniform(20, 200, (n, 1, 1)) + rng.uniform(0, 500, (n, 1, 2))
    points += rng.normal(0, noise, points.shape)
    visible = np.where(rng.random((n, len(flip))) < missing, 0, 2)
    visible[0] = 2
    points[visible == 0] = np.nan
    return points, visible


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("seed", range(3))
def test_known_scheme_is_recognised(scheme, seed):
    found, sentence = find_scheme(*mirrored_faces(scheme.flip, seed))
    assert found is scheme
    assert f"{PINNED[scheme.name][0]} left/right pairs" in sentence
    assert scheme.name in sentence
    assert "{} and {}".format(*scheme.normaliser.points) in sentence


def test_no_pairing_is_searched_for_where_every_point_is_nearest_to_its_partner(monkeypatch):
    points, visible = mirrored_faces(W300_68.flip, 0)
    with monkeypatch.context() as patch:
        patch.setattr("barrel_jax.faces.symmetry._pairs_the_nearest", lambda shape, flip: False)
        searched = find_scheme(points, visible)
    monkeypatch.setattr("barrel_jax.faces.symmetry.best_flip", None)
    assert find_scheme(points, visible) == searched
    order = np.arange(68)
    order[[36, 39]] = order[[39, 36]]  # the corners of one eye, exchanged
    with pytest.raises(TypeError):
        find_scheme(points[:, order], visible[:, order])


@pytest.mark.parametrize("num_points", [2, 3, 5, 21, 29, 68, 98, 194])
def test_unknown_permutation_is_found(num_points):
    rng = np.random.default_rng(num_points)
    order = rng.permutation(num_points)
    flip = np.arange(num_points)
    for i, j in order[: 2 * (num_points * 2 // 5)].reshape(-1, 2):
        flip[i], flip[j] = j, i
    found, sentence = find_scheme(*mirrored_faces(flip, num_points))
    assert found.flip == tuple(flip)
    assert found.name == f"custom-{num_points}"
    assert f"{(flip != np.arange(num_points)).sum() // 2} left/right pairs" in sentence
    first, second = found.normaliser.points
    assert first != second
    assert str(found.normaliser) == f"points_{first}_{second}"


def test_five_points_normalise_by_the_eyes_though_the_mouth_is_wider():
    found, sentence = find_scheme(FIVE[None] * 30 + 80, np.full((1, 5), 2))
    assert found.flip == (1, 0, 2, 4, 3)
    assert found.normaliser == Normaliser(points=(0, 1))
    assert "1 midline points [2]" in sentence


def test_the_widest_of_two_pairs_above_the_middle_normalises():
    inner_corners = np.array([[-0.4, -1], [0.4, -1]])
    found, _ = find_scheme(np.concatenate([inner_corners, FIVE])[None] * 30 + 80, np.full((1, 7), 1))
    assert (found.flip, found.normaliser.points) == ((1, 0, 3, 2, 4, 6, 5), (2, 3))  # of points that are all occluded


def test_the_mean_shape_of_copies_is_the_shape_though_points_are_missing():
    z = FIVE[:, 0] + 1j * FIVE[:, 1]
    z = (z - z.mean()) / np.sqrt((np.abs(z - z.mean()) ** 2).mean())
    turns, sizes = np.array([[0.4], [-0.2], [0.1], [0.0]]), np.array([[60], [20], [90], [40]])
    faces = sizes * np.exp(1j * turns) * z + (300 + 80j)
    points, labelled = np.stack([faces.real, faces.imag], axis=-1), np.ones((4, 5), bool)
    labelled[[0, 1], [3, 0]] = False
    points[~labelled] = np.nan
    shape = mean_shape(points, labelled)
    turn = np.vdot(z, shape[:, 0] + 1j * shape[:, 1]) / 5
    assert abs(turn) == pytest.approx(1, abs=1e-3) and abs(np.angle(turn)) < 0.4
    np.testing.assert_allclose(shape[:, 0] + 1j * shape[:, 1], turn * z, atol=1e-3)


def test_two_eyes_and_two_midline_points():
    eyes = np.array([[[10.0, 20.0], [50.0, 20.0]]])
    assert find_scheme(eyes, np.full((1, 2), 2))[0].flip == (1, 0)
    nose_and_chin = eyes[..., ::-1]
    found, _ = find_scheme(nose_and_chin, np.full((1, 2), 2))
    assert (found.flip, found.normaliser.points) == ((0, 1), (0, 1))


def test_one_point_has_no_normaliser():
    found, sentence = find_scheme(np.array([[[3.0, 4.0]], [[5.0, 6.0]]]), np.full((2, 1), 2))
    assert (found.flip, found.normaliser) == ((0,), Normaliser())
    assert "no distance" in sentence
    assert make_scheme(1, (), (), found) is found


def test_point_that_is_never_labelled_is_named():
    points, visible = mirrored_faces(W300_68.flip)
    visible[:, 7] = 0
    points[:, 11] = np.nan
    with pytest.raises(ValueError, match=r"points \[7, 11\] are labelled in no face"):
        find_scheme(points, visible)


def test_points_without_a_mirror_image_are_named_with_the_remedy():
    lopsided = np.array([[-1, -1], [1, -1], [0, 0], [2.5, 2.0], [0.2, 3.0], [3.0, -0.5]])
    with pytest.raises(ValueError, match=r"points \[0, 1, 2, 5\] have no unique .* partner .* config.data.flip_pairs"):
        find_scheme(lopsided[None] * 30, np.full((1, 6), 2))


def test_another_order_of_68_points_is_not_taken_for_300w():
    order = np.random.default_rng(4).permutation(68)
    points, visible = mirrored_faces(W300_68.flip)
    found, _ = find_scheme(points[:, order], visible[:, order])
    assert found.name == "custom-68"
    assert found.flip == tuple(np.argsort(order)[np.array(W300_68.flip)[order]])


def test_one_exchanged_pair_of_points_is_not_taken_for_300w():
    order = np.arange(68)
    order[[31, 48]] = 48, 31  # the left nose wing and the left mouth corner
    points, visible = mirrored_faces(W300_68.flip, noise=2.0)
    found, _ = find_scheme(points[:, order], visible[:, order])
    assert (found.name, found.flip[48], found.flip[31]) == ("custom-68", 35, 54)


def test_config_overrides_what_was_found():
    assert make_scheme(68, (), (), W300_68) is W300_68
    same = make_scheme(68, [(i, j) for i, j in enumerate(W300_68.flip) if i < j], (36, 45), W300_68)
    assert same is W300_68
    inner = make_scheme(68, (), (39, 42), W300_68)
    assert (inner.name, inner.flip, inner.normaliser.points) == ("300w-68", W300_68.flip, (39, 42))
    assert str(inner.normaliser) == "points_39_42"
    assert inner.contours == W300_68.contours
    other = make_scheme(5, ((0, 4), (3, 1)), (0, 4), scheme_of_five())
    assert (other.flip, other.contours) == ((4, 3, 2, 1, 0), ())
    mirrored_otherwise = make_scheme(68, ((0, 16),), (), W300_68)
    assert (mirrored_otherwise.name, mirrored_otherwise.contours) == ("custom-68", ())
    assert str(mirrored_otherwise.normaliser) == "outer_eye_corners"


def scheme_of_five():
    return find_scheme(FIVE[None], np.full((1, 5), 2))[0]


@pytest.mark.parametrize(
    ("pairs", "normaliser", "message"),
    [
        (((0, 1), (1, 2)), (), "in two pairs"),
        (((0, 5),), (), "between 0 and 4"),
        (((2, 2),), (), "two different points"),
        (((0, -1),), (), "between 0 and 4"),
        ((), (0, 0), "config.data.normaliser"),
        ((), (0, 5), "config.data.normaliser"),
        ((), (0, 1, 2), "config.data.normaliser"),
    ],
)
def test_overrides_that_make_no_sense(pairs, normaliser, message):
    with pytest.raises(ValueError, match=message):
        make_scheme(5, pairs, normaliser, scheme_of_five())


def test_what_was_not_found_must_be_given():
    unknown = dataclasses.replace(scheme_of_five(), flip=(), normaliser=Normaliser())
    with pytest.raises(ValueError, match=r"config\.data\.flip_pairs"):
        make_scheme(5, (), (), unknown)
    with pytest.raises(ValueError, match=r"config\.data\.normaliser"):
        make_scheme(5, ((0, 1),), (), unknown)
    assert make_scheme(5, ((0, 1),), (0, 1), unknown).flip == (1, 0, 2, 3, 4)
    with pytest.raises(ValueError, match="68 points"):
        make_scheme(5, (), (), W300_68)
    with pytest.raises(ValueError, match="no involution"):
        make_scheme(5, (), (), dataclasses.replace(scheme_of_five(), flip=(1, 2, 0, 3, 4)))


@needs_shared
@pytest.mark.parametrize("count", [1, 20, 421])
def test_real_faces_are_recognised(count):
    annotations = json.loads((FACES68 / "val.json").read_text())["annotations"][:count]
    keypoints = np.array([annotation["keypoints"] for annotation in annotations], float).reshape(count, 68, 3)
    found, _ = find_scheme(keypoints[..., :2], keypoints[..., 2])
    assert found is W300_68
    # Shuffled, they are found by the mirror image alone.
    order = np.random.default_rng(count).permutation(68)
    found, _ = find_scheme(keypoints[:, order, :2], keypoints[:, order, 2])
    if count == 421:
        assert found.flip == tuple(np.argsort(order)[np.array(W300_68.flip)[order]])
    assert found.name == "custom-68"
