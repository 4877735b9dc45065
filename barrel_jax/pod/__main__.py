# SPDX-License-Identifier: Apache-2.0
"""What the training step of a config costs on a pod that is not here.

python -m barrel_jax.pod --config configs/wflw.py --topology v5e:16x16

Compiles the real step, forward, backward and update, for a TPU slice on this machine's CPU (extra `pod`), and prints
what it takes of each chip and how long it is predicted to be. `config.batch_size` is taken as the faces of one chip.
--topology cpu:8 and local say the same of virtual CPU devices and of this machine's own. A compile takes one to two
minutes; what it says is kept.
"""

import dataclasses
import math
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from barrel_jax.config import Config, validate
from barrel_jax.devices.xla import tune_cpu

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/; --config.FIELD=VALUE changes a field.")
TOPOLOGY = flags.DEFINE_string("topology", "v5e:16x16", "A TPU slice (v5e:4x4), cpu:N, or local.")
LANDMARKS = flags.DEFINE_integer("landmarks", 98, "K, which a config leaves to its dataset.", lower_bound=1)
SCALING = flags.DEFINE_bool("scaling", False, "Compile the slices from 4 chips up to the topology, for both tables.")
OUT = flags.DEFINE_string("out", None, "Write what was found there as JSON, and the curve beside it as PNG.")
flags.mark_flags_as_required(["config"])


def slices(sides: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The slices from 4 chips to one of these sides, each four times (in 3-D eight times) the one before."""
    found = [sides]
    while math.prod(found[0]) > 4 and all(side % 2 == 0 for side in found[0]):
        found.insert(0, tuple(max(side // 2, 1) for side in found[0]))
    return [one for one in found if math.prod(one) >= 4] or [sides]


def _rows(config: Config, topologies: list[str], batches: list[int]) -> list[dict]:
    from barrel_jax.pod.chips import make_target
    from barrel_jax.pod.program import compile_step
    from barrel_jax.pod.report import row_of

    rows = []
    for topology, batch in zip(topologies, batches, strict=True):
        target = make_target(topology)
        program = compile_step(dataclasses.replace(config, batch_size=batch), target, LANDMARKS.value)
        rows.append(row_of(program, target))
    return rows


def main(argv: list[str]) -> None:
    """Compiles, prints, writes."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    topology, config = TOPOLOGY.value, CONFIG.value
    validate(config)
    if topology.startswith("cpu:") and topology[4:].isdecimal():
        jax.config.update("jax_num_cpu_devices", int(topology[4:]))
    if topology != "local":
        jax.config.update("jax_platforms", "cpu")  # the devices compiled for are not here
    tune_cpu()

    from barrel_jax import provenance
    from barrel_jax.pod import report
    from barrel_jax.pod.chips import make_target

    target = make_target(topology)
    per_chip, chips = config.batch_size, len(target.devices)
    rows = _rows(config, [topology], [per_chip * chips])
    print(report.text_of(rows[0], target))
    print(report.assumptions(target))
    result = provenance.describe("pod", "barrel_jax.pod") | {"landmarks": LANDMARKS.value, "rows": rows}
    if SCALING.value and target.chip:
        name = topology.split(":")[0]
        shapes = slices(target.sides)
        names = [f"{name}:{'x'.join(map(str, sides))}" for sides in shapes]
        counts = [math.prod(sides) for sides in shapes]
        result["weak"] = _rows(config, names, [per_chip * count for count in counts])
        # A batch that the smallest slice can hold and the largest can still split.
        result["strong"] = _rows(config, names, [max(per_chip * counts[-1] // 16, counts[-1])] * len(names))
        for kind in ("weak", "strong"):
            print(f"\n{kind} scaling\n{report.table(result[kind], weak=kind == 'weak')}")
        if OUT.value:
            report.draw(Path(OUT.value).with_suffix(".png"), result["weak"], result["strong"])
    if OUT.value:
        provenance.write(Path(OUT.value), result)


if __name__ == "__main__":
    app.run(main)
