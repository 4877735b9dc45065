# SPDX-License-Identifier: Apache-2.0
"""The training of a run: its curves from metrics.jsonl, its settings, its machine and versions."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax import files
from barrel_jax.config import Config, flatten
from barrel_jax.provenance import versions
from barrel_jax.report.markup import Markup, element, joined
from barrel_jax.report.page import fold
from barrel_jax.report.plots import Axis, Line, fitting, plot, thinned
from barrel_jax.report.tables import table

# What metrics.jsonl tells, by its name, for `nme` by a part of it: the title of a plot, and the label of its height.
PLOTS = {
    "loss": ("Loss", "mean loss of a batch, crop units"),
    "nme": ("Error while training", "normalised mean error, %"),
    "learning_rate": ("Learning rate", "learning rate"),
    "faces_per_s": ("Speed", "faces per second"),
}


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl; [] where there is none.

    Raises:
        ValueError: a line is damaged; names it and the remedy.
    """
    found = []
    for place, text in enumerate(files.read_text(path).splitlines() if path.exists() else [], start=1):
        try:
            line = json.loads(text)
            if type(line["step"]) is not int:
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {place}: no step in {text[:40]!r}; delete the line") from error
        found.append({name: value for name, value in line.items() if type(value) in (int, float)})
    return found


def training_curves(workdir: Path) -> Markup:
    """The curves of a run, a plot for each quantity."""
    lines = read_log(workdir / "metrics.jsonl")
    plots = []
    for key, (title, label) in PLOTS.items():
        names = [name for name in dict.fromkeys(name for line in lines for name in line) if _is_of(name, key)]
        curves = [curve for curve in (_curve(lines, name) for name in names) if len(curve.x)]
        if not curves:
            continue
        steps = Axis("steps of training", 0, max(1.0, *(float(curve.x[-1]) for curve in curves)))
        plots.append(plot(title, curves, steps, fitting(label, curves), columns=("last",)))
    if not plots:
        return element("p", "metrics.jsonl of the run is not there or empty: no curves.", class_="note")
    return element("div", plots, class_="plots")


def _is_of(name: str, key: str) -> bool:
    return name == key or (key == "nme" and "/nme" in name)


def _curve(lines: list[dict[str, float]], name: str) -> Line:
    known = [(line["step"], line[name]) for line in lines if name in line and math.isfinite(line[name])]
    x, y = (np.array(values, np.float64) for values in zip(*known, strict=True)) if known else (np.zeros(0),) * 2
    # TensorBoard's names: test/nme_outer_eye_corners.
    return thinned(Line(name.replace("_", " "), x, y, (f"{y[-1]:.4g}" if len(y) else "",)))


def settings(config: Config, facts: Mapping[str, Any]) -> Markup:
    """The settings of a run, those that are not the defaults first, its facts, and the versions then and now."""
    own, default = flatten(config), flatten(Config())
    rows = [[name, str(value), str(default[name])] for name, value in own.items()]
    changed = [row for row in rows if row[1] != row[2]]
    then, now = dict(facts.get("versions", {})), versions()
    packages = [[name, str(then.get(name, "–")), now.get(name, "–")] for name in dict.fromkeys([*then, *now])]
    machine = ", ".join(f"{name} {value}" for name, value in facts.get("machine", {}).items())
    about = {
        "set": facts.get("dataset", ""),
        "fingerprint of the set": facts.get("fingerprint", ""),
        "points": f"{facts['num_landmarks']}, {facts['scheme']}",
        "command": facts.get("command", ""),
        "machine": machine,
        "weights taken from": facts.get("init_from", {}).get("from", ""),
    }
    known = [[name, str(value)] for name, value in about.items() if value]
    return joined(
        table("The run", ["fact", "value"], known),
        table("Settings other than the defaults", ["setting", "value", "default"], changed),
        fold("All settings", table("All settings", ["setting", "value", "default"], rows)),
        fold("Versions", table("Versions", ["package", "of the training", "of this report"], packages)),
    )


def report_versions() -> Markup:
    """The versions that made a report without a run."""
    return table("Versions of this report", ["package", "version"], [[n, v] for n, v in versions().items()])
