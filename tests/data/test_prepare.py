# SPDX-License-Identifier: Apache-2.0
"""`data.prepare`: sets that are built once, keyed by their source, and never half."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from barrel_jax.config import DataConfig
from barrel_jax.files import cache_home
from barrel_jax.input.crops import load_crops
from data.coco.coco import CocoFaces
from data.coco.source import read_source
from data.face_sets import FACE_SETS
from data.images import read_image
from data.prepare import built_set, main, prepare, prepare_config

ROOT = Path(__file__).resolve().parents[2]
NO_PIXELS = {"image": tfds.decode.SkipDecoding()}


@pytest.fixture
def source(tmp_path):
    """A source of six images with a face of three points each."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(6):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), np.full((30, 30, 3), 40 * i, np.uint8))
        images.append({"id": i, "file_name": f"{i}.png", "width": 30, "height": 30})
        keypoints = [10, 10, 2, 20, 10, 2, 15, 18, 2]
        annotations.append({"id": i, "image_id": i, "bbox": [5, 5, 20, 20], "keypoints": keypoints})
    document = {"images": images, "annotations": annotations, "categories": []}
    (folder / "train.json").write_text(json.dumps(document))
    return folder


def set_folder(source, tmp_path):
    faces = FACE_SETS["coco"]
    key = hashlib.sha256((faces.digest(str(source), {}) + faces.stamp(str(source))).encode()).hexdigest()
    return tmp_path / "sets" / "coco" / key[:12]


def test_pictures_larger_than_the_limit_are_refused_by_training_and_by_the_command(source, tmp_path, capsys):
    config = DataConfig(dataset="coco", source=str(source), data_dir=str(tmp_path / "sets"), max_pixels=899)
    with pytest.raises(ValueError, match=r"30 x 30 pixels, more than 899 \(--max-pixels, or config\.data\.max_pixels"):
        prepare_config(config)
    command = ["coco", "--source", str(source), "--data-dir", str(tmp_path / "sets")]
    assert main([*command, "--max-pixels=899"]) == 1
    assert "more than 899 (--max-pixels" in capsys.readouterr().err
    assert main([*command, "--max-pixels=900"]) == 0


def test_built_once_below_its_digest(source, tmp_path, monkeypatch):
    directory = prepare("coco", str(source), str(tmp_path / "sets"))
    digest = FACE_SETS["coco"].digest(str(source), {})
    assert directory.is_relative_to(set_folder(source, tmp_path))
    assert json.loads((directory / "metadata.json").read_text())["source_digest"] == digest
    stored = tfds.builder_from_directory(str(directory)).as_data_source("train", decoders=NO_PIXELS)
    assert [record["face"] for record in stored] == [0, 1, 2, 3, 4, 5]
    # A second call finds it: nothing is built, and not even the annotations are read.
    monkeypatch.setattr("data.coco.source.read_source", None)
    assert prepare("coco", str(source), str(tmp_path / "sets")) == directory


def test_built_sets_lie_in_a_folder_of_the_users_own(source, tmp_path):
    prepare("coco", str(source), str(tmp_path / "sets"))
    assert (tmp_path / "sets").stat().st_mode & 0o777 == 0o700
    (tmp_path / "sets").chmod(0o777)
    with pytest.warns(UserWarning, match="sets: others may write in this folder, and what lies there is trusted"):
        prepare("coco", str(source), str(tmp_path / "sets"))


def test_changed_source_is_built_beside_the_old_set(source, tmp_path):
    first = prepare("coco", str(source), str(tmp_path / "sets"))
    document = json.loads((source / "train.json").read_text())
    document["annotations"].pop()
    (source / "train.json").write_text(json.dumps(document))
    second = prepare("coco", str(source), str(tmp_path / "sets"))
    sizes = [tfds.builder_from_directory(str(path)).info.splits["train"].num_examples for path in (first, second)]
    assert sizes == [6, 5]


