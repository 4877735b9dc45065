# SPDX-License-Identifier: Apache-2.0
"""A reader of the documents, who has a folder with all that their commands name: small, drawn, and real."""

import contextlib
import csv
import dataclasses
import importlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from barrel_jax.config import Config, load_run_config, save_run_config
from barrel_jax.evaluation.scores import read_scores
from barrel_jax.files import plain, write_json
from barrel_jax.predict.detectors import make_detector
from barrel_jax.reproduce.runs import OWN
from benchmarks.gpu.start import main as start
from configs.tiny import get_config as tiny
from data.synthetic.sample import sample_face
from tests.data.test_cofw68 import write_boxes, write_points
from tests.data.test_w300 import pts
from tests.kit.documented import PROGRAMS
from tests.kit.in_process import call
from tests.kit.scores import make_stress

TRAIN, TEST = 8, 4
CONFIGS = ("coco", "coco_small", "pretrain", "synthetic", "w300", "w300_scratch")


def small_version(name: str) -> Config:
    """configs/tiny.py on the data of another config. The compiled step is the same for all: batches are brought."""
    config, whole = tiny(), importlib.import_module(f"configs.{name}").get_config()
    config.data, config.init_from = whole.data, whole.init_from
    config.data.image_size, config.data.allow_partial, config.data.resident = 32, True, False
    config.data.synthetic_train, config.data.synthetic_test = TRAIN, TEST
    config.batch_size, config.mesh.data, config.optim.epochs = 4, 1, 1
    return config


@dataclass(frozen=True)
class Small:
    """How a command of the documents is run in seconds."""

    writes: tuple[str, ...] = ()  # files that it makes
    says: str = ""
    instead: tuple[tuple[str, str], ...] = ()  # parts of its words, and what stands for them
    more: tuple[str, ...] = ()  # further arguments
    after: str = ""  # the command that makes what it reads
    then: Callable[[Path], None] | None = None  # what is done in the folder afterwards
    scored: bool = False  # the runs of a grid are there with their scores


@dataclass
class Reader:
    """Runs commands in a folder, each once."""

    folder: Path
    ways: dict[str, Small]
    done: dict[str, str] = field(default_factory=dict)  # what each command said

    def perform(self, command: str, words: dict[str, list[str]]) -> str:
        """Runs a command and what it comes after, and returns what it said on standard output."""
        if command in self.done:
            return self.done[command]
        way = self.ways[command]
        if way.after:
            self.perform(way.after, words)
        program, *arguments = words[command]
        for old, new in way.instead:
            assert any(old in word for word in arguments), f"{command} has no {old}"
            arguments = [word.replace(old, new) for word in arguments]
        for file in way.writes:
            (self.folder / file).unlink(missing_ok=True)
        if way.scored:
            self._score_runs(program, arguments)
        said = self._call(program, [*arguments, *way.more])
        assert way.says in said, said
        assert [file for file in way.writes if not (self.folder / file).is_file()] == []
        if way.then:
            way.then(self.folder)
        self.done[command] = said
        return said

    def _call(self, program: str, arguments: list[str]) -> str:
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
            patch.chdir(self.folder)
            patch.setenv("BARREL_JAX_DATA", str(self.folder / "cache"))
            assert call(PROGRAMS[program], arguments) == 0, said.getvalue()
        return said.getvalue()

    def _score_runs(self, program: str, arguments: list[str]) -> None:
        """The runs of a grid as if they had been trained: their scores are those of the reader's own run."""
        for line in self._call(program, [*(word for word in arguments if word != "--report"), "--list"]).splitlines():
            run = json.loads(line)
            name = run["scored_on"] or OWN.get(run["config"], run["config"])
            scores = self.folder / run["workdir"] / "eval" / f"{name}-{'val' if name == 'coco' else 'test'}"
            scores.parent.mkdir(parents=True, exist_ok=True)
            if not scores.exists():
                scores.symlink_to(self.folder / "runs/faces/eval/coco-val")


