# SPDX-License-Identifier: Apache-2.0
"""Own faces' files: names in other spellings, links and pipes, texts in other encodings, numbers beyond any picture."""

import json
import os
import shutil
import unicodedata

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from barrel_jax.config import DataConfig
from data.annotated import truth_of
from data.check import check
from data.coco.source import read_source, source_digest
from data.grouping import printable
from data.prepare import main, prepare
from tests.kit.own_faces import Documents, draw, each_face, each_image, write_faces
from tests.kit.shared import SHARED, needs_shared

pytestmark = pytest.mark.quick


def report_of(folder):
    return check(read_source(folder), allow_partial=False)


def renamed(change):
    return each_image(lambda image: image.update(file_name=change(image["file_name"])))


SPELLINGS = {
    "windows": (lambda name: f"images\\{name}", "back slashes"),
    "windows drive": (lambda name: f"C:\\faces\\{name}", "back slashes"),
    "images twice": (lambda name: f"images/{name}", "other folders before it"),
    "another machine": (lambda name: f"/home/me/faces/images/{name}", "other folders before it"),
    "capitals": (lambda name: name.upper(), "small and capital letters"),
    "a link": (lambda name: f"file:///faces/{name.replace('_', '%5F')}", "letters written otherwise"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_file_in_another_spelling_is_found_and_counted(tmp_path, spelling):
    change, why = SPELLINGS[spelling]
    report = report_of(write_faces(tmp_path / "source", renamed(change)))
    assert report.status(strict=True) == 0 and report.counts["file_names_in_another_spelling"] == 12
    other = change("train_0.png")
    assert report.notes[0] == (
        f"{tmp_path}/source/train.json: 8 files are there under another spelling than file_name's, such as train_0.png "
        f"for {other!r} ({why}), and were taken"
    )


def test_two_pictures_that_lead_to_one_file_are_a_fault(tmp_path):
    """As when folders of equal names were put into one; not when one name is the other with folders before it."""

    def in_folders(image):
        folder, number = ("a", "b")[image["id"] % 2], image["id"] // 2
        image["file_name"] = f"{folder}/{number}.png"

    source = write_faces(tmp_path / "source", each_image(in_folders))
    images = source / "images"
    documents = [json.loads((source / f"{split}.json").read_text()) for split in ("train", "val")]
    names = {image["file_name"] for document in documents for image in document["images"]}
    for number in {name[2:] for name in names}:
        shutil.copy(images / "train_0.png", images / number)
    report = report_of(source)
    assert report.status(strict=False) == 1
    number = sorted(n[2:] for n in names if n[0] == "a" and "b" + n[1:] in names)[0]
    assert f"{images}/{number}: 'a/{number}' and 'b/{number}' both lead here; put the one" in "\n".join(report.faults)


@pytest.mark.parametrize(("in_json", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_one_letter_or_two(tmp_path, in_json, on_disk):
    def spelt(form):
        return unicodedata.normalize(form, "Müller.png")

    folder = write_faces(tmp_path / "source", lambda documents: first_file(documents, spelt(in_json)))
    (folder / "images" / "train_0.png").rename(folder / "images" / spelt(on_disk))
    report = report_of(folder)
    assert report.status(strict=True) == 0 and report.counts["file_names_in_another_spelling"] == 1


def test_a_name_on_disk_that_is_not_utf8_is_found(tmp_path):
    folder = write_faces(tmp_path / "source", lambda documents: first_file(documents, "Müller.png"))
    os.rename(folder / "images" / "train_0.png", os.fsencode(folder / "images") + b"/M\xfcller.png")
    report = report_of(folder)
    assert report.status(strict=True) == 0
    assert "such as M\\udcfcller.png for 'Müller.png' (letters written otherwise)" in printable(report.notes[0])


def test_a_name_with_bytes_that_are_no_utf8_is_stored_as_text(tmp_path):
    """As an archive from another system and `json.dump(os.listdir())` write it; the file of its letters is another."""
    name = os.fsdecode(b"bild_\xe4.png")
    folder = write_faces(tmp_path / "source", lambda documents: first_file(documents, name))
    (folder / "images" / "train_0.png").rename(folder / "images" / name)
    shutil.copy(folder / "images" / "train_1.png", folder / "images" / "bild_ä.png")
    source = read_source(folder)
    report = check(source, allow_partial=False)
    assert report.status(strict=True) == 0 and "repeated" not in str(report.counts)
    config = DataConfig(dataset="coco", source=str(folder), data_dir=str(tmp_path / "sets"))
    built = tfds.builder_from_directory(str(prepare(config.dataset, config.source, config.data_dir)))
    record = built.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})[0]
    assert record["file"].decode() == "bild_ä.png" == truth_of(source, config, "train").files[0]
    x, y, w, h = record["region"]
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(record["image"], np.uint8), 1), draw(0)[0][y : y + h, x : x + w]
    )