def test_a_picture_that_was_changed_under_its_name_and_size_is_built_anew(source, tmp_path):
    first = prepare("coco", str(source), str(tmp_path / "sets"))
    digest = FACE_SETS["coco"].digest(str(source), {})
    file = source / "images" / "3.png"
    status = file.stat()
    # Written anew with the bytes it had: the time stamp alone changes the set's folder, and not what runs know it by.
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    second = prepare("coco", str(source), str(tmp_path / "sets"))
    assert second != first and FACE_SETS["coco"].digest(str(source), {}) == digest
    # Painted over, with the time stamp put back: the sampled bytes tell.
    encoded = bytearray(file.read_bytes())
    encoded[-20] ^= 1
    file.write_bytes(encoded)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FACE_SETS["coco"].digest(str(source), {}) != digest


def test_doubts_are_said_whenever_the_set_is_used(source, tmp_path, capsys):
    document = json.loads((source / "train.json").read_text())
    document["annotations"][3]["bbox"] = [0, 20, 9, 9]
    (source / "train.json").write_text(json.dumps(document))
    for _ in range(2):
        prepare("coco", str(source), str(tmp_path / "sets"))
        assert "doubt: " in (said := capsys.readouterr().out)
        assert "annotation 3 (3.png) has a box that misses 3 of 3 labelled points; correct bbox" in said


def test_a_rebuild_is_forced(source, tmp_path, capsys):
    arguments = ["coco", "--source", str(source), "--data-dir", str(tmp_path / "sets")]
    assert main(arguments) == 0
    directory = prepare("coco", str(source), str(tmp_path / "sets"))
    (directory / "crops").mkdir()
    stale = next(directory.glob("*array_record*"))
    stale.write_bytes(b"")
    assert main(arguments) == 0 and stale.read_bytes() == b""
    assert main([*arguments, "--rebuild"]) == 0
    assert prepare("coco", str(source), str(tmp_path / "sets")) == directory
    assert stale.read_bytes() and not (directory / "crops").exists()


def test_the_options_are_part_of_the_digest(source):
    faces = FACE_SETS["coco"]
    own = faces.options(DataConfig())
    changes = ({}, {"boxes": "xyxy"}, {"points": "yx"}, {"exif": "stored"}, {"placeholders": "keep"})
    assert len({faces.digest(str(source), own | change) for change in changes}) == 5
    assert faces.digest(str(source), own) == faces.digest(str(source), {})


@pytest.mark.parametrize("name", ["lr=1e-3 #2", "50% data", "a?b", "[v2]", "a\\b", "x%20y", "a[0:2]", "{x}*", "a@2"])
def test_folders_of_any_name(source, tmp_path, name):
    folder = tmp_path / name
    source.rename(folder)
    directory = prepare("coco", str(folder), str(folder / "sets"))
    assert directory.is_relative_to(folder / "sets")
    crops = load_crops(DataConfig(image_size=32), directory, "train")
    assert [int(image.max()) for image in crops.images] == [0, 40, 80, 120, 160, 200]
    assert prepare("coco", str(folder), str(folder / "sets")) == directory


def test_failed_build_leaves_nothing_and_the_next_succeeds(source, tmp_path):
    (source / "images" / "5.png").rename(tmp_path / "5.png")
    with pytest.raises(ValueError, match=r"5\.png: image is missing"):
        prepare("coco", str(source), str(tmp_path / "sets"))
    assert not list((tmp_path / "sets").rglob("*.array_record*"))
    (tmp_path / "5.png").rename(source / "images" / "5.png")
    assert prepare("coco", str(source), str(tmp_path / "sets")).is_dir()


STUCK = """
import sys, time
import data.regions
from data.coco.coco import CocoFaces
from data.prepare import prepare
data.regions.PART = 2
faces = CocoFaces.faces
def stuck(self, split):
    for i, record in enumerate(faces(self, split)):
        yield record
        if i == 3:
            print("half", file=sys.__stdout__, flush=True)
            time.sleep(60)
CocoFaces.faces = stuck
prepare("coco", sys.argv[1], sys.argv[2])
"""


