# SPDX-License-Identifier: Apache-2.0
"""Evaluations of the same split beside each other: every score, and the paired difference of each from the first.

A difference has its 95 % bootstrap interval and the p-value of a sign-flip permutation test, for the whole split and
for each subset.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.encodings import readable
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.archives import read_archive
from barrel_jax.evaluation.metrics import mean, summarise
from barrel_jax.evaluation.scores import AGAIN, Scores, Summary, read_scores
from barrel_jax.evaluation.significance import FLIPS, bootstrap_intervals, sign_flip_p

# What must be the same for errors of the same face to be comparable.
ALIKE = ("dataset", "split", "fingerprint", "scheme", "normaliser", "normaliser_points", "clamped", "partial")
COLUMNS = ("files", "faces", "nme", "nme_crop", "flags", "flag_names")
TEST = f"two-sided paired sign-flip permutation test of the mean difference, {FLIPS:,} flips"


@dataclass(frozen=True)
class Difference:
    """Of an evaluation's NME from the first one's, over the faces that both have a score of."""

    nme: float  # percentage points, negative when better than the first
    interval: list[float]  # [low, high], 95 % bootstrap
    p: float  # of `TEST`


@dataclass(frozen=True, kw_only=True)
class Compared(Summary):
    """The metrics of a group of faces, and their difference from the first evaluation's; None for the first."""

    difference: Difference | None


@dataclass(frozen=True, kw_only=True)
class ComparedEvaluation(Compared):
    """The metrics of an evaluation and of its subsets, each beside the first."""

    name: str
    directory: str
    mapped: str
    crop_frame: str
    subsets: Mapping[str, Compared]


@dataclass(frozen=True, kw_only=True)
class ScoredFaces:
    """The faces of several scores, and how all of them were scored; the fields are those of `scores.Scores`."""

    dataset: str
    split: str
    fingerprint: str
    scheme: str
    normaliser: str
    normaliser_points: list[int] | list[list[int]]
    clamped: bool
    partial: str
    normalised_by: str

    @classmethod
    def of(cls, scores: Mapping[str, Any]) -> "ScoredFaces":
        """From an object that has these fields among others. Raises KeyError for one that is not there."""
        return ScoredFaces(**{field.name: scores[field.name] for field in fields(ScoredFaces)})


