# SPDX-License-Identifier: Apache-2.0
"""Scores of faces that are the frames of clips: NME, and how much the points flicker."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int, Real

from barrel_jax.evaluation.flicker import normalised_mean_flicker
from barrel_jax.evaluation.metrics import mean
from barrel_jax.evaluation.score import face_errors
from barrel_jax.faces.annotated import FaceTruth


@dataclass(frozen=True)
class ClipScore:
    """Of one clip."""

    clip: str  # folder of its frames
    frames: int
    nme: float  # per cent, NaN where no frame has a score
    nmf: float  # per cent (`flicker.normalised_mean_flicker`)


def clips_of(faces: FaceTruth) -> dict[str, Int[np.ndarray, " _"]]:
    """The clips by the folders of their frames, each with the numbers [T] of its faces in the order of time.

    The frames of a clip are the pictures of one folder, one face in each, in the order of the numbers in their names.

    Raises ValueError when a picture has several faces, or no folder has two pictures.
    """
    folders: dict[str, dict[str, int]] = defaultdict(dict)
    for number, file in enumerate(faces.files):
        path = PurePosixPath(file)
        frames = folders[str(path.parent)]
        if path.name in frames:
            raise ValueError(
                f"{faces.dataset} {faces.split}: {file} has several faces, and which of them goes on in the next frame "
                "is not known; put the frames of each person into a folder of their own"
            )
        frames[path.name] = number
    clips = {
        folder: np.array([frames[name] for name in sorted(frames, key=_in_time)])
        for folder, frames in sorted(folders.items())
        if len(frames) > 1
    }
    if not clips:
        raise ValueError(
            f"{faces.dataset} {faces.split}: no two pictures lie in one folder; the frames of a clip are the pictures "
            "of a folder, in the order of the numbers in their names"
        )
    return clips


def _in_time(name: str) -> list[tuple[int, str]]:
    """What names of frames are sorted by: frame9.jpg comes before frame10.jpg."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def score_clips(points_px: Real[np.ndarray, "n K 2"], faces: FaceTruth) -> list[ClipScore]:
    """NME and NMF of every clip of a split.

    Args:
        points_px: predicted points in source pixels, in the order of `faces`.
        faces: the truth, whose pictures lie as `clips_of` says.

    Raises ValueError as `clips_of` and `score.face_errors`, and when nothing is annotated in two frames of a clip that
    follow each other.
    """
    nmes = face_errors(points_px, faces)
    truth = np.where(faces.labelled[..., None], faces.points_px, np.nan)
    found = []
    for clip, chosen in clips_of(faces).items():
        try:
            nmf = normalised_mean_flicker(points_px[chosen], truth[chosen])
        except ValueError as error:
            raise ValueError(f"{faces.dataset} {faces.split}, clip {clip}: {error}") from error
        found.append(ClipScore(clip, len(chosen), 100 * mean(nmes[chosen]), 100 * nmf))
    return found
