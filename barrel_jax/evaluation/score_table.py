# SPDX-License-Identifier: Apache-2.0
"""Scores as a table to print: metrics downwards, the whole set and its subsets across."""

import math
from collections.abc import Sequence

import numpy as np

from barrel_jax.config import Config, flatten
from barrel_jax.evaluation.clips import ClipScore
from barrel_jax.evaluation.metrics import mean
from barrel_jax.evaluation.rank_cost import RankCost
from barrel_jax.evaluation.scores import Scores, Stress, Summary
from barrel_jax.paper import paper_nmes

ACROSS = 7  # columns of numbers that fit beside each other
CLAMPED = "CLAMPED: annotated points outside the image were moved to its border"
# Fields of a config that make another model, or another loss, than the paper's by any value but the default.
OF_THE_PAPER = (
    "model.width",
    "model.heads",
    "model.feedforward",
    "model.dqinit_rank",
    "model.qamem_rank",
    "model.reference_points",
    "model.uncertainty",
    "optim.dqinit_loss",
    "optim.aux_loss",
)
MAPPED = "MAPPED: {}; not to be laid beside the scores of models and sets with such points"


def table(scores: Scores) -> str:
    """The scores of a split as lines to print."""
    step = "" if scores.checkpoint_step is None else f", checkpoint of step {scores.checkpoint_step}"
    crop = f", crop protocol {scores.crop}" if scores.crop else ""
    crop += f", points {'clamped to the image' if scores.clamped else 'as annotated'}"
    lines = [
        f"{scores.dataset} {scores.split}{step}{crop}",
        *warnings(scores.partial, clamped=scores.clamped, mapped=scores.mapped),
        *explanations(scores.normalised_by, scores.crop_frame),
    ]
    groups: dict[str, Summary] = {"all faces": scores, **scores.subsets}
    paper = paper_of(scores)
    for start in range(0, len(groups), ACROSS):
        part = dict(list(groups.items())[start : start + ACROSS])
        beside = [paper.get(name) for name in part]
        lines += ["", aligned(list(part), score_rows(scores.normaliser, list(part.values()), beside))]
    if scores.regions:
        row = (metric_name("NME", scores.normaliser) + " %", [f"{nme:.2f}" for nme in scores.regions.values()])
        lines += ["", aligned(list(scores.regions), [row])]
    if scores.num_unscorable:
        reasons = ", ".join(
            f"{count} {reason.replace('_', ' ')}" for reason, count in scores.unscorable.items() if count
        )
        lines += [
            "",
            f"{scores.num_unscorable} of {scores.num_images + scores.num_unscorable} faces "
            f"have no score and are not in the table: {reasons}",
        ]
    return "\n".join(lines)


def rank_cost(cost: RankCost) -> str:
    """What a rank of the per-query weights costs, as a line to print."""
    name, full = metric_name("NME", cost.normaliser), cost.nme_at_full_rank
    change = 100 * (cost.nme / full - 1)
    return f"at rank {cost.rank} {name} is {cost.nme:.3f} %, at full rank {full:.3f} %: {change:+.2f} % of it"


def stress_table(stress: Stress) -> str:
    """The errors under stress as lines to print: a block for each kind, its strengths across."""
    plain, *records = stress.records
    lines = [
        f"{stress.dataset} {stress.split} under stress, checkpoint of step {stress.checkpoint_step}",
        f"worst: largest error of a face's points, mean over the faces; large pose: {stress.pose}",
        f"unperturbed: {metric_name('NME', stress.normaliser)} {plain.nme:.2f} %, worst {plain.worst:.2f} %",
    ]
    for kind in dict.fromkeys(record.kind for record in records):
        block = [record for record in records if record.kind == kind]
        rows = [
            ("  NME %", [f"{record.nme:.2f}" for record in block]),
            ("  worst %", [f"{record.worst:.2f}" for record in block]),
            ("  faces", [f"{record.num_images:,}" for record in block]),
        ]
        lines += ["", f"{kind} ({block[0].unit})", aligned([f"{record.strength:g}" for record in block], rows)]
    return "\n".join(lines)


