# SPDX-License-Identifier: Apache-2.0
"""The scores of `metrics.json` as a table to print: metrics downwards, the whole set and its subsets across."""

import math
from collections.abc import Sequence

from barrel_jax.paper import paper_nmes

ACROSS = 7  # columns of numbers that fit beside each other
CLAMPED = "CLAMPED: annotated points outside the image were moved to its border"
MAPPED = "MAPPED: {}; not to be laid beside the scores of models and sets with such points"


def table(metrics: dict) -> str:
    """The content of `metrics.json` as lines to print; NaN for numbers that do not exist."""
    step = "" if metrics["checkpoint_step"] is None else f", checkpoint of step {metrics['checkpoint_step']}"
    crop = f", crop protocol {metrics['crop']}" if metrics["crop"] else ""
    crop += f", points {'clamped to the image' if metrics['clamped'] else 'as annotated'}"
    lines = [f"{metrics['dataset']} {metrics['split']}{step}{crop}", *warnings(metrics), *explanations(metrics)]
    groups, paper = {"all faces": metrics} | metrics["subsets"], _paper(metrics)
    for start in range(0, len(groups), ACROSS):
        part = dict(list(groups.items())[start : start + ACROSS])
        beside = [paper.get(name) for name in part]
        lines += ["", aligned(list(part), score_rows(metrics["normaliser"], list(part.values()), beside))]
    if metrics["regions"]:
        row = (metric_name("NME", metrics["normaliser"]) + " %", [f"{nme:.2f}" for nme in metrics["regions"].values()])
        lines += ["", aligned(list(metrics["regions"]), [row])]
    if metrics["num_unscorable"]:
        reasons = ", ".join(
            f"{count} {reason.replace('_', ' ')}" for reason, count in metrics["unscorable"].items() if count
        )
        lines += [
            "",
            f"{metrics['num_unscorable']} of {metrics['num_images'] + metrics['num_unscorable']} faces "
            f"have no score and are not in the table: {reasons}",
        ]
    return "\n".join(lines)


def stress_table(stress: dict) -> str:
    """The content of `stress.json` as lines to print: a block for each kind, its strengths across."""
    plain, *records = stress["records"]
    lines = [
        f"{stress['dataset']} {stress['split']} under stress, checkpoint of step {stress['checkpoint_step']}",
        f"worst: largest error of a face's points, mean over the faces; large pose: {stress['pose']}",
        f"unperturbed: {metric_name('NME', stress['normaliser'])} {plain['nme']:.2f} %, worst {plain['worst']:.2f} %",
    ]
    for kind in dict.fromkeys(record["kind"] for record in records):
        block = [record for record in records if record["kind"] == kind]
        rows = [(f"  {name} %", [f"{record[name.lower()]:.2f}" for record in block]) for name in ("NME", "worst")]
        rows.append(("  faces", [f"{record['num_images']:,}" for record in block]))
        lines += ["", f"{kind} ({block[0]['unit']})", aligned([f"{record['strength']:g}" for record in block], rows)]
    return "\n".join(lines)


def warnings(metrics: dict) -> list[str]:
    """What makes the scores other than the published set's, a line each."""
    mapped = MAPPED.format(metrics["mapped"]) if metrics["mapped"] else ""
    return [line for line in (metrics["partial"], CLAMPED if metrics["clamped"] else "", mapped) if line]


def explanations(metrics: dict) -> list[str]:
    """What the metrics are, for people."""
    frame = metrics["crop_frame"]
    return [
        "NME: mean error of a face's labelled points in source pixels, as a share of",
        f"{metrics['normalised_by']};",
        f"in the crop ({frame}): x and y as shares of its width and height, as PIPNet measures"
        if frame
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
    normaliser: str, columns: Sequence[dict], paper: Sequence[float | None] = ()
) -> list[tuple[str, list[str]]]:
    """The rows of a table with a column for each of the scores in `columns`.

    They have the fields of `metrics.summarise` and `nme_crop`. `paper` are the paper's NMEs in percent, if it gives
    any: they stand below those in the crop, since its first author's code measures there.
    """
    first = columns[0]
    in_crop = [scores["nme_crop"] for scores in columns]
    rows_in_crop = []
    if any(map(_is_known, in_crop)):
        rows_in_crop.append(("  in the crop", [f"{nme:.2f}" if _is_known(nme) else "" for nme in in_crop]))
    if any(nme is not None for nme in paper):
        rows_in_crop.append(("  the paper's", ["" if nme is None else f"{nme:.2f}" for nme in paper]))

    def named(name: str, unit: str = " %") -> str:
        return metric_name(name, normaliser) + unit

    return [
        ("faces", [f"{scores['num_images']:,}" for scores in columns]),
        (named("NME"), [f"{scores['nme']:.2f}" for scores in columns]),
        *rows_in_crop,
        ("  95 % interval", [interval(scores["nme_interval"]) for scores in columns]),
        *((named(f"FR@{_percent(t)}"), [f"{scores['fr'][t]:.2f}" for scores in columns]) for t in first["fr"]),
        *((named(f"AUC@{_percent(t)}", ""), [f"{scores['auc'][t]:.4f}" for scores in columns]) for t in first["auc"]),
        *(
            (named(f"NME P{percent}"), [f"{scores['percentiles'][percent]:.2f}" for scores in columns])
            for percent in first["percentiles"]
        ),
    ]


def _paper(metrics: dict) -> dict[str, float]:
    """The paper's NMEs of a run's model on the test split of its set, by column; {} where it gives none."""
    if not metrics["config"] or metrics["split"] != "test" or metrics["normaliser"] != "outer_eye_corners":
        return {}
    found = paper_nmes(metrics["dataset"], metrics["config"]["model"])
    return {name or "all faces": nme for name, nme in found.items()}


def _is_known(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


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
