# SPDX-License-Identifier: Apache-2.0
"""Files of predictions: faces found, and whatever a file holds is read rightly or refused by name."""

import dataclasses
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barrel_jax.evaluation.matching import overlaps
from barrel_jax.evaluation.predictions import read_predictions
from barrel_jax.faces.landmarks import W300_68, WFLW_98, LandmarkScheme, Normaliser
from tests.kit.toy import make_crops, make_truth, shifted, written


def records(crops, points_px):
    return [
        {"file": file, "face": int(face), "points": points.tolist()}
        for file, face, points in zip(crops.files, crops.faces, points_px, strict=True)
    ]


def test_predictions_are_matched_by_file_and_face_else_by_order(tmp_path):
    crops = make_crops(4)
    points_px = shifted(crops, [1, 2, 3, 4])
    back = [3, 1, 0, 2]
    np.savez(
        tmp_path / "columns.npz", points=points_px[back], files=np.array(crops.files)[back], faces=crops.faces[back]
    )
    np.savez(tmp_path / "faces.npz", points=points_px[back], faces=crops.faces[back])
    np.savez(tmp_path / "order.npz", points=points_px)
    written(tmp_path / "records.json", [records(crops, points_px)[row] for row in back])
    written(tmp_path / "order.json", {"points": points_px.tolist()})
    for name in ("columns.npz", "faces.npz", "order.npz", "records.json", "order.json"):
        got = read_predictions(tmp_path / name, crops)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, points_px, atol=1e-4, err_msg=name)


def two_faces_a_picture():
    """Two pictures of two faces each, 40 px apart; their ids are 0 and 1, and 1 and 0."""
    crops = make_truth(make_crops(1).scheme, np.tile(make_crops(1).points_px, (4, 1, 1)) + np.arange(4)[:, None, None])
    boxes = np.array([[0, 0, 30, 40], [40, 0, 30, 40]] * 2, np.float32)
    return dataclasses.replace(
        crops, boxes=boxes, files=("a.png", "a.png", "d/b.png", "d/b.png"), faces=np.array([0, 1, 3, 2])
    )


@pytest.mark.parametrize("ids", ["of the set", "counted", "none"])
def test_boxes_tell_which_face_a_prediction_is_of_whatever_face_means(tmp_path, ids):
    faces = two_faces_a_picture()
    given = records(faces, shifted(faces, [1, 2, 3, 4]))
    counted = [1, 0, 0, 1]  # in each picture, in an order that is not the set's
    for record, box, number in zip(given, faces.boxes + [3, -2, 1, 2], counted, strict=True):
        record["box"] = box.tolist()
        record["file"] = record["file"].removeprefix("d/")  # a folder's pictures are predicted under their names
        if ids == "counted":
            record["face"] = number
        elif ids == "none":
            del record["face"]
    got = read_predictions(written(tmp_path / "points.json", [given[row] for row in (2, 0, 3, 1)]), faces)
    np.testing.assert_allclose(got, shifted(faces, [1, 2, 3, 4]), atol=1e-4)


def test_ids_that_are_the_sets_but_whose_boxes_are_not_are_counted_otherwise(tmp_path):
    faces = two_faces_a_picture()
    given = records(faces, shifted(faces, [1, 2, 3, 4]))
    for record, box, number in zip(given, faces.boxes, (0, 1, 2, 3), strict=True):  # 3 and 2 in the set
        record.update(box=box.tolist(), face=number)
    got = read_predictions(written(tmp_path / "points.json", given), faces)
    np.testing.assert_allclose(got, shifted(faces, [1, 2, 3, 4]), atol=1e-4)


def test_names_without_folders_are_taken_where_only_one_picture_has_them(tmp_path):
    faces = dataclasses.replace(two_faces_a_picture(), files=("a/x.png", "a/x.png", "d/x.png", "d/x.png"))
    given = [
        record | {"box": box.tolist(), "file": "x.png"}
        for record, box in zip(records(faces, faces.points_px), faces.boxes, strict=True)
    ]
    with pytest.raises(ValueError, match=r"1 pictures are none of toy test, first: x\.png \(2 pictures are called"):
        read_predictions(written(tmp_path / "points.json", given), faces)


