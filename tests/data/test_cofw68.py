# SPDX-License-Identifier: Apache-2.0
"""COFW-68 from its MATLAB 5 files: the published numbers, pairing by number, and that damage is told and never read."""

import io
import json
import struct

import cv2
import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.check import check
from data.cofw68.matlab5 import HEADER, read_matrices
from data.cofw68.source import BOXES, read_source, source_digest
from data.prepare import main, prepare
from tests.data.test_cofw import annotations, pictures, write_split
from tests.kit.shared import SHARED, needs_shared

FUZZ = settings(derandomize=True, max_examples=300, deadline=None, database=None)
SHAPES = {"Points": (68, 2), "Occ": (1, 68)}
IMAGES = "COFW_test_color.mat"


def points_of(number):
    """68 points inside a box of 20 x 24 at (10, 8), 1-based, and their occlusion; different for every face."""
    random = np.random.default_rng(number)
    return random.uniform([10, 8], [30, 32], (68, 2)), random.integers(0, 2, (1, 68), np.uint8)


def write_points(folder, number, **changes):
    points, occluded = points_of(number)
    (folder / "test_annotations").mkdir(parents=True, exist_ok=True)
    path = folder / "test_annotations" / f"{number}_points.mat"
    scipy.io.savemat(path, {"Points": points, "Occ": occluded} | changes)
    return path


def write_boxes(folder, count, name="bboxes"):
    boxes = np.array([[10, 8, 20 + number, 24] for number in range(1, count + 1)], np.int16)
    scipy.io.savemat(folder / BOXES, {name: boxes})


def write_images(folder, count):
    images = pictures(count, grey=[1])
    write_split(folder, "test", images, *annotations(count))
    return [image[..., ::-1] if image.ndim == 3 else np.stack([image] * 3, axis=-1) for image in images]


@pytest.fixture
def source(tmp_path):
    """Twelve faces, so that the order of names is not that of numbers, and their images a folder above."""
    folder = tmp_path / "source" / "COFW68_Data"
    for number in range(1, 13):
        write_points(folder, number)
    write_boxes(folder, 12)
    write_images(folder.parent, 12)
    return folder.parent


def gap(folder, count):
    return (
        f"{folder}: split test has {count} faces, the published set 507; complete the download, or take it as it is "
        "(--allow-partial)"
    )


@needs_shared
def test_published_statistics():
    """docs/protocols.md, "Files and record formats", computed from the published files."""
    read = read_source(SHARED / "cofw68")
    assert not read.findings.faults + read.findings.gaps + read.findings.doubts and not read.partial
    (note,) = read.findings.notes
    assert "COFW_test_color.mat is neither here nor a folder above" in note and not read.has_images
    faces = read.splits["test"]
    assert [face.face for face in faces] == [*range(1, 508)]
    matlab = np.stack([face.points for face in faces]) + 1  # as the files have them
    hidden = np.stack([face.visible == 1 for face in faces])
    boxes = np.stack([face.box for face in faces])
    assert round(100 * hidden.mean(), 1) == 22.9
    assert round(100 * hidden.any(axis=1).mean(), 1) == 90.3
    eyes = np.linalg.norm(matlab[:, 36] - matlab[:, 45], axis=1)
    assert (round(float(eyes.min()), 1), round(float(eyes.max()), 1)) == (63.7, 98.4)
    assert (matlab < 0).sum() == 8 and round(float(matlab.min()), 1) == -17.6
    assert ((boxes[:, 0] + 0.5) < 0).sum() == 1
    assert (boxes[:, 2].min(), boxes[:, 2].max(), boxes[:, 3].min(), boxes[:, 3].max()) == (98, 175, 87, 183)
    assert check(read, allow_partial=False).status(strict=True) == 0


