# SPDX-License-Identifier: Apache-2.0
"""Everything that is to be measured on a GPU, by one command that uses the minutes by itself.

python -m benchmarks.gpu --minutes 9 --out DIR --part speed
python -m benchmarks.gpu --minutes 9 --out DIR --part accuracy --pack w300.npz [--real own.npz] [--start FILE]
python -m benchmarks.gpu --rehearse --minutes 9 --out DIR     # tiny sizes, the same code, without a GPU
python -m benchmarks.gpu pack --source W300 --out w300.npz    # where 300W is
python -m benchmarks.gpu start RUN --out BACKBONE.safetensors  # a run's backbone, small enough to travel
python -m benchmarks.gpu report DIR                           # results into benchmarks/results, tables, plots

--only PREFIX[,PREFIX...] does those steps of the part alone whose names start so, and what they need: --only train,xla.

Steps go in order of worth; one that would not end in time is skipped, one that fails costs itself alone, what lies in
DIR is not measured again. DIR/log.txt says what was done, skipped and why. Needs no network.
"""

import argparse
import importlib
import sys
from pathlib import Path

from barrel_jax.command_line import words
from barrel_jax.provenance import usable_cores
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.parts import PARTS, select, steps_of
from benchmarks.gpu.programme import Programme
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.turn import SHARING
from benchmarks.gpu.worker import CORES

LANES = 4  # processes at a time, where there are cores for them


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="that the command may take")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--part", choices=PARTS, help="default: speed, then accuracy where there is a --pack")
    parser.add_argument(
        "--only", type=words, default=[], metavar="PREFIX,...", help="steps whose names start so, and what they need"
    )
    parser.add_argument("--pack", type=Path, metavar="FILE", help="faces of the accuracy part, made with pack")
    parser.add_argument("--real", type=Path, metavar="FILE", help="further real faces with 300W's points, as a pack")
    parser.add_argument("--lanes", type=int, help="processes at a time (default: one for four cores, at most four)")
    parser.add_argument(
        "--sharing", type=int, default=SHARING, help="trainings on the device at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="backbone to start from, torchvision's names (default: drawn faces)"
    )
    parser.add_argument(
        "--optimiser",
        choices=("scratch", "paper"),
        default="scratch",
        help="scratch: configs/coco.py's; paper: for a --start of ImageNet weights (default: %(default)s)",
    )
    parser.add_argument("--scratch", type=Path, default=Path("runs/gpu"), help="checkpoints (default: %(default)s)")
    parser.add_argument("--archive", type=Path, metavar="FILE.zip", help="all of DIR as one file, written ever anew")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, for a machine without a GPU")
    return parser


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def run(arguments: list[str]) -> int:
    """Measures; exit status 1 when a step failed."""
    parser = _parser()
    args = parser.parse_args(arguments)
    for name, file in (("--pack", args.pack), ("--real", args.real), ("--start", args.start)):
        if file and not file.is_file():
            parser.error(f"{name} {file}: no such file")
    if not args.pack and not args.rehearse and args.part != "speed":
        if args.part == "accuracy":
            parser.error("--part accuracy needs --pack FILE; make it where 300W is: python -m benchmarks.gpu pack")
        print("no --pack: the speed part alone")
        args.part = "speed"
    lanes = args.lanes or min(LANES, max(usable_cores() // CORES, 1))
    clock = Clock(60 * args.minutes)
    failed = False
    for part in [args.part] if args.part else PARTS:
        settings = Settings(
            part=part,
            out=_absolute(args.out),
            scratch=_absolute(args.scratch),
            pack=_absolute(args.pack),
            real=_absolute(args.real),
            start=_absolute(args.start),
            optimiser=args.optimiser,
            rehearse=args.rehearse,
            command=tuple(arguments),
            sharing=args.sharing,
        )
        try:
            steps = select(steps_of(settings), args.only)
        except ValueError as error:
            parser.error(f"--only: {error}")
        archive = args.archive.absolute() if args.archive else None
        programme = Programme(settings, steps, clock, lanes, archive)
        failed |= any(state["state"] == "failed" for state in programme.run().values())
        if programme.stopped:
            break
    return int(failed)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] and arguments[0] in ("pack", "start", "report"):
        return importlib.import_module(f"benchmarks.gpu.{arguments[0]}").main(arguments[1:])
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
