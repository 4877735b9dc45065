# SPDX-License-Identifier: Apache-2.0
"""Facial expressions: mouth, lids, brows and gaze."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Expression:
    """State of the moving parts.

    Zeros are a calm, closed mouth and open eyes. `jaw_drop` is in units of the outer eye corners' distance.
    """

    jaw_drop: float  # how far the lower lip goes down
    smile: float  # -1 (corners down) .. 1 (broad smile)
    pucker: float  # 0 .. 1
    lids: float  # 0 closed .. 1 open .. 1.5 wide
    wink: float  # further closing of the right eye, 0 .. 1
    brow_raise: float  # -0.5 .. 1
    frown: float  # 0 .. 1
    gaze: tuple[float, float]  # of the pupil, in half eye widths, right and down

    @property
    def exaggerated(self) -> bool:
        """WFLW's flag 'expression' (docs/protocols.md): a face that is far from calm."""
        return bool(
            self.jaw_drop > 0.22
            or self.smile > 0.75
            or self.smile < -0.6
            or self.pucker > 0.6
            or self.frown > 0.75
            or self.lids < 0.2
        )


CALM = Expression(jaw_drop=0, smile=0, pucker=0, lids=1, wink=0, brow_raise=0, frown=0, gaze=(0, 0))


def sample_expression(rng: np.random.Generator) -> Expression:
    """Draws a state.

    Mostly talking mouths and mild smiles, now and then a shout, a broad smile, closed eyes or a wink.
    """
    u = rng.random(6)
    jaw_drop = 0.0 if u[0] < 0.3 else rng.exponential(0.055) if u[0] < 0.92 else rng.uniform(0.15, 0.5)
    smile = (
        rng.uniform(-0.35, 0.5) if u[1] < 0.65 else rng.uniform(0.4, 1.0) if u[1] < 0.93 else rng.uniform(-0.9, -0.3)
    )
    pucker = rng.uniform(0.3, 0.9) if u[2] < 0.06 else 0.0
    lids = rng.uniform(0.0, 0.25) if u[3] < 0.035 else float(np.clip(rng.normal(1.0, 0.2), 0.45, 1.5))
    return Expression(
        jaw_drop=float(min(jaw_drop, 0.55)),
        smile=float(smile if pucker == 0 else 0.2 * smile),
        pucker=float(pucker),
        lids=float(lids),
        wink=float(rng.uniform(0.6, 1)) if u[4] < 0.01 else 0.0,
        brow_raise=float(np.clip(rng.normal(0.05, 0.3), -0.5, 1)),
        frown=float(rng.uniform(0.2, 1.0)) if u[5] < 0.25 else 0.0,
        gaze=tuple(float(g) for g in np.clip(rng.normal(0, (0.22, 0.1)), -0.5, 0.5)),
    )
