# SPDX-License-Identifier: Apache-2.0
"""Protocol crops: points on their pixels, and a cache that is whole or not taken."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from barrel_jax.config import DataConfig
from barrel_jax.faces.crop_windows import PROTOCOLS
from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.faces.landmarks import Normaliser
from barrel_jax.input import crops
from barrel_jax.input.crops import cut, load_crops, most_context
from barrel_jax.input.source import decode, open_split, read_info
from barrel_jax.picture_heads import max_pixels
from barrel_jax.progress import follow
from data.prepare import prepare

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    options = {"scheme": "cofw-29", "train": 10, "test": 7, "seed": 3}
    return prepare("synthetic", "", str(tmp_path_factory.mktemp("sets")), options)


@pytest.mark.parametrize(("width", "size"), [(50.0, 64), (33.3, 64), (90.0, 32)])
def test_a_dot_is_cut_where_its_point_says(width, size):
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = rng.uniform(45, 55, 2)
        image = np.zeros((100, 100, 3), np.uint8)
        cv2.circle(image, np.round(point * 256).astype(int).tolist(), 4 * 256, (255,) * 3, -1, cv2.LINE_AA, 8)
        window = np.array([50 - width / 2 + rng.uniform(-3, 3), 50 - width / 2, width, width])
        # The stored region starts at (10, 5) of the source.
        crop = cut(image[5:, 10:], (10, 5, 90, 95), window, size, padded=False)[..., 0].astype(float)
        y, x = np.mgrid[:size, :size]
        found = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
        expected = px_to_unit(point[None, None], window[None])[0, 0] * size - 0.5
        assert np.abs(found - expected).max() < 0.25


def test_beyond_the_image_is_black_only_where_the_protocol_pads():
    image = np.full((20, 20, 3), 200, np.uint8)
    window = np.array([-10.0, 0.0, 20.0, 20.0])
    assert cut(image, (0, 0, 20, 20), window, 20, padded=True)[:, :9].max() == 0
    assert cut(image, (0, 0, 20, 20), window, 20, padded=False).min() == 200


def test_the_second_load_reads_the_cache_and_gives_the_same(drawn):
    first = load_crops(DataConfig(image_size=48), drawn, "test")
    files = sorted((drawn / "crops").rglob("*.npy"))
    stamp = files[0].stat().st_mtime_ns
    second = load_crops(DataConfig(image_size=48), drawn, "test")
    assert len(first) == 7 and first.images.shape == (7, 48, 48, 3)
    assert isinstance(second.images, np.memmap) and files[0].stat().st_mtime_ns == stamp
    for name in ("images", "points_px", "visible", "windows", "boxes", "flags", "faces"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.scheme.name == "cofw-29" and first.labelled.all()
    # Crop units of an uncut face: almost every point lies inside the crop.
    assert ((first.points_unit > 0) & (first.points_unit < 1)).mean() > 0.95


def test_a_half_written_cache_is_not_taken_for_one(drawn, monkeypatch):
    def killed(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", killed)
        with pytest.raises(OSError, match="No space left"):
            load_crops(DataConfig(image_size=40), drawn, "train")
    assert not list((drawn / "crops").glob("*40"))
    assert len(load_crops(DataConfig(image_size=40), drawn, "train")) == 10


def test_runs_that_start_together_take_the_crops_of_the_one_that_was_sooner(drawn, monkeypatch):
    first = load_crops(DataConfig(image_size=36), drawn, "train")
    cache = drawn / "crops" / "train-pipnet-36"
    sooner = cache.rename(drawn / "crops" / "sooner")

    def follow_and_find_it_done(*given):
        sooner.rename(cache)
        return follow(*given)

    monkeypatch.setattr(crops, "follow", follow_and_find_it_done)
    np.testing.assert_array_equal(load_crops(DataConfig(image_size=36), drawn, "train").images, first.images)
    assert not sooner.exists() and not list((drawn / "crops").glob(".*"))


def test_records_come_back_as_they_were_given(drawn):
    split = open_split(drawn, "test")
    assert decode(split[0]["image"], "face").shape[:2] == tuple(split[0]["region"][[3, 2]])


def test_what_is_not_there_is_named(drawn, tmp_path):
    with pytest.raises(ValueError, match="pipnet, pipnet_cross, hrnet"):
        load_crops(DataConfig(image_size=48, crop="pipnett"), drawn, "test")
    with pytest.raises(ValueError, match="its splits are"):
        load_crops(DataConfig(image_size=48), drawn, "val")
    with pytest.raises(FileNotFoundError, match=r"data\.prepare"):
        read_info(tmp_path)
    with pytest.raises(ValueError, match="cannot be decoded; delete the built set"):
        decode(b"no image", "face 3")
    picture = cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    with max_pixels(599), pytest.raises(ValueError, match=r"face 3: the stored image is of 30 x 20 .*max_pixels"):
        decode(picture, "face 3")


def test_the_configs_normaliser_replaces_the_sets(drawn):
    assert read_info(drawn, (), (16, 17)).scheme.normaliser == Normaliser(points=(16, 17))
    assert read_info(Path(drawn)).scheme.normaliser == Normaliser("outer_eye_corners", (8, 9))


def test_context_is_the_picture_around_the_same_crop(drawn):
    data = DataConfig(image_size=64)
    plain, wide = load_crops(data, drawn, "test"), load_crops(data, drawn, "test", context=0.25)
    assert plain.images.shape[1:] == (64, 64, 3) and wide.images.shape[1:] == (96, 96, 3)
    np.testing.assert_array_equal(plain.windows, wide.windows)
    np.testing.assert_array_equal(plain.points_px, wide.points_px)
    inner = np.asarray(wide.images[:, 16:80, 16:80], float)
    assert np.abs(inner - plain.images).mean() < 2  # shrinking averages on a grid that begins elsewhere
    assert np.asarray(wide.images[:, :8]).std() > 10
    assert np.abs(inner - plain.images[::-1]).mean() > 10  # of other faces


def test_more_context_than_a_set_keeps_is_refused(drawn):
    """A box grown twofold has half its side around it, 0.4 of it beyond a crop of 1.2 sides: a third of the crop's."""
    assert most_context(PROTOCOLS["pipnet"]["others"]) == pytest.approx(1 / 3)
    assert most_context(PROTOCOLS["pipnet_cross"]["wflw"]) == pytest.approx(min(0.4 / 1.2, 0.4 / 1.0))
    assert most_context(PROTOCOLS["hrnet"]["others"]) == math.inf
    assert len(load_crops(DataConfig(image_size=32), drawn, "test", context=0.33)) == 7
    with pytest.raises(ValueError, match=r"data.context=0.4: .* is 0.33 of the crop's side .* give at most that"):
        load_crops(DataConfig(image_size=32), drawn, "test", context=0.4)


