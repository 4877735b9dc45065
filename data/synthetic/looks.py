# SPDX-License-Identifier: Apache-2.0
"""The looks of a person: colours of skin, eyes, lips and hair, beard, make-up and wrinkles."""

from dataclasses import dataclass

import numpy as np

SKINS = np.array(
    [
        [250, 222, 202],
        [242, 205, 178],
        [230, 188, 158],
        [214, 165, 130],
        [190, 138, 102],
        [160, 110, 78],
        [122, 80, 56],
        [88, 58, 42],
        [60, 41, 32],
    ],
    np.float32,
)
HAIRS = np.array(
    [
        [22, 18, 16],
        [30, 24, 20],
        [52, 36, 26],
        [78, 52, 34],
        [112, 76, 46],
        [168, 130, 84],
        [206, 176, 128],
        [126, 62, 36],
        [140, 138, 136],
        [205, 203, 200],
    ],
    np.float32,
)
IRISES = np.array(
    [[40, 26, 18], [58, 38, 24], [88, 60, 36], [96, 104, 70], [90, 118, 140], [110, 130, 140]], np.float32
)


@dataclass(frozen=True)
class Looks:
    """Colours are RGB [3] of 0..255 before lighting; strengths are 0..1."""

    skin: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    brow_strength: float
    lid_line: float  # strength of the lash line
    wrinkles: float
    mottle: float  # unevenness of the skin
    eye_shade: float  # darkness of the sockets
    stubble: float
    moustache: float
    beard: float
    beard_drop: float  # where the beard's upper edge lies on the cheeks
    makeup: bool
    shadow: np.ndarray  # colour of eye shadow
    blush: float
    hair_style: str  # 'bald', 'short', 'receding', 'bangs', 'long', 'curly', 'hat'
    hairline: float  # height of the hairline over the eyes
    hair_volume: float


def sample_looks(rng: np.random.Generator) -> Looks:
    """Draws skin of any tone, hair, beard and make-up that go together often, not always."""
    t = rng.uniform(0, len(SKINS) - 1.001) if rng.random() < 0.35 else rng.uniform(0, 4.5)
    skin = SKINS[int(t)] * (1 - t % 1) + SKINS[int(t) + 1] * (t % 1)
    skin = np.clip(skin * rng.normal(1, (0.04, 0.04, 0.06)), 15, 255).astype(np.float32)
    dark = t > 4
    hair = HAIRS[rng.integers(0, 3)] if dark and rng.random() < 0.85 else HAIRS[rng.integers(0, len(HAIRS))]
    hair = np.clip(hair * rng.uniform(0.75, 1.2) + rng.normal(0, 4, 3), 5, 245).astype(np.float32)
    male = rng.random() < 0.55
    makeup = bool(rng.random() < (0.02 if male else 0.45))
    grey = hair.min() > 120
    brow = hair * rng.uniform(0.45, 0.95) if not grey else hair * rng.uniform(0.4, 0.9)
    lips = skin * np.array([0.88, 0.62, 0.62]) + np.array([18, 0, 4])
    lips = skin + (lips - skin) * rng.uniform(0.45, 1.1)
    if makeup:
        lips = lips * 0.35 + 0.65 * np.array([rng.uniform(120, 215), rng.uniform(20, 90), rng.uniform(30, 100)])
    style = (
        rng.choice(["bald", "short", "receding", "bangs", "hat"], p=[0.14, 0.5, 0.18, 0.1, 0.08])
        if male
        else rng.choice(["short", "bangs", "long", "curly", "hat"], p=[0.15, 0.2, 0.42, 0.18, 0.05])
    )
    bearded = male and rng.random() < 0.35
    return Looks(
        skin=skin,
        hair=hair,
        brow=np.clip(brow, 0, 255),
        iris=IRISES[rng.integers(0, 3)] if dark else IRISES[rng.integers(0, len(IRISES))],
        lips=np.clip(lips, 0, 255),
        brow_strength=float(rng.uniform(0.3, 0.95)),
        lid_line=float(rng.uniform(0.35, 0.8) if not makeup else rng.uniform(0.75, 1)),
        wrinkles=float(rng.beta(1.2, 2.2)),
        mottle=float(rng.uniform(0.01, 0.06)),
        eye_shade=float(rng.uniform(0.05, 0.5)),
        stubble=float(rng.uniform(0, 0.45)) if male and rng.random() < 0.5 else 0.0,
        moustache=float(rng.uniform(0.5, 1)) if male and (bearded or rng.random() < 0.12) else 0.0,
        beard=float(rng.uniform(0.5, 1)) if bearded else 0.0,
        beard_drop=float(rng.uniform(0, 0.25)),
        makeup=makeup,
        shadow=rng.uniform(20, 170, 3),
        blush=float(rng.uniform(0, 0.45)) if makeup else float(rng.uniform(0, 0.2)),
        hair_style=str(style),
        hairline=float(rng.normal(0.74, 0.08)),
        hair_volume=float(rng.uniform(0.04, 0.14) if style != "curly" else rng.uniform(0.12, 0.28)),
    )
