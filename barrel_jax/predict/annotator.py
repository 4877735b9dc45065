# SPDX-License-Identifier: Apache-2.0
"""Picture after picture through a predictor: drawings as they come, points.json and points.csv at the end."""

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from barrel_jax import files
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.plotting import write_picture
from barrel_jax.predict.detectors import Detector
from barrel_jax.predict.drawing import draw_faces
from barrel_jax.predict.predictor import Predictor
from barrel_jax.predict.video import VideoWriter


class Annotator:
    """Predicts and draws picture after picture, and keeps what was found until it is written."""

    def __init__(self, predictor: Predictor, out: Path) -> None:
        self._predictor, self._out = predictor, out
        known = SCHEMES.get(predictor.scheme)
        self._contours = known.contours if known else ()
        self.records: list[dict[str, Any]] = []

    def annotate(self, image: np.ndarray, boxes: np.ndarray, file: str, frame: int | None) -> np.ndarray:
        """The drawing of a picture RGB uint8 [H, W, 3]; its faces are recorded. Raises ValueError as `predict`."""
        points = self._predictor.predict(image, boxes)
        for face, (box, found) in enumerate(zip(boxes, points, strict=True)):
            numbers = {"box": np.round(box, 3).tolist(), "points": np.round(found.astype(float), 3).tolist()}
            self.records.append({"file": file, "frame": frame, "face": face} | numbers)
        return draw_faces(image, points, self._contours, boxes)

    def pictures(self, paths: list[Path], find: Callable[[Path, np.ndarray], np.ndarray], upright: bool) -> list[str]:
        """Annotates picture files; returns what is wrong with those that could not be."""
        faults = []
        for path, name in zip(self._progress(paths, "picture", len(paths)), drawing_names(paths), strict=True):
            try:
                image = read_picture(path, upright)
                boxes = find(path, image)
                drawing = self.annotate(image, boxes, path.name, None)
            except ValueError as error:
                faults.append(str(error) if str(path) in str(error) else f"{path}: {error}")
                continue
            if not len(boxes):
                tqdm.write(f"{path}: no face found")
            files.write(self._out / name, lambda temporary, drawing=drawing: write_picture(temporary, drawing))  # type: ignore[misc]
        return faults

    def video(self, frames: Iterable[np.ndarray], rate: float, total: int, name: str, detect: Detector) -> None:
        """Annotates RGB frames into `<name without suffix>.mp4`; `total` is 0 where it is not known."""
        empty = count = 0
        try:
            with VideoWriter(self._out / f"{Path(name).stem}.mp4", rate) as writer:
                for frame in self._progress(frames, "frame", total):
                    boxes = detect(frame)
                    writer.write(self.annotate(frame, boxes, name, count))
                    empty += not len(boxes)
                    count += 1
        finally:
            if empty:
                print(f"{name}: no face found in {empty} of {count} frames")

    def write(self) -> list[Path]:
        """Writes points.json and points.csv; returns their paths."""
        lines = ",\n".join(json.dumps(record, allow_nan=False) for record in self.records)
        names = [f"{axis}{point}" for point in range(self._predictor.num_landmarks) for axis in "xy"]

        def fill(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as stream:
                table = csv.writer(stream)
                table.writerow(["file", "frame", "face", "box_x", "box_y", "box_w", "box_h", *names])
                for record in self.records:
                    numbers = [*record["box"], *(value for point in record["points"] for value in point)]
                    table.writerow([record["file"], record["frame"], record["face"], *numbers])

        files.write(self._out / "points.json", lambda path: path.write_text(f"[\n{lines}\n]\n", encoding="utf-8"))
        files.write(self._out / "points.csv", fill)
        return [self._out / "points.json", self._out / "points.csv"]

    def _progress(self, items: Iterable[Any], unit: str, total: int) -> Iterable[Any]:
        with tqdm(items, total=total or None, unit=unit) as bar:
            for item in bar:
                yield item
                speed = len(self.records) / max(bar.format_dict["elapsed"], 1e-9)
                bar.set_postfix_str(f"{len(self.records)} faces, {speed:.1f} faces/s", refresh=False)


def read_picture(path: Path, upright: bool) -> np.ndarray:
    """A picture file as RGB uint8 [H, W, 3], turned as its EXIF says if `upright`. ValueError when it is none."""
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(encoded, flags) if len(encoded) else None
    if image is None:
        raise ValueError(f"{path}: not a picture that OpenCV can read, or damaged")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def drawing_names(paths: list[Path]) -> list[str]:
    """The drawings' file names: a.png for a.jpg, and a.jpg.png where another picture is called a, too."""
    stems = [path.stem for path in paths]
    return [f"{path.stem if stems.count(path.stem) == 1 else path.name}.png" for path in paths]
