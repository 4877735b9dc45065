# SPDX-License-Identifier: Apache-2.0
"""Picture after picture through a predictor: drawings as they come, points.json and points.csv at the end."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from barrel_jax import files
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.plotting import write_picture
from barrel_jax.predict.drawing import draw_faces
from barrel_jax.predict.face import Face
from barrel_jax.predict.find_faces import Faces
from barrel_jax.predict.picture_files import Picture, read_picture
from barrel_jax.predict.predictor import Predictor, box_fault
from barrel_jax.predict.records import FULL, Records, written_here
from barrel_jax.predict.tracking import Tracker
from barrel_jax.predict.tracks import LIKELY
from barrel_jax.predict.video import VideoWriter

LATENCY = ("detect", "track", "crop", "network", "draw", "compile")  # activities of the predictor's stopwatch


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
        self.records = Records(out, predictor.num_landmarks, self._make_room)
        self.faults: list[str] = []
        self.unlikely = 0  # faces whose points hardly show one

    def annotate(self, faces: Faces, file: str, frame: int | None) -> UInt8[np.ndarray, "H W 3"]:
        """The drawing of a picture, a new array; its faces are recorded. Raises ValueError as `predict`."""
        image, boxes, ids = faces
        found = self._predictor.faces(image, boxes)
        numbers = [number if not ids or ids[number] is None else ids[number] for number in range(len(found))]
        return self._record(image, found, numbers, {"file": file, "frame": frame})

    def _record(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        faces: Sequence[Face],
        numbers: Sequence[int | None],
        where: Mapping[str, Any],
    ) -> UInt8[np.ndarray, "H W 3"]:
        for number, face in zip(numbers, faces, strict=True):
            record: dict[str, Any] = {"box": _rounded(face.box), "points": _rounded(face.points)}
            if face.sigma is not None and face.score is not None:
                record |= {"sigma": _rounded(face.sigma), "score": round(face.score, 4)}
                self.unlikely += face.score < LIKELY
            self.records.add({**where, "face": number, **record})
        points = np.array([face.points for face in faces]).reshape(-1, self._predictor.num_landmarks, 2)
        boxes = np.array([face.box for face in faces]).reshape(-1, 4)
        with self._predictor.stopwatch.during("draw"):
            try:
                return draw_faces(image, points, self._contours, boxes)
            except cv2.error as error:
                self.faults.append(f"{where['file']}: its points are written, and cannot be drawn ({error.err})")
                return image.copy()

    def pictures(self, paths: list[Path], find: Callable[[Picture], Faces], searched: bool = True) -> None:
        """Annotates picture files; `searched` says whether `find` looks for faces, or reads where they are."""
        for path, name in zip(self._progress(paths, "picture", len(paths)), drawing_names(paths), strict=True):
            try:
                picture = read_picture(path)
                located = find(picture)
                faces = self._usable(located, path)
                drawing = self.annotate(faces, picture.name, None)
            except (ValueError, MemoryError, cv2.error) as error:
                reason = str(error) or type(error).__name__
                self.faults.append(reason if str(path) in reason else f"{path}: {reason}")
                continue
            if picture.held > 1:
                tqdm.write(f"note: {path}: it holds {picture.held} pictures, and the first alone is taken")
            if not len(located.boxes):
                tqdm.write(f"{path}: {'no face found' if searched else 'no box of a face'}")
            self._write_drawing(self._out / name, drawing)

    def _usable(self, faces: Faces, path: Path) -> Faces:
        """The faces without boxes that show none, which are faults."""
        kept = []
        for number, box in enumerate(faces.boxes):
            fault = box_fault(box, faces.image)
            if fault:
                self.faults.append(f"{path}: box {number}, {_rounded(box)}: {fault}")
            else:
                kept.append(number)
        return Faces(faces.image, faces.boxes[kept], [faces.ids[number] for number in kept] if faces.ids else ())

    def _write_drawing(self, path: Path, drawing: UInt8[np.ndarray, "H W 3"]) -> None:
        if not self._draws:
            return
        try:
            files.write(path, lambda temporary: write_picture(temporary, drawing))
            self._drawings.append(path)
        except OSError as error:
            self._draws = error.errno not in FULL
            ends = "" if self._draws else "; the points of all pictures follow, and no more drawings"
            self.faults.append(f"{path}: this drawing cannot be written: {error.strerror}{ends}")

    def video(
        self,
        frames: Iterable[UInt8[np.ndarray, "H W 3"]],
        rate: float | None,
        total: int,
        name: str,
        track: Tracker,
        time: Callable[[], float],
    ) -> None:
        """Annotates RGB frames into `<name without suffix>.mp4`.

        Args:
            frames: RGB.
            rate: frames per second of the drawn video; None is that at which the first frames come.
            total: how many frames there will be; 0 where it is not known.
            name: the video's, in the records.
            track: finds the faces of each frame.
            time: when the last frame is shown, seconds after the first.
        """
        empty = count = 0
        watch = self._predictor.stopwatch
        before = {activity: watch.seconds(activity) for activity in (*LATENCY, "other")}
        try:
            with VideoWriter(self._out / drawing_of_video(name), rate) as writer:
                try:
                    for frame in self._progress(frames, "frame", total):
                        shown = time()  # before the work on it, in which a camera's clock goes on
                        tracked = track(frame, shown)
                        where = {"file": name, "frame": count, "time": round(shown, 3)}
                        faces, numbers = [found.face for found in tracked], [found.number for found in tracked]
                        drawing = self._record(frame, faces, numbers, where)
                        self._try_to_draw(writer.path, partial(writer.write, drawing, shown))
                        empty += not tracked
                        count += 1
                finally:
                    self._try_to_draw(writer.path, writer.close)
        finally:
            if count and self._draws:
                print(f"{name}: coded as {writer.coding}")
            if count:
                print(f"{name}: {latency({key: watch.seconds(key) - value for key, value in before.items()}, count)}")
            if empty:
                print(f"{name}: no face found in {empty} of {count} frames")

    def _try_to_draw(self, path: Path, draw: Callable[[], None]) -> None:
        """A step of a video's drawing; after one that fails there is none, and the points go on."""
        if not self._draws:
            return
        try:
            draw()
        except OSError as error:
            self._draws = False
            self._drawings.append(path)  # what there is of it gives way to the points
            self.faults.append(f"{error}; the points of all frames follow, and no more of the drawing")

    def write(self) -> list[Path]:
        """Writes points.json and points.csv; returns their paths.

        On a full disk the drawings, which can be made again, give way to them.
        """
        try:
            return self.records.write()
        except OSError as error:
            if error.errno not in FULL or not self._make_room():
                raise
            return self.records.write()

    def _make_room(self) -> bool:
        """Removes the drawings, and makes no more; whether there were any."""
        gone, self._drawings, self._draws = self._drawings, [], False
        for drawing in gone:
            drawing.unlink(missing_ok=True)
        if gone:
            self.faults.append(
                f"{self._out}: the disk is full; {len(gone)} drawings were removed, so that the points could be written"
            )
        return bool(gone)

    def _progress(self, items: Iterable[Any], unit: str, total: int) -> Iterable[Any]:
        with tqdm(items, total=total or None, unit=unit) as bar:
            for item in bar:
                yield item
                speed = self.records.count / max(bar.format_dict["elapsed"], 1e-9)
                bar.set_postfix_str(f"{self.records.count} faces, {speed:.1f} faces/s", refresh=False)


