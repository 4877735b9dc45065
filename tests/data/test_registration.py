# SPDX-License-Identifier: Apache-2.0
"""Registration: a one-pixel dot at each landmark, through builder, crop, cache and back to its place in the source."""

import json

import cv2
import numpy as np
import pytest

from barrel_jax.config import DataConfig
from barrel_jax.faces.crop_windows import PROTOCOLS
from barrel_jax.faces.geometry import unit_to_px
from barrel_jax.input.crops import load_crops
from data.prepare import prepare

WIDTH, HEIGHT = 150, 110
GRID = np.stack(np.meshgrid([0, 14, 28], [0, 12, 24, 36]), axis=-1).reshape(-1, 2)
# Where the first dot lies, and how far the box reaches beyond the dots: left, top, right, bottom.
FACES = {
    "in the middle": ((55, 30), (6, 5, 7, 9)),
    "over the left and top border": ((3, 2), (15, 12, 4, 6)),
    "over the right and bottom border": ((118, 70), (4, 4, 20, 25)),
    "a narrow box": ((60, 40), (-9, 3, -9, 3)),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dots")
    (folder / "images").mkdir()
    images, annotations = [], []
    for number, (first, beyond) in enumerate(FACES.values()):
        points = GRID + np.array(first)
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[points[:, 1], points[:, 0]] = 250
        cv2.imwrite(str(folder / "images" / f"{number}.png"), pixels)
        images.append({"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT})
        (x, y), (right, bottom) = points.min(0), points.max(0) + 1
        box = [x - beyond[0], y - beyond[1], right + beyond[2] - x + beyond[0], bottom + beyond[3] - y + beyond[1]]
        keypoints = np.concatenate([points, np.full((len(points), 1), 2)], axis=1).ravel().tolist()
        annotations.append({"id": number, "image_id": number, "bbox": [int(v) for v in box], "keypoints": keypoints})
    document = {"images": images, "annotations": annotations, "categories": []}
    (folder / "train.json").write_text(json.dumps(document))
    return prepare("coco", str(folder), str(tmp_path_factory.mktemp("sets")))


def dot(crop, x, y, radius):
    """The centre of mass of the light within `radius` pixels of (x, y), or None when it is cut off by the crop."""
    size = len(crop)
    if min(x, y) < radius or max(x, y) > size - 1 - radius:
        return None
    top, left = round(y - radius), round(x - radius)
    patch = crop[top : round(y + radius) + 1, left : round(x + radius) + 1].astype(float)
    rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]]
    return np.array([left + (columns * patch).sum() / patch.sum(), top + (rows * patch).sum() / patch.sum()])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("cached", [False, True])
def test_dots_come_back(built, protocol, cached):
    size = 256
    crops = load_crops(
        DataConfig(image_size=size, crop=protocol, flip_pairs=((0, 2),), normaliser=(0, 2)), built, "train"
    )
    for number, name in enumerate(FACES):
        points_unit = crops.points_unit[number]
        step = crops.windows[number, 2:] / size  # source pixels in a pixel of the crop
        assert step.max() < 1, "a dot is lost when the crop is smaller than its window"
        seen = []
        for point, place in zip(points_unit, points_unit * size - 0.5, strict=True):
            found = dot(crops.images[number][..., 1], *place, radius=3 / step.max())
            if found is not None:
                unit = (found + 0.5) / size
                back = unit_to_px(unit[None, None], crops.windows[number, None])[0, 0]
                true = unit_to_px(point[None, None], crops.windows[number, None])[0, 0]
                seen.append(np.abs(back - true).max())
                np.testing.assert_allclose(true, np.round(true), atol=1e-4)
        assert len(seen) >= 4, name
        assert max(seen) < 0.05, f"{name}: {max(seen):.3f} px"


@pytest.mark.parametrize("number", range(len(FACES)))
def test_the_square_window_shows_all_that_the_image_has(built, number):
    crops = load_crops(DataConfig(image_size=64, crop="hrnet", flip_pairs=((0, 2),), normaliser=(0, 2)), built, "train")
    # Nothing but the image's own border may be cut: all dots lie inside the square and are lit.
    crop = crops.images[number][..., 1].astype(float)
    for x, y in crops.points_unit[number] * 64 - 0.5:
        assert crop[max(round(y) - 1, 0) : round(y) + 2, max(round(x) - 1, 0) : round(x) + 2].max() > 10