def test_more_context_than_the_region_of_a_face_has_is_refused():
    """Under protocols that start from the landmarks: of a face of 100 px the twofold box, 200 px, is stored."""
    points = np.array([[400.0, 400], [500, 400], [400, 500], [500, 500]]) - 0.5
    black = cv2.imencode(".png", np.zeros((200, 200, 3), np.uint8))[1].tobytes()
    record = {
        "visible": np.full(4, 2), "points": points, "box": np.array([400.0, 400, 100, 100]), "image": black,
        "size": np.array([900, 900]), "region": np.array([350, 350, 200, 200]),
    }  # fmt: skip
    rule, still = PROTOCOLS["hrnet"]["others"], np.zeros(2)
    window, image = crops._crop(record, rule, 32, still, "a record", around=9)  # 125 px, and 35 of 37 px around it
    np.testing.assert_allclose(window, [387.5, 387.5, 125, 125])
    assert image.shape == (50, 50, 3)
    with pytest.raises(
        ValueError, match=r"a record: the built set does not hold so much .*; give a smaller config.data"
    ):
        crops._crop(record, rule, 32, still, "a record", around=12)
    at_the_border = record | {"size": np.array([550, 550]), "region": np.array([350, 350, 200, 200])}
    with pytest.raises(ValueError, match="does not hold so much"):
        crops._crop(at_the_border, rule, 32, still, "a record", around=12)  # on the other side
    whole = record | {"size": np.array([550, 550]), "region": np.array([0, 0, 550, 550])}
    assert crops._crop(whole, rule, 32, still, "a record", around=12)[1].shape == (56, 56, 3)


def test_room_for_all_crops_is_taken_before_the_first_is_cut(drawn, monkeypatch):
    """A full disk is an error then; later it would end the process, which writes through a memory map."""

    def look(*given):
        (path,) = (drawn / "crops").glob(".*-train-pipnet-64/images.npy")
        about = path.stat()
        assert about.st_blocks * 512 >= about.st_size > 10 * 64 * 64 * 3
        raise ValueError("seen")

    monkeypatch.setattr(crops, "_crop", look)
    with pytest.raises(ValueError, match="seen"):
        load_crops(DataConfig(image_size=64), drawn, "train")
    assert not list((drawn / "crops").glob("*train-pipnet-64"))