@pytest.mark.parametrize(("set_has", "given_has"), [
    ("d/Mu\u0308ller.png", "M\u00fcller.png"), ("d/M\u00fcller.png", "d/Mu\u0308ller.png"), ("d\\x.png", "d/x.png"),
    ("d/x.png", "d\\x.png"), ("d\\x.png", "x.png"),
])  # fmt: skip
@pytest.mark.parametrize("by", ["box", "file"])
def test_names_in_another_spelling_are_the_same(tmp_path, set_has, given_has, by):
    faces = dataclasses.replace(two_faces_a_picture(), files=("a.png", "a.png", set_has, set_has))
    given = records(faces, shifted(faces, [1, 2, 3, 4]))
    for record, box in zip(given, faces.boxes, strict=True):
        record["file"] = given_has if record["file"] == set_has else record["file"]
        if by == "box":
            record["box"] = box.tolist()
    got = read_predictions(written(tmp_path / "points.json", given[::-1]), faces)
    np.testing.assert_allclose(got, shifted(faces, [1, 2, 3, 4]), atol=1e-4)


def test_faces_with_one_box_are_told_apart_by_ids_alone(tmp_path):
    faces = two_faces_a_picture()
    faces = dataclasses.replace(faces, boxes=np.tile(np.float32([0, 0, 100, 100]), (4, 1)))
    given = records(faces, shifted(faces, [1, 2, 3, 4]))
    for record, box in zip(given, faces.boxes, strict=True):
        record["box"] = box.tolist()
    got = read_predictions(written(tmp_path / "points.json", given[::-1]), faces)
    np.testing.assert_allclose(got, shifted(faces, [1, 2, 3, 4]), atol=1e-4)
    for record in given:
        del record["face"]
    with pytest.raises(
        ValueError, match=r"2 pictures of toy test have boxes that fit two faces alike, first: a\.png, .*; give"
    ):
        read_predictions(written(tmp_path / "points.json", given), faces)


def test_an_order_that_is_taken_on_trust_is_said(tmp_path, capsys):
    crops = make_crops(3)
    np.savez(tmp_path / "p.npz", points=crops.points_px)
    read_predictions(tmp_path / "p.npz", crops)
    assert capsys.readouterr().out == (
        f"note: {tmp_path}/p.npz names no pictures: it is taken in the order of toy test, unchecked\n"
    )
    np.savez(tmp_path / "p.npz", points=crops.points_px, files=np.array(crops.files), faces=crops.faces)
    read_predictions(tmp_path / "p.npz", crops)
    assert capsys.readouterr().out == ""


def test_overlaps_by_hand():
    boxes = np.array([[0, 0, 30, 40], [40, 0, 30, 40], [40, 50, 10, 10], [15, 20, 30, 40], [0, 0, 0, 0]])
    # Beside it, beyond its corner, a quarter of it shared (300 of 2 x 1200 - 300), and nothing of nothing.
    np.testing.assert_allclose(overlaps(boxes[:1], boxes), [[1, 0, 0, 300 / 2100, 0]])
    np.testing.assert_allclose(overlaps(boxes[3:], boxes[:2]), [[300 / 2100, 100 / 2300], [0, 0]])


def test_boxes_that_are_of_no_annotated_face_are_an_error(tmp_path):
    faces = two_faces_a_picture()
    given = [
        record | {"box": box.tolist()} for record, box in zip(records(faces, faces.points_px), faces.boxes, strict=True)
    ]
    far = given[1] | {"box": [90, 0, 30, 40]}
    for content, match in (
        (
            [given[0], far, *given[2:]],
            r"1 overlap no face of toy test in their pictures, first: a\.png box \[90.0, .* 0% of",
        ),
        (
            [given[0] | {"box": [0, 24, 30, 40]}, *given[1:]],  # 480 of 1,920 square pixels are shared
            r"1 overlap no face of toy test .*a\.png box \[0.0, 24.0, 30.0, 40.0\] \(at most 25% of",
        ),
        (given[1:], r"1 faces of toy test have no prediction whose box overlaps theirs, first: a\.png face 0"),
        ([*given, given[0]], r"1 overlap a face of toy test for which another prediction is there, first: a\.png box"),
        ([*given[:3], given[3] | {"file": "c.png"}], r"1 pictures are none of toy test, first: c\.png; leave them out"),
        ([{"points": g["points"], "box": g["box"]} for g in given], "boxes without files"),
        ([*given[:3], given[3] | {"box": [1, 2, 3, float("nan")]}], "boxes must be x, y, w, h for each of the 4"),
        ([*given[:3], given[3] | {"box": [1, 2]}], "boxes must be x, y, w, h for each of the 4 faces"),
    ):
        with pytest.raises(ValueError, match=match):
            read_predictions(written(tmp_path / "points.json", content), faces)