@needs_shared
@pytest.mark.parametrize("folder", ["samples/COFW", "samples/COFW/COFW68_Data"])
def test_sample(folder):
    read = read_source(SHARED / folder)
    report = check(read, allow_partial=False)
    assert report.gaps == [gap(SHARED / folder, 2)]
    assert not report.notes
    first, second = read.splits["test"]
    # As SciPy shows the files: Points[0] is 42.0485, 149.2227 and 112.4079, 118.0270; bboxes 42, 119, 132, 148 and
    # 112, 94, 123, 123; 26 and 20 points are occluded.
    np.testing.assert_allclose(
        [first.points[0], second.points[0]], [[41.0485, 148.2227], [111.4079, 117.0270]], atol=1e-4
    )
    assert [first.box.tolist(), second.box.tolist()] == [[41.5, 118.5, 132, 148], [111.5, 93.5, 123, 123]]
    assert [(face.face, face.file, face.size) for face in (first, second)] == [
        (1, "COFW_test_color.mat/IsT/0000", (235, 322)),
        (2, "COFW_test_color.mat/IsT/0001", (352, 253)),
    ]
    assert int((first.visible == 1).sum() + (second.visible == 1).sum()) == 46
    assert read.image(second.file)[1].shape == (253, 352, 3)


def test_frames_and_order_of_numbers(source):
    read = read_source(source)
    assert [face.face for face in read.splits["test"]] == [*range(1, 13)]
    for face, image in zip(read.splits["test"], write_images(source, 12), strict=True):
        points, occluded = points_of(face.face)
        # The centre of MATLAB's first pixel is at 1, here at 0; its left edge at 0.5, here at 0.
        np.testing.assert_array_equal(face.points, np.float32(points - 1))
        np.testing.assert_array_equal(face.visible, 2 - occluded[0])
        assert face.box.tolist() == [9.5, 7.5, 20 + face.face, 24]
        assert face.file == f"COFW_test_color.mat/IsT/{face.face - 1:04d}"
        assert face.size == (image.shape[1], image.shape[0])
        encoded, pixels = read.image(face.file)
        assert encoded == b""
        np.testing.assert_array_equal(pixels, image)
    assert (read.scheme.name, read.findings.gaps) == ("300w-68", [gap(source, 12)])
    assert not read.findings.faults + read.findings.doubts + read.findings.notes


