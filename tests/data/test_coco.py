# SPDX-License-Identifier: Apache-2.0
"""Anyone's own faces from COCO keypoints JSON: what is stored, what is counted, what is refused."""

import json
import math

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from data import build as building
from data import check as checking
from data.coco.coco import CocoFaces
from data.coco.source import read_source, source_digest, split_files
from data.images import check_size, encode_region, is_complete, read_image, region_of

pytestmark = pytest.mark.quick

DECODE = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # as stored regions are read


def build(folder, data_dir, digest):
    return building.build(CocoFaces, read_source(folder), data_dir, digest, allow_partial=False)


def check(folder):
    report = checking.check(read_source(folder), allow_partial=False)
    return "\n".join(report.lines()), report.faults


# Eyes, nose and mouth corners of a face in a box of 40 x 40 pixels at (0, 0).
FIVE = np.array([[10, 12], [30, 12], [20, 22], [12, 30], [28, 30]], float)


def face(annotation_id, image_id, x=0.0, y=0.0, visible=2, **changes):
    keypoints = np.concatenate([FIVE + np.array([x, y]), np.full((5, 1), visible)], axis=1).ravel().tolist()
    annotation = {"id": annotation_id, "image_id": image_id, "category_id": 1, "iscrowd": 0}
    return annotation | {"bbox": [x, y, 40.0, 40.0], "keypoints": keypoints} | changes


def image(image_id, name, width=100, height=80):
    return {"id": image_id, "file_name": name, "width": width, "height": height}


def write_json(folder, images, annotations, split="train", **changes):
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]} | changes
    (folder / f"{split}.json").write_text(json.dumps(document))


def noise(width=100, height=80, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


@pytest.fixture
def source(tmp_path):
    """Two images, the first with two faces, and one of another person to validate on."""
    folder = tmp_path / "source"
    (folder / "images" / "sub").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "a.png"), noise())
    cv2.imwrite(str(folder / "images" / "sub" / "b c.jpg"), noise(60, 50, 1))
    cv2.imwrite(str(folder / "images" / "v.png"), noise(44, 44, 2))
    images = [image(7, "a.png"), image(9, "sub/b c.jpg", 60, 50)]
    write_json(folder, images, [face(3, 9, 10, 5), face(1, 7, 2, 30), face(2, 7, 55.5, 35.25)])
    write_json(folder, [image(0, "v.png", 44, 44)], [face(0, 0, 2, 2)], "val")
    return folder


def edit(folder, change, split="train"):
    """Applies `change` to the JSON document of a split."""
    document = json.loads((folder / f"{split}.json").read_text())
    change(document)
    (folder / f"{split}.json").write_text(json.dumps(document))


def built(folder, tmp_path):
    """The built set's `metadata.json`, and the records of every split."""
    directory = build(folder, tmp_path / "built", source_digest(folder))
    builder = tfds.builder_from_directory(str(directory))
    decoders = {"image": tfds.decode.SkipDecoding()}
    records = {split: list(builder.as_data_source(split, decoders=decoders)) for split in builder.info.splits}
    return json.loads((directory / "metadata.json").read_text()), records


def decoded(record):
    return cv2.imdecode(np.frombuffer(record["image"], np.uint8), DECODE)


def test_round_trip(source, tmp_path):
    metadata, records = built(source, tmp_path)
    # In the order of the images, then of the annotations.
    assert [record["face"] for record in records["train"]] == [1, 2, 3]
    assert [record["file"].decode() for record in records["train"]] == ["a.png", "a.png", "sub/b c.jpg"]
    second = records["train"][1]
    np.testing.assert_array_equal(second["points"], np.float32(FIVE + np.array([55.5, 35.25])))
    np.testing.assert_array_equal(second["box"], np.float32([55.5, 35.25, 40, 40]))
    assert (second["points"].dtype, second["visible"].dtype) == (np.float32, np.uint8)
    assert (second["region"].dtype, second["flags"].shape) == (np.int32, (0,))
    assert second["visible"].tolist() == [2] * 5
    assert len(records["val"]) == 1
    assert metadata["dataset"] == "coco"
    assert metadata["scheme"] == "custom-5"
    assert metadata["flip"] == [1, 0, 2, 4, 3]
    assert metadata["normaliser"] == [0, 1]
    assert metadata["normaliser_name"] == "points_0_1"
    assert metadata["flag_names"] == []
    assert "2 left/right pairs" in metadata["found"]
    assert metadata["counts"]["faces"] == 4
    assert metadata["counts"]["images"] == 3
    assert metadata["source_digest"] == source_digest(source)


