# SPDX-License-Identifier: Apache-2.0
"""Codecs of videos: H.264 where this machine has an encoder, which browsers play, else Motion JPEG.

OpenCV's own FFmpeg is tried first, then the `ffmpeg` on the path. OpenCV's wheels come without an H.264 encoder on most
systems, so that it is the second that works there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import UInt8

ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_nvenc")  # of ffmpeg, the best first
BROWSERS = "H.264, which browsers play"
PLAYERS = "Motion JPEG, which players play and browsers do not; for H.264 put ffmpeg on the path (apt install ffmpeg)"


@runtime_checkable
class Coder(Protocol):
    """Takes frames, BGR uint8 [H, W, 3] of one size, one after another."""

    def write(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Adds a frame. Raises OSError when it cannot."""
        ...

    def close(self) -> None:
        """Ends the file. Raises OSError when it cannot."""
        ...


class OpenCVCoder:
    """A file by OpenCV's FFmpeg."""

    def __init__(self, path: Path, rate: float, size: tuple[int, int], code: str) -> None:
        """`size` is width and height; `code` the four characters of the codec. Raises OSError when it cannot."""
        with _silent():  # it tells of the tag that MP4 files have for Motion JPEG in place of its own
            self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), rate, size)
        if not self._writer.isOpened():
            raise OSError("OpenCV cannot write it")

    def write(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """As `Coder` says; OpenCV does not tell that a write has failed."""
        self._writer.write(frame)

    def close(self) -> None:
        """As `Coder` says."""
        self._writer.release()


class FFmpegCoder:
    """A file by the program `ffmpeg`, which is given the frames through a pipe."""

    def __init__(self, path: Path, rate: float, size: tuple[int, int], encoder: str) -> None:
        """`size` is width and height. An odd last row or column is left out, as OpenCV does."""
        source = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", f"{rate:.6f}", "-i", "-"]
        made = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2:0:0", "-c:v", encoder, "-pix_fmt", "yuv420p"]
        # The index at the front lets a browser start before it has all.
        command = [*_quiet(), *source, *made, "-movflags", "+faststart", "-f", "mp4", f"file:{path.absolute()}"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open until the end
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True
        )

    def write(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """As `Coder` says."""
        if self._process.stdin is not None:
            self._process.stdin.write(np.ascontiguousarray(frame).data)

    def close(self) -> None:
        """As `Coder` says."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
        finally:
            status = self._process.wait()
            self._said.seek(0)
            words = self._said.read().decode(errors="replace").strip().splitlines()
            self._said.close()
        if status:
            raise OSError(f"ffmpeg: {words[-1] if words else f'exit status {status}'}")


@lru_cache(maxsize=1)
def choose() -> tuple[Callable[[Path, float, tuple[int, int]], Coder], str]:
    """The best that works on this machine, found once by trying: what begins a file, and what it is, in words."""
    trials: list[tuple[Callable[[Path, float, tuple[int, int]], Coder], str]] = [
        (lambda path, rate, size: OpenCVCoder(path, rate, size, "avc1"), f"{BROWSERS} (OpenCV)")
    ]
    for encoder in _listed():
        trials.append((_by_ffmpeg(encoder), f"{BROWSERS} (ffmpeg, {encoder})"))
    for begin, words in trials:
        if _works(begin):
            return begin, words
    return (lambda path, rate, size: OpenCVCoder(path, rate, size, "MJPG")), PLAYERS


def _by_ffmpeg(encoder: str) -> Callable[[Path, float, tuple[int, int]], Coder]:
    return lambda path, rate, size: FFmpegCoder(path, rate, size, encoder)


def _listed() -> list[str]:
    """Those of `ENCODERS` that the machine's ffmpeg says it has; none where it does not start."""
    if shutil.which("ffmpeg") is None:
        return []
    try:
        said = subprocess.run([*_quiet(), "-encoders"], capture_output=True, check=False).stdout
    except OSError:  # such as one that was built for another processor
        return []
    listed = said.decode(errors="replace").split()
    return [encoder for encoder in ENCODERS if encoder in listed]


def _quiet() -> list[str]:
    return ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]


def _works(begin: Callable[[Path, float, tuple[int, int]], Coder]) -> bool:
    """Whether two grey frames become a file with two frames."""
    with tempfile.TemporaryDirectory() as folder, _silent():
        path = Path(folder) / "trial.mp4"
        try:
            coder = begin(path, 30.0, (160, 128))
            for level in (80, 160):
                coder.write(np.full((128, 160, 3), level, np.uint8))
            coder.close()
        except OSError:
            return False
        written = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        count = written.get(cv2.CAP_PROP_FRAME_COUNT)
        written.release()
        return count == 2


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps what libraries print meanwhile from the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
