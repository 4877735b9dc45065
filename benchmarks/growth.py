# SPDX-License-Identifier: Apache-2.0
"""Cost as work grows: latency against batch, image size, landmarks and decoders; equation 3 against equation 2.

python -m benchmarks.growth

Everything is JAX, jitted, on JAX's default device; writes benchmarks/results/growth.json and growth.png.
"""

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax import files
from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.benchmark.infer import random_images, random_variables
from barrel_jax.benchmark.record import ROOT, describe, write
from barrel_jax.config import ModelConfig
from barrel_jax.inference import make_inference
from barrel_jax.pictures import INK, PREDICTED, TRUE, new_figure, pixels, write_picture
from barrel_jax.xla import tune_cpu

BASE = {"batch": 1, "image_size": 256, "landmarks": 98, "decoders": 1}
AXES = {
    "batch": (1, 2, 4, 8, 16, 32),
    "image_size": (64, 128, 192, 256, 384, 512),
    "landmarks": (29, 68, 98, 478),
    "decoders": (1, 2, 3, 4, 5, 6, 7),
}
TOKENS = (64, 256, 1024)  # of the memory: 256 px at stride 32, 16 and 8
RESULTS = ROOT / "benchmarks" / "results"


def latencies(rounds: int, axes: Mapping[str, Sequence[int]] = AXES) -> list[dict[str, Any]]:
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
        for value, seconds in alternate(sides, rounds).items():
            rows.append({"axis": axis, "value": int(value)} | summary(seconds, (BASE | {axis: int(value)})["batch"]))
    return rows


def _runner(function: Callable, *arguments: Any) -> tuple[Callable[[], object], Any]:
    compiled = jax.jit(function).lower(*arguments).compile()
    return lambda: jax.block_until_ready(compiled(*arguments)), compiled.memory_analysis()


def equation3(memory: jax.Array, weights: jax.Array, transforms: jax.Array) -> jax.Array:
    """Memory [B, S, D], attention weights [B, K, S], transforms [K, D, D]: the extracted value through T^i."""
    return jnp.einsum("bkd,kde->bke", jnp.einsum("bks,bsd->bkd", weights, memory), transforms)


def equation2(memory: jax.Array, weights: jax.Array, transforms: jax.Array) -> jax.Array:
    """The same from K memories [B, K, S, D], one of each query."""
    return jnp.einsum("bks,bkse->bke", weights, jnp.einsum("bsd,kde->bkse", memory, transforms))


def equations(rounds: int) -> list[dict[str, Any]]:
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
        for name, seconds in alternate({name: run for name, (run, _) in made.items()}, rounds).items():
            memory_mb = made[name][1].temp_size_in_bytes / 1e6
            rows.append({"what": name, "tokens": tokens, "memory_mb": memory_mb} | summary(seconds, 1))
    return rows


def draw(result: dict[str, Any]) -> np.ndarray:
    """The curves, RGB uint8 [H, W, 3]."""
    figure = new_figure(1500, 420)
    for place, axis in enumerate(AXES):
        rows = [row for row in result["rows"] if row["axis"] == axis]
        axes = figure.add_axes((0.04 + 0.195 * place, 0.14, 0.155, 0.76))
        axes.plot([r["value"] for r in rows], [r["median_ms"] for r in rows], color=PREDICTED, marker="o", ms=4)
        axes.set(xlabel=axis.replace("_", " "), ylim=(0, None))
    axes = figure.add_axes((0.04 + 0.195 * 4, 0.14, 0.155, 0.76))
    for name, colour in (("equation 3", PREDICTED), ("equation 2", TRUE)):
        rows = [row for row in result["equations"] if row["what"] == name]
        label = f"{name}, ms"
        axes.loglog([r["tokens"] for r in rows], [r["median_ms"] for r in rows], color=colour, marker="o", label=label)
        label = f"{name}, MB between"
        axes.loglog([r["tokens"] for r in rows], [r["memory_mb"] for r in rows], color=colour, ls="--", label=label)
    axes.set(xlabel="tokens of the memory")
    axes.legend(fontsize=7, frameon=False)
    for axes in figure.axes:
        axes.grid(color="#DDDDDD", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.04, 0.94, "BarrelNet-18 on one device: milliseconds as work grows; right, QAMem", color=INK)
    return pixels(figure)


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