def furnish(folder: Path) -> None:
    """Writes the faces and what is made of them alone."""
    drawn = [sample_face(0, "train", number, "300w-68") for number in range(TRAIN + TEST)]
    splits = {"train": drawn[:TRAIN], "val": drawn[TRAIN:]}
    _write_own_faces(folder / "DIR", splits)
    shutil.copytree(folder / "DIR", folder / "OWN")
    for place, faces in (("afw", splits["train"]), ("ibug", splits["val"])):
        (folder / "300W" / place).mkdir(parents=True)
        for face in faces:
            (folder / "300W" / place / f"{face['face']}.pts").write_text(pts(face["points"] + 1))
            (folder / "300W" / place / f"{face['face']}.jpg").write_bytes(face["image"])
    for number in (1, 2):
        write_points(folder / "COFW68" / "COFW68_Data", number)
    write_boxes(folder / "COFW68" / "COFW68_Data", 2)
    np.savez(folder / "cofw68.npz", points=np.zeros((2, 68, 2)))
    np.savez(folder / "own.npz", points=np.stack([face["points"] + 1 for face in splits["val"]]))
    _write_table(folder / "SOURCE", splits["train"])
    (folder / "configs").mkdir()
    for name in CONFIGS:
        (folder / "configs" / f"{name}.py").write_text(
            f"from tests.kit.reader import small_version\n\n\ndef get_config():\n    return small_version({name!r})\n"
        )
    (folder / "cache" / "downloads" / "cofw").mkdir(parents=True)
    pictures = [cv2.imdecode(np.frombuffer(face["image"], np.uint8), cv2.IMREAD_COLOR) for face in drawn]
    found = next(picture for picture in pictures if len(make_detector("haar")(picture[..., ::-1])) == 1)
    cv2.imwrite(str(folder / "photo.jpg"), found)
    clip = cv2.VideoWriter(
        str(folder / "clip.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 5, found.shape[1::-1]
    )
    for _ in range(3):
        clip.write(found)
    clip.release()


def multiply_runs(folder: Path) -> None:
    """Makes of the trained run in runs/faces the other runs that the documents name; `b` has another seed."""
    runs = folder / "runs"
    for name in ("wflw", "a", "b"):
        shutil.copytree(runs / "faces", runs / name, copy_function=_copy)
    for name in ("a", "b"):
        (runs / name / "eval" / "wflw-test").symlink_to("coco-val")
        scores = read_scores(runs / name / "eval" / "coco-val" / "metrics.json")
        fields = ("fingerprint", "normaliser", "crop", "clamped", "checkpoint_step")
        alike = {field: getattr(scores, field) for field in fields}
        stress = make_stress(("none", 0.0, 9.0, 20.0), ("blur", 0.1, 12.0, 30.0), dataset="coco", split="val", **alike)
        write_json(runs / name / "eval" / "coco-val" / "stress.json", plain(stress))
        other = dataclasses.replace(scores, dataset="synthetic", split="test", fingerprint="drawn")
        write_json(runs / name / "eval" / "synthetic-test" / "metrics.json", plain(other))
    config = load_run_config(runs / "b")
    config.seed = 1
    save_run_config(config, runs / "b")


def write_backbone_of_pretrain(folder: Path) -> None:
    """As the document says between two trainings."""
    run = folder / "runs" / "pretrain"
    assert start([str(run), "--out", str(run.with_suffix(".safetensors"))]) == 0


def _copy(source: str, target: str) -> None:
    """Checkpoints are large, and nothing changes their files."""
    (os.link if "checkpoints" in Path(source).parts else shutil.copyfile)(source, target)


def _write_own_faces(folder: Path, splits: dict[str, list[dict]]) -> None:
    (folder / "images").mkdir(parents=True)
    for split, faces in splits.items():
        images, annotations = [], []
        for face in faces:
            number, name = face["face"], f"{face['face']}.jpg"
            (folder / "images" / name).write_bytes(face["image"])
            *_, width, height = face["region"].tolist()
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            keypoints = np.concatenate([face["points"], np.full((68, 1), 2)], axis=1)
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": face["box"].tolist(),
                    "keypoints": keypoints.ravel().tolist(),
                }
            )
        categories = [{"id": 1, "name": "face", "keypoints": [f"point {number}" for number in range(68)]}]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(document))


def _write_table(folder: Path, faces: list[dict]) -> None:
    """A CSV table of two points a face, eight people's."""
    folder.mkdir()
    with (folder / "faces.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "person", "x0", "y0", "x1", "y1"])
        for face in faces:
            (folder / f"{face['face']}.jpg").write_bytes(face["image"])
            writer.writerow([f"{face['face']}.jpg", f"p{face['face']}", *face["points"][[36, 45]].ravel().tolist()])
