# SPDX-License-Identifier: Apache-2.0
"""Measurements as Markdown tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from barrel_jax.benchmark.rows import Failed, Inferred, Key, Row, Trained, failed, from_json
from barrel_jax.markdown import table
from barrel_jax.paper import PAIRS, PAPER_FPS


def digits(value: float) -> str:
    """A number with three significant digits, and all of those before the point: 0.531, 39.7, 1821."""
    rounded = float(f"{value:.2e}")
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}" if rounded else "0"


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of one result of `barrel_jax.benchmark`, also of one cut short, the flags, and what failed."""
    rows = [from_json(row) for row in result["rows"]]
    if result["benchmark"] == "infer":
        tables = infer(rows, result.get("ceilings", ()))
    else:
        tables = table4(rows, result.get("gains", ())) if result["benchmark"] == "table4" else train(rows)
    ended = "" if result.get("finished", True) else "*It ended before all rows were measured.*"
    return "\n\n".join(filter(None, [tables, ended, _flags(rows), failures(rows)]))


def infer(rows: Sequence[Row], ceilings: Sequence[Mapping[str, Any]] = ()) -> str:
    """One line for each model, batch and precision; a column of milliseconds for each implementation."""
    impls = list(dict.fromkeys(row.key.impl for row in rows))
    cases: dict[tuple[str, str, str, int], dict[str, Row]] = {}
    for row in rows:
        key = row.key
        cases.setdefault((key.device, key.model, key.precision, key.batch), {})[key.impl] = row
    lines = []
    for (device, model, precision, batch), by in cases.items():
        times = {impl: row.timing.median_ms for impl, row in by.items() if not isinstance(row, Failed)}
        ways = sorted(times, key=times.__getitem__)
        ours, best = (next((way for way in ways if way.startswith("jax") == own), "") for own in (True, False))
        ratio = f"{ours}: {times[best] / times[ours]:.2f}x {best}" if best and ours else ""
        cells = [digits(times[impl]) if impl in times else "failed" if impl in by else "" for impl in impls]
        lines.append([device, model, precision, str(batch), *cells, ratio])
    head = [
        "device",
        "model",
        "precision",
        "batch",
        *(f"{impl}, ms" for impl in impls),
        "the fastest JAX to the best other",
    ]
    return "\n\n".join(filter(None, [table(head, lines), _ceilings(rows, ceilings)]))


def _ceilings(rows: Sequence[Row], ceilings: Sequence[Mapping[str, Any]]) -> str:
    """What the device was measured to do at most, and the most of it that each implementation reached."""
    lines = []
    for ceiling in ceilings:
        names = [ceiling["device"], ceiling["precision"]]
        if "error" in ceiling:
            lines.append([*names, "failed", "failed", ceiling["error"]])
            continue
        reached: dict[str, float] = {}
        for row in rows:
            if isinstance(row, Inferred) and [row.key.device, row.key.precision] == names and row.gflops is not None:
                share = row.gflops / ceiling["matmul_gflops"]
                reached[row.key.impl] = max(reached.get(row.key.impl, 0.0), share)
        shares = ", ".join(f"{impl} {100 * share:.0f} %" for impl, share in reached.items())
        lines.append([*names, f"{ceiling['matmul_gflops']:.0f}", f"{ceiling['copy_gb_per_s']:.1f}", shares])
    head = ["device", "precision", "large product, GFLOP/s", "copy, GB/s", "most of the product reached"]
    return table(head, lines) if lines else ""


def _flags(rows: Iterable[Row]) -> str:
    """What each implementation was told of precision, those that were told the same on one line."""
    told: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if isinstance(row, Failed):
            continue
        listed = ", ".join(f"`{name}={value}`" for name, value in (row.flags or {}).items())
        impls = told.setdefault((row.key.precision, listed), [])
        if listed and row.key.impl not in impls:
            impls.append(row.key.impl)
    return "\n".join(
        f"- {precision}, {', '.join(impls)}: {listed}" for (precision, listed), impls in told.items() if listed
    )


def failures(rows: Iterable[Row]) -> str:
    """The rows without numbers and why, one a line; "" when there are none."""
    return "\n".join(f"- failed: {', '.join(map(str, row.key))}: {row.error}" for row in failed(rows))


def train(rows: Sequence[Row]) -> str:
    """One line for each implementation: a step, faces per second, the paper's recipe, and JAX's speed beside it.

    A case that was measured in several runs has the rows of one after those of the other, each with a `jax` of its own
    before the others, to which their ratios are. Those before any `jax`, as of `--impls torch-eager,jax`, are to
    the first.
    """
    ours: dict[Key, float | None] = {}
    for row in reversed(rows):
        if row.key.impl == "jax":
            ours[row.key._replace(impl="")] = row.timing.images_per_s if isinstance(row, Trained) else None
    lines = []
    for row in rows:
        key = row.key
        if key.impl == "jax":
            ours[key._replace(impl="")] = row.timing.images_per_s if isinstance(row, Trained) else None
        case = [key.device, key.model, key.precision, str(key.batch), key.impl]
        if not isinstance(row, Trained):
            lines.append([*case, "failed", "", "", ""])
            continue
        jax = ours.get(key._replace(impl=""))
        ratio = f"{jax / row.timing.images_per_s:.2f}x" if jax and key.impl != "jax" else ""
        times = [digits(row.timing.median_ms), f"{row.timing.images_per_s:.1f}", digits(row.recipe_minutes / 60)]
        lines.append([*case, *times, ratio])
    head = ["device", "model", "precision", "batch", "impl", "ms a step", "faces/s"]
    return table([*head, "hours of 360 epochs of 7,500 faces", "JAX's speed to it"], lines)


def table4(rows: Sequence[Row], gains: Sequence[Mapping[str, Any]]) -> str:
    """The paper's Table 4: frames per second, and how much faster the second model of each pair is."""
    sides = list(dict.fromkeys((row.key.impl, row.key.device, row.key.precision) for row in rows))
    fps = {
        (row.key.model, row.key.impl, row.key.device, row.key.precision): row.timing.images_per_s
        for row in rows
        if not isinstance(row, Failed)
    }
    gain = {
        (row["baseline"], row["model"], row["impl"], row["device"], row["precision"]): row["gain_percent"]
        for row in gains
    }
    devices = list(dict.fromkeys(device for _, device, _ in sides))

    def cell(value: float | None, percent: float | None) -> str:
        if value is None:
            return "failed"
        return f"{value:.1f}" if percent is None else f"{value:.1f} ({percent:+.1f} %)"

    lines = []
    for pair in PAIRS:
        for model in pair:
            line = [model]
            for device in devices:
                theirs, to = (PAPER_FPS[name][device == "cpu"] for name in (model, pair[0]))
                line.append(cell(theirs, None if model == pair[0] else 100 * (theirs / to - 1)))
                for side in (side for side in sides if side[1] == device):
                    line.append(cell(fps.get((model, *side)), None if model == pair[0] else gain.get((*pair, *side))))
            lines.append(line)
    head = ["model"]
    for device in devices:
        head.append(f"paper's FPS, {'CPU' if device == 'cpu' else 'GPU'}")
        head += [f"{impl}, {on}, {precision}: FPS" for impl, on, precision in sides if on == device]
    return table(head, lines)
