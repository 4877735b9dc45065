# SPDX-License-Identifier: Apache-2.0
"""WFLW from its lists: what is read, what is found wrong, and that a damaged list is never read with shifted fields."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.prepare import prepare
from data.wflw.annotations import parse_key, parse_row
from data.wflw.source import LISTS, read_source, source_digest
from data.wflw.subsets import SUBSET_LISTS, SUBSETS
from tests.kit.shared import SHARED, needs_shared

FUZZ = settings(
    derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# 98 points on a circle of radius 30, as lists write them.
ANGLE = np.arange(98) * 2 * np.pi / 98
CIRCLE = np.round(30 * np.stack([np.cos(ANGLE), np.sin(ANGLE)], axis=1), 6)


def row(image="0--Parade/a.jpg", centre=(80, 60), rect=None, flags="000000"):
    """A line of a list with the circle about `centre`, and the rect that just holds it unless another is given."""
    x, y = centre
    points = (CIRCLE + np.array(centre)).ravel()
    rect = (x - 30, y - 30, x + 30, y + 30) if rect is None else rect
    return " ".join([*(f"{value:.6f}" for value in points), *map(str, rect), *flags, image])


def write_lists(folder, train, test):
    for split, rows in (("train", train), ("test", test)):
        path = folder / LISTS.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in rows))


def write_subset(folder, name, rows):
    path = folder / SUBSET_LISTS.format(SUBSETS[name][0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{' '.join(line.split()[:196])} {line.split()[-1]}\n" for line in rows))


def write_image(folder, name):
    path = folder / "WFLW_images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8))


@pytest.fixture
def source(tmp_path):
    """Two faces in one image to train on, and one to test on."""
    folder = tmp_path / "WFLW"
    train = [row(flags="100001"), row(centre=(60.5, 70.25), rect=(20, 30, 110, 115))]
    write_lists(folder, train, [row("1--Handshaking/b.jpg", flags="010010")])
    for name in ("0--Parade/a.jpg", "1--Handshaking/b.jpg"):
        write_image(folder, name)
    return folder


def edit(folder, change, split="train"):
    """Writes the list of a split anew with `change` of its lines."""
    path = folder / LISTS.format(split)
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


def problems(found):
    """Faults, doubts and gaps, except that the set is not as large as the published one."""
    findings = found.findings
    return findings.faults + findings.doubts + [gap for gap in findings.gaps if ": split " not in gap]


def test_a_built_set_holds_the_lists(source, tmp_path):
    directory = prepare("wflw", str(source), str(tmp_path / "built"), allow_partial=True)
    builder = tfds.builder_from_directory(str(directory))
    train, test = (list(builder.as_data_source(split)) for split in ("train", "test"))
    assert [record["face"] for record in train] == [0, 1]
    second = train[1]
    np.testing.assert_array_equal(second["points"], np.float32(CIRCLE + np.array([60.5, 70.25])))
    # Corners are pixels whose centres have whole coordinates: edge coordinates are half a pixel more.
    np.testing.assert_array_equal(second["box"], np.float32([20.5, 30.5, 90, 85]))
    assert second["visible"].tolist() == [2] * 98
    assert second["size"].tolist() == [200, 160]
    assert [record["flags"].tolist() for record in train] == [[1, 0, 0, 0, 0, 1], [0] * 6]
    assert test[0]["flags"].tolist() == [0, 1, 0, 0, 1, 0]
    assert test[0]["file"].decode() == "1--Handshaking/b.jpg"
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["flag_names"] == ["pose", "expression", "illumination", "make-up", "occlusion", "blur"]
    assert (metadata["scheme"], metadata["normaliser"]) == ("wflw-98", [60, 72])
    assert metadata["partial"] == "PARTIAL SET: 2 of 7,500 train faces, 1 of 2,500 test faces"
    with pytest.raises(ValueError, match=r"PARTIAL SET: 2 of 7,500 train faces"):
        prepare("wflw", str(source), str(tmp_path / "built"))


@needs_shared
def test_the_samples_have_their_traps_and_nothing_else():
    found = read_source(SHARED / "samples" / "WFLW")
    findings = found.findings
    assert (findings.faults, findings.doubts) == ([], [])
    assert [gap.split("WFLW: ")[1].split(";")[0] for gap in findings.gaps] == [
        "split train has 2 faces, the published set 7,500",
        "split test has 2 faces, the published set 2,500",
    ]
    shared, lists = findings.notes
    assert "3 faces share 1 image(s) (1 of them in both train and test), at most 3 in one" in shared
    assert "no list of largepose, expression, illumination, makeup, occlusion, blur to compare" in lists
    assert findings.counts == {"images": 2, "faces": 4}
    # Read off the list by eye: first and last point, rect 436 110 529 211, attribute 1.
    face = found.splits["test"][0]
    np.testing.assert_array_equal(face.points[0], np.float32([440.696106, 132.732559]))
    assert face.points[97, 1] == np.float32(137.763648)
    assert face.box.tolist() == [436.5, 110.5, 93, 101]
    assert face.flags == (0, 1, 0, 0, 0, 0)
    assert face.file == "36--Football/36_Football_americanfootball_ball_36_415.jpg"
    for face in found.faces():
        assert found.image(face.file)[1].shape[2] == 3


def test_a_clean_source_has_no_problem(source):
    found = read_source(source)
    assert problems(found) == []
    assert found.has_images
    assert found.findings.counts == {"images": 2, "faces": 3}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda line: line.split(" ", 1)[1], "206 fields instead of 196 + 4 + 6 + 1 = 207"),
        (lambda line: f"{line} {line}", "414 fields"),
        (lambda line: "", "0 fields"),
        (lambda line: line.replace(" 20 30 110 115 ", " 20 30 20 115 "), "rect 20 30 20 115 has no area"),
        (lambda line: line.replace(" 20 30 110 115 ", " 20 30 110 1e9 "), "field 200: '1e9' is not a number"),
        (lambda line: "nan " + line.split(" ", 1)[1], "field 1: 'nan' is not a number of pixels"),
        (lambda line: line.replace(" 0 0 0 0 0 0 ", " 0 0 2 0 0 0 "), "attributes '0 0 2 0 0 0' are not six times"),
        (lambda line: line.replace("0--Parade/a.jpg", "/etc/a.jpg"), "image '/etc/a.jpg' is not below WFLW_images"),
        (lambda line: line.replace("0--Parade/a.jpg", "../a.jpg"), "image '../a.jpg' is not below WFLW_images"),
        (lambda line: line.removesuffix(".jpg"), "'0--Parade/a' is no image's name"),
    ],
)
def test_a_wrong_line_is_a_fault_that_names_it(source, change, fault):
    edit(source, lambda lines: [lines[0], change(lines[1]), lines[0].replace("80", "81")])
    (only,) = problems(read_source(source))
    assert only.startswith(f"{source / LISTS.format('train')}:2: ")
    assert fault in only
    # The line after it keeps its number.
    assert [face.face for face in read_source(source).splits["train"]] == [0, 2]


def test_faults_of_all_lines_are_found_at_once_and_listed_briefly(source):
    edit(source, lambda lines: ["1 2 3"] * 25)
    edit(source, lambda lines: [b.replace("0 1 0", "0 x 0") for b in lines], "test")
    faults = read_source(source).findings.faults
    assert len(faults) == 12
    assert faults[9].startswith(f"{source / LISTS.format('train')}:10: 3 fields")
    assert faults[10].startswith("... and 15 more wrong lines in ")
    assert "list_98pt_rect_attr_test.txt:1: attributes '0 x 0 0 x 0'" in faults[11]


def test_windows_line_ends_and_blank_lines_at_the_end(source):
    before = read_source(source)
    path = source / LISTS.format("train")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n \n")
    after = read_source(source)
    assert problems(after) == []
    for one, other in zip(before.faces(), after.faces(), strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        assert one.file == other.file


def test_a_rect_that_misses_most_points_is_doubted(source):
    # Points 25 to 73 of the circle lie left of its centre, the next ones 0.96 pixels right of it. A rect is given half
    # a pixel: from x = 80 it misses 49, which is half of them, from 81.5 it misses 51.
    edit(source, lambda lines: [row(rect=(80, 30, 110, 90)), row(rect=(81.5, 31, 111, 91), centre=(80, 61))])
    (doubt,) = problems(read_source(source))
    assert ":2 (0--Parade/a.jpg): the rect misses 51 of 98 points" in doubt
    assert read_source(source).findings.counts["boxes_missing_points"] == 1


def test_the_two_known_wrong_rects_are_noted(source):
    known = row("12--Group/12_Group_Group_12_Group_Group_12_839.jpg", rect=(710, 58, 948, 370))
    also = row("28--Sports_Fan/28_Sports_Fan_Sports_Fan_28_959.jpg", rect=(496, 50, 956, 706))
    other = row("12--Group/12_Group_Group_12_Group_Group_12_840.jpg", rect=(710, 58, 948, 370))
    edit(source, lambda lines: [known, also, other])
    for line in (known, also, other):
        write_image(source, line.split()[-1])
    found = read_source(source)
    (doubt,) = problems(found)
    assert "12_840.jpg): the rect misses 98 of 98 points" in doubt
    notes = [note for note in found.findings.notes if "known to be wrong" in note]
    assert ["(line 1035 of the published train list)" in notes[0], "(line 2748 of" in notes[1]] == [True, True]
    assert len(found.splits["train"]) == 3


def test_a_repeated_face_is_doubted(source):
    edit(source, lambda lines: [*lines, lines[0].replace(" 50 30 110 90 ", " 51 30 110 90 ")])
    (doubt,) = problems(read_source(source))
    assert f":3 (0--Parade/a.jpg): the same image and points as {source / LISTS.format('train')}:1" in doubt


def test_faces_without_their_image_are_gaps_and_left_out(source):
    edit(source, lambda lines: [*lines, *(row(f"2--Demonstration/{number}.jpg") for number in range(13))])
    found = read_source(source)
    gaps = problems(found)
    assert len(gaps) == 11
    assert "2--Demonstration/0.jpg: image of 1 face(s) is missing" in gaps[0]
    assert "and 3 more images are missing, 13 faces of 13 images in all are left out" in gaps[10]
    assert found.findings.counts["faces_without_image"] == 13
    assert [face.face for face in found.splits["train"]] == [0, 1]


def test_annotations_alone_keep_all_faces(source, tmp_path):
    (source / "WFLW_images").rename(tmp_path / "elsewhere")
    found = read_source(source)
    assert not found.has_images
    assert problems(found) == []
    assert len(found.faces()) == 3
    assert "annotations alone can score predictions" in found.findings.notes[-1]


def test_a_list_that_is_not_there_is_a_gap(source):
    (source / LISTS.format("test")).unlink()
    found = read_source(source)
    (gap,) = problems(found)
    assert gap.startswith(f"{source / LISTS.format('test')}: no such file")
    assert (len(found.splits["train"]), found.splits["test"]) == (2, [])


def test_a_folder_that_is_not_the_set_says_which_one_was_meant(source, tmp_path):
    for given_folder in (source.parent, source / "WFLW_images", (source / LISTS).parent):
        for function in (read_source, source_digest):
            with pytest.raises(FileNotFoundError, match=f"WFLW_annotations.*give --source {source}$"):
                function(given_folder)
    with pytest.raises(FileNotFoundError, match="no such folder, so no WFLW_annotations"):
        read_source(tmp_path / "nowhere" / "at" / "all" / "here")


def test_subset_lists_must_agree_with_the_attributes(source):
    a, b, c = (row("1--Handshaking/b.jpg", (70 + i, 60), flags="100000") for i in range(3))
    d = row("1--Handshaking/b.jpg", (75, 60))
    edit(source, lambda lines: [a, b, c, d], "test")
    for name in SUBSETS:
        write_subset(source, name, [a, b, c] if name == "pose" else [])
    assert problems(read_source(source)) == []
    write_subset(source, "pose", [a, b, d, row("9--Press/z.jpg")])
    write_subset(source, "blur", [a])
    pose, blur = problems(read_source(source))
    assert "list_98pt_test_largepose.txt: 2 of its 4 faces do not have attribute pose in the test list, and 1 " in pose
    assert "list_98pt_test_blur.txt: 1 of its 1 faces do not have attribute blur" in blur
    (source / SUBSET_LISTS.format("blur")).write_text("1 2 3\n")
    fault, _ = problems(read_source(source))
    assert "list_98pt_test_blur.txt:1: 3 fields instead of 196 + 1" in fault


def test_a_complete_test_list_has_the_published_subsets(source):
    flags = np.zeros((2500, 6), int)
    for place, count in enumerate((326, 314, 698, 206, 736, 773)):
        flags[:count, place] = 1
    lines = [
        row("1--Handshaking/b.jpg", (60 + number / 100, 60), flags="".join(map(str, values)))
        for number, values in enumerate(flags)
    ]
    edit(source, lambda _: lines, "test")
    found = read_source(source)
    assert problems(found) == []
    assert [gap for gap in found.findings.gaps if "test" in gap.split(": ")[1]] == []
    assert found.partial == "PARTIAL SET: 2 of 7,500 train faces"
    edit(source, lambda _: [*lines[:-1], lines[-1].replace(" 0 0 0 0 0 0 ", " 0 0 0 1 0 0 ")], "test")
    (doubt,) = problems(read_source(source))
    assert "207 test faces have attribute make-up, 206 in the published set" in doubt
    edit(source, lambda _: [*lines, row("1--Handshaking/b.jpg", (30, 60))], "test")
    (fault,) = problems(read_source(source))
    assert "split test has 2,501 faces, the published set 2,500" in fault


def test_the_digest_follows_lists_and_images(source):
    digests = {source_digest(source)}
    edit(source, lambda lines: lines[::-1])
    digests.add(source_digest(source))
    write_subset(source, "blur", [row()])
    digests.add(source_digest(source))
    write_image(source, "2--Demonstration/c.jpg")
    digests.add(source_digest(source))
    (source / "WFLW_images" / os.fsdecode(b"\xff")).touch()  # a name that is no text
    digests.add(source_digest(source))
    assert len(digests) == 5


TOKENS = st.sampled_from(["nan", "inf", "-1e999", "1_0", "x", "", "٣", "7", "-3.5", "0", "1", "a.jpg", "5 6"])


@st.composite
def damaged(draw, text):
    """A text with fields dropped, doubled or exchanged, cut at both ends, or with bytes put in; or bytes alone."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=400))
    fields = text.split(" ")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(fields) - 1))
        length = draw(st.integers(0, 2))
        fields[place : place + length] = draw(st.lists(TOKENS, max_size=2))
    damage = " ".join(fields).encode()
    if draw(st.booleans()):
        damage = damage[: draw(st.integers(0, len(damage)))]
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(damage)))
        damage = damage[:place] + draw(st.binary(max_size=4)) + damage[place:]
    return damage


