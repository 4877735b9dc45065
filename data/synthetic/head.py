# SPDX-License-Identifier: Apache-2.0
"""The 3-D head: facial contours drawn on a smooth surface.

Frame: x to the right of the picture, y down, z towards the camera; the origin lies midway between the outer eye
corners of
the mean face, and their distance is the unit. The surface is a stack of horizontal half ellipses with soft bumps on
top (nose, lips, chin ...): row y has half width `width(y)` and its widest place lies at depth `side(y)`. A place
is named by
(theta, y), theta the angle around the vertical axis; picture and landmarks both come from this one surface.
The mean proportions agree with the mean shapes of annotated faces (68, 98 and 29 points).
"""

from dataclasses import dataclass

import numpy as np

from data.synthetic.expression import Expression
from data.synthetic.identity import Identity

THETA_MAX = 2.05  # radians: the chart ends behind the ears

# Jaw line of the mean face: height, half width, depth of the widest place (from ear to chin).
JAW_Y = np.array(
    [0.035, 0.15, 0.262, 0.362, 0.46, 0.555, 0.65, 0.75, 0.855, 0.943, 1.02, 1.08, 1.132, 1.183, 1.232, 1.27, 1.287]
)
JAW_X = np.array(
    [0.885, 0.880, 0.871, 0.858, 0.838, 0.817, 0.793, 0.761, 0.714, 0.655, 0.588, 0.518, 0.445, 0.362, 0.268, 0.14, 0.0]
)
JAW_Z = np.array(
    [
        -0.60,
        -0.585,
        -0.57,
        -0.555,
        -0.54,
        -0.525,
        -0.51,
        -0.48,
        -0.44,
        -0.385,
        -0.32,
        -0.255,
        -0.18,
        -0.11,
        -0.045,
        0.005,
        0.03,
    ]
)
# Profile of the face without nose and lips.
FRONT_Y = np.array([-0.75, -0.5, -0.2, 0.0, 0.3, 0.55, 0.8, 0.97, 1.13, 1.23, 1.287])
FRONT_Z = np.array([0.11, 0.19, 0.19, 0.115, 0.13, 0.135, 0.175, 0.15, 0.16, 0.14, 0.06])


@dataclass(frozen=True)
class Eye:
    """Contours of one eye, from its outer to its inner corner; t in 0..1 along it. All [.., 2] frontal."""

    outer: np.ndarray
    inner: np.ndarray
    upper_height: float
    lower_height: float

    def lid(self, t: np.ndarray, upper: bool) -> np.ndarray:
        """Points on the lid's edge at t [n]: [n, 2]."""
        t = np.asarray(t, np.float64)
        bow = (4 * t * (1 - t)) ** 0.8
        p = self.outer + (self.inner - self.outer) * t[:, None]
        return p + np.stack([np.zeros_like(t), (-self.upper_height if upper else self.lower_height) * bow], 1)

    @property
    def centre(self) -> np.ndarray:
        """Middle of the opening: [2] frontal."""
        return (self.outer + self.inner) / 2 + [0.0, 0.35 * (self.lower_height - self.upper_height)]

    @property
    def half_width(self) -> float:
        """Half of the distance of the corners."""
        return float(np.linalg.norm(self.inner - self.outer)) / 2