def test_predictions_that_do_not_fit_are_refused(tmp_path):
    crops = make_crops(3)
    good = records(crops, crops.points_px)
    file = tmp_path / "p.json"

    def refused(content, match):
        with pytest.raises(ValueError, match=match) as caught:
            read_predictions(written(file, content), crops)
        assert str(file) in str(caught.value)

    refused({"points": crops.points_px[:2].tolist()}, "2 faces, but toy test has 3")
    refused({"points": crops.points_px[:, :2].tolist()}, r"2 points a face, but toy test has 3 \(custom-3\)")
    refused({"points": crops.points_px[0].tolist()}, r"points must be \[n, K, 2\], got \[3, 2\]")
    refused({"points": [[[1, 2], [3, "x"]]]}, "must make one array of numbers")
    refused({"points": crops.points_px.tolist(), "faces": [100, 101]}, "2 faces for 3 faces with points")
    refused({"points": crops.points_px.tolist(), "faces": ["a", "b", "c"]}, "faces must be whole numbers")
    refused({"points": crops.points_px.tolist(), "faces": 3}, "faces must be whole numbers, one for each face")
    refused({"points": crops.points_px.tolist(), "files": [1, 2, 3]}, "files must be texts")
    refused({"points": [[["1", "2"]] * 3] * 3}, "these are not all numbers, first in record 0; correct it")
    refused(
        {"points": [[[1, 2]] * 3] * 2 + [[[1, 2]] * 2 + [[1, "x"]]]}, "not all numbers, first in record 2; correct it"
    )
    refused({"points": [[[10**400, 2]] * 3] * 3}, "must make one array of numbers")
    refused({"points": [[[1e300, 2]] * 3] * 3}, r"not finite for 3 of 3 faces, .*; predict these faces again")
    refused({"keypoints": []}, "no 'points'")
    refused(3, "no 'points'")
    refused([], r"points must be \[n, K, 2\], got \[0\]")
    refused(good[:2], r"1 faces of toy test are missing, first: 1.png face 102; every face of the split needs points")
    refused([*good[:2], good[2] | {"face": 999}], r"1 faces that toy test does not have, first: 1.png face 999")
    refused([*good, good[0]], r"0.png face 100 is more than once in .*p.json")
    refused(
        [{"file": r["file"], "points": r["points"]} for r in good], r"0.png is more than once in toy test; give both"
    )
    refused([*good[:2], {"file": "1.png", "points": good[2]["points"]}], "record 2 .* the same of 'file', 'face' and")
    refused([good[0], good[1] | {"box": [0, 0, 9, 9]}, good[2]], "record 1 .* the same of 'file', 'face' and 'box'")
    refused([good[0], {"face": 101}], "record 1 .* has no list of 'points'")
    refused([good[0], good[1] | {"points": [[0, 0]]}], "record 1 .* has 1 points, record 0 has 3")
    refused(
        [*good[:2], good[2] | {"points": [[0, 0], [0, float("nan")], [0, 0]]}],
        "not finite for 1 of 3 faces, first: 1.png",
    )


