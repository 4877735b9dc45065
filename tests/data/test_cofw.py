# SPDX-License-Identifier: Apache-2.0
"""COFW from its MATLAB 7.3 files: frames, colours, what is found wrong, and that damage is told and never read."""

import json
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.check import check
from data.cofw import matlab73
from data.cofw.source import FILES, GREY, read_source, source_digest
from data.prepare import main, prepare
from tests.kit.shared import SHARED, needs_shared

FUZZ = settings(derandomize=True, max_examples=200, deadline=None, database=None)
TRAIN, TEST = (file.name for file in FILES.values())


def pictures(count, seed=0, grey=()):
    """Random RGB images [H, W, 3] of different sizes, those in `grey` [H, W]."""
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, (40 + 3 * i, 50 + i, 3), np.uint8) for i in range(count)]
    return [image[..., 0] if i in grey else image for i, image in enumerate(images)]


def annotations(count, seed=0):
    """phis [N, 87] with 29 points inside boxes [N, 4] of 20 x 24 at (11, 9), 1-based."""
    random = np.random.default_rng(seed)
    xs, ys = random.uniform(11, 30, (count, 29)), random.uniform(9, 32, (count, 29))
    return np.concatenate([xs, ys, random.integers(0, 2, (count, 29))], axis=1), np.tile([11.0, 9, 20, 24], (count, 1))


def write_split(folder, split, images, phis, bboxes, **storage):
    """The file of a split as MATLAB writes it, which has its axes in reverse order in HDF5."""
    file, path = FILES[split], folder / FILES[split].name
    folder.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # HDF5 takes what it knows of a file that is open when it is written over
    with h5py.File(path, "w", userblock_size=512) as matlab:
        cells = matlab.create_group("#refs#")
        entries = [cells.create_dataset(f"c{i}", data=image.T, **storage).ref for i, image in enumerate(images)]
        matlab.create_dataset(file.images, (1, len(images)), dtype=h5py.ref_dtype)[0, :] = entries
        matlab[file.phis], matlab[file.bboxes] = phis.T, bboxes.T
    with path.open("r+b") as matlab:
        matlab.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


@pytest.fixture
def source(tmp_path):
    """Three faces to train on, the last in a grey image, and two to test on."""
    folder = tmp_path / "source"
    write_split(folder, "train", pictures(3, grey=[2]), *annotations(3), compression="gzip")
    write_split(folder, "test", pictures(2, seed=1), *annotations(2, seed=1))
    return folder


def edit(folder, change, split="train"):
    """Applies `change` to the open file of a split."""
    with h5py.File(folder / FILES[split].name, "r+") as matlab:
        change(matlab)


def gap(folder, split, count):
    published = {"train": "1,345", "test": "507"}[split]
    return (
        f"{folder}: split {split} has {count} faces, the published set {published}; complete the download, or take it "
        "as it is (--allow-partial)"
    )


def test_frames(source):
    phis = annotations(3)[0]
    read = read_source(source)
    assert [len(faces) for faces in read.splits.values()] == [3, 2]
    for i, face in enumerate(read.splits["train"]):
        assert (face.face, face.file) == (i, f"COFW_train_color.mat/IsTr/000{i}")
        # The centre of MATLAB's first pixel is at 1, here at 0; its left edge is x = 1 in a box, here 0.
        np.testing.assert_array_equal(face.points, np.float32(phis[i, :58].reshape(2, 29).T - 1))
        np.testing.assert_array_equal(face.visible, 2 - phis[i, 58:])
        assert face.box.tolist() == [10, 8, 20, 24]
        assert face.size == (50 + i, 40 + 3 * i)
        assert (face.points.dtype, face.visible.dtype, face.box.dtype) == (np.float32, np.uint8, np.float32)
    assert read.findings.counts["occluded_points"] == phis[:, 58:].sum() + annotations(2, seed=1)[0][:, 58:].sum()
    assert (read.scheme.name, read.flag_names, read.has_images) == ("cofw-29", (), True)
    assert "CC BY 4.0" in read.about and "10.22002/D1.20099" in read.about


def test_pixels_are_bgr_and_grey_has_three_channels(source):
    read, images = read_source(source), pictures(3, grey=[2])
    for face, image in zip(read.splits["train"][:2], images[:2], strict=True):
        encoded, pixels = read.image(face.file)
        assert encoded == b"" and pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, image[..., ::-1])
    grey = read.image(read.splits["train"][2].file)[1]
    np.testing.assert_array_equal(grey, np.stack([images[2]] * 3, axis=-1))
    assert read.image_path(read.splits["test"][0].file) == source / "COFW_test_color.mat" / "IsT" / "0000"


