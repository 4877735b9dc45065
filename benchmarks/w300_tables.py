# SPDX-License-Identifier: Apache-2.0
"""The tables of the runs on 300W: the ablation, the modules' size, coarse to fine, other faces, the small model."""

import re
from collections.abc import Sequence
from typing import Any

from barrel_jax.markdown import table
from barrel_jax.paper import GRIDS

Result = dict[str, Any]
Line = dict[str, Any]  # of the result's summary


def model_name(label: str) -> str:
    """What a model is called where all have one backbone."""
    return re.sub(r"-18(?:-d(\d))?", lambda found: f", {found[1]} decoders" if found[1] else "", label)


def _run_of(result: Result, line: Line) -> dict[str, Any]:
    """A run of a line of the summary, of the seeds one."""
    return next(
        row
        for row in result["rows"]
        if (row["kind"], row["model"], " + ".join(row["faces"]), row.get("schedule", ""))
        == (line["kind"], line["model"], line["faces"], line.get("schedule", ""))
    )


def _nme(line: Line) -> str:
    return f"{line['nme']:.2f}" + ("" if line["spread"] is None else f" ± {line['spread']:.2f}")


def _beside(line: Line) -> list[str]:
    """The difference and its p."""
    if "difference" not in line:
        return ["", ""]
    low, high = line["interval"]
    return [f"{line['difference']:+.3f} ({low:+.3f}..{high:+.3f})", f"{line['p']:.4f}"]


def _visits(run: dict[str, Any]) -> str:
    return " + ".join(f"{count:,} {name}" for name, count in run["faces"].items())


def _millions(run: dict[str, Any]) -> str:
    return f"{run['parameters'] / 1e6:.2f}" if "parameters" in run else ""


def _lines(result: Result, *kinds: str) -> list[tuple[Line, dict[str, Any]]]:
    return [(line, _run_of(result, line)) for line in result["summary"] if line["kind"] in kinds]


def _ablation(result: Result) -> str:
    lines = _lines(result, "ablation", "large", "recipe")
    if not lines:
        return ""
    rows = []
    for line, run in lines:
        faces = sum(run["faces"].values())
        budget = f"{run['image_size']} px, {run['epochs']} epochs of {faces:,}, batch {run['batch']}"
        rows.append(
            [line["model"], budget, str(len(line["seeds"])), _nme(line), f"{line['held_out']:.2f}", *_beside(line)]
        )
    head = ["model", "training", "seeds", f"NME % on {result['rows'][0]['test_faces']} test faces"]
    return table([*head, "on faces held out", "difference from the baseline (95 %)", "p, paired by face"], rows)


def _changed(result: Result, kind: str, title: str) -> str:
    """BarrelNet as it is and changed in one way."""
    lines = _lines(result, kind)
    if not lines:
        return ""
    lines = [pair for pair in _lines(result, "ablation") if pair[0]["model"] == "BarrelNet-18"] + lines
    lines.sort(key=lambda pair: (-pair[1]["epochs"], -pair[1].get("parameters", 0)))
    rows = [
        [
            model_name(line["model"]),
            _millions(run),
            str(run["epochs"]),
            str(len(line["seeds"])),
            _nme(line),
            f"{line['held_out']:.2f}",
            *(["", ""] if line["kind"] == "ablation" else _beside(line)),  # that is beside the baseline
        ]
        for line, run in lines
    ]
    head = [title, "parameters, millions", "epochs", "seeds", "NME % on 300W", "on faces held out"]
    return table([*head, "difference from BarrelNet as long (95 %)", "p, paired by face"], rows)


def _others(result: Result) -> str:
    rows = [
        [_visits(run), str(run["epochs"]), _nme(line), f"{run['coco_nme']:.2f}" if "coco_nme" in run else ""]
        for line, run in _lines(result, "generalisation")
    ]
    head = ["BarrelNet-18, drawn weights: faces of an epoch", "epochs", "NME % on 300W", "on the other real set"]
    return table(head, rows) if rows else ""