def first_file(documents: Documents, name):
    documents["train"]["images"][0]["file_name"] = name


def test_a_file_in_a_folder_below_is_found_where_one_is_meant(tmp_path):
    folder = write_faces(tmp_path / "source")
    for name in ("a", "b"):
        (folder / "images" / name).mkdir()
    (folder / "images" / "train_0.png").rename(folder / "images" / "a" / "train_0.png")
    assert report_of(folder).status(strict=True) == 0
    shutil.copy(folder / "images" / "a" / "train_0.png", folder / "images" / "b")
    (fault,) = report_of(folder).faults
    assert fault.startswith(
        f"{folder}/images/train_0.png: image is missing (2 files are called so, such as a/train_0.png"
    )


@pytest.mark.parametrize(
    ("change", "near"),
    [
        (lambda name: name.replace(".png", ".jpeg"), " (train_0.png is there)"),
        (lambda name: name.replace("_", "-"), " (train_0.png is there)"),
        (lambda name: f"{ord(name[0])}{name[-5]}", ""),
    ],
)
def test_the_nearest_name_of_a_missing_file_is_said(tmp_path, change, near):
    report = report_of(write_faces(tmp_path / "source", renamed(change)))
    name = change("train_0.png")
    assert report.faults[0] == (
        f"{tmp_path}/source/images/{name}: image is missing{near}; put it there or remove it from the annotations"
    )
    assert len(report.faults) == 12
    (line,) = [line for line in report.lines() if line.startswith("fault")]
    assert "| and 9 more (12 of a kind); put it there" in line


def test_links_that_lead_back_and_pipes_are_no_way_to_hang(tmp_path):
    folder = write_faces(tmp_path / "source")
    (folder / "images" / "val2017").symlink_to(".")
    (folder / "images" / "up").symlink_to("..")
    (folder / "images" / "round").symlink_to("round")
    os.mkfifo(folder / "images" / "pipe.png")
    assert report_of(folder).status(strict=True) == 0
    assert source_digest(folder) == source_digest(folder)
    (folder / "images" / "train_0.png").unlink()
    os.mkfifo(folder / "images" / "train_0.png")
    os.mkfifo(folder / "also.json")
    assert report_of(folder).faults == [
        f"{folder}/also.json: no file but a folder, a pipe or a device; remove it or put the annotations there",
        f"{folder}/images/train_0.png: image is no file but a folder, a pipe or a device; put it there or remove it "
        "from the annotations",
    ]
    assert len(source_digest(folder)) == 64


@pytest.mark.parametrize(
    ("encode", "note"),
    [
        (lambda text: text.encode("utf-8-sig"), "was read as UTF-8-SIG"),
        (lambda text: text.encode("utf-16"), "was read as UTF-16"),
        (lambda text: text.encode("cp1252"), "is not UTF-8 and was read as Latin-1 (cp1252); save it as UTF-8"),
    ],
)
def test_texts_in_other_encodings_are_read_and_said(tmp_path, encode, note):
    folder = write_faces(tmp_path / "source", lambda documents: first_file(documents, "Zoë’s.png"))
    (folder / "images" / "train_0.png").rename(folder / "images" / "Zoë’s.png")
    text = json.dumps(json.loads((folder / "train.json").read_text()), ensure_ascii=False)
    (folder / "train.json").write_bytes(encode(text))
    report = report_of(folder)
    assert report.status(strict=True) == 0 and report.notes == [f"{folder}/train.json: {note}"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 zipped", "it looks like a ZIP archive"),
        (b"<?xml version='1.0'?><dataset/>", "it looks like XML"),
        (b"<!DOCTYPE html><html>", "it looks like a web page"),
        (b"file,x,y\na.png,1,2\n", "it looks like CSV"),
        (b'{"a": 1}\n{"a": 2}\n', "it looks like JSON lines"),
        (b'{"images": [{"id": 1}, {"i', "it looks cut off"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"images": ' + b"9" * 5000 + b"}", "it has a number of thousands of digits"),
    ],
)
def test_what_is_no_json_is_said_to_look_like(tmp_path, content, words):
    folder = write_faces(tmp_path / "source")
    (folder / "train.json").write_bytes(content)
    (fault,) = report_of(folder).faults
    assert fault.startswith(f"{folder}/train.json: not JSON (") and words in fault