def test_many_threads_read_the_same_pixels(source):
    read = read_source(source)
    files = [face.file for face in read.faces()] * 20
    expected = {file: read.image(file)[1] for file in set(files)}
    start = threading.Barrier(8)

    def pixels(share):
        start.wait()
        return [read.image(file)[1] for file in share]

    shares = [files[i::8] for i in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for share, images in zip(shares, threads.map(pixels, shares), strict=True):
            for file, image in zip(share, images, strict=True):
                np.testing.assert_array_equal(image, expected[file])


def test_points_outside_the_image_are_counted_and_kept(source):
    def change(matlab):
        # The first image is 50 wide and 40 high: in MATLAB's frame it spans x 0.5 to 50.5 and y 0.5 to 40.5.
        matlab["phisTr"][0, 0], matlab["phisTr"][29, 1] = 50.6, 0.4
        matlab["phisTr"][1, 0], matlab["phisTr"][30, 0] = 50.4, 40.4

    edit(source, change)
    read = read_source(source)
    assert read.findings.counts["points_outside_image"] == 2
    assert read.splits["train"][0].points[0, 0] == np.float32(49.6)
    assert not read.findings.faults and not read.findings.doubts


def test_build_and_read_back(source, tmp_path):
    with pytest.raises(ValueError, match=r"2 fault\(s\):\n.*split train has 3 faces"):
        prepare("cofw", str(source), str(tmp_path / "built"))
    directory = prepare("cofw", str(source), str(tmp_path / "built"), allow_partial=True)
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["partial"] == "PARTIAL SET: 3 of 1,345 train faces, 2 of 507 test faces"
    assert (metadata["scheme"], metadata["counts"]["grey_images"]) == ("cofw-29", 1)
    builder = tfds.builder_from_directory(str(directory))
    for split, images in {"train": pictures(3, grey=[2]), "test": pictures(2, seed=1)}.items():
        records = list(builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()}))
        for record, image, face in zip(records, images, read_source(source).splits[split], strict=True):
            x, y, w, h = record["region"]
            stored = cv2.imdecode(np.frombuffer(record["image"], np.uint8), cv2.IMREAD_COLOR)
            colour = image[..., ::-1] if image.ndim == 3 else np.stack([image] * 3, axis=-1)
            np.testing.assert_array_equal(stored, colour[y : y + h, x : x + w])
            assert (x, y) == (0, 0) and w >= 40 and h >= 40  # the box grown twofold reaches beyond the first pixel
            np.testing.assert_array_equal(record["points"], face.points)
            np.testing.assert_array_equal(record["visible"], face.visible)
            np.testing.assert_array_equal(record["box"], face.box)
            assert record["size"].tolist() == [*face.size]
            assert (record["file"].decode(), record["face"]) == (face.file, face.face)


@needs_shared
def test_sample():
    folder = SHARED / "samples" / "COFW"
    read = read_source(folder)
    report = check(read, allow_partial=False)
    assert report.gaps == [gap(folder, "train", 3), gap(folder, "test", 2)] and report.status(strict=False) == 1
    grey, *copies = report.notes
    assert grey == (
        f"{folder}/COFW_train_color.mat: 1 grey images (44 in the published set), taken with three equal channels"
    )
    assert len(copies) == 3 and "2 of 2 pictures of test are in train too" in copies[0]  # the sample has two pictures
    assert check(read, allow_partial=True).status(strict=True) == 0
    assert [face.size for face in read.faces()] == [(235, 322), (352, 253), (235, 322), (235, 322), (352, 253)]
    first = read.splits["test"][0]
    # As h5py shows the file: phisT[:, 0] begins 47.5625, phisT[29, 0] is 121.0758, bboxesT[:, 0] is 38, 102, 105, 180.
    np.testing.assert_allclose(first.points[0], [46.56253455, 120.07575548], rtol=1e-6)
    assert first.box.tolist() == [37, 101, 105, 180]
    assert np.flatnonzero(first.visible == 1).tolist() == [22, 23, 24, 25, 26, 27]
    for split, file in FILES.items():
        with h5py.File(folder / file.name) as matlab:
            for face, reference in zip(read.splits[split], matlab[file.images][0], strict=True):
                raw, pixels = matlab[reference][()], read.image(face.file)[1]
                np.testing.assert_array_equal(pixels.T, np.stack([raw] * 3) if raw.ndim == 2 else raw[::-1])
    # Skin has more red than blue, which tells the order of the channels; the first image shows no colours.
    blue, _, red = read.image(read.splits["test"][1].file)[1].mean(axis=(0, 1))
    assert red > blue + 10