@pytest.mark.processes
def test_killed_build_is_not_taken_for_complete_and_is_taken_up(source, tmp_path, monkeypatch):
    command = [sys.executable, "-c", STUCK, str(source), str(tmp_path / "sets")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.stdout.readline() != "half\n":
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    folder = next((tmp_path / "sets" / "coco").iterdir())
    assert list(folder.glob("*/incomplete.*"))
    assert built_set(folder, allow_partial=False) is None
    # What was cut before the kill is not cut again: the first image is not even read.
    assert (folder / "parts" / "train-0000000.npz").exists()

    def read(path):
        assert path.name != "0.png"
        return read_image(path)

    monkeypatch.setattr("data.source.read_image", read)
    monkeypatch.setattr("data.regions.PART", 2)
    directory = prepare("coco", str(source), str(tmp_path / "sets"))
    stored = tfds.builder_from_directory(str(directory)).as_data_source("train")
    assert [int(record["image"][0, 0, 0]) for record in stored] == [0, 40, 80, 120, 160, 200]
    assert not list(folder.glob("*/incomplete.*")) and not (folder / "parts").exists()


def test_a_part_of_a_published_set_is_built_only_when_allowed_and_says_so(source, tmp_path, monkeypatch):
    def of_nine(folder, options):
        found = read_source(folder, options)
        found.published = {"train": 9}
        found.count_splits()
        return found

    monkeypatch.setattr("data.coco.source.read_source", of_nine)
    with pytest.raises(ValueError, match=r"split train has 6 faces, the published set 9; complete the download, or"):
        prepare("coco", str(source), str(tmp_path / "sets"))
    directory = prepare("coco", str(source), str(tmp_path / "sets"), allow_partial=True)
    assert json.loads((directory / "metadata.json").read_text())["partial"] == "PARTIAL SET: 6 of 9 train faces"
    with pytest.raises(ValueError, match=r"6 of 9 train faces; complete the download, or .*allow_partial"):
        prepare("coco", str(source), str(tmp_path / "sets"))


def test_runs_that_start_together_build_once(source, tmp_path, monkeypatch):
    folder = set_folder(source, tmp_path)
    folder.mkdir(parents=True)
    found = []
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=lambda: found.append(prepare("coco", str(source), str(tmp_path / "sets"))))
        other.start()
        other.join(0.2)
        assert other.is_alive()
        # The holder of the lock finishes its set; the one that waited must take it and not build.
        done = folder / "coco_faces" / "1.0.0"
        done.mkdir(parents=True)
        (done / "dataset_info.json").write_text("{}")
        (done / "metadata.json").write_text('{"partial": ""}')
        monkeypatch.setattr(CocoFaces, "faces", None)
    other.join(10)
    assert found == [done]


@pytest.mark.parametrize(("text", "said"), [("{", "this is no JSON"), ("{}", "'partial' is missing")])
def test_a_built_set_that_is_damaged_is_named(tmp_path, text, said):
    (tmp_path / "coco_faces/1.0.0").mkdir(parents=True)
    (tmp_path / "coco_faces/1.0.0/dataset_info.json").write_text("{}")
    (tmp_path / "coco_faces/1.0.0/metadata.json").write_text(text)
    with pytest.raises(ValueError, match=rf"1\.0\.0/metadata\.json: {said}.*; build the set anew: .* --rebuild"):
        built_set(tmp_path, allow_partial=False)


def test_unknown_set_and_missing_source():
    with pytest.raises(ValueError, match=r"unknown set 'celeba': there are wflw, w300, cofw, cofw68, coco, synthetic"):
        prepare("celeba", "x", "y")
    with pytest.raises(FileNotFoundError, match=r"coco: no download at y/downloads/coco; put train.json, val.json"):
        prepare("coco", "", "y")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        prepare("coco", "nowhere/at/all", "y")


