# SPDX-License-Identifier: Apache-2.0
"""300W from its folders: what is read, what is found wrong, and that a damaged `.pts` is never read askew."""

import json
import os

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.prepare import prepare
from data.w300.folders import FOLDERS
from data.w300.pts import parse_pts
from data.w300.source import read_source, source_digest
from tests.kit.shared import SHARED, needs_shared

FUZZ = settings(
    derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Four rows of 17 points, 1-based: from (21, 31) to (101, 61).
GRID = np.array([(21 + 5 * x, 31 + 10 * y) for y in range(4) for x in range(17)], float)
NAMES = (
    "afw/a_1",
    "helen/trainset/1_1",
    "lfpw/trainset/image_0001",
    "helen/testset/2_1",
    "lfpw/testset/image_0002",
    "ibug/x",
)


def pts(points=GRID, count=68):
    lines = "".join(f"{x:.3f} {y:.3f}\n" for x, y in points)
    return f"version: 1\nn_points:  {count}\n{{\n{lines}}}\n"


def write_face(folder, name, text=None, suffix=None):
    """A `.pts` file, and an image of 150 x 120 pixels beside it unless `suffix` is ''."""
    path = folder / f"{name}.pts"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(pts() if text is None else text)
    suffix = FOLDERS[name.rpartition("/")[0]].suffix if suffix is None else suffix
    if suffix:
        pixels = np.random.default_rng(0).integers(0, 255, (120, 150, 3), np.uint8)
        cv2.imwrite(f"{folder / name}{suffix}", pixels)


@pytest.fixture
def source(tmp_path):
    """A face in every folder."""
    folder = tmp_path / "300W"
    for name in NAMES:
        write_face(folder, name)
    return folder


def problems(found):
    """Faults, doubts and gaps, except that folders and splits are not as large as the published ones."""
    findings = found.findings
    return findings.faults + findings.doubts + [gap for gap in findings.gaps if " faces" not in gap]


def test_a_built_set_holds_the_folders(source, tmp_path):
    write_face(source, "ibug/b", pts(GRID * 1.25 + 0.5))
    directory = prepare("w300", str(source), str(tmp_path / "built"), allow_partial=True)
    builder = tfds.builder_from_directory(str(directory))
    train, test = (list(builder.as_data_source(split)) for split in ("train", "test"))
    assert [record["file"].decode() for record in train] == [
        "afw/a_1.jpg", "helen/trainset/1_1.jpg", "lfpw/trainset/image_0001.png",
    ]  # fmt: skip
    assert [record["file"].decode() for record in test] == [
        "helen/testset/2_1.jpg", "lfpw/testset/image_0002.png", "ibug/b.jpg", "ibug/x.jpg",
    ]  # fmt: skip
    assert [record["face"] for record in train + test] == [0, 1, 2, 0, 1, 2, 3]
    assert [record["flags"].tolist() for record in train] == [[0, 0]] * 3
    assert [record["flags"].tolist() for record in test] == [[1, 0], [1, 0], [0, 1], [0, 1]]
    # The files count pixels from 1; in edge coordinates the centre of the first pixel is at 0.5.
    np.testing.assert_array_equal(train[0]["points"], np.float32(GRID - 1))
    assert train[0]["box"].tolist() == [20.5, 30.5, 80, 30]
    np.testing.assert_array_equal(test[2]["points"], np.float32(GRID * 1.25 - 0.5))
    assert test[2]["box"].tolist() == [26.25, 38.75, 100, 37.5]
    assert train[0]["visible"].tolist() == [2] * 68
    assert train[0]["size"].tolist() == [150, 120]
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["flag_names"] == ["common", "challenging"]
    assert (metadata["scheme"], metadata["normaliser"]) == ("300w-68", [36, 45])
    assert metadata["partial"] == "PARTIAL SET: 3 of 3,148 train faces, 4 of 689 test faces"


@needs_shared
def test_the_samples_have_their_traps_and_nothing_else():
    found = read_source(SHARED / "samples" / "300W")
    findings = found.findings
    assert (findings.faults, findings.doubts) == ([], [])
    assert [gap.split("300W")[1].split(";")[0] for gap in findings.gaps] == [
        "/afw: 1 of 337 faces",
        "/helen/trainset: 1 of 2,000 faces",
        "/lfpw/trainset: 1 of 811 faces",
        "/helen/testset: 1 of 330 faces",
        "/lfpw/testset: 1 of 224 faces",
        "/ibug: 1 of 135 faces",
        ": split train has 3 faces, the published set 3,148",
        ": split test has 3 faces, the published set 689",
    ]
    mirrors, spaced, equal = findings.notes
    assert "1 mirrored copies (of dlib's distribution) are left out: helen/trainset/232194_1_mirror" in mirrors
    assert spaced.endswith(": 'ibug/image_092 _01'")
    assert "1 equal names" in equal
    assert "lfpw/trainset/image_0001 and lfpw/testset/image_0001" in equal
    assert findings.counts == {"images": 6, "faces": 6, "mirror_copies": 1}
    # Read off the file by eye: 71.000 293.332 and 334.764 595.513.
    face = found.splits["train"][0]
    assert face.file == "afw/134212_1.jpg"
    np.testing.assert_array_equal(face.points[[0, 67]], np.float32([[70, 292.332], [333.764, 594.513]]))
    assert [face.file for face in found.splits["test"]] == [
        "helen/testset/296814969_3.jpg", "lfpw/testset/image_0001.png", "ibug/image_092 _01.jpg",
    ]  # fmt: skip
    for face in found.faces():
        assert found.image(face.file)[1].shape[2] == 3


def test_a_clean_source_has_no_problem(source):
    found = read_source(source)
    assert problems(found) == []
    assert found.findings.notes == []
    assert found.has_images
    assert found.findings.counts == {"images": 6, "faces": 6}


@pytest.mark.parametrize(
    "text",
    [
        pts().replace("\n", "\r\n"),
        pts() + "\n  \n\n",
        pts().replace("n_points:  68", "n_points:\t68 "),
        pts().replace(" ", "   ").removesuffix("\n"),
    ],
)
def test_blanks_and_line_ends_do_not_matter(tmp_path, text):
    (tmp_path / "a.pts").write_bytes(text.encode())
    np.testing.assert_array_equal(parse_pts(tmp_path / "a.pts"), GRID - 1)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"a.pts:1: '' instead of 'version: 1'"),
        (pts().replace("version: 1", "version: 2"), r"a.pts:1: 'version: 2' instead of 'version: 1'"),
        (pts(count=67), r"a.pts:2: 'n_points:  67' instead of 'n_points: 68'"),
        (pts(count="٦٨"), r"a.pts:2: .* instead of 'n_points: 68'"),
        (pts().replace("{\n", ""), r"a.pts:3: '21.000 31.000' instead of '{'"),
        (pts(GRID[:67]), r"a.pts:71: 67 points instead of 68"),
        (pts([*GRID, (1, 2)]), r"a.pts:73: 69 points instead of 68"),
        ("".join(pts().splitlines(True)[:40]), r"a.pts:40: 37 points instead of 68"),
        (pts().replace("}", ""), r"a.pts:71: no '}' after the points"),
        (pts() + pts(), r"a.pts:73: more lines after '}'"),
        (pts().replace("26.000 31.000", "26.000"), r"a.pts:5: '26.000' instead of a point's x and y"),
        (pts().replace("26.000 31.000", "26.000 31.000 1"), r"a.pts:5: '26.000 31.000 1' instead of a point"),
        (pts().replace("26.000 31.000", "\n26.000 31.000"), r"a.pts:5: '' instead of a point's x and y"),
        (pts().replace("26.000 31.000", "26.000 nan"), r"a.pts:5: 'nan' is not a number of pixels"),
        (pts().replace("26.000 31.000", "26.000 3l.0"), r"a.pts:5: '3l.0' is not a number of pixels"),
    ],
)
def test_a_wrong_pts_file_is_refused_by_line_and_is_a_fault(source, text, fault):
    (source / "ibug" / "a.pts").write_text(text)
    with pytest.raises(ValueError, match=fault):
        parse_pts(source / "ibug" / "a.pts")
    write_face(source, "ibug/a", text)
    write_face(source, "afw/b", pts(count=5))
    first, second = problems(read_source(source))
    assert "afw/b.pts:2: 'n_points:  5'" in first
    assert f"{source}/ibug/a.pts:" in second