def test_region_is_the_doubled_box_in_the_image():
    # Box of 40 x 20 at (50, 30): doubled it spans x 30..110 and y 20..60, and the image ends at x = 100.
    assert region_of(np.array([50, 30, 40, 20.0]), [], (100, 80)) == (30, 20, 70, 40)
    # Fractions grow outwards: x 9.25..10.75 holds the columns 9 and 10.
    assert region_of(np.array([9.625, 5, 0.75, 2]), [], (100, 80)) == (9, 4, 2, 4)
    assert region_of(np.array([-30, -30, 31, 31.0]), [], (100, 80)) == (0, 0, 17, 17)
    # A box wholly outside keeps a pixel of the nearest border.
    assert region_of(np.array([300, 300, 31, 31.0]), [], (100, 80)) == (99, 79, 1, 1)


def test_region_holds_the_windows_of_all_protocols():
    # The square window of a tall face is wider than its narrow box grown twofold.
    windows = [np.array([10.5, 20, 60, 60]), np.array([45, 25, 10, 40])]
    assert region_of(np.array([45, 25, 10, 40.0]), windows, (100, 90)) == (10, 5, 61, 80)


def test_a_marked_pixel_lies_at_its_point_less_the_region(source, tmp_path):
    pixels = np.zeros((80, 100, 3), np.uint8)
    marks = FIVE.astype(int) + np.array([55, 35])
    pixels[marks[:, 1], marks[:, 0]] = (10, 20, 250)
    cv2.imwrite(str(source / "images" / "a.png"), pixels)
    edit(source, lambda document: document.update(annotations=[face(5, 7, 55, 35), face(3, 9, 10, 5)]))
    record = built(source, tmp_path)[1]["train"][0]
    stored, (x, y, w, h) = decoded(record), record["region"]
    assert (x, y, w, h) == (35, 15, 65, 65)
    assert stored.shape == (h, w, 3)
    found = np.argwhere(stored[..., 2] == 250)[:, ::-1]
    expected = record["points"].astype(int) - (x, y)
    assert {tuple(point) for point in found.tolist()} == {tuple(point) for point in expected.tolist()}
    np.testing.assert_array_equal(stored, pixels[y : y + h, x : x + w])


def test_whole_images_keep_their_bytes_and_cut_ones_their_pixels(source, tmp_path):
    records = built(source, tmp_path)[1]
    jpeg = (source / "images" / "sub" / "b c.jpg").read_bytes()
    assert records["train"][2]["image"] == jpeg
    assert records["train"][2]["region"].tolist() == [0, 0, 60, 50]
    assert records["val"][0]["image"] == (source / "images" / "v.png").read_bytes()
    cut = records["train"][0]
    assert cut["region"].tolist() == [0, 10, 62, 70]
    np.testing.assert_array_equal(decoded(cut), noise()[10:80, 0:62])


def test_a_region_of_a_jpeg_stays_near_its_pixels():
    smooth = cv2.GaussianBlur(noise(), (9, 9), 3)
    encoded = cv2.imencode(".jpg", smooth)[1].tobytes()
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), DECODE)
    stored = encode_region(encoded, pixels, (10, 20, 50, 40))
    assert stored.startswith(b"\xff\xd8")
    again = cv2.imdecode(np.frombuffer(stored, np.uint8), DECODE)
    assert np.abs(again.astype(int) - pixels[20:60, 10:60]).mean() < 1


def test_other_formats_are_stored_as_png():
    pixels = noise()
    bitmap = cv2.imencode(".bmp", pixels)[1].tobytes()
    stored = encode_region(bitmap, pixels, (0, 0, 100, 80))
    assert stored.startswith(b"\x89PNG")
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(stored, np.uint8), DECODE), pixels)


def test_grey_and_transparent_images_have_three_channels(tmp_path):
    for name, pixels in {"grey.png": noise()[..., 0], "alpha.png": cv2.cvtColor(noise(), cv2.COLOR_BGR2BGRA)}.items():
        cv2.imwrite(str(tmp_path / name), pixels)
        assert read_image(tmp_path / name)[1].shape == (80, 100, 3)


