# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file or a camera, and the video written from them, by OpenCV."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from barrel_jax.picture_heads import too_large
from barrel_jax.plain_path import PlainPath
from barrel_jax.predict.codecs import Coder, choose

SPACE = "is there space, and may the folder be written?"
RATE = 30.0  # frames per second where neither the file nor the camera says


class Frames:
    """The frames of a video, RGB uint8 [H, W, 3], as an iterator that counts them."""

    def __init__(self, source: str) -> None:
        """Opens a file, or the camera of that number. Raises ValueError when OpenCV cannot."""
        self.source, self.is_camera = source, source.isdecimal() and not Path(source).exists()
        if self.is_camera:
            self._capture = cv2.VideoCapture(int(source))
        else:
            if Path(source).exists() and not Path(source).is_file():
                raise ValueError(f"{source}: a pipe or a device where a video file is wanted")
            with PlainPath(Path(source)) as path:  # an open file needs no name
                self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise ValueError(
                f"camera {source} cannot be opened; is it connected, and free?"
                if self.is_camera
                else f"{source}: neither a picture nor a video that OpenCV can read; convert it, or fetch it again"
            )
        width, height = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if why := too_large(width, height):
            raise ValueError(f"{source}: frames {why}")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or RATE
        self.promised = 0 if self.is_camera else max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.count = 0  # frames read
        self._last = 0.0  # when the last of them is shown, seconds
        self._first_came = 0.0  # of a camera, by a clock of its own

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    return
                self.count += 1
                if self.count == 1:
                    self._first_came = time.monotonic()
                self._last = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()

    def time(self) -> float:
        """When the last frame is shown, or came from the camera: seconds after the first one."""
        if self.is_camera:
            return time.monotonic() - self._first_came
        return self._last or max(self.count - 1, 0) / self.rate  # where the file says no times, evenly

    def fault(self) -> str:
        """After the last frame: what is wrong with the video, '' when it is whole."""
        if self.is_camera:
            return "" if self.count else f"camera {self.source} gave no frame"
        # Some containers promise an estimate, and trimmed ones hide a few frames: a hundredth is not missed, nor are
        # those that a rate would have which changes, where the last frame is shown at the end.
        seen = max(self.count, round(self._last * self.rate) + 1)
        if self.count and seen + 1 + self.promised // 100 >= self.promised:
            return ""
        return f"{self.source}: ends early: frame {self.count} of {self.promised} cannot be decoded (counted from 0)"

    def note(self) -> str:
        """After the last frame: what is to be known of their times, '' for nothing."""
        even = max(self.count - 1, 0) / self.rate
        if self.is_camera or abs(self._last - even) <= 0.05 * even + 2 / self.rate:
            return ""
        return (
            f"{self.source}: its frames do not come evenly ({self.count} in {self._last:.1f} s, where the file says "
            f"{self.rate:.3g} a second); the drawn video shows them so"
        )


class VideoWriter:
    """An .mp4 written frame by frame; the first frame gives its size."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._plain = PlainPath(path)
        self._coder: Coder | None = None
        self._count = 0
        self.coding = ""  # how it is coded, in words, from the first frame on

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Adds a frame, RGB uint8 [H, W, 3]. Raises OSError when the file cannot be written."""
        try:
            if self._coder is None:
                begin, self.coding = choose()
                self._coder = begin(self._plain.path, self._rate, (frame.shape[1], frame.shape[0]))
            self._coder.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        except OSError as error:
            raise OSError(f"{self._path}: this video cannot be written ({error}); {SPACE}") from error
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        count, fault = 0.0, ""
        if self._coder is not None:
            try:
                self._coder.close()
            except OSError as error:
                fault = f" ({error})"
            # OpenCV does not say that a write has failed.
            written = cv2.VideoCapture(str(self._plain.path), cv2.CAP_FFMPEG)
            count = written.get(cv2.CAP_PROP_FRAME_COUNT)
            written.release()
        self._plain.close()
        if self._count and kind is None and count < self._count:
            raise OSError(f"{self._path}: this video was not written whole{fault}; is there space?")