def test_pairs_are_made_by_name_and_the_lonely_are_gaps(source):
    write_face(source, "afw/a_0", suffix="")
    (source / "ibug" / "x.pts").unlink()
    write_face(source, "helen/testset/3 b", suffix=".JPEG")
    (source / "helen" / "testset" / "3 b.pts").rename(source / "helen" / "testset" / "3 b.PTS")
    found = read_source(source)
    points, image = problems(found)
    assert points.startswith(f"{source}/afw/a_0.pts: no image beside it")
    assert image.startswith(f"{source}/ibug/x.jpg: no .pts beside it")
    # A face keeps its number when the image of one before it is missing.
    assert (found.splits["train"][0].face, found.splits["train"][0].file) == (1, "afw/a_1.jpg")
    assert [(face.face, face.file) for face in found.splits["test"]] == [
        (0, "helen/testset/2_1.jpg"), (1, "helen/testset/3 b.JPEG"), (2, "lfpw/testset/image_0002.png"),
    ]  # fmt: skip
    assert "'helen/testset/3 b'" in found.findings.notes[0]


def test_many_lonely_files_are_listed_briefly(source):
    for number in range(14):
        write_face(source, f"lfpw/trainset/b_{number:02d}", suffix="")
    gaps = problems(read_source(source))
    assert len(gaps) == 11
    assert gaps[9].startswith(f"{source}/lfpw/trainset/b_09.pts: ")
    assert gaps[10].startswith(f"... and 4 more .pts files in {source}/lfpw/trainset have no image")


