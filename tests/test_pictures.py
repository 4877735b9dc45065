# SPDX-License-Identifier: Apache-2.0
"""Pictures as stored and as viewers show them: every orientation in every format, with Pillow as the truth."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from barrel_jax import pictures

pytestmark = pytest.mark.quick

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")


def blocks():
    """Six by four blocks of random colours: RGB uint8 [40, 60, 3], recognisable after any compression."""
    small = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    return np.repeat(np.repeat(small, 10, axis=0), 10, axis=1)


def encoded(pixels, form, orientation):
    exif, stream = Image.Exif(), io.BytesIO()
    exif[pictures.TAG] = orientation
    Image.fromarray(pixels).save(stream, form, exif=exif)
    return stream.getvalue()


def shown_by_pillow(pixels, orientation):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(pixels, "PNG", orientation)))))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_in_every_format(form, orientation):
    data = encoded(blocks(), form, orientation)
    assert pictures.orientation(data) == orientation
    stored = pictures.decode(data)[..., ::-1]
    assert stored.shape == blocks().shape and np.abs(stored.astype(int) - blocks()).mean() < 25
    shown, truth = pictures.turned(stored, orientation), shown_by_pillow(blocks(), orientation)
    assert shown.shape == truth.shape and np.abs(shown.astype(int) - truth).mean() < 25
    np.testing.assert_array_equal(pictures.turned_back(shown, orientation), stored)


@pytest.mark.parametrize(("form", "size"), [("JPEG", (60, 40)), ("PNG", (60, 40)), ("WEBP", None)])
def test_the_size_is_that_of_the_stored_pixels(form, size):
    assert pictures.stored_size(encoded(blocks(), form, 6)) == size


def test_without_exif_or_with_nonsense_in_it_the_orientation_is_1():
    plain = cv2.imencode(".jpg", blocks())[1].tobytes()
    assert pictures.orientation(plain) == 1
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x63\0\0\0"  # orientation 99
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    assert pictures.orientation(plain[:2] + segment + plain[2:]) == 1
    data = encoded(blocks(), "JPEG", 6)
    assert {pictures.orientation(data[:length]) for length in range(0, 60)} <= {1, 6}


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\xff\x0a", "JPEG XL"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"  <!DOCTYPE html>", "a web page"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"nothing known", ""),
    ],
)
def test_what_opencv_cannot_read_is_named(start, kind):
    assert pictures.decode(start + bytes(64)) is None
    assert pictures.unreadable_kind(start + bytes(64)) == kind


def test_a_head_that_claims_more_than_memory_holds_is_not_followed():
    jpeg = encoded(blocks(), "JPEG", 1)
    place = jpeg.index(b"\xff\xc0") + 5
    huge = jpeg[:place] + b"\xff\xff\xff\xff" + jpeg[place + 4 :]
    assert pictures.stored_size(huge) == (65535, 65535)
    assert pictures.decode(huge) is None
    assert pictures.unreadable_kind(huge) == "of 65535 x 65535 pixels (if its head is not damaged)"
