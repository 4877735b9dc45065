# SPDX-License-Identifier: Apache-2.0
"""Speed on this machine, side by side in one run.

python -m barrel_jax.benchmark infer --models BarrelNet-18,BarrelNet-50 --batches 1,8 --impls jax,torch-eager
python -m barrel_jax.benchmark train --models BarrelNet-18 --batches 16 --impls jax,torch-eager,torch-dataloader
python -m barrel_jax.benchmark table4

The same weights and crops on both sides; their points are compared before anything is timed. Models are named as in
the paper: BarrelNet-50, Baseline-18-d5 (five decoders), Baseline-50-s8 (stride 8), Baseline-HRNet. Every row is in the
file of --out as soon as it is measured; an implementation that fails costs its own row, and the status is 1.
"""

import argparse
import sys
from pathlib import Path

from barrel_jax.command_line import Parser, words
from barrel_jax.devices.xla import share_gpu, tune_cpu


def _parser() -> Parser:
    parser = Parser("python -m barrel_jax.benchmark", __doc__)
    parser.add_argument("what", choices=("infer", "train", "table4"))
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cpu, and cuda where JAX has it")
    parser.add_argument("--models", type=words, default=["BarrelNet-18", "BarrelNet-50"], help="not for table4")
    parser.add_argument("--batches", type=words, help="not for table4 (default: 1,8 to infer, 16 to train)")
    parser.add_argument("--precisions", type=words, default=["float32"], help="float32, tf32, bfloat16")
    parser.add_argument("--impls", type=words, default=["jax", "torch-eager"], help="default: jax,torch-eager")
    parser.add_argument("--rounds", type=int, default=30, help="timed repeats of each (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=256, help="crop's side in pixels (default: %(default)s)")
    parser.add_argument("--landmarks", type=int, default=98, help="K (default: %(default)s, WFLW's)")
    parser.add_argument("--out", type=Path, help="write the measurements there, as JSON, and a PNG beside it")
    return parser


def benchmark(parser: Parser, args: argparse.Namespace, arguments: list[str] | None) -> int:
    """Measures what the command line asks for and reports it; returns the exit status."""
    tune_cpu()
    share_gpu()

    import jax

    from barrel_jax import paper, provenance
    from barrel_jax.benchmark import frameworks, infer, plot, report, rows, sides, train
    from barrel_jax.benchmark.ceilings import ceilings

    bench = train if args.what == "train" else infer
    for name, asked, known in (
        ("--impls", args.impls, train.IMPLEMENTATIONS if args.what == "train" else sides.IMPLEMENTATIONS),
        ("--precisions", args.precisions, frameworks.MATMUL),
    ):
        unknown = [word for word in asked if word not in known]
        if unknown or not asked:
            parser.error(f"{name} {','.join(asked)}: choose from {', '.join(known)}")
    args.batches = args.batches or (["16"] if args.what == "train" else ["1", "8"])
    if not all(batch.isdecimal() and int(batch) for batch in args.batches):
        parser.error(f"--batches {','.join(args.batches)}: positive numbers, such as 1,8,64")
    for name in ("rounds", "landmarks", "image_size"):
        if (number := getattr(args, name)) < 1:
            parser.error(f"--{name.replace('_', '-')} {number}: 1 or more")
    if not args.models:
        parser.error("--models: name some, such as BarrelNet-18")
    on_gpu = jax.default_backend() == "gpu"
    has_cpu = sides.host() is not None  # JAX_PLATFORMS=cuda has none
    there = ["cpu"] * (has_cpu and (not on_gpu or bench is infer)) + ["cuda"] * on_gpu
    devices = [args.device] if args.device else there
    if devices[0] not in there:
        remedies = {
            "cpu": "the step runs on JAX's default device: set JAX_PLATFORMS=cpu",
            "cuda": "JAX sees no GPU here; install barrel-jax[cuda13]",
        }
        parser.error(f"--device {devices[0]}: {remedies[devices[0]]}")
    models, batches = args.models, [int(batch) for batch in args.batches]
    if args.what == "table4":
        models, batches = list(paper.PAPER_FPS), [1]
    result = provenance.describe(args.what, "barrel_jax.benchmark", arguments)
    result |= {"image_size": args.image_size, "num_landmarks": args.landmarks, "finished": False, "rows": []}

    def save() -> None:
        if args.out:
            provenance.write(args.out, result)

    def keep(row: rows.Row) -> None:
        result["rows"].append(rows.to_json(row))
        save()

    more = {"models_in_turns": True} if args.what == "table4" else {}
    # In the order of the request; they were kept in the order in which they came.
    found = bench.measure(
        models,
        batches,
        args.precisions,
        args.impls,
        devices=devices,
        rounds=args.rounds,
        num_landmarks=args.landmarks,
        image_size=args.image_size,
        write=keep,
        **more,
    )
    result["rows"] = [rows.to_json(row) for row in found]
    if args.what == "infer":
        result["ceilings"] = [row for device in devices for row in ceilings(device, tuple(args.precisions))]
    if args.what == "table4":
        result["gains"] = infer.gains(found, paper.PAIRS)
    result["finished"] = True
    save()
    print(report.markdown(result))
    if args.out:
        plot.draw(result, args.out.with_suffix(".png"))
    if lost := rows.failed(found):
        print(f"{len(lost)} of {len(found)} rows failed:\n{report.failures(lost)}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.out and args.out.suffix.lower() == ".png":
        parser.error(
            f"--out {args.out}: the picture is written there; name the JSON file, {args.out.with_suffix('.json')}"
        )
    return parser.run(args, lambda: benchmark(parser, args, arguments))


if __name__ == "__main__":
    sys.exit(main())
