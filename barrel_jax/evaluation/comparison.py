# SPDX-License-Identifier: Apache-2.0
"""Evaluations of the same split beside each other: every score, and the paired difference of each from the first.

With its 95 % bootstrap interval and the p-value of a sign-flip permutation test, for the whole split and each subset.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.metrics import mean, summarise
from barrel_jax.evaluation.predictions import BROKEN_ARCHIVE
from barrel_jax.evaluation.significance import FLIPS, bootstrap_intervals, sign_flip_p

# What must be the same for errors of the same face to be comparable.
ALIKE = ("dataset", "split", "fingerprint", "scheme", "normaliser", "normaliser_points", "clamped", "partial")
TEST = f"two-sided paired sign-flip permutation test of the mean difference, {FLIPS:,} flips"


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate.py` left in a folder."""

    name: str
    directory: Path
    metrics: dict[str, Any]
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
    again = "run evaluate.py again"
    try:
        metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
        with (directory / "predictions.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            paths, numbers, nmes, in_crop, flags, names = (
                kept[column] for column in ("files", "faces", "nme", "nme_crop", "flags", "flag_names")
            )
        faces = list(zip(paths.tolist(), numbers.tolist(), strict=True))
        if nmes.shape != (len(faces),) or in_crop.shape != nmes.shape or flags.shape != (len(faces), len(names)):
            raise ValueError(f"errors {nmes.shape} and flags {flags.shape} of {len(faces)} faces")
        missing = [field for field in (*ALIKE, "normalised_by", "mapped", "crop_frame", "nme") if field not in metrics]
    except BROKEN_ARCHIVE as error:
        raise ValueError(f"{directory}: metrics.json or predictions.npz cannot be read: {error}; {again}") from error
    if missing:
        raise ValueError(f"{directory / 'metrics.json'}: {', '.join(missing)} missing (an older version?); {again}")
    scored = 100 * mean(nmes) if np.isfinite(nmes).any() else None
    if (scored is None) != (metrics["nme"] is None) or (scored is not None and abs(scored - metrics["nme"]) > 1e-6):
        raise ValueError(
            f"{directory}: NME {metrics['nme']} % in metrics.json, but {scored} % in predictions.npz: they are of "
            f"different evaluations; {again}"
        )
    return Evaluation(name, directory, metrics, faces, nmes, in_crop, flags, tuple(names.tolist()))


def compare(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The content of `compare.json`: for every evaluation the scores, and its difference from the first.

    `difference` has `nme` (percentage points, negative when better than the first), its bootstrap `interval` and the
    test's `p`; it is None for the first. `subsets` has the same for each flag.

    Raises:
        ValueError: the evaluations are not of the same faces with the same normaliser; says what differs.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        different = [
            f"{field} {first.metrics[field]!r} and {other.metrics[field]!r}"
            for field in ALIKE
            if first.metrics[field] != other.metrics[field]
        ]
        if not different and first.faces != other.faces:
            different = [f"{len(first.faces)} and {len(other.faces)} faces, or their order"]
        if different:
            raise ValueError(
                f"{first.directory} and {other.directory} cannot be compared: {'; '.join(different)}. "
                "Evaluate both on the same source, split and normaliser"
            )

    def scores(one: Evaluation, chosen: np.ndarray) -> dict[str, Any]:
        difference = None
        if one is not first:
            change = one.nmes[chosen] - first.nmes[chosen]
            change = 100 * change[np.isfinite(change)]
            difference = {
                "nme": float(change.mean()) if len(change) else float("nan"),
                "interval": bootstrap_intervals(change[:, None])[0].tolist(),
                "p": sign_flip_p(change),
            }
        in_crop = {"nme_crop": 100 * mean(one.in_crop[chosen])}
        return summarise(one.nmes[chosen]) | in_crop | {"difference": difference}

    everyone = np.ones(len(first.faces), bool)
    return {
        **{field: first.metrics[field] for field in (*ALIKE, "normalised_by")},
        "num_faces": len(first.faces),
        "test": TEST,
        "evaluations": [
            {
                "name": one.name,
                "directory": str(one.directory),
                "mapped": one.metrics["mapped"],
                "crop_frame": one.metrics["crop_frame"],
                **scores(one, everyone),
                "subsets": {name: scores(one, first.flags[:, flag]) for flag, name in enumerate(first.flag_names)},
            }
            for one in evaluations
        ],
    }


def table(comparison: dict[str, Any]) -> str:
    """The content of `compare.json` as lines to print: a block for the whole split, one for each subset."""
    evaluations, normaliser = comparison["evaluations"], comparison["normaliser"]
    names = [one["name"] for one in evaluations]
    frames = dict.fromkeys(one["crop_frame"] for one in evaluations if one["crop_frame"])
    lines = [
        f"{comparison['dataset']} {comparison['split']}",
        *score_table.warnings(comparison | {"mapped": ""}),
        *(f"{one['name']}: {score_table.MAPPED.format(one['mapped'])}" for one in evaluations if one["mapped"]),
        *score_table.explanations(comparison | {"crop_frame": ", ".join(frames)}),
        f"difference: NME minus that of {names[0]}, in percentage points, below 0 when better",
        f"p: {comparison['test']}",
    ]
    for group in ("all faces", *evaluations[0]["subsets"]):
        columns = [one if group == "all faces" else one["subsets"][group] for one in evaluations]
        rows = [*score_table.score_rows(normaliser, columns), *_difference_rows(normaliser, columns)]
        lines += ["", group, score_table.aligned(names, rows)]
    return "\n".join(lines)


def _difference_rows(normaliser: str, columns: Sequence[dict]) -> list[tuple[str, list[str]]]:
    differences = [scores["difference"] for scores in columns]

    def row(name: str, cell: Any) -> tuple[str, list[str]]:
        return name, ["" if difference is None else cell(difference) for difference in differences]

    return [
        row(f"{score_table.metric_name('NME', normaliser)} difference", lambda it: f"{it['nme']:+.3f}"),
        row("  95 % interval", lambda it: f"{it['interval'][0]:+.3f}..{it['interval'][1]:+.3f}"),
        row("  p", lambda it: f"{it['p']:.4f}"),
    ]


def default_names(directories: Sequence[Path]) -> list[str]:
    """The workdirs' names, where the folders are WORKDIR/eval/SET-SPLIT; the paths when names are not distinct."""
    paths = [Path(directory).absolute() for directory in directories]
    names = [path.parents[1].name if path.parent.name == "eval" else path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(directory) for directory in directories]
