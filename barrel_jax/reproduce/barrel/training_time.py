# SPDX-License-Identifier: Apache-2.0
"""The time that a model trains until it is nearly as good as it gets: the stave "ease of training"."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from barrel_jax.report.training import read_log

WITHIN = 1.05  # of the final NME: the error from which on a training counts as done


class Scored(NamedTuple):
    """A score of a run while it trained."""

    epoch: float
    seconds: float  # of training until then, without evaluations
    nme: float


def training_curve(path: Path, split: str, batch_size: int) -> list[Scored]:
    """The scores on `split` in a run's `metrics.jsonl`; empty when the file or the scores are not there.

    Raises ValueError as `read_log`, when a line is damaged.
    """
    lines = read_log(path)
    nme = re.compile(re.escape(f"{split}/nme") + "(_|$)")
    logged = [line for line in lines if "faces_per_s" in line]
    curve = []
    for line in lines if logged else []:
        for value in [value for name, value in line.items() if nme.match(name)]:
            epoch = line["step"] * logged[-1]["epoch"] / logged[-1]["step"]
            curve.append(Scored(epoch, _seconds(logged, line["step"], batch_size), value))
    return curve


def common_epochs(curves: Sequence[Sequence[Scored]]) -> set[float]:
    """The epochs, to a hundredth, at which all runs that were scored while they trained were."""
    scored = [{round(score.epoch, 2) for score in curve} for curve in curves if curve]
    return set.intersection(*scored) if scored else set()


def training_time(curve: Sequence[Scored], epochs: Collection[float]) -> dict[str, float | None]:
    """Epochs and seconds of training until the NME is first within 5 % of its final value (`WITHIN`).

    Args:
        curve: the scores of a run.
        epochs: to a hundredth, those that count beside the last: a run that was scored more often than others, which
          is seen to be there earlier, is not the better for it.

    Returns:
        {epochs, seconds}; empty when there are no scores.
    """
    if not curve:
        return {}
    first = next(
        score
        for score in curve
        if score is curve[-1] or (round(score.epoch, 2) in epochs and score.nme <= WITHIN * curve[-1].nme)
    )
    return {"epochs": first.epoch, "seconds": first.seconds}


def _seconds(logged: list[dict[str, float]], step: float, batch_size: int) -> float:
    seconds, before = 0.0, 0.0
    for line in logged:
        seconds += max(min(line["step"], step) - before, 0) * batch_size / line["faces_per_s"]
        before = line["step"]
    return seconds