def with_orientation(jpeg, orientation):
    """The JPEG with an EXIF segment that asks viewers to turn it."""
    tiff = (
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0]) + b"\0" * 4
    )
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_pixels_are_those_stored_whatever_exif_says(tmp_path):
    jpeg = cv2.imencode(".jpg", noise())[1].tobytes()
    (tmp_path / "turned.jpg").write_bytes(with_orientation(jpeg, 6))
    # The control: OpenCV turns this file unless it is told not to.
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape == (100, 80, 3)
    pixels = read_image(tmp_path / "turned.jpg")[1]
    check_size(tmp_path / "turned.jpg", pixels, (100, 80))
    with pytest.raises(ValueError, match=r"turned\.jpg: image is 100 x 80 pixels .*EXIF.* say 80 x 100"):
        check_size(tmp_path / "turned.jpg", pixels, (80, 100))


def test_visibility(source, tmp_path):
    def change(document):
        keypoints = document["annotations"][1]["keypoints"]  # face 1
        keypoints[2], keypoints[5] = 0, 1
        keypoints[0:2] = [0, 0]

    edit(source, change)
    metadata, records = built(source, tmp_path)
    record = records["train"][0]
    assert record["visible"].tolist() == [0, 1, 2, 2, 2]
    assert np.isnan(record["points"]).all(axis=1).tolist() == [True, False, False, False, False]
    assert metadata["counts"]["points_not_labelled"] == 1


def test_nan_and_outside_points_are_kept_and_counted(source, tmp_path, capsys):
    def change(document):
        first, second, third = (annotation["keypoints"] for annotation in document["annotations"])
        first[0], first[4] = math.nan, None
        # The image of 100 x 80 spans x from -0.5 to 99.5 and y from -0.5 to 79.5.
        second[6:8], second[9:11] = [-0.6, 40], [-0.4, -0.4]
        third[6:8], third[9:11] = [99.4, 79.4], [60, 81.0]

    edit(source, change)
    metadata, records = built(source, tmp_path)
    assert metadata["counts"]["nan_points"] == 2
    assert metadata["counts"]["points_outside_image"] == 2
    third = records["train"][2]
    assert third["visible"].tolist() == [0, 0, 2, 2, 2]
    assert np.isnan(third["points"]).all(axis=1).tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(records["train"][0]["points"][2], [-0.6, 40])
    printed = capsys.readouterr().out
    assert "nan points: 2" in printed
    assert "points outside image: 2" in printed


def test_crowds_and_unlabelled_faces_are_left_out_and_counted(source, tmp_path):
    def change(document):
        crowd = {"id": 50, "image_id": 7, "iscrowd": 1}
        document["annotations"] += [crowd, face(51, 9, visible=0), face(52, 9, keypoints=[math.nan, 1, 2] * 5)]
        document["images"].append(image(11, "a.png"))

    edit(source, change)
    metadata, records = built(source, tmp_path)
    assert len(records["train"]) == 3
    counts = metadata["counts"]
    assert (counts["crowd_annotations"], counts["faces_without_points"], counts["images_without_faces"]) == (1, 2, 1)
    assert counts["faces"] == 4


def test_box_that_misses_its_points_is_a_doubt_and_kept(source, tmp_path):
    edit(source, lambda document: document["annotations"][1].update(bbox=[60, 0, 30, 30]))
    lines, faults = check(source)
    assert faults == []
    assert (
        f"doubt: {source}/train.json: annotation 1 (a.png) has a box that misses 5 of 5 labelled points; correct bbox"
    ) in lines
    metadata, records = built(source, tmp_path)
    assert metadata["counts"]["boxes_missing_points"] == 1
    assert len(records["train"]) == 3


def test_any_json_is_a_split(source, tmp_path):
    write_json(source, [image(7, "a.png")], [face(1, 7)], "also")
    assert [path.stem for path in split_files(source)] == ["train", "val", "also"]
    (source / "also.json").unlink()
    (source / "train.json").rename(source / "people_2.json")
    assert set(built(source, tmp_path)[1]) == {"val", "people_2"}


