# SPDX-License-Identifier: Apache-2.0
"""Glasses and things in front of the face.

Each draws into the picture and marks what it hides. The order in which each draws its random numbers is part of what it
is: another order gives other faces under the same seed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data.synthetic.camera import Camera
from data.synthetic.chart import fixed, smooth, soft_polygon, speckle
from data.synthetic.hair import cloth_colour
from data.synthetic.head import Head
from data.synthetic.looks import Looks


@dataclass(frozen=True)
class Things:
    """What is in front of this face."""

    glasses: str  # '', 'clear' or 'sun'
    others: tuple[str, ...]  # of `THINGS`

    @property
    def occluding(self) -> bool:
        """WFLW's flag 'occlusion' (docs/protocols.md); clear glasses hide nothing."""
        return self.glasses == "sun" or len(self.others) > 0


def sample_things(rng: np.random.Generator) -> Things:
    """Draws glasses for every fourth face and something in front of every fifth."""
    u = rng.random(3)
    others = []
    if u[0] < 0.22:
        others.append(str(rng.choice(list(THINGS), p=[0.3, 0.22, 0.13, 0.2, 0.15])))
        if u[1] < 0.15:
            others.append(str(rng.choice(["hand", "microphone", "blob"])))
    return Things(glasses="sun" if u[2] < 0.04 else "clear" if u[2] < 0.24 else "", others=tuple(others))


