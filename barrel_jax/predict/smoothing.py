# SPDX-License-Identifier: Apache-2.0
"""Points of one face from frame to frame, without their jitter: the One-Euro filter and a Kalman filter.

Both are causal. Speeds and noise are in sides of the face, so that a face of 50 pixels and one of 500 are smoothed
alike; how far each lags behind is measured in docs/video.md.
"""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

SMOOTHERS = ("none", "one-euro", "kalman")
SMOOTH = "kalman"  # by default: docs/video.md has what each takes from the jitter, and how far it lags behind


@runtime_checkable
class Smoother(Protocol):
    """Smooths the points of one face, frame after frame."""

    def __call__(
        self,
        points: Float[np.ndarray, "K 2"],
        sigma: Float[np.ndarray, " K"] | None,
        side: float,
        elapsed: float | None = None,
    ) -> Float[np.ndarray, "K 2"]:
        """The points of the next frame.

        Args:
            points: as predicted, in source pixels.
            sigma: the standard deviation of each, in source pixels, None where the model does not say.
            side: of the face, in source pixels: the unit of speeds and of noise that is not known.
            elapsed: seconds since the frame before, which need not come evenly; None for those of the smoother's rate.
        """
        ...

    def skip(self, side: float, elapsed: float | None = None) -> None:
        """Goes on by a frame that does not show the face, whose side in source pixels was the given one.

        Args:
            side: of the face, in source pixels.
            elapsed: seconds since the frame before; None for those of the smoother's rate.
        """
        ...


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel 2012): a low pass whose cutoff rises with the speed.

    `cutoff` in Hz is that of points at rest, `slope` what a side of the face per second adds to it, and `speed_cutoff`
    in Hz smooths the speeds themselves (the paper's mincutoff, beta and dcutoff).
    """

    def __init__(self, rate: float, cutoff: float = 0.5, slope: float = 4.0, speed_cutoff: float = 1.0) -> None:
        self._rate, self._cutoff, self._slope, self._speed_cutoff = rate, cutoff, slope, speed_cutoff
        self._skipped = 0.0  # seconds of the frames since the last points
        self._points: Float[np.ndarray, "K 2"] | None = None
        self._speeds = np.zeros(2)

    def __call__(
        self,
        points: Float[np.ndarray, "K 2"],
        sigma: Float[np.ndarray, " K"] | None,
        side: float,
        elapsed: float | None = None,
    ) -> Float[np.ndarray, "K 2"]:
        """As `Smoother` says; sigma is not used."""
        measured = np.asarray(points, np.float64)
        if self._points is None:
            self._points, self._speeds = measured, np.zeros_like(measured)
            return measured
        rate, self._skipped = 1 / (self._skipped + (elapsed or 1 / self._rate)), 0.0
        speeds = (measured - self._points) * rate
        self._speeds = self._speeds + _share(self._speed_cutoff, rate) * (speeds - self._speeds)
        share = _share(self._cutoff + self._slope * np.abs(self._speeds) / side, rate)
        self._points = self._points + share * (measured - self._points)
        return self._points

    def skip(self, side: float, elapsed: float | None = None) -> None:
        """As `Smoother` says: the next points come after a longer time."""
        if self._points is not None:  # nothing has been smoothed that could grow old
            self._skipped += elapsed or 1 / self._rate


def _share(cutoff: float | Float[np.ndarray, "K 2"], rate: float) -> float | Float[np.ndarray, "K 2"]:
    """What a first-order low pass of a cutoff in Hz takes of a new value: dt / (dt + 1 / (2 pi cutoff))."""
    turns = 2 * math.pi * np.asarray(cutoff, np.float64) / rate
    return turns / (turns + 1)


class Kalman:
    """A Kalman filter whose points move with constant velocity but for random accelerations.

    The state of a coordinate is its place and velocity; x and y of a point have one covariance. `noise` is the
    standard deviation of a measured point where no sigma is given, in sides of the face, `acceleration` that of the
    accelerations, in sides per second squared, and `velocity` that of the first velocity, in sides per second.
    """

    def __init__(self, rate: float, noise: float = 0.01, acceleration: float = 2.0, velocity: float = 1.0) -> None:
        self._dt, self._noise, self._acceleration, self._velocity = 1 / rate, noise, acceleration, velocity
        self._state: Float[np.ndarray, "K 2 2"] | None = None  # place and velocity, of x and y
        self._covariance = np.zeros((0, 2, 2))  # [K, 2, 2]

    def __call__(
        self,
        points: Float[np.ndarray, "K 2"],
        sigma: Float[np.ndarray, " K"] | None,
        side: float,
        elapsed: float | None = None,
    ) -> Float[np.ndarray, "K 2"]:
        """As `Smoother` says."""
        measured = np.asarray(points, np.float64)
        unknown = self._noise * side
        variance = np.full(len(measured), unknown) if sigma is None else np.maximum(sigma, 1e-3 * side)
        variance = variance.astype(np.float64) ** 2
        if self._state is None:
            self._state = np.stack([measured, np.zeros_like(measured)], axis=1)
            self._covariance = np.zeros((len(measured), 2, 2))
            self._covariance[:, 0, 0] = variance
            self._covariance[:, 1, 1] = (self._velocity * side) ** 2
            return measured
        self.skip(side, elapsed)  # to the frame of these points
        gain = self._covariance[:, :, 0] / (self._covariance[:, 0, 0] + variance)[:, None]  # [K, 2]
        self._state = self._state + gain[:, :, None] * (measured - self._state[:, 0])[:, None]
        self._covariance = self._covariance - gain[:, :, None] * self._covariance[:, None, 0]
        return self._state[:, 0].copy()

    def skip(self, side: float, elapsed: float | None = None) -> None:
        """As `Smoother` says: the points move on as they did, and are less sure."""
        if self._state is None:  # nothing that could move
            return
        dt = elapsed or self._dt
        step = np.array([[1, dt], [0, 1]])
        push = np.array([dt**2 / 2, dt]) * self._acceleration * side
        self._state = step @ self._state
        self._covariance = step @ self._covariance @ step.T + np.outer(push, push)


def make_smoother(name: str, rate: float) -> Callable[[], Smoother | None]:
    """Makes smoothers by name, one for each face, for `rate` frames a second where no frame has a time of its own.

    Raises ValueError when it is none of `SMOOTHERS`.
    """
    if name not in SMOOTHERS:
        raise ValueError(f"--smooth={name!r} is none of {', '.join(SMOOTHERS)}")
    makers: dict[str, Callable[[], Smoother | None]] = {
        "none": lambda: None,
        "one-euro": lambda: OneEuro(rate),
        "kalman": lambda: Kalman(rate),
    }
    return makers[name]
