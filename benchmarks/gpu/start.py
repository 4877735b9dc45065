# SPDX-License-Identifier: Apache-2.0
"""The backbone of a run in a file that travels: python -m benchmarks.gpu start RUN --out resnet18.safetensors

In half precision, 22 MB of a ResNet-18; what is read from it is float32 again, off by at most one part in 2,000.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np

from barrel_jax import files
from barrel_jax.pretrained import backbone as pretrained
from barrel_jax.training.trained import TrainedRun


def write_start(run: Path, out: Path, which: str) -> None:
    """Writes the backbone of a run at a checkpoint ('latest', 'best' or a step).

    Raises:
        FileNotFoundError: no run there, or no such checkpoint.
        ValueError: the run's files are damaged; a number does not fit into half precision.
    """
    weights = {kind: tree["backbone"] for kind, tree in TrainedRun.open(run, which).variables.items()}
    half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), weights)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(half)):
        raise ValueError(f"{run}: its backbone has numbers beyond half precision")
    files.write(out, lambda path: pretrained.write_backbone(path, half))


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--checkpoint", default="latest", help="latest, best or a step (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        write_start(args.run, args.out, args.checkpoint)
    except (ValueError, OSError) as error:
        print(f"start: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
    return 0
