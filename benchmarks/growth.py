# SPDX-License-Identifier: Apache-2.0
"""Cost as work grows: latency against batch, image size, landmarks and decoders; equation 3 against equation 2.

python -m benchmarks.growth

Everything is JAX, jitted, on JAX's default device; writes benchmarks/results/growth.json and growth.png.
"""

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax import files
from barrel_jax.benchmark.clock import Alone, alternate, summary
from barrel_jax.benchmark.infer import random_images, random_variables
from barrel_jax.benchmark.report import digits
from barrel_jax.config import ModelConfig
from barrel_jax.devices.xla import graph_options, tune_cpu
from barrel_jax.evaluation.face_sheets import TRUE
from barrel_jax.models.inference import make_inference
from barrel_jax.plotting import INK, PREDICTED, new_figure, pixels, write_picture
from barrel_jax.provenance import ROOT, describe, write

BASE = {"batch": 1, "image_size": 256, "landmarks": 98, "decoders": 1}
AXES = {
    "batch": (1, 2, 4, 8, 16, 32),
    "image_size": (64, 128, 192, 256, 384, 512),
    "landmarks": (29, 68, 98, 478),
    "decoders": (1, 2, 3, 4, 5, 6, 7),
}
TOKENS = (64, 256, 1024)  # of the memory: 256 px at stride 32, 16 and 8
RESULTS = ROOT / "benchmarks" / "results"


def latencies(
    rounds: int, axes: Mapping[str, Sequence[int]] = AXES, alone: Alone = nullcontext
) -> list[dict[str, Any]]:
    """Milliseconds of BarrelNet-18 along every axis, the others as in `BASE`."""
    rows = []
    for axis, values in axes.items():
        sides = {}
        for value in values:
            at = BASE | {axis: value}
            model = dataclasses.replace(ModelConfig(), decoder_layers=at["decoders"])
            predict, weights = make_inference(
                model, at["landmarks"], random_variables(model, at["landmarks"], at["image_size"])
            )
            images = jax.device_put(random_images(at["batch"], at["image_size"]))
            sides[str(value)] = _runner(predict, weights, images)[0]
        with alone():
            timed = alternate(sides, rounds)
        for value, seconds in timed.items():
            rows.append(
                {"axis": axis, "value": int(value)} | vars(summary(seconds, (BASE | {axis: int(value)})["batch"]))
            )
    return rows


def _runner(function: Callable, *arguments: Any) -> tuple[Callable[[], object], Any]:
    compiled = jax.jit(function).lower(*arguments).compile(graph_options())
    return lambda: jax.block_until_ready(compiled(*arguments)), compiled.memory_analysis()


def equation3(memory: jax.Array, weights: jax.Array, transforms: jax.Array) -> jax.Array:
    """Memory [B, S, D], attention weights [B, K, S], transforms [K, D, D]: the extracted value through T^i."""
    return jnp.einsum("bkd,kde->bke", jnp.einsum("bks,bsd->bkd", weights, memory), transforms)


def equation2(memory: jax.Array, weights: jax.Array, transforms: jax.Array) -> jax.Array:
    """The same from K memories [B, K, S, D], one of each query."""
    return jnp.einsum("bks,bkse->bke", weights, jnp.einsum("bsd,kde->bkse", memory, transforms))


