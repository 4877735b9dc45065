# SPDX-License-Identifier: Apache-2.0
"""The readers and converters: a valid file for each, what it says, and how it is read."""

import io
import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.fuzz import mutations
from benchmarks.fuzz.mutations import Mutation

COUNT, K = 3, 5  # faces and points of the small files
SIZE = (200, 160)
READ_BACK = 8  # of what converters write, one in so many is read as training reads it, which takes longer
# Every coordinate is another number, so that one can be told from all others in a file.
TRUTH = np.array(
    [
        [30 + 37.13 * (i % 3) + 1.01 * i * k + 3.37 * k, 20.07 + 9.53 * k + 0.29 * i]
        for i in range(COUNT)
        for k in range(K)
    ]
)
POINTS = np.round(TRUTH, 2).reshape(COUNT, K, 2)


@dataclass(frozen=True)
class Parser:
    """A reader, and a valid file of its own."""

    name: str
    write: Callable[[Path], None]  # writes a valid source into an empty folder
    target: str  # the file in it that is changed, or a pattern of several
    read: Callable[[Path], np.ndarray | None]  # reads the folder; the points [n, K, 2] in pixels, or None
    changes: Sequence[Mutation]
    same: Mutation | None = None  # a change that leaves what the file says
    truth: np.ndarray | None = None  # what it says
    # How a coordinate of the truth is written in the file; None where it cannot be told there.
    token: Callable[[float, int], str] | None = None