@dataclass(frozen=True, kw_only=True)
class Comparison(ScoredFaces):
    """The content of `compare.json`; the fields of `ALIKE` are those of all evaluations."""

    num_faces: int
    test: str
    evaluations: list[ComparedEvaluation]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate.py` left in a folder."""

    name: str
    directory: Path
    scores: Scores
    faces: list[tuple[str, int]]  # file and number of each face
    nmes: np.ndarray  # float64 [n], fractions, NaN without a score
    in_crop: np.ndarray  # float64 [n], the same measured in the crop
    flags: np.ndarray  # bool [n, F]
    flag_names: tuple[str, ...]


def read_evaluation(directory: Path, name: str) -> Evaluation:
    """Reads `metrics.json` and `predictions.npz` of an evaluation.

    Raises:
        FileNotFoundError: the folder has not both.
        ValueError: they are damaged, of another version, or not of the same evaluation.
    """
    directory = Path(directory)
    for file in (directory / "metrics.json", directory / "predictions.npz"):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: not there; give the folder of an evaluation, as runs/demo/eval/wflw-test")
    scores = read_scores(directory / "metrics.json")
    try:
        kept = read_archive(directory / "predictions.npz", COLUMNS)  # evaluate.py packs nothing
    except ValueError as error:
        raise ValueError(f"{error}; {AGAIN}") from error
    try:
        paths, numbers, nmes, in_crop, flags, names = (kept[column] for column in COLUMNS)
        faces = list(zip(paths.tolist(), numbers.tolist(), strict=True))
        if nmes.shape != (len(faces),) or in_crop.shape != nmes.shape or flags.shape != (len(faces), len(names)):
            raise ValueError(f"errors {nmes.shape} and flags {flags.shape} of {len(faces)} faces")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{directory / 'predictions.npz'}: cannot be read: {error}; {AGAIN}") from error
    scored = 100 * mean(nmes)
    if not np.isclose(scored, scores.nme, rtol=0, atol=1e-6, equal_nan=True):
        raise ValueError(
            f"{directory}: NME {scores.nme} % in metrics.json, but {scored} % in predictions.npz: they are of "
            f"different evaluations; {AGAIN}"
        )
    return Evaluation(name, directory, scores, faces, nmes, in_crop, flags, tuple(names.tolist()))


def compare(evaluations: Sequence[Evaluation]) -> Comparison:
    """Every evaluation's scores and its difference from the first, of all faces and of each flag's.

    Raises:
        ValueError: the evaluations are not of the same faces with the same normaliser; says what differs.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        different = [
            f"{field} {getattr(first.scores, field)!r} and {getattr(other.scores, field)!r}"
            for field in ALIKE
            if getattr(first.scores, field) != getattr(other.scores, field)
        ]
        if not different and first.faces != other.faces:
            different = [f"{len(first.faces)} and {len(other.faces)} faces, or their order"]
        if different:
            raise ValueError(
                f"{first.directory} and {other.directory} cannot be compared: {'; '.join(different)}. "
                "Evaluate both on the same source, split and normaliser"
            )

    def compared(one: Evaluation, chosen: np.ndarray) -> Compared:
        difference = None
        if one is not first:
            change = one.nmes[chosen] - first.nmes[chosen]
            change = 100 * change[np.isfinite(change)]
            interval = bootstrap_intervals(change[:, None])[0].tolist()
            nme = float(change.mean()) if len(change) else math.nan
            difference = Difference(nme, interval, sign_flip_p(change))
        return Compared(**vars(summarise(one.nmes[chosen], one.in_crop[chosen])), difference=difference)

    everyone = np.ones(len(first.faces), bool)
    return Comparison(
        **{field: getattr(first.scores, field) for field in (*ALIKE, "normalised_by")},
        num_faces=len(first.faces),
        test=TEST,
        evaluations=[
            ComparedEvaluation(
                **vars(compared(one, everyone)),
                name=one.name,
                directory=str(one.directory),
                mapped=one.scores.mapped,
                crop_frame=one.scores.crop_frame,
                subsets={name: compared(one, first.flags[:, flag]) for flag, name in enumerate(first.flag_names)},
            )
            for one in evaluations
        ],
    )


def table(comparison: Comparison) -> str:
    """A comparison as lines to print: a block for the whole split, one for each subset."""
    evaluations, normaliser = comparison.evaluations, comparison.normaliser
    names = [one.name for one in evaluations]
    frames = dict.fromkeys(one.crop_frame for one in evaluations if one.crop_frame)
    lines = [
        f"{comparison.dataset} {comparison.split}",
        *score_table.warnings(comparison.partial, clamped=comparison.clamped, mapped=""),
        *(f"{one.name}: {score_table.MAPPED.format(one.mapped)}" for one in evaluations if one.mapped),
        *score_table.explanations(comparison.normalised_by, ", ".join(frames)),
        f"difference: NME minus that of {names[0]}, in percentage points, below 0 when better",
        f"p: {comparison.test}",
    ]
    for group in ("all faces", *evaluations[0].subsets):
        columns = [one if group == "all faces" else one.subsets[group] for one in evaluations]
        rows = [*score_table.score_rows(normaliser, columns), *_difference_rows(normaliser, columns)]
        lines += ["", group, score_table.aligned(names, rows)]
    return "\n".join(lines)


def _difference_rows(normaliser: str, columns: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    def row(name: str, cell: Callable[[Difference], str]) -> tuple[str, list[str]]:
        return name, ["" if scores.difference is None else cell(scores.difference) for scores in columns]

    return [
        row(f"{score_table.metric_name('NME', normaliser)} difference", lambda it: f"{it.nme:+.3f}"),
        row("  95 % interval", lambda it: f"{it.interval[0]:+.3f}..{it.interval[1]:+.3f}"),
        row("  p", lambda it: f"{it.p:.4f}"),
    ]


def default_names(directories: Sequence[Path]) -> list[str]:
    """The workdirs' names, where the folders are WORKDIR/eval/SET-SPLIT; the paths when names are not distinct.

    They can be written and drawn, whatever bytes a folder's name is made of (`encodings.readable`).
    """
    paths = [Path(directory).absolute() for directory in directories]
    names = [readable(path.parents[1].name if path.parent.name == "eval" else path.name) for path in paths]
    return names if len(set(names)) == len(names) else [readable(str(directory)) for directory in directories]
