# SPDX-License-Identifier: Apache-2.0
"""Pictures as stored and as viewers show them: every orientation in every format, with Pillow as the truth."""

import io
import resource
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from barrel_jax import pictures
from barrel_jax.picture_heads import max_pixels, stored_size

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


@pytest.mark.parametrize("form", [*FORMATS, "GIF", "BMP", "JPEG2000", "PPM"])
def test_the_size_is_that_of_the_stored_pixels(form):
    assert stored_size(encoded(blocks(), form, 6)) == (60, 40)


@pytest.mark.parametrize(
    "suffix", [".bmp", ".gif", ".hdr", ".jp2", ".pam", ".pbm", ".pfm", ".pgm", ".ppm", ".ras", ".sr"]
)
def test_every_format_that_opencv_writes_has_a_head_that_is_read(suffix):
    pixels = blocks().astype(np.float32) if suffix in (".hdr", ".pfm") else blocks()
    data = cv2.imencode(suffix, pixels[..., 0] if suffix in (".pbm", ".pgm") else pixels)[1].tobytes()
    assert stored_size(data) == (60, 40)
    assert pictures.decode(data).shape == (40, 60, 3)
    assert all(
        stored_size(data[:length]) in (None, (60, 40), (6, 40), (60, 4), (6, 4)) for length in range(len(data[:60]))
    )


