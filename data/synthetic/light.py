# SPDX-License-Identifier: Apache-2.0
"""Light on the head's surface."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Light:
    """A main light (direction towards it, in the camera's frame), a weaker second one, and light from everywhere."""

    main: np.ndarray  # [3] unit vector
    second: np.ndarray  # [3] unit vector
    ambient: float
    strength: float
    second_strength: float
    colour: np.ndarray  # [3] factors about 1 of the main light
    gloss: float
    extreme: bool  # WFLW's flag 'illumination' (docs/protocols.md)

    def shade(self, normals: np.ndarray) -> np.ndarray:
        """Factor on the colour of surfaces with unit normals [..., 3] in the camera's frame: [..., 3] float32."""
        n = np.asarray(normals, np.float32)
        wrapped = np.maximum((n @ self.main.astype(np.float32) + 0.15) / 1.15, 0)
        fill = np.maximum((n @ self.second.astype(np.float32) + 0.3) / 1.3, 0)
        half = self.main + np.array([0, 0, 1.0])
        shine = np.maximum(n @ (half / np.linalg.norm(half)).astype(np.float32), 0)
        shine = shine**2 * shine
        shine = shine**2 * shine**2
        base = self.ambient * (0.75 + 0.25 * n[..., 2]) + self.second_strength * fill
        base, main = base + self.gloss * shine, self.strength * wrapped
        return np.stack([main * float(c) + base for c in self.colour], -1).astype(np.float32)

    @property
    def brightness(self) -> float:
        """Factor for flat things beside the head."""
        return float(self.ambient + 0.5 * self.strength + 0.4 * self.second_strength)


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector towards a light, degrees: azimuth to the right of the camera, elevation upwards."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), -np.sin(e), np.cos(a) * np.cos(e)])


def sample_light(rng: np.random.Generator) -> Light:
    """Everyday light four times of five; else hard side light, light from below, or far too dark or bright."""
    extreme = bool(rng.random() < 0.2)
    warm = rng.normal(0, 0.07)
    colour = np.array([1 + warm, 1, 1 - warm])
    second = direction(rng.uniform(-90, 90), rng.uniform(-20, 60))
    if not extreme:
        main = direction(rng.normal(0, 40), rng.uniform(5, 65))
        ambient = rng.uniform(0.3, 0.7)
        return Light(
            main,
            second,
            float(ambient),
            float(rng.uniform(0.85, 1.15) - 0.85 * ambient),
            float(rng.uniform(0, 0.25)),
            colour,
            float(rng.uniform(0, 0.14)),
            False,
        )
    side = rng.choice([-1, 1]) * rng.uniform(55, 110)
    main = (
        direction(side, rng.uniform(-30, 50))
        if rng.random() < 0.7
        else direction(rng.uniform(-40, 40), rng.choice([-60, 80]))
    )
    level = rng.choice([0.6, 1.0, 1.3], p=[0.35, 0.45, 0.2])
    return Light(
        main,
        second,
        float(rng.uniform(0.12, 0.35) * level),
        float(rng.uniform(0.7, 1.2) * level),
        float(rng.uniform(0, 0.15)),
        colour * np.exp(rng.normal(0, 0.12, 3)),
        float(rng.uniform(0, 0.25)),
        True,
    )