@pytest.mark.parametrize("name", ["wflw", "w300", "cofw", "cofw68", "coco"])
def test_an_archive_in_the_place_of_a_folder_is_to_be_unpacked(name, tmp_path):
    (tmp_path / "faces.zip").write_bytes(b"PK")
    with pytest.raises(
        ValueError, match=r"faces\.zip: this is a file, and a set is read from a folder; give the folder"
    ):
        prepare(name, str(tmp_path / "faces.zip"), str(tmp_path / "sets"))


def test_synthetic_digest_depends_on_every_option():
    options = {"scheme": "300w-68", "train": 3, "test": 2, "seed": 0}
    changes = ({}, {"scheme": "wflw-98"}, {"train": 4}, {"test": 3}, {"seed": 1})
    assert len({FACE_SETS["synthetic"].digest("", options | change) for change in changes}) == 5
    assert FACE_SETS["synthetic"].digest("", dict(reversed(options.items()))) == FACE_SETS["synthetic"].digest(
        "", options
    )


def test_cache_home(monkeypatch):
    monkeypatch.delenv("BARREL_JAX_DATA", raising=False)
    assert str(cache_home()) == os.path.expanduser("~/.cache/barrel_jax")
    monkeypatch.setenv("BARREL_JAX_DATA", "/somewhere/else")
    assert str(cache_home()) == "/somewhere/else"


def test_cache_home_is_used(source, tmp_path, monkeypatch):
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path / "home"))
    assert prepare("coco", str(source), "").is_relative_to(tmp_path / "home")


def test_command_builds_and_prints_the_folder(source, tmp_path, capsys):
    assert main(["coco", "--source", str(source), "--data_dir", str(tmp_path / "sets")]) == 0
    printed = capsys.readouterr()
    assert Path(printed.out.splitlines()[-1]) == prepare("coco", str(source), str(tmp_path / "sets"))
    assert "Downloading" not in printed.out
    assert "coco train: 6 of 6 faces (100 %)" in printed.err


def test_command_check_of_a_sound_source(source, tmp_path, capsys):
    assert main(["coco", "--source", str(source), "--data_dir", str(tmp_path / "sets"), "--check"]) == 0
    printed = capsys.readouterr().out
    assert "with 3 points: train 6" in printed
    assert "1 left/right pairs and 1 midline points [2]" in printed
    assert "0 fault(s)" in printed
    (sheet,) = (tmp_path / "sets").rglob("*.*")  # no set was built
    assert f"contact sheet: {sheet}\n" in printed and cv2.imread(str(sheet)) is not None


