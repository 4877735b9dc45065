# SPDX-License-Identifier: Apache-2.0
"""Writes a run's model as files that are read without tracing, or without this project.

python -m barrel_jax.export WORKDIR [--checkpoint best] [--formats stablehlo,executable,onnx] [--out DIR]
    [--web DIR]

Images uint8 [B, S, S, 3] (RGB crops) to points float32 [B, K, 2] in crop units, weights inside: model.stablehlo (any
batch; CPU, CUDA, TPU), model-1.executable (compiled for this machine, one image), model.onnx (any batch). With the crop
inside, an image uint8 [H, W, 3] and boxes float32 [n, 4] to points float32 [n, K, 2] in its pixels:
model-image.stablehlo and model-image.onnx, which run_stablehlo.py and run_onnx.py run where this project is not.
Each is checked against the Flax model; manifest.json says what they are. `barrel_jax.export.load` reads those of crops.
--web writes a page that finds points in a browser. --rank R gives DQInit's and QAMem's weights a rank, without
training, and says what that costs in NME where python evaluate.py --workdir RUN --rank R has measured it. --formats
packed writes one file of 8-bit weights, model.npz, which Predictor.load reads as it reads a run.
"""

import argparse
import shlex
import sys
from pathlib import Path

from barrel_jax.command_line import Parser, words
from barrel_jax.devices.xla import tune_cpu


def export_run(args: argparse.Namespace) -> None:
    """Writes what the command line asks for and says how far each file is off."""
    if args.web and "onnx" not in args.formats:
        raise ValueError(f"--web={args.web}: the page needs --formats onnx")
    tune_cpu()

    from barrel_jax.export.write import FORMATS, PACKED, export
    from barrel_jax.models.packed import SUFFIX, Packed, pack
    from barrel_jax.training.open_model import open_model

    if unknown := [name for name in args.formats if name not in (*FORMATS, PACKED)]:
        raise ValueError(f"formats {','.join(unknown)!r}: choose from {', '.join((*FORMATS, PACKED))}")
    trained = open_model(args.workdir, args.checkpoint)
    if isinstance(trained, Packed):
        if not args.out:
            raise ValueError(f"{args.workdir}: this model is a file, so give the folder that is written with --out")
        if args.rank or PACKED in args.formats:
            raise ValueError(f"{args.workdir}: this model is packed; --rank and --formats {PACKED} are for a run")
    elif args.rank:
        trained = trained.at_rank(args.rank)
        print(rank_costs(args.workdir, args.checkpoint, trained.step, args.rank))
    out = args.out or args.workdir / "export"
    formats = [name for name in args.formats if name != PACKED]
    if len(formats) < len(args.formats):
        file = out / f"model{SUFFIX}"
        size = pack(file, trained.config, trained.facts, trained.variables)
        print(f"{file}: {size / 1e6:.1f} MB; Predictor.load({str(file)!r})")
        if not formats:
            return
    about = export(trained, out, formats, [int(batch) for batch in args.batches])
    for name, entry in about["files"].items():
        if "largest_difference" not in entry:
            print(f"{out / name}: runs the image form, without this project")
            continue
        difference = entry["largest_difference"]
        print(f"{out / name}: {entry['bytes'] / 1e6:.1f} MB, at most {difference:.1e} of the crop off Flax's points")
        if name.endswith(".executable"):
            print(f"  trusted like code, loaded with sha256={entry['sha256']}")
    if args.web:
        from barrel_jax.export.webpage import write_page

        write_page(out, args.web)
        served = shlex.quote(str(args.web))
        print(f"{args.web}: a page; python -m http.server -d {served}, then http://localhost:8000")


def rank_costs(workdir: Path, checkpoint: str, step: int, rank: int) -> str:
    """What a rank costs on each split where evaluate.py measured it, a line each; the command that does, where none is.

    Args:
        workdir: of the run.
        checkpoint: as the command line names it.
        step: of that checkpoint.
        rank: of DQInit's and QAMem's weights.

    Raises:
        ValueError: what was measured is damaged (`read_rank_costs`).
    """
    from barrel_jax.evaluation.rank_cost import read_rank_costs
    from barrel_jax.evaluation.score_table import rank_cost

    costs = read_rank_costs(workdir, rank, step)
    if costs:
        return "\n".join(f"{cost.dataset} {cost.split}, step {step}: {rank_cost(cost)}" for cost in costs)
    command = ["python", "evaluate.py", "--workdir", str(workdir), "--rank", str(rank)]
    command += ["--checkpoint", checkpoint] if checkpoint != "latest" else []
    return f"at rank {rank} the error of step {step} is not measured yet: {shlex.join(command)}"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser("python -m barrel_jax.export", __doc__)
    parser.add_argument("workdir", type=Path, help="folder of the run, a packed model's file, or its name (small)")
    parser.add_argument("--checkpoint", default="latest", help="latest, best or a saved step (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for the files (default: WORKDIR/export)")
    parser.add_argument("--web", type=Path, metavar="DIR", help="folder for a page that finds points in a browser")
    formats = ["stablehlo", "executable", "onnx"]
    parser.add_argument("--formats", type=words, default=formats, help=f"and packed (default: {','.join(formats)})")
    parser.add_argument("--rank", type=int, default=0, help="of DQInit's and QAMem's weights (default: what they have)")
    parser.add_argument("--batches", type=words, default=["1"], help="of the executables (default: 1)")
    args = parser.parse_args(arguments)
    if not all(batch.isdecimal() and int(batch) for batch in args.batches):
        parser.error(f"--batches {','.join(args.batches)}: positive numbers, such as 1,8")
    return parser.run(args, lambda: export_run(args))


if __name__ == "__main__":
    sys.exit(main())