def test_build_and_read_back(source, tmp_path):
    with pytest.raises(ValueError, match=r"split test has 12 faces"):
        prepare("cofw68", str(source), str(tmp_path / "built"))
    directory = prepare("cofw68", str(source), str(tmp_path / "built"), allow_partial=True)
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["partial"] == "PARTIAL SET: 12 of 507 test faces"
    builder = tfds.builder_from_directory(str(directory))
    assert [*builder.info.splits] == ["test"]
    records = builder.as_data_source("test", decoders={"image": tfds.decode.SkipDecoding()})
    faces = read_source(source).splits["test"]
    for record, image, face in zip(records, write_images(source, 12), faces, strict=True):
        x, y, w, h = record["region"]
        stored = cv2.imdecode(np.frombuffer(record["image"], np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(stored, image[y : y + h, x : x + w])
        np.testing.assert_array_equal(record["points"], face.points)
        np.testing.assert_array_equal(record["visible"], face.visible)
        assert (record["face"], record["file"].decode()) == (face.face, face.file)


@pytest.mark.parametrize("place", ["beside", "above", "in COFW", "none"])
def test_where_images_may_lie(source, place):
    images = source / IMAGES
    if place == "beside":
        images.rename(source / "COFW68_Data" / IMAGES)
    elif place == "in COFW":
        (source / "COFW").mkdir()
        images.rename(source / "COFW" / IMAGES)
    elif place == "none":
        images.unlink()
    for folder in (source, source / "COFW68_Data"):
        read = read_source(folder)
        assert len(read.splits["test"]) == 12 and read.has_images == (place != "none")
        if read.has_images:
            assert read.image(read.splits["test"][0].file)[1].shape == (40, 50, 3)
    if place == "none":
        assert read.splits["test"][0].size is None
        (note,) = read.findings.notes
        assert "these annotations can score predictions; to build the set, unpack COFW_color.zip" in note
        with pytest.raises(FileNotFoundError, match=r"COFW_test_color\.mat is not there; put it into"):
            read.image(read.splits["test"][0].file)


def test_folder_as_pipnet_names_it(source):
    data = source / "COFW68_Data"
    (data / "test_annotations").rename(source / "cofw68_test_annotations")
    (data / BOXES).rename(source / BOXES)
    assert len(read_source(source).splits["test"]) == 12


def test_faces_are_paired_by_number(source):
    folder = source / "COFW68_Data" / "test_annotations"
    for number in (3, 7, 8):
        (folder / f"{number}_points.mat").unlink()
    write_points(source / "COFW68_Data", 15)
    write_images(source, 11)
    read = read_source(source)
    assert [face.face for face in read.splits["test"]] == [1, 2, 4, 5, 6, 9, 10, 11]
    np.testing.assert_array_equal(read.splits["test"][2].points, np.float32(points_of(4)[0] - 1))
    assert read.splits["test"][2].box[2] == 24
    assert [sentence.split(", left out")[0] for sentence in read.findings.gaps] == [
        f"{folder}: no _points.mat for face(s) 3, 7-8",
        f"{source}/COFW68_Data/cofw68_test_bboxes.mat: no box for face(s) 15",
        f"{source}/COFW_test_color.mat: no image for face(s) 12",
        gap(source, 8),
    ]
    assert not read.findings.faults


def test_other_files_are_passed_over(source):
    folder = source / "COFW68_Data" / "test_annotations"
    for name in ("Thumbs.db", "01_points.mat", "1_points (copy).mat", "0_points.mat"):
        (folder / name).write_bytes(b"")
    read = read_source(source)
    assert len(read.splits["test"]) == 12 and not read.findings.faults
    assert read.findings.notes == [
        f"{folder}: 4 other file(s) passed over: 01_points.mat, 0_points.mat, 1_points (copy).mat, ..."
    ]


def test_missing_folders(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder, so no test_annotations or cofw68_test_ann"):
        read_source(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=rf"COFW68_Data of https://github\.com/.*give --source {source}$"):
        source_digest(tmp_path)
    for path in (source / "COFW68_Data" / "test_annotations").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"with 1_points\.mat to 507_points\.mat here or in COFW68_Data"):
        read_source(source)


def test_missing_boxes(source):
    (source / "COFW68_Data" / BOXES).unlink()
    read = read_source(source)
    assert read.findings.faults[0].startswith(f"{source}/COFW68_Data/{BOXES}: the file of the boxes is missing; take")
    assert len(source_digest(source)) == 64


def points(**changes):
    return lambda folder: write_points(folder, 2, **changes)


def boxes(values, name="bboxes"):
    return lambda folder: scipy.io.savemat(folder / BOXES, {name: values})


def changed(place, value, variable=0):
    array = points_of(2)[variable].astype(float)
    array[place] = value
    return array


def content(make, name="test_annotations/2_points.mat"):
    return lambda folder: (folder / name).write_bytes(make((folder / name).read_bytes()))


def twice(whole):
    """A file that has `Points` twice: 8 bytes of tag and 1,144 of matrix."""
    return whole[: HEADER + 1152] + whole[HEADER:]


def matlab4(whole):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"Points": np.zeros((68, 2)), "Occ": np.zeros((1, 68))}, format="4")
    return stream.getvalue()


def packed_wrongly(whole):
    """Its first element is said to be compressed."""
    return whole[:HEADER] + struct.pack("<I", 15) + whole[HEADER + 4 :]


