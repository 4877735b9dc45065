# SPDX-License-Identifier: Apache-2.0
"""Lays several evaluations of the same split beside each other.

python -m barrel_jax.compare runs/a/eval/wflw-test runs/b/eval/wflw-test [--names a,b] [--out DIR] [--report FILE]

Prints every score and the paired difference of every evaluation from the first, with its 95 % bootstrap interval and
the p-value of a sign-flip permutation test, for the whole split and for each subset. --out writes compare.json and the
cumulative error curves of all of them, compare.png. --report writes all of it as one page to open in a browser.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from barrel_jax import files
from barrel_jax.command_line import Parser, words
from barrel_jax.evaluation.comparison import Comparison, Evaluation, compare, default_names, read_evaluation, table
from barrel_jax.evaluation.error_curves import draw_error_curves
from barrel_jax.plotting import write_picture


def lay_beside(args: argparse.Namespace, names: list[str]) -> None:
    """Prints the comparison of the evaluations and writes it to `--out`."""
    evaluations = [read_evaluation(path, name) for path, name in zip(args.directories, names, strict=True)]
    comparison = compare(evaluations)
    print(table(comparison))
    if args.report:
        # These tell JAX's devices and versions, and importing it takes a second that a comparison need not wait for.
        from barrel_jax.report.page import write_page
        from barrel_jax.report.several import comparison_report

        write_page(args.report, comparison_report(evaluations, comparison))
        print(f"\n{args.report}")
    if args.out is None:
        if not args.report:
            print("\nnothing is written without --out or --report")
        return
    files.write_json(args.out / "compare.json", files.plain(comparison))
    print(f"\n{args.out / 'compare.json'}")
    for line in _write_curves(args.out / "compare.png", evaluations, comparison):
        print(line)


def _write_curves(path: Path, evaluations: Sequence[Evaluation], comparison: Comparison) -> list[str]:
    """Draws the error curves of the evaluations that have scores; returns what is to be said of it."""
    curves = {one.name: one.nmes for one in evaluations if np.isfinite(one.nmes).any()}
    lines = [
        f"no error curve of {one.name}: no face has a score; is {comparison.normalised_by} known of any face?"
        for one in evaluations
        if one.name not in curves
    ]
    if not curves:
        path.unlink(missing_ok=True)  # of an earlier comparison
        return lines
    title = f"Cumulative error: {comparison.dataset} {comparison.split}"
    picture = draw_error_curves(curves, comparison.normalised_by, title)
    files.write(path, lambda temporary: write_picture(temporary, picture))
    return [str(path), *lines]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser("python -m barrel_jax.compare", __doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="EVAL_DIR", help="folder that evaluate.py wrote")
    parser.add_argument("--names", type=words, help="names for them, separated by commas; their workdirs' by default")
    parser.add_argument("--out", type=Path, help="folder for compare.json and compare.png")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the comparison as one HTML page")
    args = parser.parse_args(arguments)
    names = args.names or default_names(args.directories)
    if not len(names) == len(set(names)) == len(args.directories) or len(names) < 2:
        parser.error("give two evaluations at least, and as many different names (--names a,b) if any")
    return parser.run(args, lambda: lay_beside(args, names))


if __name__ == "__main__":
    sys.exit(main())