@pytest.mark.parametrize("subfolder", ["COFW", "COFW_color"])
def test_files_may_lie_in_a_folder_of_the_set(source, subfolder):
    (source / subfolder).mkdir()
    (source / TRAIN).rename(source / subfolder / TRAIN)
    read = read_source(source)
    assert [len(faces) for faces in read.splits.values()] == [3, 2]
    face = read.splits["train"][1]
    assert face.file == "COFW_train_color.mat/IsTr/0001"
    np.testing.assert_array_equal(read.image(face.file)[1], pictures(2)[1][..., ::-1])


def test_a_missing_file_is_a_gap(source):
    (source / TRAIN).unlink()
    findings = read_source(source).findings
    assert findings.gaps[0].startswith(f"{source}/COFW_train_color.mat: the file of split train is missing; unpack")
    assert findings.gaps[1:] == [gap(source, "train", 0), gap(source, "test", 2)]
    assert not findings.faults
    with pytest.raises(FileNotFoundError, match=r"COFW_train_color\.mat is not there; put it into"):
        read_source(source).image("COFW_train_color.mat/IsTr/0000")


def test_no_file_at_all(source, tmp_path):
    download = r"COFW_color\.zip \(503,327,162 bytes, MD5 8b21d126c4e1fb307cb463578eef0511, https://doi\.org"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"empty: no COFW_train_color\.mat and no COFW_test.*{download}"):
        read_source(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder, so no COFW_train_color\.mat"):
        source_digest(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"give --source {source}$"):
        read_source(tmp_path)
    (tmp_path / "empty" / "COFW_train.mat").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"COFW_train\.mat is of the grey COFW\.zip, the colour one is needed"):
        read_source(tmp_path / "empty")


def set_cell(data):
    """Puts other data in place of the second training image."""

    def change(matlab):
        matlab["IsTr"][0, 1] = matlab.create_dataset("other", data=data).ref

    return change


def replace(variable, data, **storage):
    def change(matlab):
        del matlab[variable]
        matlab.create_dataset(variable, data=data, **storage)

    return change


def put(variable, place, value):
    return lambda matlab: matlab[variable].__setitem__(place, value)


def cell_of_a_group(matlab):
    matlab["IsTr"][0, 1] = matlab["#refs#"].ref


def no_cell(matlab):
    matlab["IsTr"][0, 1] = h5py.Reference()


def huge(matlab):
    del matlab["bboxesTr"]
    matlab.create_dataset("bboxesTr", (4, 1 << 40), chunks=(4, 1), dtype=np.float64)


def group_of_points(matlab):
    del matlab["phisTr"]
    matlab.create_group("phisTr")