HUGE = 10**400
NUMBERS = {
    "id": (each_face(lambda face: face.update(id=face["id"] + 2 * 10**19)), "has an id beyond 64 bits"),
    "coordinate": (
        each_face(lambda face: face["keypoints"].__setitem__(3, HUGE)),
        r"keypoint value (number 3, from 0)",
    ),
    "far coordinate": (each_face(lambda face: face["keypoints"].__setitem__(0, 1e30)), "of 1e+30, beyond any picture"),
    "box": (each_face(lambda face: face.update(bbox=[0, 0, HUGE, 4])), "has a box with numbers beyond any picture"),
    "far box": (each_face(lambda face: face.update(bbox=[1e30, 0, 4, 4])), "has a box with numbers beyond any picture"),
    "size": (each_image(lambda image: image.update(width=HUGE)), "has no width and height in whole pixels"),
    "image of a list": (each_face(lambda face: face.update(image_id=[1])), "is of image [1], which is not in images"),
    "name of nothing": (renamed(lambda name: f"\0{name}"), "has a file_name that no file can have"),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_that_no_set_has_are_one_line(tmp_path, capsys, kind):
    change, words = NUMBERS[kind]
    folder = write_faces(tmp_path / "source", change)
    assert main(["coco", "--source", str(folder), "--check", "--data-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("fault")]
    assert words in line and "(12 of a kind)" in line and f"{folder}/train.json" in line


def test_ids_of_images_may_be_of_any_size(tmp_path):
    def edit(documents):
        for document in documents.values():
            for image, face in zip(document["images"], document["annotations"], strict=True):
                image["id"] = face["image_id"] = 2 * 10**19 + image["id"]

    assert report_of(write_faces(tmp_path / "source", edit)).status(strict=True) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
            "image is HEIC, which is not read here; convert it to JPEG",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "image is a Git LFS pointer, which is not read here; git lfs",
        ),
        (b"\xff\xd8 cut", "image is broken or cut off (6 bytes)"),
    ],
)
def test_pictures_of_kinds_that_are_not_read_are_said_as_they_are(tmp_path, content, words):
    folder = write_faces(tmp_path / "source")
    (folder / "images" / "train_0.png").write_bytes(content)
    (fault,) = report_of(folder).faults
    assert fault.startswith(f"{folder}/images/train_0.png: ") and words in fault


def test_the_digest_sees_bitmaps_that_were_painted_over(tmp_path):
    folder = write_faces(
        tmp_path / "source", encode=lambda picture: cv2.imencode(".bmp", picture)[1].tobytes(), suffix=".bmp"
    )
    bitmap, before = folder / "images" / "train_0.bmp", source_digest(folder)
    stamp = bitmap.stat().st_mtime_ns
    picture = cv2.imread(str(bitmap))
    size = bitmap.stat().st_size
    cv2.imwrite(str(bitmap), np.rot90(picture, 2))
    os.utime(bitmap, ns=(stamp, stamp))
    assert bitmap.stat().st_size == size and source_digest(folder) != before


@needs_shared
@pytest.mark.parametrize(
    ("case", "count", "number"),
    [
        ("06_nfd", "file_names_in_another_spelling", 6),
        ("07_windows_paths", "file_names_in_another_spelling", 22),
        ("08_leak", "pictures_in_train_and_val", 16),
    ],
)
def test_cases_of_real_faces(case, count, number):
    report = report_of(SHARED / "cases" / case)
    assert report.counts[count] == number and report.status(strict=True) == 0


@needs_shared
def test_case_of_large_ids():
    report = report_of(SHARED / "cases" / "09_big_id")
    assert len(report.faults) == 22 and all("has an id beyond 64 bits" in fault for fault in report.faults)
    assert len([line for line in report.lines() if line.startswith("fault")]) == 1
