# SPDX-License-Identifier: Apache-2.0
"""Measurements as a picture: each case's milliseconds by implementation, the whisker at the 95th percentile."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.files import write


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes the PNG of one result of `barrel_jax.benchmark infer|train|table4`."""
    from matplotlib.figure import Figure  # takes a second

    rows = result["rows"]
    impls = list(dict.fromkeys(row["impl"] for row in rows))
    cases = list(dict.fromkeys((row["device"], row["model"], row["precision"], row["batch"]) for row in rows))
    figure = Figure(figsize=(2 + 1.5 * len(cases), 4), layout="constrained")
    axes, width = figure.subplots(), 0.8 / len(impls)
    for index, impl in enumerate(impls):
        of_case = {
            (row["device"], row["model"], row["precision"], row["batch"]): row for row in rows if row["impl"] == impl
        }
        at = np.array([place for place, case in enumerate(cases) if case in of_case])
        found = [of_case[case] for case in cases if case in of_case]
        median = np.array([row["median_ms"] for row in found])
        above = np.maximum(np.array([row["p95_ms"] for row in found]) - median, 0)
        axes.bar(at + (index + 0.5) * width - 0.4, median, width, yerr=[np.zeros_like(above), above], label=impl)
    names = [f"{model}\n{device}, {precision}, batch {batch}" for device, model, precision, batch in cases]
    axes.set_xticks(range(len(cases)), names, fontsize=8)
    axes.set(
        ylabel="ms", yscale="log" if len(cases) > 1 else "linear", title=f"barrel_jax.benchmark {result['benchmark']}"
    )
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    write(path, lambda temporary: figure.savefig(temporary, dpi=120))