def refuse_to_replace(out: Path, names: Iterable[str], sources: Iterable[Path], boxes: Path | None = None) -> None:
    """Sees that drawings of these names, points.json and points.csv would replace no file of somebody's in `out`.

    A folder that has a `points.json` as this package writes it is of an earlier call, whose files may be made anew.

    Args:
        out: the folder.
        names: of the drawings.
        sources: the pictures, or the video.
        boxes: the file of boxes, if one was given.

    Raises:
        ValueError: one of the names is there and is one of the sources, or leads to it, or `out` is of no earlier call;
            or the boxes lie where the points would be written.
        OSError: its points.json cannot be read.
    """
    points = [out / name for name in ("points.json", "points.csv")]
    for path in points:
        if boxes is not None and path.resolve() == boxes.resolve():
            raise ValueError(f"--out={out}: the points would replace {path}, which --boxes reads; choose another --out")
    earlier = points[0].exists() and written_here(points[0])
    for path in points:
        if path.exists() and not earlier:
            raise ValueError(
                f"--out={out}: the points would replace {path}, which is there already and of no earlier call; choose "
                "another folder, or remove it"
            )
    there = [out / name for name in names if (out / name).exists()]
    originals = {source.resolve() for source in sources} if there else set()
    for path in there:
        if not earlier or path.resolve() in originals:
            raise ValueError(
                f"--out={out}: the drawing would replace {path}, which is there already and of no earlier call; choose "
                "another folder, or remove it"
            )


def try_folder(out: Path) -> None:
    """Sees that files can be written in `out`, or that it can be made where it is not there; leaves nothing behind.

    Args:
        out: the folder.

    Raises:
        OSError: they cannot; says why.
    """
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise OSError(f"--out={out}: this folder cannot be written ({error.strerror}); choose another") from error


def latency(seconds: Mapping[str, float], frames: int) -> str:
    """What a frame took, in words, from the seconds of all by activity; those of compiling are told apart."""
    split = ", ".join(f"{name} {1000 * seconds[name] / frames:.1f} ms" for name in LATENCY if name != "compile")
    whole = sum(seconds.values()) - seconds["compile"]
    rest = 1000 * seconds["other"] / frames
    return (
        f"{frames} frames, {frames / max(whole, 1e-9):.1f} frames/s; a frame took {split}, reading and coding "
        f"{rest:.1f} ms (and {seconds['compile']:.1f} s for the first calls)"
    )


def drawing_names(paths: Sequence[Path]) -> list[str]:
    """The drawings' file names, each once: a.png for a.jpg; beside a.png a.jpg.png; beside a.jpg.jpg a.jpg-2.png."""
    stems = Counter(path.stem for path in paths)
    names: dict[str, None] = {}
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else path.name
        numbered = (f"{name}-{number}" for number in count(2))
        names[next(one for one in chain([name], numbered) if one not in names)] = None
    return [f"{name}.png" for name in names]


def drawing_of_video(name: str) -> str:
    """The file name of a video's drawing."""
    return f"{Path(name).stem}.mp4"


def _rounded(numbers: Float[np.ndarray, "..."]) -> list[Any]:
    """Numbers as JSON has them, to a thousandth of a pixel."""
    return np.round(np.asarray(numbers, float), 3).tolist()
