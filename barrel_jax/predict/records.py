# SPDX-License-Identifier: Apache-2.0
"""The faces that were found, kept on the disk until points.json and points.csv are written from there.

Memory does not grow with them, however long a video is.
"""

import csv
import errno
import json
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from barrel_jax import files

FULL = (errno.ENOSPC, errno.EDQUOT)
MOST_OF_A_RECORD = 1 << 20  # bytes, of some ten thousand points


def written_here(path: Path) -> bool:
    """Whether a points.json is one that `Records` wrote: a list of such records, or of none.

    Args:
        path: the file, of which the first record is read.

    Raises:
        OSError: it cannot be read.
    """
    with files.open_file(path) as stream:
        text = stream.read(MOST_OF_A_RECORD).decode("utf-8", "replace").strip()
    if not text.startswith("["):
        return False
    text = text[1:].lstrip()
    if text == "]":
        return True
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"file", "frame", "face", "box", "points"} <= record.keys()


class Records:
    """A record of each face: file, frame, face, box, points; time, score and sigma where they are known."""

    def __init__(self, out: Path, num_landmarks: int, make_room: Callable[[], bool]) -> None:
        """`make_room` is called when the disk is full, and says whether there may be space now."""
        self._out, self._num_landmarks, self._make_room = out, num_landmarks, make_room
        self._spool: Any = None
        self.count = 0

    def add(self, record: dict[str, Any]) -> None:
        """Keeps a record. Raises OSError when it cannot be written."""
        if self._spool is None:
            self._out.mkdir(parents=True, exist_ok=True)
            self._spool = tempfile.TemporaryFile(dir=self._out, buffering=0)  # noqa: SIM115 - open until the end
            weakref.finalize(self, self._spool.close)
        rest = memoryview((json.dumps(record, allow_nan=False) + "\n").encode())
        while rest:
            try:
                rest = rest[self._spool.write(rest) :]
            except OSError as error:
                if error.errno not in FULL or not self._make_room():
                    raise
        self.count += 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._lines():
            yield json.loads(line)

    def _lines(self) -> Iterator[str]:
        if self._spool is not None:
            with open(os.dup(self._spool.fileno()), encoding="utf-8") as stream:
                stream.seek(0)
                for line in stream:
                    yield line.rstrip("\n")

    def write(self) -> list[Path]:
        """Writes points.json and points.csv; returns their paths. Raises OSError."""
        files.write(self._out / "points.json", self._fill_json)
        files.write(self._out / "points.csv", self._fill_csv)
        return [self._out / "points.json", self._out / "points.csv"]

    def _fill_json(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as stream:
            stream.write("[\n")
            for number, line in enumerate(self._lines()):
                stream.write(("" if number == 0 else ",\n") + line)
            stream.write("\n]\n")

    def _fill_csv(self, path: Path) -> None:
        names = [f"{axis}{point}" for point in range(self._num_landmarks) for axis in "xy"]
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["file", "frame", "time", "face", "box_x", "box_y", "box_w", "box_h", "score", *names])
            for record in self:
                numbers = (value for point in record["points"] for value in point)
                where = [record["file"], record["frame"], record.get("time"), record["face"]]
                one = [*where, *record["box"], record.get("score")]
                table.writerow([*one, *numbers])
