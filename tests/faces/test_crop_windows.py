# SPDX-License-Identifier: Apache-2.0
"""The windows of docs/protocols.md, "Crops", by hand."""

import numpy as np
import pytest

from barrel_jax.faces.crop_windows import PROTOCOLS, crop_window, protocol_of

POINTS = np.array([[30.0, 30.0], [60.0, 50.0]])


def window(name, dataset, box, points=POINTS, size=(100, 80)):
    labelled = np.isfinite(points).all(axis=-1)
    return crop_window(protocol_of(name, dataset), np.array(box, float), points, labelled, np.array(size))


def test_pipnet_grows_the_given_box_by_a_fifth():
    # A 40 x 20 box about its centre (50, 40).
    np.testing.assert_allclose(window("pipnet", "wflw", (30, 30, 40, 20)), [26, 28, 48, 24])
    np.testing.assert_allclose(window("pipnet", "coco", (30, 30, 40, 20)), [26, 28, 48, 24])


def test_pipnet_takes_the_landmarks_of_300w_and_cofws_box_as_it_is():
    # Points span 30 x 20 pixels from (30.5, 30.5) in edge coordinates: 1.1 adds 1.5 and 1 a side.
    for dataset in ("w300", "cofw68"):
        np.testing.assert_allclose(window("pipnet", dataset, (0, 0, 5, 5)), [29, 29.5, 33, 22])
    np.testing.assert_allclose(window("pipnet", "cofw", (30, 30, 40, 20)), [30, 30, 40, 20])


def test_pipnet_is_clipped_to_the_image():
    np.testing.assert_allclose(window("pipnet", "wflw", (0, 60, 40, 20)), [0, 58, 44, 22])
    np.testing.assert_allclose(window("pipnet_cross", "wflw", (0, 60, 40, 20)), [0, 62, 44, 18])


def test_pipnet_cross_takes_more_and_lowers_wflws_top():
    np.testing.assert_allclose(window("pipnet_cross", "w300", (0, 0, 5, 5)), [26, 27.5, 39, 26])
    np.testing.assert_allclose(window("pipnet_cross", "cofw68", (30, 30, 40, 20)), [24, 27, 52, 26])
    np.testing.assert_allclose(window("pipnet_cross", "wflw", (30, 30, 40, 20)), [26, 32, 48, 20])


def test_hrnet_is_a_padded_square_about_the_landmarks_whatever_the_box():
    # The points' box is centred on (45.5, 40.5); 1.25 * 30 = 37.5.
    expected = [45.5 - 18.75, 40.5 - 18.75, 37.5, 37.5]
    np.testing.assert_allclose(window("hrnet", "wflw", (0, 0, 5, 5)), expected)
    moved = window("hrnet", "wflw", (0, 0, 5, 5), POINTS - 30)
    np.testing.assert_allclose(moved, np.array(expected) - [30, 30, 0, 0])
    assert moved[0] < 0


def test_points_without_label_do_not_count_and_a_single_one_is_a_pixel_wide():
    some = np.concatenate([POINTS, [[np.nan, np.nan]]])
    np.testing.assert_allclose(window("pipnet", "w300", (0, 0, 5, 5), some), [29, 29.5, 33, 22])
    # From (30.5, 30.5) to (31.5, 31.5), grown to 1.25 about its centre.
    np.testing.assert_allclose(window("hrnet", "wflw", (0, 0, 5, 5), POINTS[:1]), [30.375, 30.375, 1.25, 1.25])


def test_a_face_without_points_is_cropped_around_its_box():
    np.testing.assert_allclose(window("hrnet", "wflw", (30, 30, 40, 20), POINTS * np.nan), [25, 15, 50, 50])


def test_a_box_outside_the_image_still_gets_a_pixel():
    np.testing.assert_allclose(window("pipnet", "wflw", (300, 300, 40, 20)), [99, 79, 1, 1])


def test_an_unknown_protocol_is_named():
    with pytest.raises(ValueError, match=r"config\.data\.crop='pipnett' is none of pipnet, pipnet_cross, hrnet"):
        protocol_of("pipnett", "wflw")
    assert all("others" in rules for rules in PROTOCOLS.values())
