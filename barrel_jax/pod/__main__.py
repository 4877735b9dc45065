# SPDX-License-Identifier: Apache-2.0
"""Predicts the cost of a config's training step on a pod that is not here.

python -m barrel_jax.pod --config configs/wflw.py --topology v5e:16x16

Compiles the real step, forward, backward and update, for a TPU slice on this machine's CPU (extra `pod`), and prints
what it takes of each chip and how long it is predicted to be. `config.batch_size` is taken as the faces of one chip.
--topology cpu:8 and local say the same of virtual CPU devices and of this machine's own. A compile takes one to two
minutes; what it says is kept.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
from absl import logging

from barrel_jax.config import Config
from barrel_jax.config_arguments import ConfigParser, read_config
from barrel_jax.devices.xla import tune_cpu

if TYPE_CHECKING:
    from barrel_jax.pod.chips import Target
    from barrel_jax.pod.program import Program


def slices(sides: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The slices from 4 chips to one of these sides, each four times (in 3-D eight times) the one before."""
    found = [sides]
    while math.prod(found[0]) > 4 and all(side % 2 == 0 for side in found[0]):
        found.insert(0, tuple(max(side // 2, 1) for side in found[0]))
    return [one for one in found if math.prod(one) >= 4] or [sides]


def _compile(config: Config, target: "Target", batch: int, landmarks: int) -> "Program":
    from barrel_jax.pod.program import compile_step

    return compile_step(dataclasses.replace(config, batch_size=batch), target, landmarks)


def predict_cost(args: argparse.Namespace, arguments: Sequence[str] | None) -> None:
    """Compiles, prints, writes; `arguments` are those of the command, by default the process's."""
    logging.set_verbosity(logging.ERROR)
    topology, config = args.topology, read_config(args)
    if topology.startswith("cpu:") and topology[4:].isdecimal():
        jax.config.update("jax_num_cpu_devices", int(topology[4:]))
    if topology != "local":
        jax.config.update("jax_platforms", "cpu")  # the devices compiled for are not here
    tune_cpu()

    from barrel_jax import provenance
    from barrel_jax.pod import report
    from barrel_jax.pod.chips import make_target
    from barrel_jax.pod.step_cost import predicted_cost, step_cost

    target = make_target(topology)
    if args.scaling and (target.chip is None or topology == "local"):
        raise ValueError(
            f"--scaling: {topology} has no slices with published rates; name a TPU's, such as --topology v5e:16x16"
        )
    described = provenance.describe("pod", "barrel_jax.pod", arguments)
    per_chip, chips = config.batch_size, len(target.devices)
    cost = step_cost(_compile(config, target, per_chip * chips, args.landmarks), target)
    print(report.text_of(cost, target))
    print(report.assumptions(target))
    result = described | {"landmarks": args.landmarks, "rows": [cost.to_json()]}
    if args.scaling and (chip := target.chip):
        name = topology.split(":")[0]
        parts = [make_target(f"{name}:{'x'.join(map(str, sides))}") for sides in slices(target.sides)]
        batches = {
            "weak": [per_chip * len(part.devices) for part in parts],
            "strong": [common_batch(per_chip, len(parts[-1].devices))] * len(parts),
        }
        costs = {
            kind: [
                predicted_cost(_compile(config, part, batch, args.landmarks), part, chip)
                for part, batch in zip(parts, of_parts, strict=True)
            ]
            for kind, of_parts in batches.items()
        }
        for kind in batches:
            result[kind] = [one.to_json() for one in costs[kind]]
            print(f"\n{kind} scaling\n{report.table(costs[kind], weak=kind == 'weak')}")
        if args.out:
            report.draw(args.out.with_suffix(".png"), costs["weak"], costs["strong"])
    if args.out:
        provenance.write(args.out, result)


def common_batch(per_chip: int, chips: int) -> int:
    """A batch that the smallest slice can hold and the largest, of `chips`, can still split."""
    return max(per_chip // 16, 1) * chips


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = ConfigParser("python -m barrel_jax.pod", __doc__)
    parser.add_argument(
        "--topology", default="v5e:16x16", help="a TPU slice (v5e:4x4), cpu:N, or local (default: %(default)s)"
    )
    parser.add_argument(
        "--landmarks", type=int, default=98, help="K, which a config leaves to its dataset (%(default)s)"
    )
    parser.add_argument("--scaling", action="store_true", help="compile the slices from 4 chips up, for both tables")
    parser.add_argument("--out", type=Path, help="write what was found there as JSON, and the curve beside it as PNG")
    args = parser.parse_args(arguments)
    if args.out and args.out.suffix.lower() == ".png":
        parser.error(
            f"--out {args.out}: the curve is written there; name the JSON file, {args.out.with_suffix('.json')}"
        )
    if args.landmarks < 1:
        parser.error(f"--landmarks {args.landmarks}: there is at least 1")
    if args.topology.startswith("cpu:") and args.topology[4:].isdecimal() and int(args.topology[4:]) < 1:
        parser.error(f"--topology {args.topology}: there is at least 1 device")
    return parser.run(args, lambda: predict_cost(args, arguments))


if __name__ == "__main__":
    sys.exit(main())