def test_two_images_of_one_name_are_a_fault(source):
    cv2.imwrite(str(source / "afw" / "a_1.png"), np.zeros((120, 150, 3), np.uint8))
    (fault,) = problems(read_source(source))
    assert fault.startswith(f"{source}/afw: a_1.jpg, a_1.png, a_1.pts have one name")


def test_mirrored_copies_and_stray_files_are_left_out(source):
    write_face(source, "afw/a_1_mirror", pts(count=1))
    write_face(source, "helen/testset/2_1_mirror", suffix="")
    for stray in ("Thumbs.db", "._a_1.jpg", ".DS_Store", "bounding_boxes.mat", os.fsdecode(b"\xff.pts")):
        (source / "afw" / stray).write_bytes(b"\0")
    (source / "afw" / "folder.pts").mkdir()
    found = read_source(source)
    assert problems(found) == []
    assert len(found.faces()) == 6
    assert found.findings.counts["mirror_copies"] == 2
    assert found.findings.counts["other_files"] == 5
    mirrors, others = found.findings.notes
    assert "2 mirrored copies" in mirrors
    assert others.endswith("afw/.DS_Store, afw/._a_1.jpg, afw/Thumbs.db, afw/bounding_boxes.mat, afw/\ufffd.pts")


def test_annotations_alone_keep_all_faces_under_the_published_names(source):
    before = [face.file for face in read_source(source).faces()]
    for path in [*source.rglob("*.jpg"), *source.rglob("*.png")]:
        path.unlink()
    found = read_source(source)
    assert not found.has_images
    assert problems(found) == []
    assert [face.file for face in found.faces()] == before
    assert "annotations alone can score predictions" in found.findings.notes[0]