def test_command_check_lists_every_fault_on_a_line(source, tmp_path, capsys):
    (source / "images" / "1.png").unlink()
    (source / "images" / "4.png").write_bytes(b"")
    document = json.loads((source / "train.json").read_text())
    for i, annotation in enumerate(document["annotations"]):  # points that all faces share may be placeholders
        annotation["keypoints"] = [10 + i / 9, 10, 2, 20, 10 + i / 9, 2, 15, 18 + i / 9, 2]
    document["annotations"][2]["bbox"] = [0, 0, 0, 0]
    document["annotations"][3]["bbox"] = [0, 20, 9, 9]
    (source / "train.json").write_text(json.dumps(document))
    document["annotations"][0]["id"] = 5
    (source / "train.json").write_text(json.dumps(document))
    told = tmp_path / "told.json"
    assert main(["coco", "--source", str(source), "--data-dir", str(tmp_path), "--check", "--json", str(told)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "3 fault(s), 1 doubt(s)"
    words = (
        "note: ",
        "fault: ",
        "fault: ",
        "fault: ",
        "doubt: ",
    )
    for line, word in zip(lines[-7:-2], words, strict=True):
        assert line.startswith(word)
    report = json.loads(told.read_text())
    assert report["verdict"] == "faults" and report["splits"] == {"train": 6}
    for sentence, words in zip(
        report["faults"] + report["doubts"] + report["notes"],
        (
            "annotation 5 has an id that another annotation has",
            "1.png: image is missing",
            "4.png: image is broken",
            "annotation 3 (3.png) has a box that misses",
            "1 of 6 faces have no box",
            "no val.json, which training needs: `python -m data.convert coco ",
            "1 face looks unlike the others (such as 3.png: box misses",
        ),
        strict=True,
    ):
        assert words in sentence


def test_command_errors_go_to_stderr(capsys):
    assert main(["coco", "--source", "nowhere/at/all"]) == 1
    assert main(["coco", "--source", "nowhere/at/all", "--check"]) == 1
    assert main(["celeba"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("no such folder") == 2
    assert "cofw68, coco, synthetic" in printed.err


def test_command_check_of_synthetic(capsys):
    assert main(["synthetic", "--check", "--train", "12", "--scheme", "cofw-29"]) == 0
    assert "draws 12 training" in capsys.readouterr().out
    assert main(["synthetic", "--check", "--scheme", "wflw"]) == 1
    assert "unknown scheme 'wflw'" in capsys.readouterr().err


def test_annotations_without_images_or_faces_are_no_set(source, tmp_path, monkeypatch):
    found = read_source(source)
    monkeypatch.setattr("data.coco.source.read_source", lambda folder, options: found)
    found.has_images = False
    with pytest.raises(ValueError, match="annotations without images can score predictions, not make a set"):
        prepare("coco", str(source), str(tmp_path / "sets"))
    found.has_images, found.splits = True, {"train": []}
    with pytest.raises(ValueError, match="no faces at all in train; complete the download"):
        prepare("coco", str(source), str(tmp_path / "sets"))


def test_an_empty_split_is_left_out_and_one_of_broken_images_ends_the_build(source, tmp_path, monkeypatch):
    found = read_source(source)
    found.splits = {"train": found.splits["train"][:3], "val": [], "test": found.splits["train"][3:]}
    monkeypatch.setattr("data.coco.source.read_source", lambda folder, options: found)
    directory = prepare("coco", str(source), str(tmp_path / "sets"))
    assert set(tfds.builder_from_directory(str(directory)).info.splits) == {"train", "test"}
    for number in range(3):
        (source / "images" / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has 3 fault\(s\)"):
        prepare("coco", str(source), str(tmp_path / "sets"))


def test_sets_larger_than_tfds_shuffles_in_memory_are_written_in_shards(source, tmp_path, monkeypatch):
    # Beyond this size (1 GB) TFDS's own writer spills with TensorFlow, which is not here.
    monkeypatch.setattr("tensorflow_datasets.core.shuffle.MAX_MEM_BUFFER_SIZE", 1)
    monkeypatch.setattr("data.tfds_builder.SHARD", 4)
    directory = prepare("coco", str(source), str(tmp_path / "sets"))
    info = tfds.builder_from_directory(str(directory)).info.splits["train"]
    assert (info.shard_lengths, info.num_examples) == ([4, 2], 6)
    stored = tfds.builder_from_directory(str(directory)).as_data_source("train", decoders=NO_PIXELS)
    assert [record["face"] for record in stored] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["coco", "--seed", "5"], "--seed says how synthetic faces are drawn, and coco has its own: leave it out"),
        (["w300", "--train", "7"], "--train says how synthetic faces are drawn"),
        (["wflw", "--scheme", "cofw-29"], "--scheme says how synthetic faces are drawn"),
        (["synthetic", "--source", "x"], "--source names a download, and synthetic faces are drawn: leave it out"),
        (["coco", "--source", "x", "--strict", "--json", "r.json"], "--strict, --json: of --check, which is not given"),
        (["coco", "--source", "x", "--check", "--rebuild"], "--check looks at the source and builds nothing"),
    ],
)
def test_what_would_not_be_read_is_refused(arguments, said, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("data.prepare: ") and said in printed and printed.count("\n") == 1
