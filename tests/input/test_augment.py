# SPDX-License-Identifier: Apache-2.0
"""The augmentation: points stay on their pixels, and every operation is what OpenCV or a calculation by hand gives."""

import math
from dataclasses import replace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from barrel_jax.config import AugmentConfig
from barrel_jax.faces.landmarks import W300_68
from barrel_jax.input.augment import Draw, augment, draw, transform_image, transform_points

pytestmark = pytest.mark.quick

SIZE = 96
FLIP = jnp.array([1, 0, 2])
NOTHING = Draw(
    shift=jnp.zeros(2),
    patch=jnp.zeros(4),
    colour=jnp.zeros(3),
    flip=jnp.array(False),
    angle=jnp.array(0.0),
    zoom=jnp.array(1.0),
    sigma=jnp.array(0.0),
    grey=jnp.array(False),
)
CERTAIN = {"translate_prob": 1.0, "rotate_prob": 1.0, "scale_prob": 1.0, "scale": 0.2}
GEOMETRY = replace(AugmentConfig(), occlude_prob=0.0, blur_prob=0.0, grey_prob=0.0, **CERTAIN)
BOXES = replace(GEOMETRY, box_prob=1.0, translate_prob=0.0, rotate=10.0)
image_of, points_of = jax.jit(transform_image, static_argnums=2), jax.jit(transform_points)


def draws_of(keys, config):
    """The draws of many keys, as NumPy arrays [n, ...]."""
    return jax.device_get(jax.jit(jax.vmap(lambda key: draw(key, config)))(keys))


