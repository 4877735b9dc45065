# SPDX-License-Identifier: Apache-2.0
"""98 points as 68 (docs/protocols.md), with weights that add up to one."""

import dataclasses

import numpy as np
import pytest

from barrel_jax.faces.landmarks import W300_68, WFLW_98, Normaliser
from barrel_jax.faces.normalisers import normalised_by
from barrel_jax.faces.wflw_to_300w import WEIGHTS, comparable, map_points, map_truth, mapping
from tests.kit.toy import SCHEME, SHAPE, make_truth


def some_points(count=4):
    return np.random.default_rng(0).normal(100, 40, (count, 98, 2))


def test_weights_add_up_to_one():
    np.testing.assert_allclose(WEIGHTS.sum(axis=2), 1, atol=1e-15)
    assert (WEIGHTS >= 0).all()
    # 96 and 97, the pupils, are not used, nor are jaw points between those of 300W.
    assert np.flatnonzero(~WEIGHTS.any(axis=(0, 1))).tolist() == [*range(1, 32, 2), 96, 97]


def test_points_as_the_protocol_has_them():
    points = some_points()
    mapped = map_points(points)
    for point, source in ((0, 0), (1, 2), (8, 16), (16, 32), (17, 33), (26, 46), (27, 51), (30, 54), (35, 59), (36, 60),
                          (39, 64), (42, 68), (45, 72), (48, 76), (60, 88), (67, 95)):  # fmt: skip
        np.testing.assert_array_equal(mapped[:, point], points[:, source])
    for point, near, far in ((37, 61, 62), (38, 63, 62), (40, 65, 66), (41, 67, 66), (43, 69, 70), (44, 71, 70),
                             (46, 73, 74), (47, 75, 74)):  # fmt: skip
        np.testing.assert_allclose(mapped[:, point], (2 * points[:, near] + points[:, far]) / 3, rtol=1e-14)
    for point, upper, lower in ((18, 34, 41), (21, 37, 38), (22, 42, 50), (25, 45, 47)):
        np.testing.assert_array_equal(mapped[:, point, 0], points[:, upper, 0])
        np.testing.assert_allclose(mapped[:, point, 1], (points[:, upper, 1] + points[:, lower, 1]) / 2, rtol=1e-14)


def test_mapping_a_mirrored_face_is_mirroring_the_mapped_face():
    """Any face, symmetric or not: points swapped by each scheme's permutation, x to 256 - 1 - x."""

    def mirrored(points, scheme):
        return points[:, list(scheme.flip)] * [-1, 1] + [255, 0]

    points = some_points(100)
    np.testing.assert_allclose(
        map_points(mirrored(points, WFLW_98)), mirrored(map_points(points), W300_68), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(WEIGHTS[:, list(W300_68.flip)][:, :, list(WFLW_98.flip)], WEIGHTS)


def test_mapping_commutes_with_moving_and_scaling():
    points = some_points()
    np.testing.assert_allclose(map_points(3 * points + [7, -2]), 3 * map_points(points) + [7, -2], rtol=1e-12)
    assert map_points(points.astype(np.float32)).dtype == np.float32


def test_truth_is_mapped_with_its_labels():
    faces = make_truth(WFLW_98, some_points(2))
    faces.visible[0, 62] = 0  # in the mean of 37 and of 38
    faces.points_px[0, 62] = np.nan
    faces.visible[1, 41] = 1  # below 18
    faces.points_px[1, 1] = np.nan  # in no point
    mapped = map_truth(dataclasses.replace(faces, scheme=normalised_by(WFLW_98, Normaliser.parse("box"))))
    assert mapped.scheme == W300_68 and mapped.points_px.shape == (2, 68, 2) and mapped.points_px.dtype == np.float32
    assert np.flatnonzero(~mapped.labelled[0]).tolist() == [37, 38] and mapped.labelled[1].all()
    assert np.isnan(mapped.points_px[0, [37, 38]]).all()
    assert np.flatnonzero(mapped.visible[1] == 1).tolist() == [18] and mapped.visible.dtype == np.uint8
    np.testing.assert_array_equal(mapped.points_px[1], map_points(np.nan_to_num(faces.points_px[1])))
    assert (mapped.files, mapped.fingerprint) == (faces.files, faces.fingerprint)


def test_what_can_be_compared():
    wide, narrow, own = (
        make_truth(WFLW_98, some_points()),
        make_truth(W300_68, some_points()[:, :68]),
        make_truth(SCHEME, SHAPE[None]),
    )
    assert comparable(wide.points_px, wide)[1:] == (wide, "")
    points, faces, mapped = comparable(some_points(), narrow)
    assert faces is narrow and mapped == "wflw-98 predictions mapped to 300w-68"
    np.testing.assert_array_equal(points, map_points(some_points()))
    points, faces, mapped = comparable(narrow.points_px, wide)
    assert points is narrow.points_px and faces.scheme == W300_68 and mapped == "wflw-98 truth mapped to 300w-68"
    for points, truth, scheme in ((98, own, ""), (68, own, ""), (29, wide, ""), (98, narrow, "custom-98"),
                                  (68, wide, "custom-68")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"^{points} points a face.*toy test has {truth.scheme.num_points} "):
            mapping(points, truth, scheme)
