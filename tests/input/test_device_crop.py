# SPDX-License-Identifier: Apache-2.0
"""The crop at inference: the device samples what the host cuts."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.input.crops import cut
from barrel_jax.input.device_crop import crop_regions, largest_region, region_side, take_region

pytestmark = pytest.mark.quick

# Around a picture of 200x170: enlarged, shrunk, both, over the border on two sides, wholly around it, thin.
WINDOWS = [
    [20.3, 11.7, 40.2, 50.1], [5.5, 7.2, 180.3, 150.9], [80, 60, 100, 40.7], [-10.5, 130.2, 64, 64],
    [-30, -20, 260, 190], [50.4, 3.3, 9.1, 160],
]  # fmt: skip


def picture(width, height, blur=2.0):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX)


def sampled(region, window, size, padded):
    side = region_side(region)
    regions = np.zeros((1, side, side, 3), np.uint8)
    height, width = region.shape[:2]
    regions[0, :height, :width] = region
    extents, windows = jnp.array([[width, height]], jnp.float32), jnp.array([window], jnp.float32)
    return np.asarray(crop_regions(regions, extents, windows, size, padded))[0]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_device_samples_as_the_host_cuts(window, padded):
    image, window = picture(200, 170), np.array(window, np.float64)
    expected = cut(image, (0, 0, 200, 170), window, 64, padded)
    crop = sampled(image, window, 64, padded)
    # `cut` rounds to grey levels once or twice, and bilinear shares to 1/32.
    assert np.abs(crop - expected).mean() < 0.5 and np.abs(crop - expected).max() < 5


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_region_has_all_that_its_window_reads(window, padded):
    # A plane has no fine detail that the place of the shrunk pixels could change, but shows every shift.
    y, x = np.mgrid[:170, :200]
    image, window = np.stack([x, y, (x + y) // 2], -1).astype(np.uint8), np.array(window, np.float64)
    region, inside = take_region(image, window, 32)
    crop, whole = sampled(region, inside, 32, padded), sampled(image, window, 32, padded)
    # Where the black begins, the shrunk pixel at the border may be another one.
    assert np.abs(crop - whole).mean() < (1.5 if padded else 0.3)
    if not padded:
        assert np.abs(crop - whole).max() < 3


def test_a_huge_window_is_shrunk_on_the_host_and_stays_in_place():
    y, x = np.mgrid[:1500, :1100]
    image = np.stack([x / 1100 * 255, y / 1500 * 255, 0 * x], -1).astype(np.uint8)
    window = np.array([30.0, 90.0, 1000.0, 1300.0])
    region, inside = take_region(image, window, 32)
    assert max(region.shape) <= largest_region(32) == 256
    crop = sampled(region, inside, 32, False)
    centres = (np.arange(32) + 0.5) / 32
    # -0.5: the centre of a pixel is half a pixel before its number in edge coordinates; -0.5 for cut-off grey levels.
    np.testing.assert_allclose(crop[16, :, 0], (30 + 1000 * centres - 0.5) / 1100 * 255 - 0.5, atol=0.6)
    np.testing.assert_allclose(crop[:, 16, 1], (90 + 1300 * centres - 0.5) / 1500 * 255 - 0.5, atol=0.6)


def test_regions_are_padded_to_few_sizes():
    assert [largest_region(size) for size in (32, 64, 80, 128, 256)] == [256, 256, 512, 512, 1024]
    sides = [region_side(np.zeros((shape, 3, 3), np.uint8)) for shape in (1, 256, 257, 513)]
    assert sides == [256, 256, 512, 1024]


def test_a_single_pixel_fills_a_crop_or_lies_on_black():
    image = np.full((1, 1, 3), 77, np.uint8)
    region, inside = take_region(image, np.array([0, 0, 1.0, 1]), 16)
    np.testing.assert_allclose(sampled(region, inside, 16, False), 77, atol=1e-3)
    region, inside = take_region(image, np.array([-2, -2, 5.0, 5]), 5)
    crop = sampled(region, inside, 5, True)
    assert crop[2, 2] == pytest.approx(77) and crop.sum() == pytest.approx(3 * 77)


def test_the_weights_of_a_crop_are_applied_in_full_whatever_the_precision_of_products():
    given = (np.zeros((1, 256, 256, 3), np.uint8), np.ones((1, 2), np.float32), np.ones((1, 4), np.float32))
    with jax.default_matmul_precision("bfloat16"):
        program = jax.jit(lambda *arrays: crop_regions(*arrays, 64, True)).lower(*given).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) == 2 and all("precision = [HIGHEST, HIGHEST]" in line for line in products)