def clip_table(clips: Sequence[ClipScore], normaliser: str) -> str:
    """Error and flicker of clips as lines to print: their means, then each."""
    frames = sum(clip.frames for clip in clips)
    nme, nmf = (mean(np.array(numbers)) for numbers in ([clip.nme for clip in clips], [clip.nmf for clip in clips]))
    shown = [ClipScore("mean over the clips", frames, nme, nmf), *clips]
    rows = [(clip.clip, [f"{clip.frames:,}", f"{clip.nme:.2f}", f"{clip.nmf:.2f}"]) for clip in shown]
    return aligned(["frames", metric_name("NME", normaliser) + " %", "NMF %"], rows)


def warnings(partial: str, *, clamped: bool, mapped: str) -> list[str]:
    """What makes the scores other than the published set's, a line each."""
    lines = (partial, CLAMPED if clamped else "", MAPPED.format(mapped) if mapped else "")
    return [line for line in lines if line]


def explanations(normalised_by: str, crop_frame: str) -> list[str]:
    """What the metrics are, for people."""
    return [
        "NME: mean error of a face's labelled points in source pixels, as a share of",
        f"{normalised_by};",
        f"in the crop ({crop_frame}): x and y as shares of its width and height, as PIPNet measures"
        if crop_frame
        else "in the crop, as PIPNet measures: not known without the images' sizes",
        "mean over the faces, its 95 % bootstrap interval, and percentiles of the faces (P50 is the median)",
        "FR@t: share of the faces whose error is above t; AUC@t: area under the cumulative error curve up to t, 0 to 1",
    ]


def metric_name(name: str, normaliser: str) -> str:
    """A metric with what it is normalised by: 'NME(outer eye corners)'."""
    return f"{name}({normaliser.replace('_', ' ')})"


def interval(ends: Sequence[float]) -> str:
    """An interval in a table's cell."""
    return f"{ends[0]:.2f}..{ends[1]:.2f}"


def score_rows(
    normaliser: str, columns: Sequence[Summary], paper: Sequence[float | None] = ()
) -> list[tuple[str, list[str]]]:
    """The rows of a table with a column for each of the scores in `columns`.

    `paper` are the paper's NMEs in percent, if it gives any: they stand below those in the crop, since its first
    author's code measures there.
    """
    first = columns[0]
    in_crop = [scores.nme_crop for scores in columns]
    rows_in_crop = []
    if any(map(math.isfinite, in_crop)):
        rows_in_crop.append(("  in the crop", [f"{nme:.2f}" if math.isfinite(nme) else "" for nme in in_crop]))
    if any(nme is not None for nme in paper):
        rows_in_crop.append(("  the paper's", ["" if nme is None else f"{nme:.2f}" for nme in paper]))

    def named(name: str, unit: str = " %") -> str:
        return metric_name(name, normaliser) + unit

    return [
        ("faces", [f"{scores.num_images:,}" for scores in columns]),
        (named("NME"), [f"{scores.nme:.2f}" for scores in columns]),
        *rows_in_crop,
        ("  95 % interval", [interval(scores.nme_interval) for scores in columns]),
        *((named(f"FR@{_percent(t)}"), [f"{scores.fr[t]:.2f}" for scores in columns]) for t in first.fr),
        *((named(f"AUC@{_percent(t)}", ""), [f"{scores.auc[t]:.4f}" for scores in columns]) for t in first.auc),
        *(
            (named(f"NME P{percent}"), [f"{scores.percentiles[percent]:.2f}" for scores in columns])
            for percent in first.percentiles
        ),
    ]


def paper_of(scores: Scores) -> dict[str, float]:
    """The paper's NMEs of a run's model on the test split of its set, by column; {} where it gives none."""
    if not scores.config or scores.split != "test" or scores.normaliser != "outer_eye_corners":
        return {}
    defaults = flatten(Config())
    for name in OF_THE_PAPER:
        group, _, field = name.partition(".")
        if scores.config.get(group, {}).get(field, defaults[name]) != defaults[name]:
            return {}
    found = paper_nmes(scores.dataset, scores.config["model"])
    return {name or "all faces": nme for name, nme in found.items()}


def aligned(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Rows of a name and cells below the heads of their columns: names to the left, cells to the right."""
    lines = [("", heads), *rows]
    name_width = max(len(name) for name, _ in lines)
    widths = [max(len(cells[place]) for _, cells in lines) + 2 for place in range(len(heads))]
    return "\n".join(
        f"{name:<{name_width}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, cells in lines
    )


def _percent(threshold: str) -> str:
    return f"{100 * float(threshold):.0f}%"
