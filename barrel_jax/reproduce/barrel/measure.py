# SPDX-License-Identifier: Apache-2.0
"""Scores and times of one run for the five staves, from its files; scores that are missing are made by evaluate.py.

All scores are of one checkpoint, that of the run's own `metrics.json`.
"""

import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from barrel_jax.config import Config, flatten, load_run_config
from barrel_jax.evaluation.scores import Scores, Stress, read_scores, read_stress
from barrel_jax.evaluation.stress import UNPERTURBED
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.facts import read_facts
from barrel_jax.reproduce.barrel.training_time import Scored, training_curve, training_time

Result = TypeVar("Result", bound=Scores | Stress)
ROOT = Path(__file__).resolve().parents[3]
SAME_MODEL = ("checkpoint_step", "crop", "clamped")
SAME_FACES = ("dataset", "split", "fingerprint", "normaliser")
NAME_ANOTHER = "name another set, --dataset SET --source DIR"
# Fields of the config that change the point which is trained towards, the paper's label-related hyperparameters, and
# how. BarrelNet's loss has none: it is the plain L1 of the annotated point. Augmentations move point and pixels alike.
LABEL_RELATED = {"data.clamp_points": "points outside the image are moved to its border"}


@dataclass(frozen=True)
class Measured:
    """The measures of one run."""

    workdir: Path
    config: Config
    num_landmarks: int
    scores: Scores  # on its own test split
    stress: Stress
    other: Scores | None  # on another set
    why_no_other: str  # why there is none; '' when there is
    curve: Sequence[Scored]  # the scores while it trained

    def figures(self, epochs: Collection[float]) -> dict[str, dict[str, float | None]]:
        """The numbers of each stave that a run decides, by name; None for one that does not exist.

        Of the scores while it trained those at `epochs` count, and the last.
        """
        records = [record for record in self.stress.records if record.kind != UNPERTURBED]
        robustness = {
            "nme": _mean([record.nme for record in records]),
            "worst": _mean([record.worst for record in records]),
        }
        return {
            "accuracy": {
                "nme": _known(self.scores.nme),
                **{f"fr_{threshold}": value for threshold, value in self.scores.fr.items()},
                **{f"auc_{threshold}": value for threshold, value in self.scores.auc.items()},
            },
            "robustness": robustness,
            "generalisation": {"nme": _known(self.other.nme)} if self.other else {},
            "ease of training": training_time(self.curve, epochs),
        }


def measure(workdir: Path, dataset: str = "", source: str = "") -> Measured:
    """Reads the files of a run, and calls evaluate.py for the scores under stress and on another set if need be.

    Args:
        workdir: of a run that train.py finished.
        dataset, source: the other set and its folder; '' takes synthetic faces with the run's points, if it was not
            trained on synthetic faces and there are such.

    Raises:
        FileNotFoundError: the folder holds no run, or one without scores.
        ValueError: a file of the run or a line of its log is damaged, the scores are not of the run's model, or
            evaluate.py fails; says with what.
    """
    workdir = Path(workdir).absolute()
    config = load_run_config(workdir)
    facts = read_facts(workdir)
    metrics = workdir / "eval" / f"{config.data.dataset}-{config.data.test_split}" / "metrics.json"
    again = f"python evaluate.py --workdir {workdir}"
    if not metrics.exists():
        raise FileNotFoundError(f"{metrics}: this run has no scores yet; train it to the end, or {again}")
    scores = read_scores(metrics)
    if scores.checkpoint_step is None:
        raise ValueError(f"{metrics}: these are scores of predictions, not of the run's model; {again}")
    alike = ["--checkpoint", str(scores.checkpoint_step), "--crop", scores.crop]
    alike += ["--clamp-points" if scores.clamped else "--no-clamp-points"]
    stressed = ["--stress", *alike, *(["--normaliser", scores.normaliser] if scores.normaliser else [])]
    stress = _evaluated(metrics.with_name("stress.json"), read_stress, metrics, SAME_FACES, stressed)
    scores = read_scores(metrics)  # which evaluate.py has written anew with the errors under stress
    chosen, why = other_set(config, facts["scheme"], dataset)
    other = None
    if chosen:
        split = "val" if chosen == "coco" else "test"
        named = ["--dataset", chosen, "--split", split, *alike]
        named += ["--source", str(Path(source).expanduser().absolute())] if source else []
        path = workdir / "eval" / f"{chosen}-{split}" / "metrics.json"
        # What lies in a folder is not known before evaluate.py has read it.
        other = _evaluated(path, read_scores, metrics, (), named, lambda there: not source and _by_default(there))
    curve = training_curve(workdir / "metrics.jsonl", config.data.scored_split, config.batch_size)
    return Measured(workdir, config, facts["num_landmarks"], scores, stress, other, why, curve)


def other_set(config: Config, scheme: str, dataset: str) -> tuple[str, str]:
    """The set for generalisation, or '' and why there is none. `dataset` is the one that was asked for, if any."""
    own = config.data.dataset
    if dataset or own == "synthetic":
        return (dataset, "") if dataset not in ("", own) else ("", f"it was trained on {own}: {NAME_ANOTHER}")
    if scheme not in SCHEMES:
        return "", f"synthetic faces do not have the points of {scheme}: {NAME_ANOTHER}"
    return "synthetic", ""


def label_related(config: Config) -> list[str]:
    """The names of the label-related hyperparameters that a run makes use of."""
    values = flatten(config)
    return [name for name in LABEL_RELATED if values[name]]


def _by_default(scores: Scores) -> bool:
    """Whether errors are known to be divided by what the set has by default."""
    return scores.scheme in SCHEMES and scores.normaliser == str(SCHEMES[scores.scheme].normaliser)


def _evaluated(
    path: Path,
    read: Callable[[Path], Result],
    metrics: Path,
    alike: tuple[str, ...],
    arguments: list[str],
    enough: Callable[[Result], bool] = lambda there: True,
) -> Result:
    """The content of a file of evaluate.py, which is called if there is none that fits the run's own scores, `metrics`.

    The checkpoint, the crop and the clamping must be those of the scores, and further fields `alike`. What is there
    must be `enough` as well, or is made anew.
    """

    def current() -> Result | None:
        content = read(path) if path.exists() else None
        scores = read_scores(metrics)
        same = content and all(getattr(content, field) == getattr(scores, field) for field in (*SAME_MODEL, *alike))
        return content if same else None

    content = current()
    if content is None or not enough(content):
        command = [str(ROOT / "evaluate.py"), "--workdir", str(metrics.parents[2]), *arguments]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
        content = None if done.returncode else current()
        if content is None:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise ValueError(
                f"python {shlex.join(command)} did not write {path}: {lines[-1] if lines else 'no message'}"
            )
    return content


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