def _own(result: Result) -> str:
    rows = [
        [line["model"], _visits(run), str(run["epochs"]), f"{run['coco_nme']:.2f}", _nme(line)]
        for line, run in _lines(result, "own")
    ]
    head = ["from the start on the other real set alone", "faces of an epoch", "epochs", "NME % on it"]
    return table([*head, "on 300W"], rows) if rows else ""


def _small(result: Result) -> str:
    rows = [
        [
            line["model"],
            _millions(run),
            _visits(run),
            str(run["epochs"]),
            _nme(line),
            f"{run['coco_nme']:.2f}" if "coco_nme" in run else "",
        ]
        for line, run in _lines(result, "small")
    ]
    head = ["what `small` was trained on from, without a face of 300W", "parameters, millions", "faces of an epoch"]
    return table([*head, "epochs", "NME % on 300W", "on the other real set"], rows) if rows else ""


def _start_and_openings(result: Result) -> str:
    """Where the runs began, and what was opened how often."""
    sentences = []
    if start := result.get("start"):
        visited = _visits(start)
        epochs = f"{start['epochs']} epochs, each of {visited} visits to faces"
        sentences.append(f"Start of the models above: {epochs}; no ImageNet weights.")
    for how, whose in (("scratch", "that of configs/coco.py"), ("paper", "the paper's")):
        if kinds := dict.fromkeys(row["kind"] for row in result["rows"] if row["optimiser"] == how):
            sentences.append(f"Optimiser of {', '.join(kinds)}: {whose}.")
    if partial := result["rows"][0]["partial"]:
        sentences.append(f"{partial}.")
    opened = sum(result["openings"].values())
    sentences.append(f"Test splits were opened {opened} times for {len(result['rows'])} finished runs.")
    return " ".join(sentences)


def markdown(result: Result) -> str:
    """All tables of which there are rows."""
    parts: Sequence[str] = (
        _start_and_openings(result),
        _ablation(result),
        _changed(result, "size", "Size"),
        _changed(result, "coarse", "Coarse to fine"),
        _others(result),
        _own(result),
        _small(result),
    )
    return "\n\n".join(filter(None, parts))


def _each(values: Sequence[float | None], form: str) -> str:
    return ", ".join("–" if value is None else format(value, form) for value in values)


def trainings(result: Result) -> str:
    """Every training of the ablation, and what a model is beside those that it is held to."""
    models = [
        [
            model_name(row["model"]),
            _each(row["nme"], ".2f"),
            f"{row['mean']:.2f}" + ("" if row["spread"] is None else f" ± {row['spread']:.2f}"),
            "{:.2f}..{:.2f}".format(*row["interval"]),
            f"{row['mean_crop']:.2f}",
        ]
        for row in result["rows"]
    ]
    head = ["model", f"NME % in trainings ({'; '.join(result['trainings'])})", "mean ± spread", "95 %, over faces"]
    pairs = [
        [
            model_name(row["model"]),
            model_name(row["beside"]),
            _each(row["differences"], "+.2f"),
            f"{100 * row['share']:+.1f} %",
            *_beside(row),
        ]
        for row in result["pairs"]
    ]
    second = ["model", "beside", "difference in each training", "relative", "difference (95 %)", "p, paired by face"]
    return "\n\n".join([table([*head, "mean, crop frame"], models), table(second, pairs)])


def front(result: Result) -> str:
    """The means of all trainings in both frames, and below them the paper's."""
    rows = result["rows"]
    head = ["ResNet-18: NME % on Common", *(model_name(row["model"]) for row in rows)]
    means = [f"{row['mean']:.2f} ({sum(nme is not None for nme in row['nme'])})" for row in rows]
    published = {
        row.name: f"{row.paper['common']:.2f}"
        for row in GRIDS["table1"]
        if (row.config, row.model["backbone"]) == ("w300", "resnet18")
    }
    papers = [published.get(model_name(row["model"]), "") for row in rows]
    return table(
        head,
        [
            ["source pixels, mean (trainings)", *means],
            ["PIPNet's crop frame", *(f"{row['mean_crop']:.2f}" for row in rows)],
            ["the paper: all faces, ImageNet weights, 256 px", *papers],
        ],
    )
