# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file or a camera, and the video written from them, by OpenCV."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from barrel_jax.picture_heads import too_large
from barrel_jax.plain_path import PlainPath
from barrel_jax.predict.codecs import Coder, choose
from barrel_jax.predict.picture_files import is_camera_number

SPACE = "is there space, and may the folder be written?"
RATE = 30.0  # frames per second where neither the file nor the camera says
FASTEST = 240.0  # frames per second: OpenCV says 1000 where a file has times of frames alone
MEASURED = 300  # frames whose times give the rate of a file that says none
HELD = 20  # frames of a camera that wait for its rate, seen as they come: twice those from detection to detection


class Frames:
    """The frames of a video, RGB uint8 [H, W, 3], as an iterator that counts them."""

    def __init__(self, source: str) -> None:
        """Opens a file, or the camera of that number. Raises ValueError when OpenCV cannot."""
        self.source, self.is_camera = source, is_camera_number(source) and not Path(source).exists()
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
        self._claimed = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = self._claimed if self._claimed > 0 else RATE
        self.promised = 0 if self.is_camera else max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        if not self.is_camera and not 0 < self._claimed <= FASTEST:
            self.rate = _measured(source)
            if self._claimed > 0:  # of these the count is reckoned from the file's seconds
                self.promised = round(self.promised * self.rate / self._claimed)
        self.count = 0  # frames read
        self._last = 0.0  # when the last of them is shown, or came from the camera, seconds after the first

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        first = 0.0
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    return
                self.count += 1
                now = time.monotonic() if self.is_camera else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if self.is_camera and self.count == 1:
                    first = now
                self._last = now - first
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()

    def time(self) -> float:
        """When the last frame is shown, or came from the camera: seconds after the first one."""
        if self._last or self.is_camera:
            return self._last
        return max(self.count - 1, 0) / self.rate  # where the file says no times, evenly

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
        if self.is_camera:
            return ""
        if not 0 < self._claimed <= FASTEST and abs(self.rate - self._claimed) > 0.05 * self.rate:
            return (
                f"{self.source}: {self._claimed:g} frames a second, as its head says, is not the rate of its frames; "
                f"the drawn video has {self.rate:.3g}, as the first ones come"
            )
        even = max(self.count - 1, 0) / self.rate
        if abs(self._last - even) <= 0.05 * even + 2 / self.rate:
            return ""
        return (
            f"{self.source}: its frames do not come evenly ({self.count} in {self._last:.1f} s, where the file says "
            f"{self.rate:.3g} a second); the drawn video shows them so"
        )


def rate_of(times: Sequence[float]) -> float:
    """Frames per second of frames shown at these seconds, `RATE` where they do not tell.

    By their later half, since the first frames of a camera wait until the network is compiled.
    """
    later = times[max(len(times) - 1, 0) // 2 :]
    passed = later[-1] - later[0] if later else 0.0
    return min((len(later) - 1) / passed, FASTEST) if passed > 0 else RATE


def _measured(source: str) -> float:
    """The rate of the first frames of a file, by the times at which they are shown."""
    with PlainPath(Path(source)) as path:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    times: list[float] = []
    while len(times) < MEASURED and capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    # Not the median: a file has its times to the millisecond, and a rate of 30 is 33, 33 and 34 of them.
    mean = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    return 1 / mean if mean > 0 else RATE


class VideoWriter:
    """An .mp4 written frame by frame; the first frame gives its size."""

    def __init__(self, path: Path, rate: float | None) -> None:
        """Begins a file.

        Args:
            path: of the file.
            rate: frames per second; None is that of the times of the first `HELD` frames, which wait until then.
        """
        self.path, self._rate = path, rate
        self._held: list[tuple[float, UInt8[np.ndarray, "H W 3"]]] = []
        self._plain = PlainPath(path)
        self._coder: Coder | None = None
        self._count = 0
        self.coding = ""  # how it is coded, in words, from the first frame on

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: UInt8[np.ndarray, "H W 3"], time: float = 0.0) -> None:
        """Adds a frame.

        Args:
            frame: RGB uint8 [H, W, 3].
            time: when it is shown, in seconds; asked only where the rate is to be found.

        Raises:
            OSError: the file cannot be written.
        """
        if self._rate is None:
            self._held.append((time, frame))
            if len(self._held) == HELD:
                self._release()
        else:
            self._add(frame, self._rate)

    def _release(self) -> None:
        """Writes the frames that waited for the rate."""
        held, self._held = self._held, []
        self._rate = rate_of([time for time, _ in held])
        for _, frame in held:
            self._add(frame, self._rate)

    def _add(self, frame: UInt8[np.ndarray, "H W 3"], rate: float) -> None:
        try:
            if self._coder is None:
                begin, self.coding = choose()
                self._coder = begin(self._plain.path, rate, (frame.shape[1], frame.shape[0]))
            self._coder.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        except OSError as error:
            why = self._end_coder() or str(error)  # a pipe says that it is broken, and the coder what broke it
            raise OSError(f"{self.path}: this video cannot be written ({why}); {SPACE}") from error
        self._count += 1

    def _end_coder(self) -> str:
        """Ends the file; what its coder says is wrong with it, '' for nothing."""
        coder, self._coder = self._coder, None
        try:
            if coder is not None:
                coder.close()
        except OSError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Ends the file, if that is not done yet.

        Raises:
            OSError: it was not written whole.
        """
        if self._held:
            self._release()
        if self._coder is not None:
            why = self._end_coder()
            # OpenCV does not say that a write has failed.
            written = cv2.VideoCapture(str(self._plain.path), cv2.CAP_FFMPEG)
            count = written.get(cv2.CAP_PROP_FRAME_COUNT)
            written.release()
            if count < self._count:
                said = f" ({why})" if why else ""
                raise OSError(f"{self.path}: this video was not written whole{said}; is there space?")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OSError:
            if kind is None:  # what ended it is said
                raise
        finally:
            self._plain.close()