class Head:
    """One person's head in one expression.

    Attributes (frontal points [.., 2]): `jaw` [33, 2] from the left ear over the chin to the right one; `eyes`
    two Eye (image left,
    image right); `brows` two pairs (upper edge [5, 2], lower edge [5, 2]) from the outer end to the inner; `nose`
    dict of
    ridge, tip, base; `lips` dict of outer [12, 2] and inner [8, 2] in the order of WFLW 76..95 (docs/protocols.md).
    """

    def __init__(self, who: Identity, does: Expression) -> None:
        self.who, self.does = who, does
        self._place_rows()
        self._place_eyes_and_brows()
        self._place_nose()
        self._place_mouth()
        self._place_bumps()

    def _place_rows(self) -> None:
        who, does = self.who, self.does
        down = np.clip((JAW_Y - 0.35) / (1.287 - 0.35), 0, 1)
        drop = does.jaw_drop * 0.85 * down**1.3
        self.jaw_y = JAW_Y + who.chin_drop * down + drop
        mid = np.exp(-(((JAW_Y - 0.85) / 0.35) ** 2))
        low = np.exp(-(((JAW_Y - 1.18) / 0.18) ** 2))
        self.jaw_x = (
            JAW_X
            * who.face_width
            * (1 + (who.jaw_width - 1) * mid + (who.chin_width - 1) * low - 0.12 * does.jaw_drop * mid)
        )
        self.jaw_x = self.jaw_x + 0.02 * max(does.smile, 0) * mid
        self.chin_y = float(self.jaw_y[-1])
        self.chin_shift = who.skew
        side = np.stack([self.jaw_x, self.jaw_y], 1)
        self.jaw = np.concatenate([side * [-1, 1], side[-2::-1]])
        # Above the eyes the rows follow a skull that closes at the top.
        h = who.forehead
        up = -np.cos(np.linspace(0, np.pi / 2, 14))[:-1]  # -1 at the top, towards 0
        skull_y = -0.33 * h + 1.02 * h * up
        round_ = np.sqrt(1 - up**2)
        self.top_y = float(skull_y[0])
        self._row_y = np.concatenate([skull_y, [-0.33 * h], self.jaw_y])
        self._row_width = np.concatenate([0.925 * who.face_width * round_, [0.925 * who.face_width], self.jaw_x])
        self._row_side = np.concatenate([np.full(14, -0.72), JAW_Z]) * who.depth
        front = np.interp(
            self._row_y[14:],
            FRONT_Y + (who.chin_drop + 0.85 * does.jaw_drop) * np.clip((FRONT_Y - 0.35) / 1.0, 0, 1) ** 1.3,
            FRONT_Z,
        )
        front = front - 0.25 * does.jaw_drop * down
        skull_front = -0.72 + 0.91 * np.concatenate([round_, [1.0]])
        self._row_front = np.concatenate([skull_front, front]) * who.depth

    def _place_eyes_and_brows(self) -> None:
        who, does = self.who, self.does
        self.eyes, self.brows = [], []
        for side in (-1, 1):
            cx, half = 0.361 + who.eye_spacing, 0.139 * who.eye_width
            opening = who.eye_opening * does.lids * (1 - does.wink * (side > 0)) * (1 - 0.25 * max(does.smile, 0))
            closing = max(0.0, who.eye_opening * 0.8 - opening)  # the upper lid comes down onto the lower one
            y = who.eye_drop
            self.eyes.append(
                Eye(
                    outer=np.array([side * (cx + half), y - who.eye_slant]),
                    inner=np.array([side * (cx - half), y + 0.012 + 0.3 * who.eye_slant]),
                    upper_height=0.56 * opening - 0.3 * closing,
                    lower_height=0.44 * opening + 0.3 * closing,
                )
            )
            t = np.linspace(0, 1, 5)
            x = np.array([0.652, 0.545, 0.42, 0.295, 0.178])
            arch = np.array([0.0, 0.075, 0.092, 0.076, 0.046]) * who.brow_arch
            x = 0.415 + (x - 0.415) * who.brow_length
            upper = (
                -0.178
                - arch
                - 0.09 * does.brow_raise
                + who.brow_drop
                - who.brow_slant * (1 - t)
                + 0.05 * does.frown * t**2
            )
            upper = upper - side * 0.5 * who.brow_skew + who.eye_drop
            x = x - 0.03 * does.frown * t
            thick = np.array([0.012, 0.055, 0.075, 0.08, 0.07]) * who.brow_thickness
            self.brows.append((np.stack([side * x, upper], 1), np.stack([side * x, upper + thick], 1)))

    def _place_nose(self) -> None:
        who, does = self.who, self.does
        tip = 0.435 + who.nose_drop
        wing = who.nose_width * (1 + 0.1 * max(does.smile, 0))
        base = tip + 0.118
        rise = -0.012 * max(does.smile, 0)
        self.nose = {"root": 0.02, "tip": tip, "base": base + rise, "wing": wing, "wing_y": base - 0.032 + 1.5 * rise}

    def _place_mouth(self) -> None:
        who, does = self.who, self.does
        drop, smile, pucker = does.jaw_drop, does.smile, does.pucker
        half = 0.293 * who.mouth_width * (1 + 0.17 * max(smile, 0) - 0.28 * pucker - 0.25 * drop)
        y = 0.783 + who.mouth_drop + 0.4 * who.nose_drop + 0.3 * who.chin_drop
        corner = y + 0.012 - 0.075 * smile + 0.35 * drop
        thin = 1 - 0.25 * max(smile, 0) + 0.25 * pucker
        up, low = 0.072 * who.upper_lip * thin, 0.098 * who.lower_lip * thin
        seam_up, seam_low = y - 0.13 * drop - 0.02 * max(smile, 0) - 0.006, y + 0.85 * drop + 0.006
        if smile > 0.5:  # a broad smile shows the teeth
            seam_low += 0.08 * (smile - 0.5)

        def x(*shares: float) -> np.ndarray:
            return half * np.array(shares) + who.skew

        def between(centre: float, share: np.ndarray) -> np.ndarray:
            return corner + (centre - corner) * share

        upper = np.stack(
            [x(-1, -0.65, -0.23, 0, 0.23, 0.65, 1), between(seam_up - up, np.array([0, 0.62, 1, 1, 1, 0.62, 0]))], 1
        )
        upper[2, 1] -= 0.2 * up
        upper[4, 1] -= 0.2 * up
        lower = np.stack(
            [x(0.65, 0.335, 0, -0.335, -0.65), between(seam_low + low, np.array([0.6, 0.93, 1, 0.93, 0.6]))], 1
        )
        inner_up = np.stack(
            [x(-0.93, -0.38, 0, 0.38, 0.93), between(seam_up, np.array([0.07, 0.85, 1, 0.85, 0.07]))], 1
        )
        inner_low = np.stack([x(0.38, 0, -0.38), between(seam_low, np.array([0.85, 1, 0.85]))], 1)
        self.lips = {"outer": np.concatenate([upper, lower]), "inner": np.concatenate([inner_up, inner_low])}
        self.mouth = {
            "y": y,
            "corner": corner,
            "half": half,
            "seam_up": seam_up,
            "seam_low": seam_low,
            "up": up,
            "low": low,
        }

    def _place_bumps(self) -> None:
        """Bumps [n, 5]: centre x, centre y, spread x, spread y, height."""
        who, m, n = self.who, self.mouth, self.nose
        h = who.nose_height * who.depth
        bumps = [
            (0, n["root"] + 0.12, 0.09, 0.14, 0.09 * h),
            (0, n["tip"] - 0.13, 0.095, 0.12, 0.12 * h),
            (0, n["tip"] + 0.01, 0.105 * n["wing"], 0.08, 0.25 * h),
            (0, m["seam_up"] - 0.04, 0.17, 0.07, 0.09),
            (who.skew, m["seam_low"] + 0.05, 0.16, 0.06, 0.08),
            (who.skew, self.chin_y - 0.16, 0.15, 0.11, 0.06),
            (0, m["seam_low"] + m["low"] + 0.055, 0.15, 0.035, -0.035),
        ]
        for s in (-1, 1):
            bumps += [
                (s * 0.115 * n["wing"], n["base"] - 0.055, 0.055, 0.055, 0.11 * h),
                (s * 0.36, 0.0, 0.13, 0.08, -0.055),
                (s * 0.36, -0.2, 0.22, 0.06, 0.045),
                (s * 0.52, 0.36, 0.17, 0.17, 0.04),
                (s * 0.36, 0.01, 0.09, 0.05, 0.035),
            ]
        self._bumps = np.array(bumps, np.float32)

    def width(self, y: np.ndarray) -> np.ndarray:
        """Half width of the rows y."""
        return np.interp(y, self._row_y, self._row_width)

    def surface(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Places (theta, y), both [...] -> [..., 3]."""
        places = self._bend(theta, y)
        cx, cy, sx, sy, height = self._bumps.T
        across = ((places[..., 0, None] - cx) / sx) ** 2
        down = ((places[..., 1, None] - cy) / sy) ** 2
        places[..., 2] += (np.exp(-0.5 * (across + down)) @ height) * (np.cos(theta) > 0.2)
        return places

    def grid(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The surface at every pair of y [n] and theta [m], both rising: [n, m, 3] float32."""
        places = self._bend(theta[None], y[:, None]).astype(np.float32)
        # The bumps end at the forehead and at about 80 degrees: the rest is left out, for that is half of the work.
        first, last = np.flatnonzero(np.cos(theta) > 0.2)[[0, -1]]
        face = places[np.searchsorted(y, -0.5) :, first : last + 1]
        x, down = face[..., 0], face[:, :1, 1]
        for cx, cy, sx, sy, height in self._bumps:
            profile = height * np.exp(((down - cy) * (1 / sy)) ** 2 * -0.5)
            face[..., 2] += profile * np.exp(((x - cx) * (1 / sx)) ** 2 * -0.5)
        return places

    def _bend(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The stack of half ellipses without bumps, theta and y broadcast against each other: [..., 3]."""
        side, front = np.interp(y, self._row_y, self._row_side), np.interp(y, self._row_y, self._row_front)
        c = np.cos(theta)
        # Behind the widest place the jaw turns in at once and the skull goes on.
        behind = np.where(y < 0.2, 0.8, np.maximum(0.8 - 1.6 * (y - 0.2), 0.08))
        x = self.width(y) * np.sin(theta) + self._drift(y)
        places = np.empty((*x.shape, 3))
        places[..., 0], places[..., 1] = x, y
        places[..., 2] = side + np.where(c > 0, front - side, behind) * c
        return places

    def _drift(self, y: np.ndarray) -> np.ndarray:
        """How far rows lie to the right, for chins are not always below noses."""
        return self.chin_shift * np.minimum(np.maximum((y - 0.6) / 0.7, 0), 1)

    def theta_of(self, xy: np.ndarray) -> np.ndarray:
        """Angle of frontal points [..., 2] on the front half: [...]."""
        x, y = xy[..., 0], xy[..., 1]
        return np.arcsin(np.minimum(np.maximum((x - self._drift(y)) / np.maximum(self.width(y), 1e-6), -1), 1))

    def lift(self, xy: np.ndarray) -> np.ndarray:
        """Frontal points [..., 2] put onto the surface: [..., 3]."""
        xy = np.asarray(xy, np.float64)
        flat = xy.reshape(-1, 2)
        return self.surface(self.theta_of(flat), flat[:, 1]).reshape(*xy.shape[:-1], 3)