def test_files_that_are_no_predictions_are_refused(tmp_path):
    crops = make_crops(2)
    array = io.BytesIO()
    np.save(array, crops.points_px)
    with pytest.raises(FileNotFoundError, match="no such predictions file"):
        read_predictions(tmp_path / "none.npz", crops)
    for name, content, match in (
        ("text.npz", b"not a zip", "not a readable"),
        ("array.npz", array.getvalue(), "one array without a name"),
        ("cut.npz", b"PK\x03\x04", "not a readable"),
        ("broken.json", b"[{", "not JSON: .*; correct it, or write it anew"),
        ("latin.json", b'["\xe9"]', "not JSON"),
        ("deep.json", b"[" * 100_000, "not JSON"),
        ("points.csv", b"1 2", r"read from \.npz, \.json or \.txt, not \.csv"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            read_predictions(tmp_path / name, crops)
    np.savez(tmp_path / "objects.npz", points=np.array([[1], [1, 2]], object))
    with pytest.raises(ValueError, match=r"not a readable \.npz of plain arrays"):
        read_predictions(tmp_path / "objects.npz", crops)


def text_of(numbers, points_px):
    """The COFW-68 text format, counted from (1, 1)."""
    lines = []
    for number, points in zip(numbers, points_px + 1, strict=True):
        lines += [f"{number} ", *(" ".join(f"{value:.3f}" for value in axis) + " " for axis in points.T), "0 1 0.5 "]
    return "\n".join(lines) + "\n"


def test_text_is_matched_by_number_and_counted_from_one(tmp_path):
    crops = make_crops(4)
    points_px = shifted(crops, [1, 2, 3, 4])
    back = [3, 1, 0, 2]
    file = tmp_path / "mine.txt"
    for text in (text_of(crops.faces[back], points_px[back]), text_of(crops.faces[back], points_px[back]) + "\n \n"):
        for ends in ("\n", "\r\n"):
            file.write_bytes(text.replace("\n", ends).encode())
            np.testing.assert_allclose(read_predictions(file, crops), points_px, atol=1e-3)
    file.write_text("7\n1 11\n1 21\n0 0\n")
    pair = make_truth(
        LandmarkScheme("custom-2", 2, (1, 0), Normaliser(points=(0, 1)), ()), np.zeros((1, 2, 2)), faces=np.array([7])
    )
    np.testing.assert_array_equal(read_predictions(file, pair), [[[0, 0], [10, 20]]])
    file.write_text("7\n-4.5 1.1e+01\n.5 +21\n0 1e-3\n")
    np.testing.assert_allclose(read_predictions(file, pair), [[[-5.5, -0.5], [10, 20]]], rtol=1e-6)


def test_text_that_is_wrong_is_refused_by_line(tmp_path):
    crops = make_crops(3)
    file = tmp_path / "mine.txt"
    lines = text_of(crops.faces, crops.points_px).split("\n")

    def refused(match, **changes):
        changed = [changes.get(f"line{number}", line) for number, line in enumerate(lines, start=1)]
        file.write_text("\n".join(line for line in changed if line is not None))
        with pytest.raises(ValueError, match=match) as caught:
            read_predictions(file, crops)
        assert str(caught.value).startswith(f"{file}:")

    refused(r"mine.txt:5: 'face 1' is not the number of a face; a face has four lines", line5="face 1")
    refused(r"mine.txt:4: 1 numbers for occlusion of face 100, its x are 3", line4=None)  # all behind it is shifted
    refused(r"mine.txt:5: '62.000 82.000 72.000 ' is not the number of a face", line5=None)
    refused(r"mine.txt:6: 2 numbers for x of face 101, the first face has 3", line6="1 2")
    refused(r"mine.txt:7: 4 numbers for y of face 101, the first face has 3", line7="1 2 3 4")
    refused(r"mine.txt:3: 4 numbers for y of face 100, its x are 3", line3="1 2 3 4")
    refused(r"mine.txt:7: 'nan' in y of face 101 is no number", line7="1 nan 2")
    refused(r"mine.txt:7: '1_0' in y of face 101 is no number", line7="1 1_0 2")
    refused(r"mine.txt:7: '1e999' in y of face 101 is no number", line7="1 1e999 2")
    refused(r"mine.txt:7: '' in y of face 101 is no number", line7="")
    refused(r"mine.txt:8: the occlusion of face 101 is not between 0 and 1", line8="0 1 31.5")
    refused(r"mine.txt:8: the occlusion of face 101 is not between 0 and 1", line8="0 1 -0.5")
    refused(r"mine.txt:5: '9{40}…' is not the number of a face", line5="9" * 5000)  # more than int() takes
    refused(r"mine.txt:9: face 100 is given twice, first in line 1", line9="100")
    refused(r"mine.txt:11: the file ends within face 102", line12=None)
    refused(r"mine.txt: 1 faces that toy test does not have, first: 7", line9="7")
    refused(r"mine.txt: 1 faces of toy test are missing, first: 102", line9=None, line10=None, line11=None, line12=None)
    for content, line in ((b"", 1), (b"\n\n", 1), (b"100\n\xff\xfe", 2)):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"mine.txt:{line}: "):
            read_predictions(file, crops)


def test_wflw_points_can_be_given_for_300w_faces_and_back(tmp_path):
    rng = np.random.default_rng(0)
    for scheme, others in ((W300_68, 98), (WFLW_98, 68)):
        faces = make_truth(scheme, rng.normal(0, 50, (2, scheme.num_points, 2)))
        np.savez(tmp_path / "p.npz", points=np.zeros((2, others, 2)))
        assert read_predictions(tmp_path / "p.npz", faces).shape == (2, others, 2)
        np.savez(tmp_path / "p.npz", points=np.zeros((2, 29, 2)))
        with pytest.raises(ValueError, match=rf"p.npz: 29 points a face, but toy test has {scheme.num_points} "):
            read_predictions(tmp_path / "p.npz", faces)


# Whatever is in a file: a ValueError that names it, or what a simpler reader makes of it.
CROPS = make_crops(3)
TEXT = text_of(CROPS.faces[[2, 0, 1]], CROPS.points_px[[2, 0, 1]])
FUZZ = settings(
    derandomize=True, max_examples=150, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def read_or_refuse(file, place=""):
    try:
        points_px = read_predictions(file, CROPS)
    except ValueError as error:
        assert str(error).startswith(f"{file}{place}"), error
        return None
    assert points_px.shape == (3, 3, 2) and np.isfinite(points_px).all()
    return points_px


@st.composite
def damaged_text(draw):
    lines = TEXT.encode().split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        words = lines[at].split()
        word = draw(st.integers(0, max(len(words) - 1, 0)))
        junk = draw(
            st.sampled_from([b"x", b"NaN", b"inf", b"1_0", b"1e400", b"-", b"0x1f", b"\xd9\xa1", b"7", b"", b"\0"])
        )
        kind = draw(st.sampled_from(["cut line", "double line", "cut word", "other word", "noise", "cut file", "swap"]))
        if kind == "cut line":
            del lines[at]
        elif kind == "double line":
            lines.insert(at, lines[at])
        elif kind == "swap":
            lines[at], lines[-1] = lines[-1], lines[at]
        elif kind in ("cut word", "other word"):
            lines[at] = b" ".join([*words[:word], *([junk] if kind == "other word" else []), *words[word + 1 :]])
        elif kind == "noise":
            lines.insert(at, draw(st.binary(max_size=20)))
        else:
            lines = lines[:at] + [lines[at][:word]]
        lines = lines or [b""]
    return b"\n".join(lines)


@FUZZ
@given(damaged_text())
def test_damaged_text(tmp_path, content):
    file = tmp_path / "fuzz.txt"
    file.write_bytes(content)
    points_px = read_or_refuse(file, ":")
    if points_px is not None:
        lines = content.decode().split("\n")
        for row, number in enumerate(CROPS.faces.tolist()):
            at = next(at for at in range(0, len(lines), 4) if lines[at].strip() and int(lines[at]) == number)
            wanted = [[float(word) - 1 for word in lines[at + axis].split()] for axis in (1, 2)]
            np.testing.assert_allclose(points_px[row].T, wanted, rtol=1e-6)


def zipped(path, array, head=None, **packing):
    """An .npz of `points.npy` with a head that may claim another shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, head or np.lib.format.header_data_from_array_1_0(array))
    with zipfile.ZipFile(path, "w", **packing) as archive:
        archive.writestr("points.npy", stream.getvalue() + array.tobytes())
    return path


GIGAPIXELS = {"shape": (60_000, 60_000), "fortran_order": False, "descr": "<f8"}


@pytest.mark.parametrize(
    ("packing", "head", "said"),
    [
        (zipfile.ZIP_DEFLATED, None, r"points\.npy is float64 \[4, 500000, 2\], 32,000,000 bytes, and 65,536 are"),
        (zipfile.ZIP_STORED, GIGAPIXELS, r"points\.npy claims 28,800,000,000 bytes and has 32,000,000"),
        (zipfile.ZIP_BZIP2, None, r"points\.npy is packed in another way"),
        (zipfile.ZIP_LZMA, None, r"points\.npy is packed in another way"),
    ],
)
def test_no_archive_is_unpacked_before_its_head_is_read(tmp_path, packing, head, said):
    file = zipped(tmp_path / "bomb.npz", np.zeros((4, 500_000, 2)), head, compression=packing)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"bomb\.npz: not a readable \.npz of plain arrays: {said}"):
        read_predictions(file, make_crops(4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        ((1, 3, 2), "<f8", r"points\.npy claims 48 bytes and has 192"),
        ((10**12,), "|S0", r"points\.npy is \|S0 \[1000000000000\], 0 bytes, and 65,536 are the most here"),
    ],
)
def test_what_a_head_says_less_than_there_is_or_of_nothing_is_refused(tmp_path, shape, kind, said):
    array = np.zeros((4, 3, 2) if kind == "<f8" else 0)
    file = zipped(tmp_path / "p.npz", array, {"shape": shape, "fortran_order": False, "descr": kind})
    with pytest.raises(ValueError, match=said):
        read_predictions(file, make_crops(4))


@pytest.mark.parametrize(("kind", "said"), [("locked", "encrypted"), ("torn", "decompressing")])
def test_archives_that_cannot_be_unpacked_are_refused(tmp_path, kind, said):
    file = zipped(tmp_path / "p.npz", make_crops(4).points_px, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(file.read_bytes())
    if kind == "locked":  # the flag of a password, in the entry and in the list of them
        content[6] |= 1
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
    else:
        content[40:60] = b"\xff" * 20
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"p\.npz: not a readable \.npz of plain arrays: .*{said}"):
        read_predictions(file, make_crops(4))


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_a_head_of_gigabytes_is_not_read(tmp_path, version):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        long = (30_000_000).to_bytes(4, "little")
        archive.writestr("points.npy", b"\x93NUMPY" + bytes(version) + long + b" " * 30_000_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="of a version that plain arrays do not need"):
        read_predictions(tmp_path / "bomb.npz", make_crops(4))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@FUZZ
@given(st.binary(max_size=200), st.sampled_from(["txt", "json", "npz"]))
def test_noise(tmp_path, content, suffix):
    file = tmp_path / f"fuzz.{suffix}"
    file.write_bytes(content)
    assert read_or_refuse(file) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from([0, 10**400, "1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["points", "file", "x"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@FUZZ
@given(st.data())
def test_damaged_json(tmp_path, data):
    content = data.draw(st.sampled_from([
        records(CROPS, CROPS.points_px),
        {"points": CROPS.points_px.tolist(), "files": list(CROPS.files), "faces": CROPS.faces.tolist()},
    ]))  # fmt: skip
    content = json.loads(json.dumps(content))
    node, deeper = content, True
    while deeper:
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        deeper = isinstance(node[key], list | dict) and data.draw(st.booleans())
        node = node[key] if deeper else node
    node[key] = data.draw(VALUES)
    points_px = read_or_refuse(written(tmp_path / "fuzz.json", content))
    if points_px is not None:
        given_points = content["points"] if isinstance(content, dict) else [record["points"] for record in content]
        assert sorted(points_px.ravel()) == sorted(np.float32(given_points).ravel())


@pytest.mark.filterwarnings("ignore")  # NumPy and the parser of its headers warn of some of the noise
@FUZZ
@given(st.data())
def test_damaged_archives(tmp_path, data):
    def noisy(content):
        content = bytearray(content)
        for _ in range(data.draw(st.integers(0, 2))):
            content[data.draw(st.integers(0, min(len(content) - 1, 140)))] = data.draw(st.integers(0, 255))
        return bytes(content[: data.draw(st.sampled_from([len(content), 20, 200]))])

    file = tmp_path / "fuzz.npz"
    with zipfile.ZipFile(file, "w") as archive:  # its checksums fit the noise
        for name, column in (("points", CROPS.points_px), ("files", np.array(CROPS.files)), ("faces", CROPS.faces)):
            stream = io.BytesIO()
            np.save(stream, column)
            archive.writestr(f"{name}.npy", noisy(stream.getvalue()))
    if data.draw(st.booleans()):
        file.write_bytes(noisy(file.read_bytes()))
    read_or_refuse(file)