SQUARE = np.array([[10.0, 8, 20, 24]] * 12)
FAULTS = {
    "67_points": (points(Points=np.zeros((67, 2))), "2_points", r"Points is 67 x 2 where 68 x 2 numbers are expected"),
    "turned": (points(Points=np.zeros((2, 68))), "2_points", r"Points is 2 x 68 where 68 x 2"),
    "solid": (points(Points=np.zeros((68, 2, 2))), "2_points", r"Points is 68 x 2 x 2 where 68 x 2"),
    "occ_column": (points(Occ=np.zeros((68, 1))), "2_points", r"Occ is 68 x 1 where 1 x 68"),
    "nan": (points(Points=changed((5, 1), np.nan)), "2_points", r"Points has 1 point.* point 5 .* nan\)"),
    "far": (points(Points=changed((5, 1), 1e30)), "2_points", r"Points has 1 point.* lie nowhere, .* 1e\+30\)"),
    "occ_2": (points(Occ=changed((0, 9), 2, 1)), "2_points", r"Occ has 1 .* 0 nor 1, the first is 2 of point 9"),
    "complex": (points(Points=np.full((68, 2), 1 + 1j)), "2_points", r"a matrix has no real numbers: flags 0x806"),
    "text": (points(Points="68 points"), "2_points", r"a matrix has no real numbers: flags 0x4"),
    "struct": (points(Occ={"a": 1}), "2_points", r"a matrix has no real numbers: flags 0x2"),
    "renamed": (content(lambda whole: whole.replace(b"Points", b"points")), "2_points", r"Points is not there"),
    "twice": (content(twice), "2_points", r"Duplicate variable name \"Points\""),
    "matlab4": (content(matlab4), "2_points", r"the header of 128 bytes is not that of a MATLAB 5 file"),
    "matlab73": (content(lambda whole: b"MATLAB 7.3" + whole[10:]), "2_points", r"it is of MATLAB 7\.3 \(HDF5\)"),
    "empty": (content(lambda whole: b""), "2_points", r"the header of 128 bytes is not that"),
    "cut_off": (content(lambda whole: whole[:900]), "2_points", r"an element of 1,144 bytes is cut off"),
    "cut_tag": (content(lambda whole: whole[: HEADER + 5]), "2_points", r"it ends in the middle of a tag"),
    "not_packed": (content(packed_wrongly), "2_points", r"a compressed element is damaged"),
    "boxes_of_3": (boxes(SQUARE[:, :3]), BOXES, r"bboxes is 12 x 3 where n x 4 numbers"),
    "boxes_renamed": (boxes(SQUARE, "boxes"), BOXES, r"bboxes is not there"),
    "boxes_cut": (content(lambda whole: whole[:150], BOXES), BOXES, r"is cut off"),
    "flat_box": (boxes(SQUARE * ([[1, 1, 1, 1]] * 4 + [[1, 1, 0, 1]] + [[1, 1, 1, 1]] * 7)), BOXES,
                 r"bboxes, row 5 \(from 1\) has a box without area: \[9\.5, 7\.5, 0, 24\]"),
    "box_outside": (boxes(SQUARE + ([[99, 0, 0, 0]] + [[0, 0, 0, 0]] * 11)), BOXES,
                    r"bboxes, row 1 \(from 1\) .* less than a pixel of its image of 50 x 40"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_and_variable(source, tmp_path, fault):
    change, name, message = FAULTS[fault]
    change(source / "COFW68_Data")
    (sentence,) = read_source(source).findings.faults
    with pytest.raises(ValueError, match=message):
        raise ValueError(sentence)
    assert sentence.startswith(f"{source}/COFW68_Data/") and name in sentence and "\n" not in sentence
    assert sentence.endswith("take COFW68_Data of https://github.com/golnazghiasi/cofw68-benchmark again")
    with pytest.raises(ValueError, match=message):
        prepare("cofw68", str(source), str(tmp_path / "built"), allow_partial=True)


def test_a_folder_and_a_dangling_link_in_place_of_a_file(source):
    folder = source / "COFW68_Data" / "test_annotations"
    for number in (1, 2):
        (folder / f"{number}_points.mat").unlink()
    (folder / "1_points.mat").mkdir()
    (folder / "2_points.mat").symlink_to(folder / "gone")
    first, second = read_source(source).findings.faults
    assert "1_points.mat: cannot be read as MATLAB 5: [Errno 21] Is a directory" in first
    assert "2_points.mat: cannot be read as MATLAB 5: [Errno 2] No such file" in second
    assert len(source_digest(source)) == 64


def test_damaged_images_are_one_fault(source, tmp_path, capsys):
    (source / IMAGES).write_bytes(b"half a download")
    (fault,) = read_source(source).findings.faults
    assert fault.startswith(f"{source}/{IMAGES}: the file cannot be read as MATLAB 7.3") and "COFW_color.zip" in fault
    assert main(["cofw68", "--source", str(source), "--data_dir", str(tmp_path), "--allow-partial"]) == 1
    assert fault in capsys.readouterr().err


def test_a_box_that_misses_its_points_is_a_doubt(source):
    values = SQUARE.copy()
    values[2] = [10, 8, 4, 4]
    boxes(values)(source / "COFW68_Data")
    (doubt,) = read_source(source).findings.doubts
    # Both are 1-based and a rectangle at 10 begins half a pixel before the pixel's centre; half a pixel of grace.
    missed = int(((points_of(3)[0] < [9, 7]) | (points_of(3)[0] > [14.5, 12.5])).any(axis=1).sum())
    assert f"bboxes, row 3 (from 1): the box misses {missed} of 68 landmarks" in doubt


def test_digest_changes_with_annotations_boxes_and_images(source):
    digests = [source_digest(source)]
    assert source_digest(source) == digests[0]
    write_points(source / "COFW68_Data", 4, Points=points_of(5)[0])
    digests.append(source_digest(source))
    boxes(SQUARE)(source / "COFW68_Data")
    digests.append(source_digest(source))
    with (source / IMAGES).open("ab") as file:
        file.write(b"x")
    digests.append(source_digest(source))
    (source / IMAGES).unlink()
    digests.append(source_digest(source))
    assert len(set(digests)) == 5


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of one face, and the bytes of its file, plain and compressed."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = write_points(folder, 1)
    write_boxes(folder, 1)
    plain, stream = path.read_bytes(), io.BytesIO()
    scipy.io.savemat(stream, dict(zip(SHAPES, points_of(1), strict=True)), do_compression=True)
    return folder, [plain, stream.getvalue()]


def read_damaged(folder, content, changed):
    """Reads a damaged file: faults name it, or all numbers but the `changed` bytes' own are those of the whole one."""
    path = folder / "test_annotations" / "1_points.mat"
    path.write_bytes(content)
    try:
        matrices = read_matrices(path, SHAPES, "take it again")
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and str(error).endswith("; take it again")
    else:
        assert {name: matrix.shape for name, matrix in matrices.items()} == SHAPES
        assert all(matrix.dtype == np.float64 for matrix in matrices.values())
    read = read_source(folder)
    for sentence in read.findings.faults + read.findings.doubts:
        assert str(folder) in sentence and "\n" not in sentence
    if read.findings.faults:
        assert not read.faces()
        return read.findings.faults
    (face,) = read.faces()
    points, occluded = points_of(1)
    assert (face.points != np.float32(points - 1)).sum() + (face.visible != 2 - occluded[0]).sum() <= changed
    return []


@FUZZ
@given(data=st.data())
def test_fuzz_bytes_changed(whole, data):
    """Any byte, those of the frame of the elements as often as those of the numbers."""
    folder, contents = whole
    content = bytearray(data.draw(st.sampled_from(contents)))
    last = len(content) - 1
    places = st.one_of(
        st.integers(HEADER - 4, HEADER + 80), st.integers(max(last - 140, 0), last), st.integers(0, last)
    )
    count = data.draw(st.integers(1, 4))
    for _ in range(count):
        content[data.draw(places)] = data.draw(st.one_of(st.integers(0, 20), st.integers(0, 255)))
    read_damaged(folder, bytes(content), count)


@FUZZ
@given(data=st.data())
def test_fuzz_cut_off(whole, data):
    folder, contents = whole
    content = data.draw(st.sampled_from(contents))
    assert read_damaged(folder, content[: data.draw(st.integers(0, len(content) - 1))], 0)


@FUZZ
@given(noise=st.binary(max_size=400), keep=st.sampled_from([0, HEADER, HEADER + 8, HEADER + 24, HEADER + 72]))
@example(noise=b"", keep=0)
def test_fuzz_noise(whole, noise, keep):
    folder, contents = whole
    assert read_damaged(folder, contents[0][:keep] + noise, 0)


def test_scipy_is_not_asked_what_ends_the_process(whole):
    """SciPy 1.17 looks up a part's type beyond its table, and an imaginary part beyond the matrix: both crash."""
    folder, contents = whole
    for place, value, message in ((145, 0x08, "no real numbers"), (184, 200, "no real numbers")):
        content = bytearray(contents[0])
        content[place] = value
        (fault,) = read_damaged(folder, bytes(content), 1)
        assert message in fault


def test_the_files_that_are_fuzzed_are_read(whole):
    folder, contents = whole
    for content in contents:
        assert read_damaged(folder, content, 0) == []