def _pictures(folder: Path) -> list[str]:
    names = [f"f{number}.png" for number in range(COUNT)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.full((SIZE[1], SIZE[0], 3), 40 * number, np.uint8)
        (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return names


# Converters, from the source to the set that is read from what they have written.


def _converted(form: str) -> Callable[[Path], np.ndarray]:
    def read(folder: Path) -> np.ndarray:
        from data.coco.source import read_source
        from data.convert.convert import Task, convert

        out = folder.parent / f"{folder.name}-out"
        shutil.rmtree(out, ignore_errors=True)
        convert(Task(form, folder, out))
        written = b"".join(path.read_bytes() for path in sorted(out.glob("*.json")))
        if zlib.crc32(written) % READ_BACK:
            return _of_documents(out)
        source = read_source(out)
        if source.findings.faults:
            raise AssertionError(f"what was written has faults: {source.findings.faults[0]}")
        return _of_faces(source.faces())

    return read


def _of_documents(folder: Path) -> np.ndarray:
    found = []
    for path in folder.glob("*.json"):
        document = json.loads(path.read_text())
        files = {image["id"]: image["file_name"] for image in document["images"]}
        for face in document["annotations"]:
            values = np.reshape(face["keypoints"], (-1, 3))
            found.append((files[face["image_id"]], face["id"], np.where(values[:, 2:] > 0, values[:, :2], np.nan)))
    return np.array([points for _, _, points in sorted(found, key=lambda face: face[:2])])


def _of_faces(faces: Sequence[Any]) -> np.ndarray:
    for face in faces:
        if (
            not np.isfinite(face.box).all()
            or min(face.box[2:]) <= 0
            or not np.isfinite(face.points[face.visible > 0]).all()
        ):
            raise AssertionError(f"a face with box {face.box} and points {face.points} was read")
    return np.array([face.points for face in sorted(faces, key=lambda face: (face.file, face.face))])


def _write_as(form: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        from data.convert.convert import Task, convert

        _write_coco(folder.parent / f"{folder.name}-coco")
        folder.rmdir()
        convert(Task("coco", folder.parent / f"{folder.name}-coco", folder, form))

    return write


def _write_coco(folder: Path) -> None:
    names = _pictures(folder / "images")
    document = {
        "categories": [{"id": 1, "name": "face", "keypoints": [f"p{k}" for k in range(K)], "skeleton": []}],
        "images": [{"id": i, "file_name": n, "width": SIZE[0], "height": SIZE[1]} for i, n in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [10.0, 10.0, 150.0, 120.0],
             "keypoints": np.column_stack([POINTS[i], np.full(K, 2)]).ravel().tolist()}
            for i in range(COUNT)
        ],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", slice(0, 2)), ("val", slice(2, 3))):
        own = {"images": document["images"][part], "annotations": document["annotations"][part]}
        (folder / f"{split}.json").write_text(json.dumps(document | own))


def _plain(value: float, axis: int) -> str:
    del axis
    return f"{value:.8g}"


def _from_one(value: float, axis: int) -> str:
    del axis
    return f"{value + 1:.6f}"


def _per_cent(value: float, axis: int) -> str:
    return repr(value * 100 / SIZE[axis])


def _json_number(value: float, axis: int) -> str:
    del axis
    return repr(value)


def _converter(
    form: str, target: str, changes: Sequence[Mutation], same: Mutation, token: Callable[[float, int], str]
) -> Parser:
    write = _write_coco if form == "coco" else _write_as(form)
    points = np.rint(POINTS) if form == "dlib" else POINTS  # which reads whole pixels alone
    return Parser(f"convert {form}", write, target, _converted(form), changes, same, points, token)


# Readers of the sets.


def _read_set(name: str) -> Callable[[Path], np.ndarray]:
    def read(folder: Path) -> np.ndarray:
        import importlib

        source = importlib.import_module(f"data.{name}.source").read_source(folder)
        told = [*source.findings.faults, *source.findings.gaps]
        source.summary()
        points = _of_faces(source.faces())
        if source.findings.faults:
            raise Refused(told)
        return points

    return read


class Refused(Exception):
    """Faults that a reader collected, each of which is to be one line that names the file."""

    def __init__(self, told: list[str]) -> None:
        super().__init__("\n".join(told))
        self.told = told


def _write_w300(folder: Path) -> None:
    (folder / "afw").mkdir(parents=True)
    for number in range(COUNT):
        points = [f"{30 + 1.13 * k + 7 * number:.3f} {20 + 1.7 * k + 0.01 * number:.3f}" for k in range(68)]
        (folder / "afw" / f"f{number}.pts").write_text(
            "\n".join(["version: 1", "n_points:  68", "{", *points, "}", ""])
        )
        (folder / "afw" / f"f{number}.jpg").write_bytes(b"")


def _write_wflw(folder: Path) -> None:
    lists = folder / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    (folder / "WFLW_images" / "0--Parade").mkdir(parents=True)
    lines = []
    for number in range(COUNT):
        points = " ".join(f"{30 + 1.13 * k + 7 * number:.3f} {20 + 1.7 * k:.3f}" for k in range(98))
        lines.append(f"{points} 20 10 160 200 0 0 1 0 0 1 0--Parade/f{number}.jpg")
        (folder / "WFLW_images" / "0--Parade" / f"f{number}.jpg").write_bytes(b"")
    for split in ("train", "test"):
        (lists / f"list_98pt_rect_attr_{split}.txt").write_text("\n".join(lines) + "\n")


def _write_cofw(folder: Path) -> None:
    import h5py

    from data.cofw.source import FILES

    random = np.random.default_rng(0)
    for split, file in FILES.items():
        path, count = folder / file.name, 2
        with h5py.File(path, "w", userblock_size=512) as matlab:
            cells = matlab.create_group("#refs#")
            images = [random.integers(0, 256, (3, 50, 40), np.uint8) for _ in range(count)]
            refs = [cells.create_dataset(f"c{i}", data=image, compression="gzip").ref for i, image in enumerate(images)]
            matlab.create_dataset(file.images, (1, count), dtype=h5py.ref_dtype)[0, :] = refs
            xs, ys = random.uniform(11, 30, (count, 29)), random.uniform(9, 32, (count, 29))
            matlab[file.phis] = np.concatenate([xs, ys, random.integers(0, 2, (count, 29))], axis=1).T
            matlab[file.bboxes] = np.tile([11.0, 9, 20, 24], (count, 1)).T
        with path.open("r+b") as matlab:
            matlab.write(f"MATLAB 7.3 MAT-file, {split}".encode().ljust(124) + b"\x00\x02IM")


def _write_cofw68(folder: Path) -> None:
    import scipy.io

    (folder / "test_annotations").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in (1, 2):
        matrices = {
            "Points": random.uniform([10, 8], [30, 32], (68, 2)),
            "Occ": random.integers(0, 2, (1, 68), np.uint8),
        }
        scipy.io.savemat(folder / "test_annotations" / f"{number}_points.mat", matrices, do_compression=number == 1)
    scipy.io.savemat(folder / "cofw68_test_bboxes.mat", {"bboxes": np.array([[10, 8, 20, 24]] * 2, np.int16)})


# Files of predict and evaluate.


BOXES = np.array([[10.25 + i, 20.5 + i, 50.75 + 2 * i, 60.125 + i] for i in range(COUNT)])


def _write_boxes(name: str) -> Callable[[Path], None]:
    boxes = {f"f{number}.png": box for number, box in enumerate(BOXES.tolist())}

    def write(folder: Path) -> None:
        if name.endswith(".csv"):
            text = "\n".join(["file,x,y,w,h", *(",".join([file, *map(str, box)]) for file, box in boxes.items()), ""])
        elif name.startswith("coco"):
            images = [{"id": number, "file_name": file} for number, file in enumerate(boxes)]
            faces = [{"id": number, "image_id": number, "bbox": box} for number, box in enumerate(boxes.values())]
            text = json.dumps({"images": images, "annotations": faces})
        else:
            text = json.dumps({file: [box] for file, box in boxes.items()})
        (folder / name).write_text(text)

    return write


def _read_boxes(name: str) -> Callable[[Path], np.ndarray]:
    def read(folder: Path) -> np.ndarray:
        from barrel_jax.predict.boxes import read_boxes

        found = read_boxes(folder / name)
        boxes = [box for _, picture in sorted(found.pictures.items()) for box in picture.boxes]
        if not all(box.shape == (4,) and np.isfinite(box).all() and (box[2:] >= 1).all() for box in boxes):
            raise AssertionError(f"boxes {boxes} were read")
        if found.faults:
            raise Refused(found.faults)
        return np.array(boxes)

    return read


def _write_predictions(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        columns = {"points": POINTS, "files": [f"f{i}.png" for i in range(COUNT)], "faces": list(range(COUNT))}
        if name.endswith(".npz"):
            stream = io.BytesIO()
            np.savez_compressed(stream, **{key: np.array(value) for key, value in columns.items()})
            (folder / name).write_bytes(stream.getvalue())
        elif name.endswith(".json"):
            (folder / name).write_text(json.dumps(columns | {"points": POINTS.tolist()}))
        else:
            lines = []
            for i in range(COUNT):
                axes = [" ".join(f"{value + 1:.6f}" for value in POINTS[i, :, axis]) for axis in (0, 1)]
                lines += [str(i), *axes, " ".join(["0"] * K)]
            (folder / name).write_text("\n".join([*lines, ""]))

    return write


def _read_predictions(name: str) -> Callable[[Path], np.ndarray]:
    def read(folder: Path) -> np.ndarray:
        from barrel_jax.evaluation.predictions import read_predictions
        from barrel_jax.faces.annotated import FaceTruth
        from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser

        scheme = LandmarkScheme("custom-5", K, (), Normaliser(), ())
        faces = FaceTruth(
            "coco", "val", "0", scheme, (), POINTS.astype(np.float32), np.full((COUNT, K), 2, np.uint8),
            np.tile(np.float32([10, 10, 150, 120]), (COUNT, 1)), np.zeros((COUNT, 0), bool),
            tuple(f"f{i}.png" for i in range(COUNT)), np.arange(COUNT),
        )  # fmt: skip
        points = read_predictions(folder / name, faces)
        if points.shape != POINTS.shape or not np.isfinite(points).all():
            raise AssertionError(f"points {points} were read")
        return points

    return read


# What runs and exports leave.


def _write_run(folder: Path) -> None:
    import dataclasses

    from barrel_jax.config import Config

    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(Config()), default=str))
    facts = {"dataset": "coco", "fingerprint": "0", "scheme": "custom-5", "num_landmarks": K, "versions": {"jax": "1"}}
    (folder / "run.json").write_text(json.dumps(facts))
    manifest = facts | {
        "files": {"model.onnx": {"sha256": "0", "bytes": 1, "largest_difference": 0.0}},
        "image_size": 256,
        "config": dataclasses.asdict(Config()),
        "machine": {"instructions": []},
        "step": 1,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _read_facts(folder: Path) -> None:
    from barrel_jax.facts import read_facts

    read_facts(folder)


def _read_config(folder: Path) -> None:
    from barrel_jax.config import load_run_config

    load_run_config(folder)


def _read_manifest(folder: Path) -> None:
    from barrel_jax.export import manifest

    manifest.read(folder, folder)


def _write_weights(folder: Path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"a.weight": POINTS.astype(np.float32), "b": np.arange(4)}, folder / "w.safetensors")


def _read_weights(folder: Path) -> None:
    from barrel_jax.pretrained.state_dicts import read_state_dict

    read_state_dict(folder / "w.safetensors")


def _write_image(suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
        (folder / f"f{suffix}").write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())

    return write


def _read_image(suffix: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        from data.images import read_image

        _, pixels = read_image(folder / f"f{suffix}")
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise AssertionError(f"pixels of {pixels.dtype} {pixels.shape} were read")

    return read


def _write_checkpoint(folder: Path) -> None:
    from barrel_jax.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(folder)
    checkpoints.save("latest", _state(), {"nme": 1.5})
    checkpoints.wait()
    checkpoints.close()


def _state() -> Any:
    import jax.numpy as jnp

    from barrel_jax.training.state import State

    return State(jnp.int32(3), {"w": jnp.asarray(POINTS, jnp.float32)}, {"mean": jnp.ones(2)}, (), None)


def _read_checkpoint(folder: Path) -> None:
    import jax

    from barrel_jax.training.checkpoint import Checkpoints

    copy = folder.parent / f"{folder.name}-run"  # damaged ones are set aside
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    state = _state()
    checkpoints = Checkpoints(copy)
    try:
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state)
        found = checkpoints.newest(like)
    finally:
        checkpoints.close()
    if found is not None and not all(map(np.array_equal, jax.tree.leaves(found), jax.tree.leaves(state))):
        raise AssertionError("other arrays were restored than were saved")


W300 = np.array([[[30 + 1.13 * k + 7 * i - 1, 20 + 1.7 * k + 0.01 * i - 1] for k in range(68)] for i in range(COUNT)])
LIST = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt"
PARSERS = {
    parser.name: parser
    for parser in (
        Parser(
            "coco", _write_coco, "train.json", _read_set("coco"), mutations.JSON, mutations.same_json, POINTS,
            _json_number,
        ),
        _converter("coco", "train.json", mutations.JSON, mutations.same_json, _json_number),
        _converter("labelstudio", "train.json", mutations.JSON, mutations.same_json, _per_cent),
        _converter("csv", "train.csv", mutations.TEXT, mutations.same_table, _plain),
        _converter("dlib", "train.xml", mutations.XML, mutations.same_xml, _plain),
        _converter("cvat", "train.xml", mutations.XML, mutations.same_xml, _plain),
        _converter("pts", "train/f1.pts", mutations.TEXT, mutations.same_lines, _from_one),
        Parser("w300", _write_w300, "afw/f1.pts", _read_set("w300"), mutations.TEXT, mutations.same_lines, W300),
        Parser("wflw", _write_wflw, LIST, _read_set("wflw"), mutations.TEXT, mutations.same_lines),
        Parser("cofw", _write_cofw, "COFW_train_color.mat", _read_set("cofw"), mutations.BYTES),
        Parser("cofw68 points", _write_cofw68, "test_annotations/1_points.mat", _read_set("cofw68"), mutations.BYTES),
        Parser("cofw68 boxes", _write_cofw68, "cofw68_test_bboxes.mat", _read_set("cofw68"), mutations.BYTES),
        *(
            Parser(f"boxes {name}", _write_boxes(name), name, _read_boxes(name), changes, same, BOXES, _json_number)
            for name, changes, same in (
                ("boxes.json", mutations.JSON, mutations.same_json),
                ("coco.json", mutations.JSON, mutations.same_json),
                ("boxes.csv", mutations.TEXT, mutations.same_table),
            )
        ),
        *(
            Parser(
                f"predictions {name}", _write_predictions(name), name, _read_predictions(name), changes, same, POINTS,
                token,
            )
            for name, changes, same, token in (
                ("p.json", mutations.JSON, None, _json_number), ("p.npz", mutations.BYTES, None, None),
                ("p.txt", mutations.TEXT, mutations.same_lines, _from_one),
            )
        ),
        Parser("run.json", _write_run, "run.json", _read_facts, mutations.JSON),
        Parser("config.json", _write_run, "config.json", _read_config, mutations.JSON),
        Parser("manifest.json", _write_run, "manifest.json", _read_manifest, mutations.JSON),
        Parser("checkpoint", _write_checkpoint, "checkpoints/latest/3/**/*", _read_checkpoint, mutations.BYTES),
        Parser("safetensors", _write_weights, "w.safetensors", _read_weights, mutations.BYTES),
        *(
            Parser(f"image {suffix}", _write_image(suffix), f"f{suffix}", _read_image(suffix), mutations.BYTES)
            for suffix in (".jpg", ".png", ".bmp", ".tiff", ".webp")
        ),
    )
}  # fmt: skip