def equations(rounds: int, alone: Alone = nullcontext) -> list[dict[str, Any]]:
    """Milliseconds and megabytes of both equations, by the number of tokens (98 queries, width 256, one face)."""
    rng, rows = np.random.default_rng(0), []
    queries, width = 98, 256
    transforms = jnp.asarray(rng.standard_normal((queries, width, width), np.float32))
    for tokens in TOKENS:
        memory = jnp.asarray(rng.standard_normal((1, tokens, width), np.float32))
        weights = jax.nn.softmax(jnp.asarray(rng.standard_normal((1, queries, tokens), np.float32)))
        functions = {"equation 3": equation3, "equation 2": equation2}
        made = {name: _runner(function, memory, weights, transforms) for name, function in functions.items()}
        ours, theirs = (np.asarray(run()) for run, _ in made.values())
        if not np.allclose(ours, theirs, atol=1e-3):
            raise ValueError(f"{tokens} tokens: the equations differ by {np.abs(ours - theirs).max():.1e}")
        with alone():
            timed = alternate({name: run for name, (run, _) in made.items()}, rounds)
        for name, seconds in timed.items():
            memory_mb = made[name][1].temp_size_in_bytes / 1e6
            rows.append({"what": name, "tokens": tokens, "memory_mb": memory_mb} | vars(summary(seconds, 1)))
    return rows


def draw(result: dict[str, Any]) -> np.ndarray:
    """The curves, every point with its number, RGB uint8 [H, W, 3]; axes that were not measured are left out."""
    measured = [axis for axis in AXES if any(row["axis"] == axis for row in result["rows"])]
    figure, panels = new_figure(1500, 420), len(measured) + 1
    for place, axis in enumerate(measured):
        rows = [row for row in result["rows"] if row["axis"] == axis]
        axes = figure.add_axes((0.02 + 0.88 * place / panels, 0.14, 0.76 / panels, 0.72))
        values, times = [r["value"] for r in rows], [r["median_ms"] for r in rows]
        axes.plot(values, times, color=PREDICTED, marker="o", ms=4)
        for index, (value, time) in enumerate(zip(values, times, strict=True)):
            # Every second number stands on the other side of the curve, where it has room.
            above = {"xytext": (-6, 4), "ha": "right"} if index % 2 else {"xytext": (6, -9)}
            axes.annotate(digits(time), (value, time), **above, textcoords="offset points", fontsize=8.5, color=INK)
        axes.set(xlabel=axis.replace("_", " "), ylim=(-0.04 * max(times), None), yticks=[], xticks=_apart(values))
        wide = max(values) - min(values)
        axes.set_xlim(min(values) - 0.12 * wide, max(values) + 0.18 * wide)
        axes.tick_params(labelsize=8.5)
        axes.spines[["top", "right", "left"]].set_visible(False)
    axes = figure.add_axes((0.11 + 0.88 * (panels - 1) / panels, 0.14, 0.86 / panels, 0.72))
    longest = max(row["median_ms"] for row in result["equations"])
    names = []
    equations = sorted(result["equations"], key=lambda row: (row["tokens"], row["what"] == "equation 2"))
    for place, row in enumerate(equations):
        axes.barh(place, row["median_ms"], 0.7, color=TRUE if row["what"] == "equation 2" else PREDICTED)
        label = f" {digits(row['median_ms'])} ms, {row['memory_mb']:.1f} MB "
        side = "right" if row["median_ms"] > 0.5 * longest else "left"
        axes.text(row["median_ms"], place, label, va="center", ha=side, fontsize=8.5, color=INK)
        names.append(f"{row['tokens']} tokens, {row['what']}")
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set(xlabel="QAMem", xticks=[], ylim=(len(names) - 0.4, -0.6))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    words = "BarrelNet-18 on one device: milliseconds as work grows; right, QAMem and the values it keeps between"
    figure.text(0.02, 0.93, words, color=INK)
    return pixels(figure)


def _apart(values: Sequence[int]) -> list[int]:
    # Values whose ticks do not overlap, the largest first.
    kept: list[int] = []
    for value in sorted(values, reverse=True):
        if all(abs(value - other) > 0.13 * max(values) for other in kept):
            kept.append(value)
    return kept


def main() -> None:
    """Measures, records, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    tune_cpu()
    result = describe("growth") | {"base": BASE, "rows": latencies(args.rounds), "equations": equations(args.rounds)}
    write(RESULTS / "growth.json", result)
    files.write(RESULTS / "growth.png", lambda path: write_picture(path, draw(result)))


if __name__ == "__main__":
    main()
