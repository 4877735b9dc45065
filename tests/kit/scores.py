# SPDX-License-Identifier: Apache-2.0
"""Scores of four faces of a toy set, and whatever a test says of them otherwise."""

import numpy as np

from barrel_jax.evaluation.metrics import summarise
from barrel_jax.evaluation.scores import Scores, Stress, StressRecord

NMES = np.array([0.02, 0.04, 0.09, 0.25])


def summary(nmes=NMES, **fields):
    """As keyword arguments."""
    nmes = np.asarray(nmes, np.float64)
    return vars(summarise(nmes, np.full_like(nmes, np.nan))) | fields


def make_scores(**fields):
    return Scores(**{
        "dataset": "wflw", "split": "test", "fingerprint": "f00d", "scheme": "wflw-98",
        "normaliser": "outer_eye_corners", "normaliser_points": [60, 72],
        "normalised_by": "the distance of the outer eye corners (points 60 and 72)", **summary(),
        "unscorable": {"normaliser_missing": 0, "normaliser_zero": 0}, "point_nme": [10.0] * 98, "regions": {},
        "subsets": {}, "config": None, "checkpoint_step": None, "crop": "", "crop_frame": "", "partial": "",
        "clamped": False, "mapped": "",
    } | fields)  # fmt: skip


def make_stress(*records, **fields):
    """Each record is kind, strength, nme and worst, in percent."""
    return Stress(**{
        "dataset": "wflw", "split": "test", "fingerprint": "f00d", "normaliser": "outer_eye_corners",
        "normalised_by": "the eyes", "crop": "pipnet", "seed": 0, "pose": "not measurable", "checkpoint_step": 12,
        "records": [StressRecord(kind, strength, "of it", nme, worst, 4) for kind, strength, nme, worst in records],
    } | fields)  # fmt: skip
