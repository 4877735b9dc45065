# SPDX-License-Identifier: Apache-2.0
"""The gain of batch norm's groups and split moments on a pod, as `barrel_jax.pod` predicts it.

python -m benchmarks.pods

configs/wflw.py at 16 faces a chip, compiled for v5e:4x4 and v5e:16x16; writes benchmarks/results/pods.json.
"""

import jax

from barrel_jax.command_line import Parser
from barrel_jax.pod.chips import make_target
from barrel_jax.pod.program import compile_step
from barrel_jax.pod.report import text_of
from barrel_jax.pod.step_cost import step_cost
from barrel_jax.provenance import ROOT, describe, write
from configs.wflw import get_config

# Name, model.norm_group, mesh.split_moments.
VARIANTS = (
    ("norm over the whole batch", 0, False),
    ("norm over the whole batch, moments split", 0, True),
    ("norm over 16 faces", 16, False),
    ("norm over 16 faces, moments split", 16, True),
)
TOPOLOGIES = ("v5e:4x4", "v5e:16x16")
LANDMARKS = 98


def main() -> None:
    """Compiles and writes."""
    jax.config.update("jax_platforms", "cpu")
    described, rows = describe("pods"), []
    for topology in TOPOLOGIES:
        target = make_target(topology)
        for name, group, split in VARIANTS:
            config = get_config()
            config.batch_size = 16 * len(target.devices)
            config.model.norm_group, config.mesh.split_moments = group, split
            cost = step_cost(compile_step(config, target, LANDMARKS), target)
            print(name, text_of(cost, target), sep="\n", flush=True)
            rows.append({"variant": name} | cost.to_json())
    write(ROOT / "benchmarks" / "results" / "pods.json", described | {"landmarks": LANDMARKS, "rows": rows})


if __name__ == "__main__":
    Parser("python -m benchmarks.pods", __doc__).parse_args()
    main()
