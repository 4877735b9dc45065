# SPDX-License-Identifier: Apache-2.0
"""The faces that a script scores a model on: its own test split, or what --dataset, --source and --split name."""

import argparse
from pathlib import Path

from barrel_jax.config import DataConfig
from barrel_jax.evaluation.data_to_score import data_to_score
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.splits import load_split
from data.prepare import prepare_config


def parser_of(description: str | None, out: str) -> argparse.ArgumentParser:
    """A parser with those arguments, and --out, by default `out`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset")
    parser.add_argument("--source")
    parser.add_argument("--split")
    parser.add_argument("--out", default=out, help="name of the result (default: %(default)s)")
    return parser


def scored_faces(own: DataConfig, scheme: str, args: argparse.Namespace) -> tuple[FaceCrops, Path]:
    """The crops, and the folder of their set; of a published set also a part, and the result is to say so.

    Args:
        own: data settings of the model's run.
        scheme: of its points.
        args: the arguments of `parser_of`.
    """
    named = {"dataset": args.dataset, "source": args.source, "test_split": args.split}
    data = data_to_score(own, scheme, **named, allow_partial=True)
    directory = prepare_config(data)
    return load_split(data, directory, data.test_split), directory
