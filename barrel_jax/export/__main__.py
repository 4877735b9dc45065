# SPDX-License-Identifier: Apache-2.0
"""Writes a run's model as files that are read without tracing, or without this project.

python -m barrel_jax.export WORKDIR [--checkpoint best] [--formats stablehlo,executable,onnx] [--out DIR]

Images uint8 [B, S, S, 3] (RGB crops) to points float32 [B, K, 2] in crop units, weights inside: model.stablehlo (any
batch; CPU, CUDA, TPU), model-1.executable (compiled for this machine, one image), model.onnx (any batch). Each is
checked against the Flax model; manifest.json says what they are. `barrel_jax.export.load` reads them.
"""

import argparse
import sys
from pathlib import Path

from barrel_jax.devices.xla import tune_cpu


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m barrel_jax.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdir", type=Path, help="folder of the run")
    parser.add_argument("--checkpoint", default="latest", help="latest, best or a saved step (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for the files (default: WORKDIR/export)")
    parser.add_argument("--formats", type=_words, default=["stablehlo", "executable", "onnx"], help="default: all")
    parser.add_argument("--batches", type=_words, default=["1"], help="of the executables (default: 1)")
    given = parser.parse_args(arguments)
    if not all(batch.isdecimal() and int(batch) for batch in given.batches):
        parser.error(f"--batches {','.join(given.batches)}: positive numbers, such as 1,8")
    tune_cpu()

    from absl import logging

    from barrel_jax.export.write import export
    from barrel_jax.training.trained import TrainedRun

    logging.set_verbosity(logging.WARNING)  # orbax tells its every step otherwise
    out = given.out or given.workdir / "export"
    try:
        trained = TrainedRun.open(given.workdir, given.checkpoint)
        about = export(trained, out, given.formats, [int(batch) for batch in given.batches])
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    for name, entry in about["files"].items():
        difference = entry["largest_difference"]
        print(f"{out / name}: {entry['bytes'] / 1e6:.1f} MB, at most {difference:.1e} of the crop off Flax's points")
    return 0


if __name__ == "__main__":
    sys.exit(main())
