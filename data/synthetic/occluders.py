# SPDX-License-Identifier: Apache-2.0
"""Glasses and things in front of the face.

Each draws into the picture and marks what it hides in `covered` [S, S] uint8.
"""

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
    others: tuple[str, ...]  # of 'hand', 'microphone', 'scarf', 'blob', 'bar'

    @property
    def occluding(self) -> bool:
        """WFLW's flag 'occlusion' (docs/protocols.md); clear glasses hide nothing."""
        return self.glasses == "sun" or len(self.others) > 0


def sample_things(rng: np.random.Generator) -> Things:
    """Draws glasses for every fourth face and something in front of every fifth."""
    u = rng.random(3)
    others = []
    if u[0] < 0.22:
        others.append(str(rng.choice(["hand", "microphone", "scarf", "blob", "bar"], p=[0.3, 0.22, 0.13, 0.2, 0.15])))
        if u[1] < 0.15:
            others.append(str(rng.choice(["hand", "microphone", "blob"])))
    return Things(glasses="sun" if u[2] < 0.04 else "clear" if u[2] < 0.24 else "", others=tuple(others))


def draw_glasses(
    canvas: np.ndarray,
    covered: np.ndarray,
    head: Head,
    camera: Camera,
    kind: str,
    brightness: float,
    rng: np.random.Generator,
) -> None:
    """Rims, bridge, temples, and for sun glasses dark lenses, in place."""
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
            cv2.fillPoly(covered, [fixed(lens)], 255, cv2.LINE_8, 4)
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


def put(
    canvas: np.ndarray,
    covered: np.ndarray,
    outline: np.ndarray,
    colour: np.ndarray,
    soft: float = 0.7,
    texture: np.ndarray | None = None,
) -> None:
    """Draws an opaque polygon and marks what it hides, in place."""
    soft_polygon(canvas, outline, colour, soft, texture=texture)
    cv2.fillPoly(covered, [fixed(outline)], 255, cv2.LINE_8, 4)


def draw_thing(
    canvas: np.ndarray,
    covered: np.ndarray,
    head: Head,
    camera: Camera,
    kind: str,
    looks: Looks,
    brightness: float,
    rng: np.random.Generator,
) -> None:
    """One hand, microphone, scarf, blob or bar, in place."""
    s = camera.scale
    size = canvas.shape[0]
    if kind == "scarf":
        theta = np.linspace(-1.9, 1.9, 13)
        top = rng.uniform(0.45, 0.95)
        y = top + 0.12 * np.cos(theta) * rng.uniform(-1, 1) - 0.1 * np.abs(theta) / 1.9
        upper = camera.project(head.surface(theta, y) * [1.06, 1, 1.06] + [0, 0, 0.05])
        lower = upper[::-1] + [0, 1.3 * s]
        texture = speckle(rng, (size, size), (20, 10))
        put(canvas, covered, np.concatenate([upper, lower]), cloth_colour(rng) * brightness, texture=0.12 * texture)
    elif kind == "microphone":
        head_at = camera.project(head.lift(np.array([rng.uniform(-0.4, 0.4), rng.uniform(0.85, 1.3)])))
        r, a = s * rng.uniform(0.16, 0.28), np.linspace(0, 2 * np.pi, 20, endpoint=False)
        grip = np.array([rng.uniform(-0.6, 0.6), 1.0]) * 3 * s
        colour = np.full(3, rng.uniform(15, 90)) * brightness
        side = np.array([grip[1], -grip[0]]) / np.linalg.norm(grip) * r * 0.55
        put(
            canvas,
            covered,
            np.array([head_at + side, head_at + grip + side, head_at + grip - side, head_at - side]),
            colour * 0.8,
        )
        put(canvas, covered, head_at + r * np.stack([np.cos(a), 1.25 * np.sin(a)], 1), colour)
    elif kind == "hand":
        skin = np.clip(looks.skin * brightness * rng.uniform(0.75, 1.15), 0, 255)
        palm = camera.project(
            head.lift(np.array([rng.choice([-1, 1]) * rng.uniform(0.1, 0.75), rng.uniform(0.3, 1.4)]))
        )
        angle = rng.uniform(-0.9, 0.9)
        turn = s * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        arm = np.array([[-0.28, 0.1], [0.28, 0.1], [0.35, 3.0], [-0.35, 3.0]])
        put(canvas, covered, palm + arm @ turn, skin * 0.92, 1.0)
        put(
            canvas,
            covered,
            palm
            + smooth(
                np.array(
                    [[-0.34, -0.2], [0, -0.3], [0.34, -0.2], [0.36, 0.25], [0.2, 0.45], [-0.25, 0.45], [-0.38, 0.2]]
                ),
                True,
            )
            @ turn,
            skin,
            1.0,
        )
        for k in range(4):
            x, length = -0.26 + 0.175 * k, rng.uniform(0.35, 0.6)
            finger = np.array(
                [[-0.08, 0.05], [0.08, 0.05], [0.075, -length], [0, -length - 0.08], [-0.075, -length]]
            ) + [x, -0.15]
            put(canvas, covered, palm + smooth(finger, True, 2) @ turn, skin * (0.94 + 0.04 * (k % 2)), 0.6)
            soft_polygon(
                canvas,
                palm + np.array([[x + 0.085, 0], [x + 0.085, -length - 0.1]]) @ turn,
                skin * 0.55,
                0.6,
                0.7,
                line=1.2,
            )
    elif kind == "blob":
        at = camera.project(head.lift(np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.4, 1.3)])))
        n = int(rng.integers(4, 10))
        radii = s * rng.uniform(0.15, 0.5, n)
        a = np.linspace(0, 2 * np.pi, n, endpoint=False)
        texture = speckle(rng, (size, size), (12, 12))
        put(
            canvas,
            covered,
            smooth(at + radii[:, None] * np.stack([np.cos(a), np.sin(a)], 1), True),
            rng.uniform(0, 255, 3),
            texture=0.15 * texture,
        )
    else:  # a bar: a pole, an arm, the edge of another picture
        at = camera.project(head.lift(np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.3, 1.2)])))
        angle, half = rng.uniform(0, np.pi), s * rng.uniform(0.05, 0.2)
        along, across = (
            4 * s * np.array([np.cos(angle), np.sin(angle)]),
            half * np.array([-np.sin(angle), np.cos(angle)]),
        )
        put(
            canvas,
            covered,
            np.array([at - along - across, at + along - across, at + along + across, at - along + across]),
            cloth_colour(rng) * brightness,
        )