FAULTS = {
    "floats": (set_cell(np.zeros((3, 20, 30))), r"IsTr, record 1 \(from 0\) is not an array of uint8 but float64"),
    "flat": (set_cell(np.zeros(30, np.uint8)), r"IsTr, record 1 \(from 0\) is no image: HDF5 shape \(30,\)"),
    "two_channels": (set_cell(np.zeros((2, 9, 9), np.uint8)), r"record 1 .* is no image: HDF5 shape \(2, 9, 9\)"),
    "not_reversed": (set_cell(np.zeros((9, 9, 3), np.uint8)), r"record 1 .* HDF5 shape \(9, 9, 3\) where \[3, W, H\]"),
    "one_pixel": (set_cell(np.zeros((3, 1, 9), np.uint8)), r"record 1 .* is no image: HDF5 shape \(3, 1, 9\)"),
    "group": (cell_of_a_group, r"IsTr, record 1 \(from 0\) is not an array of uint8 but no array"),
    "empty_cell": (no_cell, r"IsTr, record 1 \(from 0\) is empty"),
    "no_cells": (replace("IsTr", np.zeros((1, 3))), r"IsTr is no column of cells: HDF5 shape \(1, 3\)"),
    "no_points": (lambda matlab: matlab.pop("phisTr"), r"has no variable phisTr"),
    "points_in_a_group": (group_of_points, r"phisTr is not 87 numbers a record: HDF5 shape \(\)"),
    "transposed": (replace("phisTr", np.zeros((3, 87))), r"phisTr is not 87 numbers .* \(3, 87\) where \[87, N\]"),
    "words": (replace("bboxesTr", np.full((4, 3), b"x")), r"bboxesTr is not 4 numbers a record"),
    "huge": (huge, r"bboxesTr claims 35,184,372,088,832 bytes"),
    "too_few": (replace("phisTr", np.zeros((87, 2))), r"records differ: 3 in IsTr, 2 in phisTr, 3 in bboxesTr"),
    "nan": (put("phisTr", (31, 1), np.nan), r"phisTr, record 1 \(from 0\) has 1 point.* point 2 .* at \(.*, nan\)"),
    "far": (put("phisTr", (3, 0), 1e7), r"phisTr, record 0 \(from 0\) has 1 point.* point 3 \(from 0\) at \(1e\+07, "),
    "occlusion": (put("phisTr", (60, 2), 0.5), r"phisTr, record 2 .* neither 0 nor 1, the first is 0\.5 of point 2"),
    "no_box": (put("bboxesTr", (2, 1), 0), r"bboxesTr, record 1 .* a box without area: \[10, 8, 0, 24\]"),
    "nan_box": (put("bboxesTr", (0, 1), np.nan), r"bboxesTr, record 1 .* lies nowhere: \[nan, 8, 20, 24\]"),
    "box_outside": (put("bboxesTr", (0, 0), 51), r"bboxesTr, record 0 .* less than a pixel of its image of 50 x 40"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_variable_and_record(source, tmp_path, fault):
    change, message = FAULTS[fault]
    edit(source, change)
    faults = read_source(source).findings.faults
    assert len(faults) == 1
    with pytest.raises(ValueError, match=message):
        raise ValueError(faults[0])
    assert faults[0].startswith(f"{source}/COFW_train_color.mat: ") and "\n" not in faults[0]
    assert "unpack COFW_color.zip (503,327,162 bytes" in faults[0]
    with pytest.raises(ValueError, match=message):
        prepare("cofw", str(source), str(tmp_path / "built"), allow_partial=True)


def test_a_reference_to_nothing(source):
    with h5py.File(source / TRAIN) as matlab:
        places = [h5py.h5o.get_info(matlab[f"#refs#/c{i}"].id).addr for i in range(3)]
    content = (source / TRAIN).read_bytes()
    wrong = [places[0], places[1] + 24, places[2]]
    assert content.count(struct.pack("<3Q", *places)) == 1
    (source / TRAIN).write_bytes(content.replace(struct.pack("<3Q", *places), struct.pack("<3Q", *wrong)))
    (fault,) = read_source(source).findings.faults
    assert "IsTr, record 1 (from 0) cannot be read as MATLAB 7.3 (HDF5)" in fault


def test_every_fault_is_told_at_once(source):
    edit(source, put("phisTr", (0, 0), np.nan))
    edit(source, put("bboxesTr", (3, 0), -1))
    edit(source, set_cell(np.zeros(3)))
    edit(source, lambda matlab: matlab.pop("phisT"), "test")
    faults = read_source(source).findings.faults
    assert [fault.removeprefix(f"{source}/").split(" (from 0)")[0].split(";")[0] for fault in faults] == [
        "COFW_train_color.mat: phisTr, record 0",
        "COFW_train_color.mat: bboxesTr, record 0",
        "COFW_train_color.mat: IsTr, record 1",
        "COFW_test_color.mat: has no variable phisT",
    ]


def test_truncated_and_foreign_files(source, tmp_path, capsys):
    whole = (source / TRAIN).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"MATLAB 5.0 MAT-file".ljust(200)):
        (source / TRAIN).write_bytes(content)
        (fault,) = read_source(source).findings.faults
        assert fault.startswith(f"{source}/COFW_train_color.mat: the file cannot be read as MATLAB 7.3 (HDF5): ")
        assert "unpack COFW_color.zip" in fault
        assert main(["cofw", "--source", str(source), "--data_dir", str(tmp_path), "--allow-partial"]) == 1
        assert fault in capsys.readouterr().err


def test_the_grey_download_under_the_other_name(source):
    count = GREY + 1
    images = [np.zeros((40, 50), np.uint8)] * count
    write_split(source, "train", images, *annotations(count))
    (fault,) = read_source(source).findings.faults
    assert "COFW_train_color.mat: 45 grey images (44 in the published set) of 45: this is the grey COFW.zip" in fault


def test_a_box_that_misses_its_points_is_a_doubt(source):
    edit(source, put("bboxesTr", (slice(None), 1), [1, 1, 14, 14]))
    findings = read_source(source).findings
    (doubt,) = findings.doubts
    xs, ys = annotations(3)[0][1, :58].reshape(2, 29) - 0.5  # in the frame of boxes
    missed = int(((xs > 14.5) | (ys > 14.5)).sum())
    assert f"bboxesTr, record 1 (from 0): the box misses {missed} of 29 landmarks" in doubt
    assert not findings.faults and len(read_source(source).splits["train"]) == 3


def test_pixels_are_read_when_asked_for(source):
    """A damaged image is no business of the annotations, and is told when it is read."""
    with h5py.File(source / TRAIN) as matlab:
        chunk = matlab["#refs#/c1"].id.get_chunk_info(0)
    content = bytearray((source / TRAIN).read_bytes())
    at = 512 + chunk.byte_offset + chunk.size // 2
    content[at : at + 8] = bytes(255 - value for value in content[at : at + 8])
    (source / TRAIN).write_bytes(content)
    read = read_source(source)
    assert not read.findings.faults
    with pytest.raises(ValueError, match=r"COFW_train_color\.mat: IsTr, record 1 \(from 0\) cannot be read.*unpack"):
        read.image(read.splits["train"][1].file)
    assert "record 1" in check(read, allow_partial=True).faults[0] and len(read.findings.faults) == 1


def test_digest_changes_with_names_sizes_and_numbers(source):
    digests = [source_digest(source)]
    assert source_digest(source) == digests[0]
    size = (source / TRAIN).stat().st_size
    for change in (put("phisTr", (0, 0), 12.25), put("bboxesTr", (0, 0), 10)):
        edit(source, change)
        assert (source / TRAIN).stat().st_size == size
        digests.append(source_digest(source))
    with (source / TEST).open("ab") as file:
        file.write(b"x")
    digests.append(source_digest(source))
    (source / TRAIN).write_bytes(b"cut off")
    digests.append(source_digest(source))
    (source / TRAIN).unlink()
    digests.append(source_digest(source))
    assert len(set(digests)) == 6


def moved(variable, link):
    """A change that takes a variable's numbers out into other.mat and leaves a link or a storage in its place."""

    def change(matlab):
        kept, folder = matlab[variable][()], Path(matlab.filename).parent
        del matlab[variable]
        with h5py.File(folder / "other.mat", "w") as other:
            other[variable] = kept
        (folder / "other.raw").write_bytes(kept.tobytes())
        link(matlab, variable, kept)

    return change


def external_link(matlab, variable, _):
    matlab[variable] = h5py.ExternalLink("other.mat", variable)


def soft_link_out(matlab, variable, _):
    matlab["way"] = h5py.ExternalLink("other.mat", "/")
    matlab[variable] = h5py.SoftLink(f"/way/{variable}")


def raw_storage(matlab, variable, kept):
    raw = str(Path(matlab.filename).parent / "other.raw")
    matlab.create_dataset(variable, kept.shape, kept.dtype, external=[(raw, 0, h5py.h5f.UNLIMITED)])


def virtual_array(matlab, variable, kept):
    layout = h5py.VirtualLayout(kept.shape, kept.dtype)
    layout[:] = h5py.VirtualSource(str(Path(matlab.filename).parent / "other.mat"), variable, kept.shape, kept.dtype)
    matlab.create_virtual_dataset(variable, layout)


@pytest.mark.parametrize("variable", ["phisTr", "bboxesTr"])
@pytest.mark.parametrize("link", [external_link, soft_link_out, raw_storage, virtual_array])
def test_another_files_numbers_are_never_read(source, variable, link):
    edit(source, moved(variable, link))
    with h5py.File(source / TRAIN) as matlab:  # HDF5 itself does read them
        assert matlab[variable][()].any()
    read = read_source(source)
    assert not read.splits["train"]
    said = "it is a link" if "link" in link.__name__ else "its numbers are in another file"
    assert f"{source / TRAIN}: {variable} cannot be read as MATLAB 7.3 (HDF5): {said}" in read.findings.faults[0]


def test_an_image_of_another_file_is_never_read(source):
    def change(matlab):
        secret = Path(matlab.filename).parent / "secret.raw"
        secret.write_bytes(bytes(3 * 50 * 40))
        cell = matlab.create_dataset("#refs#/out", (3, 50, 40), "u1", external=[(str(secret), 0, 3 * 50 * 40)])
        matlab["IsTr"][0, 0] = cell.ref

    edit(source, change)
    with pytest.raises(ValueError, match=r"IsTr, record 0 \(from 0\) cannot be read .*its numbers are in another file"):
        read_source(source).image(f"{TRAIN}/IsTr/0000")


def test_what_unpacks_to_more_than_it_claims_is_not_unpacked(source, monkeypatch):
    monkeypatch.setattr(matlab73, "MAX_BYTES", 1 << 20)

    def change(matlab):
        cell = matlab.create_dataset("#refs#/bomb", (3, 50, 40), "u1", chunks=(3, 50, 40), compression="gzip")
        cell.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(1 << 22), 9))
        matlab["IsTr"][0, 0] = cell.ref
        twice = matlab.create_dataset("#refs#/twice", (3, 50, 40), "u1", chunks=(3, 50, 40), compression="lzf")
        matlab["IsTr"][0, 1] = twice.ref
        wide = matlab.create_dataset("#refs#/wide", (3, 50, 40), "u1", maxshape=(3, None, None), chunks=(3, 999, 999))
        matlab["IsTr"][0, 2] = wide.ref

    edit(source, change)
    read = read_source(source)
    for record, said in enumerate(
        ("unpacks to more than its 6,000", "packed in another way", "claims 2,994,003 bytes")
    ):
        with pytest.raises(ValueError, match=rf"IsTr, record {record} .*{said}"):
            read.image(f"{TRAIN}/IsTr/{record:04d}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder to write into, and the bytes of small files with and without compression."""
    folder = tmp_path_factory.mktemp("fuzz")
    contents = []
    for storage in ({}, {"compression": "gzip"}):
        write_split(folder, "train", [image[:12, :10] for image in pictures(2, grey=[1])], *annotations(2), **storage)
        edit(folder, put("bboxesTr", (slice(None), slice(None)), [[1, 1], [1, 1], [9, 9], [9, 9]]))
        contents.append((folder / TRAIN).read_bytes())
    return folder, contents


def read_damaged(folder, content):
    """Reads everything of a damaged file: it either has faults that name it, or reads as faces and images."""
    (folder / TRAIN).unlink(missing_ok=True)
    (folder / TRAIN).write_bytes(content)
    assert len(source_digest(folder)) == 64
    read = read_source(folder)
    for sentence in read.findings.faults + read.findings.doubts:
        assert sentence.startswith(str(folder / TRAIN)) and "\n" not in sentence
    assert len(read.splits["train"]) == 2 or read.findings.faults
    for face in read.splits["train"]:
        assert face.points.shape == (29, 2) and np.isfinite(face.points).all()
        assert set(face.visible.tolist()) <= {1, 2} and (face.box[2:] > 0).all()
        try:
            assert read.image(face.file)[1].shape == (face.size[1], face.size[0], 3)
        except ValueError as error:
            assert str(error).startswith(str(folder / TRAIN))
    return read


@FUZZ
@given(data=st.data())
def test_fuzz_bytes_changed(whole, data):
    folder, contents = whole
    content = bytearray(data.draw(st.sampled_from(contents)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_damaged(folder, content)


@FUZZ
@given(data=st.data())
def test_fuzz_cut_off(whole, data):
    folder, contents = whole
    content = data.draw(st.sampled_from(contents))
    cut = data.draw(st.integers(0, len(content) - 1))
    read = read_damaged(folder, content[:cut])
    assert len(read.findings.faults) == 1 and not read.faces()


@FUZZ
@given(noise=st.binary(max_size=600), keep=st.sampled_from([0, 512, 520, 700]))
@example(noise=b"", keep=0)
def test_fuzz_noise(whole, noise, keep):
    folder, contents = whole
    read = read_damaged(folder, contents[0][:keep] + noise)
    assert len(read.findings.faults) == 1 and not read.faces()


def test_the_files_that_are_fuzzed_are_read(whole):
    folder, contents = whole
    for content in contents:
        read = read_damaged(folder, content)
        assert not read.findings.faults and len(read.faces()) == 2