def test_pairs_that_cannot_be_found_are_left_to_the_config(source, tmp_path, capsys):
    keypoints = [20, 20, 2, 40, 20, 2, 30, 30, 2, 55, 50, 2, 32, 60, 2, 60, 25, 2]
    for split in ("train", "val"):
        edit(source, lambda document: [a.update(keypoints=keypoints) for a in document["annotations"]], split)
    metadata, _ = built(source, tmp_path)
    assert (metadata["flip"], metadata["normaliser"]) == ([], [])
    assert "config.data.flip_pairs" in metadata["found"]
    assert "config.data.flip_pairs" in capsys.readouterr().out


def set_annotation(**values):
    return lambda document: document["annotations"][0].update(values)


def set_image(**values):
    return lambda document: document["images"][0].update(values)


def drop(key, of):
    return lambda document: document[of][0].pop(key)


FAULTS = {
    "no_list": (lambda document: document.pop("annotations"), r"not COCO keypoints JSON: no list annotations"),
    "no_annotations": (lambda document: document.update(annotations=[]), r"train\.json: no annotations at all"),
    "nothing_labelled": (
        lambda document: document.update(annotations=[face(1, 7, visible=0)]),
        r"train\.json: no face with a labelled point",
    ),
    "no_id": (drop("id", "annotations"), r"an item of annotations has no whole-number id"),
    "image_twice": (
        lambda document: document["images"].append(image(7, "a.png")),
        r"image 7 has an id that another image has",
    ),
    "annotation_twice": (set_annotation(id=1), r"annotation 1 has an id that another annotation has"),
    "no_file_name": (drop("file_name", "images"), r"image 7 has no file_name"),
    "no_size": (drop("width", "images"), r"image 7 \(a\.png\) has no width and height"),
    "unknown_image": (set_annotation(image_id=77), r"annotation 3 is of image 77, which is not in images"),
    "short": (
        set_annotation(keypoints=[1, 2, 2] * 4),
        r"annotation 3 .* has 12 keypoint values where 5 points need 15",
    ),
    "keypoints_in_words": (set_annotation(keypoints="1 2 2"), r"annotation 3 .* has no keypoint values"),
    "words": (
        set_annotation(keypoints=["1", 2, 2] * 5),
        r"annotation 3 .* has 15 keypoint values, of which number 0 .*'1', is not a number",
    ),
    "odd_visibility": (set_annotation(keypoints=[1, 2, 3] * 5), r"annotation 3 .* has a visibility that is not 0"),
    "short_box": (set_annotation(bbox=[1, 2, 3]), r"annotation 3 \(sub/b c\.jpg\) has a box that is not four numbers"),
    "box_below_zero": (set_annotation(bbox=[1, 2, -3, 4]), r"annotation 3 .* has a box without area: \[1.0, 2.0, -3.0"),
    "nan_box": (set_annotation(bbox=[1, math.nan, 3, 4]), r"annotation 3 .* has a box without area"),
    "far_box": (set_annotation(bbox=[60, 5, 30, 30]), r"annotation 3 .* less than a pixel of its image of 60 x 50"),
    "other_size": (set_image(width=99), r"a\.png: image is 100 x 80 pixels .* but the annotations say 99 x 80"),
    "missing_image": (set_image(file_name="gone.png"), r"gone\.png: image is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(source, tmp_path, fault):
    change, message = FAULTS[fault]
    edit(source, change)
    with pytest.raises(ValueError, match=message):
        build(source, tmp_path / "built", "0")
    assert not list((tmp_path / "built").rglob("dataset_info.json"))
    faults = check(source)[1]
    assert len(faults) == 1
    assert str(source) in faults[0]
    assert "\n" not in faults[0]


def test_faults_without_any_face(source):
    (source / "val.json").unlink()
    edit(source, lambda document: [annotation.pop("keypoints") for annotation in document["annotations"]])
    assert "no annotation has keypoints" in check(source)[1][0]
    edit(source, lambda document: [a.update(keypoints=[1, 2] * 5) for a in document["annotations"]])
    assert "10 values, which is not x, y, v" in check(source)[1][0]
    edit(source, lambda document: [a.update(keypoints=[1, 2, 2, 1, 2, 0]) for a in document["annotations"]])
    assert read_source(source).findings.faults == [
        f"{source}: point 1 is labelled in no face; label it or take it out of every keypoints list"
    ]


@pytest.mark.parametrize("text", ["{", "[]", "\xff", ""])
def test_json_that_is_none(source, tmp_path, text):
    (source / "train.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"train\.json: not (JSON|COCO)"):
        build(source, tmp_path / "built", "0")


def test_json_that_cannot_name_a_split(source):
    (source / "val.json").rename(source / "my-val.json")
    assert "'my-val' cannot name a split" in check(source)[1][0]


def broken_images():
    png, jpeg = (cv2.imencode(end, noise())[1].tobytes() for end in (".png", ".jpg"))
    thumbnail = b"\xff\xe1" + (len(jpeg) + 2).to_bytes(2, "big") + jpeg  # whose end mark must not count
    return {
        "empty": b"",
        "words": b"no image at all",
        "cut_png": png[: len(png) // 2],
        "cut_jpeg": jpeg[: len(jpeg) // 2],
        "no_end": jpeg[:-2],
        "cut_with_thumbnail": jpeg[:2] + thumbnail + jpeg[2 : len(jpeg) // 2],
    }


@pytest.mark.parametrize("kind", ["empty", "words", "cut_png", "cut_jpeg", "no_end", "cut_with_thumbnail"])
def test_broken_images_are_named(source, tmp_path, kind):
    (source / "images" / "a.png").write_bytes(broken_images()[kind])
    # OpenCV refuses some of these itself, more of them with every release.
    assert not is_complete(broken_images()[kind]) or kind in ("empty", "words")
    with pytest.raises(ValueError, match=r"images/a\.png: image is broken or cut off"):
        build(source, tmp_path / "built", "0")


def test_complete_images_with_a_trailer_pass():
    jpeg = cv2.imencode(".jpg", noise())[1].tobytes()
    assert is_complete(jpeg)
    assert is_complete(jpeg + b"camera maker's notes")
    assert is_complete(with_orientation(jpeg, 3))
    assert is_complete(cv2.imencode(".jpg", noise(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    assert is_complete(cv2.imencode(".png", noise())[1].tobytes())


def test_image_of_one_pixel(source, tmp_path):
    cv2.imwrite(str(source / "images" / "a.png"), noise(1, 1))
    edit(source, set_image(width=1, height=1))
    edit(source, lambda document: [a.update(bbox=[0, 0, 1, 1]) for a in document["annotations"]])
    with pytest.raises(ValueError, match=r"a\.png: image of 1 x 1 pixels can show no face"):
        build(source, tmp_path / "built", "0")


def test_many_faults_are_counted_and_the_command_is_named(source, tmp_path):
    annotations = [face(i, 7, bbox=[0, 0, -1, 1]) for i in range(12)]
    edit(source, lambda document: document.update(annotations=annotations))
    (source / "images" / "v.png").unlink()
    with pytest.raises(ValueError, match="has 13 fault") as error:
        build(source, tmp_path / "built", "0")
    assert str(error.value).count("without area") == 3
    assert "| and 9 more (12 of a kind); correct bbox" in str(error.value)
    assert f"python -m data.prepare coco --source {source} --check" in str(error.value)
    # The inspection goes on to the images.
    faults = check(source)[1]
    assert len(faults) == 13
    assert "v.png: image is missing" in faults[-1]


def test_missing_folders(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; the source holds train\.json"):
        read_source(tmp_path / "nowhere")
    (source / "images").rename(source / "pictures")
    with pytest.raises(FileNotFoundError, match="images: no such folder"):
        read_source(source)
    (source / "pictures").rename(source / "images")
    for split in ("train", "val"):
        (source / f"{split}.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no <split>\.json here"):
        read_source(source)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("write: No space left on device")]
)
def test_full_disk(source, tmp_path, monkeypatch, error):
    def faces(self, split):
        raise error
        yield

    monkeypatch.setattr(CocoFaces, "faces", faces)
    with pytest.raises(OSError, match=f"the disk is full: no set was built in {tmp_path}/built.*not used.*--data-dir"):
        build(source, tmp_path / "built", "0")
    assert not list((tmp_path / "built").rglob("*.json"))


def test_digest_changes_with_json_names_and_sizes(source):
    digests = [source_digest(source)]
    assert digests[0] == source_digest(source)
    edit(source, set_annotation(id=99))
    digests.append(source_digest(source))
    with open(source / "images" / "a.png", "ab") as file:
        file.write(b"x")
    digests.append(source_digest(source))
    (source / "images" / "a.png").rename(source / "images" / "z.png")
    digests.append(source_digest(source))
    (source / "val.json").rename(source / "test.json")
    digests.append(source_digest(source))
    assert len(set(digests)) == 5