def dots(points):
    """A dot at each of the points [K, 2] in crop units, one colour channel each, drawn below pixel precision."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    for channel, (x, y) in enumerate(points):
        plane = np.zeros((SIZE, SIZE), np.uint8)
        px = np.round((np.array([x, y]) * SIZE - 0.5) * 256).astype(int)
        cv2.circle(plane, px.tolist(), 2 * 256, 255, -1, cv2.LINE_AA, 8)
        image[..., channel] = plane
    return image


def centre_of(plane):
    """Centre of brightness in crop units."""
    weight = np.asarray(plane, np.float64)
    y, x = np.mgrid[:SIZE, :SIZE]
    return (np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum() + 0.5) / SIZE


@pytest.mark.parametrize("config", [GEOMETRY, BOXES], ids=["geometry", "boxes"])
@pytest.mark.parametrize("seed", range(12))
def test_points_and_pixels_stay_registered_to_half_a_pixel(seed, config):
    points = np.array([[0.40, 0.45], [0.60, 0.45], [0.52, 0.60]], np.float32)
    one = draw(jax.random.key(seed), config)
    image, moved = image_of(dots(points), one), points_of(points, FLIP, one)
    # After a flip, index k holds the mirrored dot of FLIP[k], which was drawn in that channel.
    channels = np.asarray(FLIP) if one.flip else np.arange(3)
    for k in range(3):
        distance = np.abs(centre_of(image[..., channels[k]]) - np.asarray(moved[k])) * SIZE
        assert distance.max() < 0.5


def test_the_draws_of_the_test_above_do_move_the_points():
    points = jnp.full((3, 2), 0.4)
    moved = [np.abs(points_of(points, FLIP, draw(jax.random.key(s), GEOMETRY)) - points).max() for s in range(12)]
    assert min(moved) > 2 / SIZE


def test_nothing_drawn_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    np.testing.assert_allclose(image_of(image, NOTHING), image / 255.0, atol=2e-5)


def test_flipping_mirrors_the_pixels_and_twice_is_nothing():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    points = np.random.default_rng(1).random((68, 2), np.float32)
    flip, once = jnp.array(W300_68.flip), NOTHING._replace(flip=jnp.array(True))
    np.testing.assert_allclose(image_of(image, once), image[:, ::-1] / 255.0, atol=2e-5)
    mirrored = points_of(points, flip, once)
    np.testing.assert_allclose(points_of(mirrored, flip, once), points, atol=1e-6)
    # Point 36 is the outer corner of the eye on the image's left, 45 that of the other (docs/protocols.md, "Metric").
    np.testing.assert_allclose(mirrored[36], [1 - points[45, 0], points[45, 1]], atol=1e-6)


def test_rotation_by_a_right_angle_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    quarter = NOTHING._replace(angle=jnp.array(math.pi / 2))
    # y points down, so a positive angle turns clockwise, as np.rot90 does with k = -1.
    np.testing.assert_allclose(image_of(image, quarter), np.rot90(image, -1) / 255.0, atol=1e-3)
    np.testing.assert_allclose(points_of(jnp.array([[0.9, 0.5]]), jnp.array([0]), quarter), [[0.5, 0.9]], atol=1e-6)


def test_beyond_the_edge_is_black_and_points_are_clamped_by_the_shift_only():
    shifted = NOTHING._replace(shift=jnp.array([0.25, 0.0]))
    image = image_of(np.full((SIZE, SIZE, 3), 200, np.uint8), shifted)
    assert float(image[:, : SIZE // 4].max()) < 1e-4 and float(image[:, SIZE // 4 :].min()) > 0.7
    np.testing.assert_allclose(points_of(jnp.array([[0.9, 0.5]]), jnp.array([0]), shifted), [[1.0, 0.5]], atol=1e-6)
    turned = NOTHING._replace(angle=jnp.array(math.pi / 4))
    assert float(points_of(jnp.array([[1.0, 1.0]]), jnp.array([0]), turned).max()) > 1.1


@pytest.mark.parametrize("config", [AugmentConfig(), replace(AugmentConfig(), box_prob=1.0)], ids=["paper", "boxes"])
def test_a_point_that_comes_back_into_view_is_where_it_is_seen(config):
    """The shift carries a dot over the edge, a turn or another box brings it back; see its label with it."""
    plain = replace(
        config, translate_prob=1.0, rotate_prob=1.0, flip_prob=0.0, occlude_prob=0.0, blur_prob=0.0, grey_prob=0.0
    )
    point, back = np.array([[0.95, 0.8]], np.float32), []
    draws = draws_of(jax.vmap(jax.random.key)(np.arange(300)), plain)
    labels = jax.jit(jax.vmap(transform_points, in_axes=(None, None, 0)))(point, np.array([0]), draws)
    labels = np.asarray(labels)[:, 0]
    carried = point[0, 0] + draws.shift[:, 0] > 1 + 2 / SIZE
    inside = (np.abs(labels - 0.5) < 0.5 - 4 / SIZE).all(-1)
    for index in np.flatnonzero(carried & inside):
        image = image_of(dots(np.repeat(point, 3, 0)), jax.tree.map(lambda leaf, index=index: leaf[index], draws))
        plane = np.asarray(image)[..., 0]
        if plane.sum() > 10:  # else it is out of view, and its label at the edge was brought back
            back.append(np.abs(centre_of(plane) - labels[index]).max() * SIZE)
    assert len(back) > 5 and max(back) < 0.5


def test_blur_equals_opencv_inside_and_keeps_a_flat_image():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    blurred = NOTHING._replace(sigma=jnp.array(2.0 / SIZE))
    expected = cv2.GaussianBlur(image.astype(np.float32) / 255, (25, 25), 2.0)
    np.testing.assert_allclose(image_of(image, blurred)[16:-16, 16:-16], expected[16:-16, 16:-16], atol=1e-4)
    flat = image_of(np.full((SIZE, SIZE, 3), 100, np.uint8), blurred)
    np.testing.assert_allclose(flat, 100 / 255, atol=1e-5)


def test_the_patch_has_its_colour_and_place():
    patched = NOTHING._replace(patch=jnp.array([0.25, 0.5, 0.5, 0.75]), colour=jnp.array([0.2, 0.4, 0.6]))
    image = np.asarray(image_of(np.zeros((SIZE, SIZE, 3), np.uint8), patched))
    inside = np.zeros((SIZE, SIZE), bool)
    inside[SIZE // 2 : SIZE * 3 // 4, SIZE // 4 : SIZE // 2] = True
    np.testing.assert_allclose(image[inside], np.tile([[0.2, 0.4, 0.6]], (inside.sum(), 1)), atol=1e-6)
    assert image[~inside].max() == 0


def test_grey_is_opencvs_grey():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    grey = image_of(image, NOTHING._replace(grey=jnp.array(True)))
    expected = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert np.abs(np.asarray(grey[..., 0]) * 255 - expected).max() < 1


def test_the_draws_have_the_protocols_rates_and_amounts():
    """docs/protocols.md, "Augmentation", over 4,000 draws (three standard deviations of a rate are 0.024)."""
    draws = draws_of(jax.random.split(jax.random.key(0), 4000), AugmentConfig())
    size = draws.patch[:, 2:] - draws.patch[:, :2]
    rates = {
        "translate": (np.any(draws.shift != 0, axis=1), 0.5),
        "occlude": (np.any(size > 0, axis=1), 0.5),
        "flip": (draws.flip, 0.5),
        "rotate": (draws.angle != 0, 0.5),
        "blur": (draws.sigma > 0, 0.3),
        "grey": (draws.grey, 0.2),
    }
    for name, (happened, rate) in rates.items():
        assert abs(float(happened.mean()) - rate) < 0.024, name
    assert 29 / 256 < float(np.abs(draws.shift).max()) <= 30 / 256
    assert 0.38 < float(size.max()) <= 0.4 + 1e-6
    assert float(draws.patch[:, 2:].max()) <= 246 / 256 + 1e-6
    assert 29 < float(np.abs(np.degrees(draws.angle)).max()) <= 30
    assert 4.9 / 256 < float(draws.sigma.max()) <= 5 / 256


def test_a_batch_is_a_function_of_the_key_and_its_faces_differ():
    images = np.tile(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8), (4, 1, 1, 1))
    points = np.full((4, 3, 2), 0.5, np.float32)
    run = jax.jit(lambda key: augment(key, images, points, FLIP, AugmentConfig()))
    first, again, other = run(jax.random.key(0)), run(jax.random.key(0)), run(jax.random.key(1))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0][0], first[0][1])


def equations(jaxpr):
    """All equations in the order in which they are computed."""
    for equation in jaxpr.eqns:
        inner = list(jaxprs_in_params(equation.params))
        yield from [one for each in inner for one in equations(each)] or [equation]


def test_coordinates_are_computed_in_full_whatever_the_precision_of_products():
    """Products of grey levels may be rounded, but they come after the last pixel is fetched by its coordinates."""
    full = (jax.lax.Precision.HIGHEST,) * 2
    with jax.default_matmul_precision("bfloat16"):
        of_image = list(equations(jax.make_jaxpr(transform_image)(np.zeros((SIZE, SIZE, 3), np.uint8), NOTHING).jaxpr))
        of_points = list(equations(jax.make_jaxpr(transform_points)(np.zeros((3, 2), np.float32), FLIP, NOTHING).jaxpr))
    fetches = [n for n, one in enumerate(of_image) if one.primitive.name == "gather"]
    rounded = [n for n, one in enumerate(of_image) if one.primitive.name == "dot_general"]
    rounded = [n for n in rounded if of_image[n].params["precision"] != full]
    assert len(fetches) == 4 and len(rounded) == 3  # the four neighbours of a sample; blur twice, and grey
    assert max(fetches) < min(rounded)
    products = [one for one in of_points if one.primitive.name == "dot_general"]
    assert all(one.params["precision"] == full for one in products)


def test_a_turn_by_hand():
    turned = NOTHING._replace(angle=jnp.array(math.radians(30)), zoom=jnp.array(1.2))
    moved = points_of(jnp.array([[0.7, 0.6], [0.5, 0.25]]), jnp.array([0, 1]), turned)
    cos, sin = math.sqrt(3) / 2, 0.5
    expected = [[0.2 * cos - 0.1 * sin, 0.2 * sin + 0.1 * cos], [0.25 * sin, -0.25 * cos]]
    np.testing.assert_allclose(moved, 1.2 * np.array(expected) + 0.5, atol=1e-6)


def test_a_box_is_what_is_looked_at():
    """By hand: in a box from (0.2, 0.1), 0.5 wide and 0.8 high, the point (0.45, 0.5) is in the middle."""
    one = NOTHING._replace(window=jnp.array([0.2, 0.1, 0.5, 0.8]))
    points = points_of(jnp.array([[0.45, 0.5], [0.2, 0.1], [0.7, 0.9]]), jnp.arange(3), one)
    np.testing.assert_allclose(points, [[0.5, 0.5], [0, 0], [1, 1]], atol=1e-6)


def test_boxes_vary_as_much_as_the_config_says():
    """Shift, size, shape and forehead by their bounds; the rest of the draws is what it is without boxes."""
    config = replace(AugmentConfig(), box_prob=0.8, box_shift=0.1, box_scale=0.2, box_aspect=0.1, box_forehead=0.25)
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: draw(key, config))(keys)
    x, y, width, height = np.asarray(drawn.window).T
    whole = (x == 0) & (y == 0) & (width == 1) & (height == 1)
    assert np.mean(~whole) == pytest.approx(0.8, abs=0.02)
    middle = (x + width / 2)[~whole] - 0.5
    assert 0.095 < np.abs(middle).max() <= 0.1 + 1e-6
    assert 1.22 < width.max() <= 1.2 * 1.1**0.5 + 1e-6 and 1.22 < 1 / width.min() <= 1.2 * 1.1**0.5 + 1e-6
    assert np.log(height / width)[~whole].max() <= np.log(1.1 * 1.25) + 1e-6
    bottom = (y + height - 1)[~whole]
    assert np.abs(np.mean(bottom)) < 0.01  # a forehead is above the face
    assert np.mean((y + height / 2)[~whole] - 0.5) == pytest.approx(-0.5 * 0.5 * 0.25 / 2, abs=0.01)
    plain = jax.vmap(lambda key: draw(key, replace(config, box_prob=0.0)))(keys)
    assert plain.window is None
    for name in Draw._fields[:-1]:
        np.testing.assert_array_equal(getattr(plain, name), getattr(drawn, name))


def test_a_box_beyond_the_crop_shows_the_picture_where_there_is_more_of_it():
    """A box twice as large as the crop, of a picture with half a crop more on each side: all of that picture."""
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    around = SIZE // 4
    larger = NOTHING._replace(window=jnp.array([-0.5, -0.5, 2.0, 2.0]))
    shown = np.asarray(image_of(picture, larger, around))
    assert shown.shape == (SIZE // 2, SIZE // 2, 3)
    # Pixel (i, j) of the half as large picture lies between four pixels of the whole.
    means = picture.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(shown, means, atol=1e-4)
    black = np.asarray(image_of(picture, larger))
    assert black[0].max() == 0 and black[SIZE // 2].max() > 0
    unmoved = np.asarray(image_of(picture, NOTHING, around))
    np.testing.assert_allclose(unmoved, picture[around:-around, around:-around] / 255.0, atol=2e-5)