@dataclass(frozen=True)
class Sight:
    """A drawn face as the camera sees it, in front of which things are put."""

    canvas: np.ndarray  # [S, S, 3] uint8, RGB; drawn into in place
    covered: np.ndarray  # [S, S] uint8, set to 255 in place where something hides the face
    head: Head
    camera: Camera
    looks: Looks
    brightness: float  # of the light (`Light.brightness`)

    def put(
        self, outline: np.ndarray, colour: np.ndarray, soft: float = 0.7, texture: np.ndarray | None = None
    ) -> None:
        """Draws an opaque polygon [n, 2] (pixels) and marks what it hides; the other arguments are `soft_polygon`'s."""
        soft_polygon(self.canvas, outline, colour, soft, texture=texture)
        self.cover(outline)

    def cover(self, outline: np.ndarray) -> None:
        """Marks what lies behind a polygon [n, 2] (pixels) as hidden."""
        cv2.fillPoly(self.covered, [fixed(outline)], 255, cv2.LINE_8, 4)

    def speckle(self, rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
        """The noise of `chart.speckle` [S, S] in the size of the picture."""
        return speckle(rng, self.canvas.shape[:2], cells)


def draw_glasses(sight: Sight, kind: str, rng: np.random.Generator) -> None:
    """Rims, bridge, temples, and for sun glasses dark lenses, in place."""
    canvas, head, camera, brightness = sight.canvas, sight.head, sight.camera, sight.brightness
    a = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    power = rng.choice([1.0, 0.7, 0.5])
    rx, ry = rng.uniform(0.2, 0.25), rng.uniform(0.12, 0.2)
    shape = np.stack(
        [rx * np.sign(np.cos(a)) * np.abs(np.cos(a)) ** power, ry * np.sign(np.sin(a)) * np.abs(np.sin(a)) ** power], 1
    )
    colour = cloth_colour(rng) * rng.uniform(0.1, 0.8)
    if kind == "sun":
        colour = colour * 0.4
    width = camera.scale * rng.uniform(0.012, 0.045)
    drop = rng.uniform(0.0, 0.06)
    lenses = []
    z = float(head.lift(np.array([0.0, 0.05]))[2]) + 0.03
    for side, eye in zip((-1, 1), head.eyes, strict=True):
        ring = shape + [side * max(abs(eye.centre[0]), rx + 0.06), eye.centre[1] + drop]
        depth = z - 0.28 * np.abs(ring[:, :1]) ** 2
        lenses.append(camera.project(np.concatenate([ring, depth], 1)))
    for side, lens in zip((-1, 1), lenses, strict=True):
        if kind == "sun":
            soft_polygon(canvas, lens, colour * brightness + 6, 0.6, 0.97)
            sight.cover(lens)
        else:
            soft_polygon(canvas, lens, np.array([235.0, 240, 245]) * min(brightness, 1.1), 0.6, rng.uniform(0.0, 0.18))
            if rng.random() < 0.25:
                spot = lens.mean(0) + camera.scale * rng.normal(0, 0.06, 2)
                soft_polygon(
                    canvas,
                    spot + 0.4 * (lens - lens.mean(0)) * rng.uniform(0.3, 0.9, 2),
                    np.array([250.0, 250, 255]),
                    1.0,
                    rng.uniform(0.2, 0.6),
                )
        soft_polygon(canvas, np.concatenate([lens, lens[:2]]), colour * brightness, 0.4, 0.9, line=width)
        # A temple is seen on the side that the head turns to the camera.
        if side * camera.pose.view[0] > -0.12:
            hinge = np.array([side * (0.36 + rx), drop - 0.02, z - 0.28 * (0.36 + rx) ** 2])
            ear = np.array([side * 0.92 * head.who.face_width, 0.05, -0.7])
            soft_polygon(canvas, camera.project(np.stack([hinge, ear])), colour * brightness, 0.4, 0.9, line=width)
    bridge = np.array([[-0.14, drop - 0.02, z], [0, drop - 0.05, z + 0.05], [0.14, drop - 0.02, z]])
    soft_polygon(canvas, smooth(camera.project(bridge), False), colour * brightness, 0.4, 0.9, line=width)


def _draw_scarf(sight: Sight, rng: np.random.Generator) -> None:
    theta = np.linspace(-1.9, 1.9, 13)
    top = rng.uniform(0.45, 0.95)
    y = top + 0.12 * np.cos(theta) * rng.uniform(-1, 1) - 0.1 * np.abs(theta) / 1.9
    upper = sight.camera.project(sight.head.surface(theta, y) * [1.06, 1, 1.06] + [0, 0, 0.05])
    lower = upper[::-1] + [0, 1.3 * sight.camera.scale]
    texture = sight.speckle(rng, (20, 10))
    sight.put(np.concatenate([upper, lower]), cloth_colour(rng) * sight.brightness, texture=0.12 * texture)


def _draw_microphone(sight: Sight, rng: np.random.Generator) -> None:
    scale = sight.camera.scale
    centre = _before(sight, rng.uniform(-0.4, 0.4), rng.uniform(0.85, 1.3))
    radius, a = scale * rng.uniform(0.16, 0.28), np.linspace(0, 2 * np.pi, 20, endpoint=False)
    grip = np.array([rng.uniform(-0.6, 0.6), 1.0]) * 3 * scale
    colour = np.full(3, rng.uniform(15, 90)) * sight.brightness
    side = np.array([grip[1], -grip[0]]) / np.linalg.norm(grip) * radius * 0.55
    sight.put(np.array([centre + side, centre + grip + side, centre + grip - side, centre - side]), colour * 0.8)
    sight.put(centre + radius * np.stack([np.cos(a), 1.25 * np.sin(a)], 1), colour)


def _draw_hand(sight: Sight, rng: np.random.Generator) -> None:
    skin = np.clip(sight.looks.skin * sight.brightness * rng.uniform(0.75, 1.15), 0, 255)
    palm = _before(sight, rng.choice([-1, 1]) * rng.uniform(0.1, 0.75), rng.uniform(0.3, 1.4))
    angle = rng.uniform(-0.9, 0.9)
    turn = sight.camera.scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    arm = np.array([[-0.28, 0.1], [0.28, 0.1], [0.35, 3.0], [-0.35, 3.0]])
    sight.put(palm + arm @ turn, skin * 0.92, 1.0)
    back = np.array([[-0.34, -0.2], [0, -0.3], [0.34, -0.2], [0.36, 0.25], [0.2, 0.45], [-0.25, 0.45], [-0.38, 0.2]])
    sight.put(palm + smooth(back, True) @ turn, skin, 1.0)
    for k in range(4):
        x, length = -0.26 + 0.175 * k, rng.uniform(0.35, 0.6)
        finger = np.array([[-0.08, 0.05], [0.08, 0.05], [0.075, -length], [0, -length - 0.08], [-0.075, -length]])
        sight.put(palm + smooth(finger + [x, -0.15], True, 2) @ turn, skin * (0.94 + 0.04 * (k % 2)), 0.6)
        gap = np.array([[x + 0.085, 0], [x + 0.085, -length - 0.1]])
        soft_polygon(sight.canvas, palm + gap @ turn, skin * 0.55, 0.6, 0.7, line=1.2)


def _draw_blob(sight: Sight, rng: np.random.Generator) -> None:
    centre = _before(sight, rng.uniform(-0.7, 0.7), rng.uniform(-0.4, 1.3))
    count = int(rng.integers(4, 10))
    radii = sight.camera.scale * rng.uniform(0.15, 0.5, count)
    a = np.linspace(0, 2 * np.pi, count, endpoint=False)
    texture = sight.speckle(rng, (12, 12))
    outline = smooth(centre + radii[:, None] * np.stack([np.cos(a), np.sin(a)], 1), True)
    sight.put(outline, rng.uniform(0, 255, 3), texture=0.15 * texture)


def _draw_bar(sight: Sight, rng: np.random.Generator) -> None:
    """A pole, an arm, the edge of another picture."""
    scale = sight.camera.scale
    centre = _before(sight, rng.uniform(-0.7, 0.7), rng.uniform(-0.3, 1.2))
    angle, half = rng.uniform(0, np.pi), scale * rng.uniform(0.05, 0.2)
    along = 4 * scale * np.array([np.cos(angle), np.sin(angle)])
    across = half * np.array([-np.sin(angle), np.cos(angle)])
    outline = np.array(
        [centre - along - across, centre + along - across, centre + along + across, centre - along + across]
    )
    sight.put(outline, cloth_colour(rng) * sight.brightness)


def _before(sight: Sight, x: float, y: float) -> np.ndarray:
    """The pixel [2] at which a frontal point of the head is seen."""
    return sight.camera.project(sight.head.lift(np.array([x, y])))


# By kind, what draws one of it in place; in the order of the shares in `sample_things`.
THINGS: dict[str, Callable[[Sight, np.random.Generator], None]] = {
    "hand": _draw_hand,
    "microphone": _draw_microphone,
    "scarf": _draw_scarf,
    "blob": _draw_blob,
    "bar": _draw_bar,
}