def test_lossless_and_extended_webp():
    for options in ({"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}):
        stream = io.BytesIO()
        Image.fromarray(blocks()).save(stream, "WEBP", **options)
        assert stored_size(stream.getvalue()) == (60, 40)


def big_tiff():
    stream = io.BytesIO()
    Image.fromarray(blocks()).save(stream, "TIFF", big_tiff=True)
    return stream.getvalue()


LONG = (60000).to_bytes(4, "little")
HUGE = {
    "PNG": lambda data: data[:16] + (60000).to_bytes(4, "big") * 2 + data[24:],
    "GIF": lambda data: data[:6] + (60000).to_bytes(2, "little") * 2 + data[10:],
    "BMP": lambda data: (
        data[:18] + (60000).to_bytes(4, "little") + (-60000).to_bytes(4, "little", signed=True) + data[26:]
    ),
    "WEBP": lambda data: data[:24] + (60000 - 1).to_bytes(3, "little") * 2 + data[30:],
    "TIFF": lambda data: data.replace(b"\x3c\0\0\0", LONG, 1).replace(b"\x28\0\0\0", LONG, 1),
    "AVIF": lambda data: data.replace(b"\0\0\0\x3c\0\0\0\x28", b"\0\0\xea\x60" * 2),
    "JPEG2000": lambda data: data.replace(b"\0\0\0\x3c\0\0\0\x28", b"\0\0\xea\x60" * 2),
    "PPM": lambda data: data.replace(b"60 40", b"60000 60000"),
}


@pytest.mark.parametrize("form", HUGE)
def test_no_format_is_followed_to_gigapixels(form, monkeypatch):
    data = HUGE[form](encoded(blocks(), form, 6))
    assert stored_size(data) == (60000, 60000)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    assert pictures.decode(data) is None
    assert "of 60000 x 60000 pixels, more than 268,435,456" in pictures.unreadable_kind(data)


def test_a_file_without_a_known_head_is_not_decoded(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    assert pictures.decode(b"") is None and pictures.decode(b"\x76\x2f\x31\x01" + bytes(400)) is None  # OpenEXR
    assert stored_size(big_tiff()) == (60, 40)


def test_a_small_file_of_a_gigapixel_is_not_unpacked():
    rows, size = zlib.compressobj(9, wbits=-15), 30_001 * 100
    hundred = rows.compress(bytes(size)) + rows.flush(zlib.Z_FULL_FLUSH)  # leads back to nothing before it
    checksum = (300 * size % 65521 << 16) + 1  # Adler's, of zeros
    packed = b"\x78\xda" + 300 * hundred + rows.flush() + checksum.to_bytes(4, "big")

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = (30_000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    data = pictures.PNG + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    assert len(data) < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert pictures.decode(data) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


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
    assert stored_size(huge) == (65535, 65535)
    assert pictures.decode(huge) is None
    said = "of 65535 x 65535 pixels, more than 268,435,456 (--max-pixels, or config.data.max_pixels in training, takes"
    assert pictures.unreadable_kind(huge).startswith(said)


def test_the_limit_is_the_users():
    data = encoded(blocks(), "PNG", 1)
    width, height = stored_size(data)
    with max_pixels(width * height - 1):
        assert pictures.decode(data) is None
        with max_pixels(width * height):
            assert pictures.decode(data).shape == (height, width, 3)
        assert f"more than {width * height - 1:,}" in pictures.unreadable_kind(data)
    assert pictures.decode(data) is not None


def tiff_of(start, orientation):
    """A TIFF of two by three pixels, in the form of BigTIFF where its first bytes say so."""
    big, order = b"\x2b" in start, "little" if start.startswith(b"II") else "big"
    wide = 8 if big else 4
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    head = start + (b"\x08\0\0\0" if big else b"")  # the size of an offset
    data_at = len(head) + wide
    entries = [
        (256, 4, 1, 3), (257, 4, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, data_at),
        (274, 3, 1, orientation), (277, 3, 1, 3), (278, 4, 1, 2), (279, 4, 1, 18), (284, 3, 1, 1),
    ]  # fmt: skip

    def number(value, length):
        return value.to_bytes(length, order)

    table = number(len(entries), 8 if big else 2)
    for tag, kind, count, value in entries:
        size = {3: 2, 4: 4}[kind]
        table += number(tag, 2) + number(kind, 2) + number(count, wide)
        table += number(value, size) + bytes(wide - size)
    return head + number(data_at + 18, wide) + pixels.tobytes() + table + bytes(wide), pixels


@pytest.mark.parametrize("start", [b"II*\0", b"II+\0"])
def test_a_turned_tiff_is_given_as_it_is_stored_in_its_big_form_too(start):
    data, pixels = tiff_of(start, 6)
    assert pictures.orientation(data) == 6 and stored_size(data) == (3, 2)
    np.testing.assert_array_equal(pictures.decode(data)[..., ::-1], pixels)


def jpeg_with(before_the_frame):
    """A JPEG of 60 x 40 with bytes in front of the segment that says so."""
    data = encoded(blocks(), "JPEG", 1)
    place = data.index(b"\xff\xc0")
    return data[:place] + before_the_frame + data[place:]


FALSE_FRAME = b"\xff\xe2\x00\x0d" + b"\xff\xc0\x00\x0b\x08\0\x01\0\x01\x01\x11"
SPOKEN_TWICE = {
    "jpeg: a marker without a length": jpeg_with(b"\xff\x01\x00\x00" + FALSE_FRAME),
    "jpeg: bytes between segments": jpeg_with(b"\x12\x34"),
    "pgm: a comment that a carriage return ends": b"P5\n#\r60 40 255\n1 1 \n" + bytes(2400),
    "hdr: a comment, and a sign": b"#?RADIANCE\n# -Y 1 +X 1\nFORMAT=32-bit_rle_rgbe\n\n-Y +40 +X +60\n" + bytes(9600),
    "pam: comments, and zeros before": b"P7\n#WIDTH 1 \n#HEIGHT 1 \nWIDTH 00000000060\nHEIGHT 00000000040\nDEPTH 1\n"
    b"MAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + bytes(2400),
}


@pytest.mark.parametrize("what", SPOKEN_TWICE)
def test_a_head_that_says_two_sizes_is_read_as_opencv_reads_it(what):
    """Or as the larger one: a file whose head is misread would be unpacked beyond the limit."""
    data = SPOKEN_TWICE[what]
    with max_pixels(2400):
        seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert seen is not None and seen.shape == (40, 60, 3)  # it is such a file
        assert stored_size(data) == (60, 40) and pictures.decode(data).shape == (40, 60, 3)
    with max_pixels(2399):
        assert pictures.decode(data) is None
