# SPDX-License-Identifier: Apache-2.0
"""Pose of the head and the camera that looks at it."""

from dataclasses import dataclass

import numpy as np

CENTRE = np.array([0.0, 0.4, -0.3])  # the head turns about this place


@dataclass(frozen=True)
class Pose:
    """Angles in radians.

    Yaw > 0 turns the face to the right of the picture, pitch > 0 down, roll > 0 clockwise. `distance` in head
    units.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float

    @property
    def large(self) -> bool:
        """WFLW's flag 'pose' (docs/protocols.md)."""
        return bool(
            abs(self.yaw) > np.radians(32) or abs(self.pitch) > np.radians(22) or abs(self.roll) > np.radians(28)
        )

    @property
    def rotation(self) -> np.ndarray:
        """[3, 3] of yaw and pitch (roll is applied in the picture)."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])

    @property
    def view(self) -> np.ndarray:
        """Direction to the camera in the head's frame: [3]."""
        return self.rotation[2]


def sample_pose(rng: np.random.Generator) -> Pose:
    """Mostly near-frontal heads with a long tail: yaw to 60 degrees, pitch to 30, roll to 40."""
    yaw = rng.normal(0, 13) if rng.random() < 0.75 else rng.uniform(-60, 60)
    pitch, roll = rng.normal(2, 8), rng.normal(0, 8)
    return Pose(
        *(float(np.radians(np.clip(a, -m, m))) for a, m in ((yaw, 60), (pitch, 30), (roll, 40))),
        distance=float(rng.uniform(7, 18)),
    )


@dataclass(frozen=True)
class Camera:
    """Perspective projection into the picture: `project` maps the head's places [..., 3] to pixels [..., 2]."""

    pose: Pose
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def upright(self, places: np.ndarray) -> np.ndarray:
        """Projection before roll, scale and shift, in head units: [..., 2]."""
        turned = (places - CENTRE.astype(places.dtype)) @ self.pose.rotation.T.astype(places.dtype)
        return turned[..., :2] * (self.pose.distance / (self.pose.distance - turned[..., 2:]))

    def project(self, places: np.ndarray) -> np.ndarray:
        """Places [..., 3] -> pixels [..., 2]."""
        c, s = np.cos(self.pose.roll), np.sin(self.pose.roll)
        turn = (self.scale * np.array([[c, s], [-s, c]])).astype(places.dtype)
        return self.upright(places) @ turn + np.asarray(self.shift, places.dtype)

    def outline(self, paths: np.ndarray, outward: np.ndarray) -> np.ndarray:
        """Of each path [n, m, 3] the place that lies farthest along `outward` [n, 2]: [n, 3]."""
        reach = np.einsum("nmd,nd->nm", self.upright(paths), outward)
        return paths[np.arange(len(paths)), reach.argmax(1)]
