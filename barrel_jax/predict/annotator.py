# SPDX-License-Identifier: Apache-2.0
"""Picture after picture through a predictor: drawings as they come, points.json and points.csv at the end."""

import csv
import errno
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
from barrel_jax.predict.find_faces import Faces
from barrel_jax.predict.picture_files import Picture, read_picture
from barrel_jax.predict.predictor import Predictor, box_fault
from barrel_jax.predict.video import VideoWriter

FULL = (errno.ENOSPC, errno.EDQUOT)


class Annotator:
    """Predicts and draws picture after picture, and keeps what was found until it is written.

    What is wrong with one picture, or one box, is noted in `faults`, and the others go on.
    """

    def __init__(self, predictor: Predictor, out: Path) -> None:
        self._predictor, self._out = predictor, out
        known = SCHEMES.get(predictor.scheme)
        self._contours = known.contours if known else ()
        self._drawings: list[Path] = []
        self._draws = True  # until the disk is full
        self.records: list[dict[str, Any]] = []
        self.faults: list[str] = []

    def annotate(self, faces: Faces, file: str, frame: int | None) -> np.ndarray:
        """The drawing of a picture, a new array; its faces are recorded. Raises ValueError as `predict`."""
        image, boxes, ids = faces
        found = self._predictor.faces(image, boxes)
        for number, one in enumerate(found):
            face = number if not ids or ids[number] is None else ids[number]
            numbers: dict[str, Any] = {"box": _rounded(one.box), "points": _rounded(one.points)}
            if one.sigma is not None and one.score is not None:
                numbers |= {"sigma": _rounded(one.sigma), "score": round(one.score, 4)}
            self.records.append({"file": file, "frame": frame, "face": face} | numbers)
        points = np.array([one.points for one in found]).reshape(-1, self._predictor.num_landmarks, 2)
        try:
            return draw_faces(image, points, self._contours, boxes)
        except cv2.error as error:
            self.faults.append(f"{file}: its points are written, and cannot be drawn ({error.err})")
            return image.copy()

    def pictures(self, paths: list[Path], find: Callable[[Picture], Faces]) -> None:
        """Annotates picture files."""
        for path, name in zip(self._progress(paths, "picture", len(paths)), drawing_names(paths), strict=True):
            try:
                picture = read_picture(path)
                given = find(picture)
                faces = self._usable(given, path)
                drawing = self.annotate(faces, picture.name, None)
            except (ValueError, MemoryError, cv2.error) as error:
                said = str(error) or type(error).__name__
                self.faults.append(said if str(path) in said else f"{path}: {said}")
                continue
            if not len(given.boxes):
                tqdm.write(f"{path}: no face found")
            self._write_drawing(self._out / name, drawing)

    def _usable(self, faces: Faces, path: Path) -> Faces:
        """The faces without boxes that show none, which are faults."""
        kept = []
        for number, box in enumerate(faces.boxes):
            fault = box_fault(box, faces.image)
            if fault:
                self.faults.append(f"{path}: box {number}, {box.tolist()}: {fault}")
            else:
                kept.append(number)
        return Faces(faces.image, faces.boxes[kept], [faces.ids[number] for number in kept] if faces.ids else ())

    def _write_drawing(self, path: Path, drawing: np.ndarray) -> None:
        if not self._draws:
            return
        try:
            files.write(path, lambda temporary: write_picture(temporary, drawing))
            self._drawings.append(path)
        except OSError as error:
            self._draws = error.errno not in FULL
            ends = "" if self._draws else "; the points of all pictures follow, and no more drawings"
            self.faults.append(f"{path}: this drawing cannot be written: {error.strerror}{ends}")

    def video(self, frames: Iterable[np.ndarray], rate: float, total: int, name: str, detect: Detector) -> None:
        """Annotates RGB frames into `<name without suffix>.mp4`; `total` is 0 where it is not known."""
        empty = count = 0
        try:
            with VideoWriter(self._out / f"{Path(name).stem}.mp4", rate) as writer:
                for frame in self._progress(frames, "frame", total):
                    boxes = detect(frame)
                    writer.write(self.annotate(Faces(frame, boxes), name, count))
                    empty += not len(boxes)
                    count += 1
        finally:
            if empty:
                print(f"{name}: no face found in {empty} of {count} frames")

    def write(self) -> list[Path]:
        """Writes points.json and points.csv; returns their paths.

        On a full disk the drawings, which can be made again, give way to them.
        """
        try:
            return self._write()
        except OSError as error:
            if error.errno not in FULL or not self._drawings:
                raise
            for drawing in self._drawings:
                drawing.unlink(missing_ok=True)
            self.faults.append(
                f"{self._out}: the disk is full; {len(self._drawings)} drawings were removed, so that the points could "
                "be written"
            )
            return self._write()

    def _write(self) -> list[Path]:
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


def drawing_names(paths: list[Path]) -> list[str]:
    """The drawings' file names: a.png for a.jpg, and a.jpg.png where another picture is called a, too."""
    stems = [path.stem for path in paths]
    return [f"{path.stem if stems.count(path.stem) == 1 else path.name}.png" for path in paths]


def _rounded(numbers: np.ndarray) -> list[Any]:
    """Numbers as JSON has them, to a thousandth of a pixel."""
    return np.round(np.asarray(numbers, float), 3).tolist()