def test_folders_are_counted(source):
    for path in sorted((source / "afw").iterdir()):
        path.unlink()
    (source / "afw").rmdir()
    for number in range(135):
        write_face(source, f"ibug/{number}", suffix="")
        (source / "ibug" / f"{number}.jpg").write_bytes(b"\xff")
    findings = read_source(source).findings
    assert findings.faults == [f"{source}/ibug: 136 faces, the published set has 135 there; remove what is not 300W's"]
    assert findings.gaps[0] == f"{source}/afw: no such folder; unpack it, the published set has 337 faces there"
    assert "split test has 138 faces, the published set 689" in findings.gaps[-1]


def test_a_folder_that_is_not_the_set_says_which_one_was_meant(source, tmp_path):
    for given_folder in (source.parent, source / "helen" / "trainset", source / "ibug"):
        for function in (read_source, source_digest):
            with pytest.raises(FileNotFoundError, match=rf"none of afw, helen/trainset.*give --source {source}$"):
                function(given_folder)
    with pytest.raises(FileNotFoundError, match="no such folder, so none of afw"):
        read_source(tmp_path / "nowhere" / "at" / "all" / "here")


def test_the_digest_follows_points_and_images_only(source):
    first = source_digest(source)
    (source / "afw" / "Thumbs.db").write_bytes(b"\0")
    assert source_digest(source) == first
    (source / "afw" / "a_1.pts").write_text(pts(GRID + 1))
    second = source_digest(source)
    (source / "afw" / "a_1.jpg").write_bytes(b"\xff")
    assert len({first, second, source_digest(source)}) == 3


LINES = st.sampled_from(
    ["", "{", "}", "n_points: 68", "1 2", "1.5 -2.5", "nan 1", "1", "1 2 3", "1_0 2", "1e999 0", "x y", "٣ 1"]
)


@st.composite
def damaged(draw):
    """A `.pts` file with lines dropped, doubled or exchanged, cut, or with bytes put in; or bytes alone."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    lines = pts().split("\n")
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(lines) - 1))
        lines[place : place + draw(st.integers(0, 2))] = draw(st.lists(LINES, max_size=2))
    text = draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode()
    if draw(st.integers(0, 3)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.binary(max_size=3)) + text[place:]
    return text


def lines_of_points(text):
    """The 68 lines between the braces, read in another way than the parser does."""
    head, _, rest = text.decode().partition("{")
    body, _, tail = rest.partition("}")
    assert head.split() == ["version:", "1", "n_points:", "68"]
    assert tail.strip() == ""
    rows = body.strip().splitlines()
    assert len(rows) == 68
    return [[float(number) for number in row.split()] for row in rows]


@FUZZ
@given(damaged())
def test_a_damaged_pts_file_is_read_right_or_refused(tmp_path, text):
    path = tmp_path / "a.pts"
    path.write_bytes(text)
    try:
        points = parse_pts(path)
    except ValueError as error:
        place, _, _ = str(error).removeprefix(f"{path}:").partition(":")
        assert 1 <= int(place) <= max(text.count(b"\n") + 1, 3)
    else:
        np.testing.assert_array_equal(points, np.array(lines_of_points(text)) - 1)


@settings(FUZZ, max_examples=60)
@given(damaged(), damaged(), st.text(max_size=8), st.binary(max_size=5))
def test_a_damaged_source_is_read_right_or_refused(source, first, second, name, stray):
    contents = {"afw/a_1": first, "ibug/x": second}
    for face, content in contents.items():
        (source / f"{face}.pts").write_bytes(content)
    stray_name = "".join(letter for letter in name if letter.isalnum()) + ".pts"
    (source / "helen" / "testset" / stray_name).write_bytes(stray)
    found = read_source(source)  # collects faults, raises nothing
    (source / "helen" / "testset" / stray_name).unlink()
    read = {face.file.rpartition(".")[0]: face for face in found.faces()}
    faults = "\n".join(found.findings.faults)
    for face, content in contents.items():
        if face in read:
            np.testing.assert_array_equal(read[face].points, np.float32(np.array(lines_of_points(content)) - 1))
        else:
            assert f"{source / face}.pts:" in faults
    assert len(read) >= 4
