# SPDX-License-Identifier: Apache-2.0
"""The camera's effects on the picture: exposure, colour cast, blur, noise, grey, JPEG."""

from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np

NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])


@dataclass(frozen=True)
class Photo:
    """Settings of one picture. `blur` and `motion` are lengths in pixels, `shrink` the factor of a coarser sensor."""

    gain: float
    gamma: float
    offset: float
    cast: tuple[float, float, float]
    gradient: tuple[float, float]
    blur: float
    motion: float
    motion_angle: float
    shrink: float
    noise: float
    grey: bool
    quality: int

    @property
    def blurred(self) -> bool:
        """WFLW's flag 'blur' (docs/protocols.md)."""
        return bool(self.blur > 1.7 or self.motion > 5 or self.shrink > 2.6)


def sample_photo(rng: np.random.Generator) -> Photo:
    """Draws settings: mostly sharp and well exposed, a third from a coarse sensor, some blurred, noisy or grey."""
    u = rng.random(4)
    return Photo(
        gain=float(np.exp(rng.normal(-0.05, 0.15))),
        gamma=float(np.exp(rng.normal(0, 0.2))),
        offset=float(rng.normal(0, 9)),
        cast=tuple(float(c) for c in np.exp(rng.normal(0, 0.06 if u[0] < 0.85 else 0.18, 3))),
        gradient=tuple(float(g) for g in rng.normal(0, 0.12, 2)),
        blur=float(rng.uniform(0.3, 1.2) if u[1] < 0.85 else rng.uniform(1.2, 3.2)),
        motion=float(rng.uniform(3, 9)) if u[2] < 0.08 else 0.0,
        motion_angle=float(rng.uniform(0, 180)),
        shrink=float(rng.uniform(1.3, 3.8)) if u[3] < 0.35 else 1.0,
        noise=float(rng.exponential(3.5)),
        grey=bool(rng.random() < 0.08),
        quality=int(rng.integers(40, 96)),
    )


def take_photo(canvas: np.ndarray, photo: Photo, rng: np.random.Generator) -> bytes:
    """canvas [S, S, 3] uint8 RGB -> JPEG bytes of the finished picture."""
    size = canvas.shape[0]
    level = np.arange(256, dtype=np.float32) / 255
    curve = np.clip(
        255 * photo.gain * level[:, None] ** photo.gamma * np.array(photo.cast, np.float32) + photo.offset, 0, 255
    )
    picture = cv2.LUT(canvas, curve.astype(np.uint8)[:, None, :].reshape(1, 256, 3))
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    tilt = 1 + photo.gradient[0] * ramp[None, :] + photo.gradient[1] * ramp[:, None]
    # Factors as bytes, 128 standing for 1: OpenCV multiplies bytes several times quicker than floats.
    picture = cv2.multiply(picture, cv2.merge([cv2.convertScaleAbs(tilt, alpha=128)] * 3), scale=1 / 128)
    if photo.shrink > 1:
        small = round(size / photo.shrink)
        picture = cv2.resize(
            cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA),
            (size, size),
            interpolation=cv2.INTER_LINEAR,
        )
    picture = cv2.GaussianBlur(picture, (0, 0), photo.blur)
    if photo.motion > 0:
        n = 2 * int(photo.motion / 2) + 1
        kernel = np.zeros((n, n), np.float32)
        a, c = np.radians(photo.motion_angle), n // 2
        tip = np.rint(c * np.array([np.cos(a), np.sin(a)])).astype(int)
        cv2.line(kernel, (int(c - tip[0]), int(c - tip[1])), (int(c + tip[0]), int(c + tip[1])), 1.0)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    if photo.grey:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    # Bytes through a table of the normal distribution's quantiles: ten times quicker than normal numbers.
    draws = rng.integers(0, 256, picture.shape[:2] if photo.grey else picture.shape, np.uint8)
    noise = cv2.LUT(draws, np.clip(np.rint(128 + photo.noise * NORMAL), 0, 255).astype(np.uint8))
    picture = cv2.addWeighted(picture, 1, cv2.merge([noise] * 3) if photo.grey else noise, 1, -128)
    ok, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, photo.quality]
    )
    if not ok:
        raise ValueError(f"OpenCV cannot encode a picture of {size} x {size} pixels as JPEG")
    return encoded.tobytes()
