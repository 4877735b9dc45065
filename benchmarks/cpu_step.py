# SPDX-License-Identifier: Apache-2.0
"""Reasons for the form of the CPU step: XLA's flag, the max pool and dilation, measured against the obvious way.

python -m benchmarks.cpu_step

Every variant runs in a process of its own (the flag is read once), in alternating rounds, on a ResNet-18 with a dense
layer; writes benchmarks/results/cpu-step.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from barrel_jax.devices.xla import CPU_FLAG
from barrel_jax.provenance import ROOT, describe, write

STEP = """
import json, sys, time
import flax.linen as nn, jax, jax.numpy as jnp, numpy as np, optax
from barrel_jax.models import resnet
stride, windowed, dilated, repeats = (int(v) for v in sys.argv[1:])
if windowed:
    resnet.max_pool = lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
if dilated:
    resnet.convolve = jax.lax.conv_general_dilated
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = resnet.ResNet("resnet18", stride, "batch", jnp.float32, name="backbone")(x, train=True)
        return nn.Dense(136, name="dense")(y.mean((1, 2)))
net, tx = Net(), optax.adam(1e-3)
x = jnp.array(np.random.default_rng(0).random((16, 128, 128, 3)), jnp.float32)
variables = jax.jit(net.init)(jax.random.key(0), x)
def step(params, stats, opt, x):
    def loss(p):
        y, changed = net.apply({"params": p, "batch_stats": stats}, x, mutable=["batch_stats"])
        return jnp.abs(y).mean(), changed["batch_stats"]
    (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, opt = tx.update(grads, opt)
    return optax.apply_updates(params, updates), stats, opt, value
step = jax.jit(step, donate_argnums=(0, 1, 2))
params, stats = variables["params"], variables["batch_stats"]
opt, times = tx.init(params), []
for _ in range(repeats + 2):
    start = time.perf_counter()
    params, stats, opt, value = step(params, stats, opt, x)
    value.block_until_ready()
    times.append(time.perf_counter() - start)
print("RESULT", json.dumps(times[2:]))
"""
# name: XLA flags, stride, windowed max pool, dilated convolution
VARIANTS = {
    "as XLA and Flax come: stride 32": ("", 32, 1, 0),
    "+ max pool of slices": ("", 32, 0, 0),
    "+ XLA flag (this project)": (CPU_FLAG, 32, 0, 0),
    "stride 16, dilated convolutions": (CPU_FLAG, 16, 0, 1),
    "stride 16, sub-grids (this project)": (CPU_FLAG, 16, 0, 0),
}


def main() -> None:
    """Measures all variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    described = describe("cpu-step")  # before the run: machine and commit are those of what runs
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(args.rounds):
        for name, (flags, *options) in VARIANTS.items():
            command = [sys.executable, "-c", STEP, *map(str, options), str(args.repeats)]
            environment = os.environ | {"XLA_FLAGS": flags}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
            times[name] += json.loads(done.stdout.split("RESULT")[1])
    base = statistics.median(times["as XLA and Flax come: stride 32"])
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        row = {"variant": name, "median_ms": 1000 * median, "faces_per_s": 16 / median, "ratio": base / median}
        rows.append(row | {"repeats": len(values)})
    write(ROOT / "benchmarks" / "results" / "cpu-step.json", described | {"rows": rows})
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