@FUZZ
@given(damaged(row(flags="010001")))
def test_a_damaged_line_is_read_right_or_refused(line):
    path = Path("list.txt")
    try:
        read = parse_row(line, path, 6)
    except ValueError as error:
        assert str(error).startswith("list.txt:7: ")
    else:
        fields = line.decode().split()
        assert len(fields) == 207
        assert read.points.ravel().tolist() == [float(field) for field in fields[:196]]
        assert read.rect.tolist() == [float(field) for field in fields[196:200]]
        assert [str(flag) for flag in read.flags] == fields[200:206]
        assert (read.x0, read.image) == (fields[0], fields[206])
        assert np.isfinite(read.points).all()
    try:
        assert parse_key(line, path, 6) == (line.decode().split()[0], line.decode().split()[-1])
    except ValueError as error:
        assert str(error).startswith("list.txt:7: ")


@settings(FUZZ, max_examples=60)
@given(damaged("\n".join(row(centre=(60 + i, 60)) for i in range(3))), damaged(row(flags="000001")), st.booleans())
def test_a_damaged_source_is_read_right_or_refused(source, train, blur, as_test):
    path = source / LISTS.format("train")
    path.write_bytes(train)
    subset = source / SUBSET_LISTS.format("blur")
    subset.parent.mkdir(exist_ok=True)
    subset.write_bytes(blur)
    (source / LISTS.format("test")).write_bytes(blur if as_test else row().encode())
    found = read_source(source)  # collects faults, raises nothing
    lines = train.rstrip().split(b"\n") if train.strip() else []
    for face in found.splits["train"]:
        fields = lines[face.face].decode().split()
        np.testing.assert_array_equal(face.points.ravel(), np.float32([float(field) for field in fields[:196]]))
        assert face.file == fields[-1]
    wrong = len(lines) - len(found.splits["train"])
    named = [
        f for f in found.findings.faults + found.findings.gaps if f.startswith((f"{path}:", str(source / "WFLW_im")))
    ]
    assert len(named) >= min(wrong, 1)
