# SPDX-License-Identifier: Apache-2.0
"""A picture of 5 x 8 synthetic faces with their points: `python -m data.synthetic.contact_sheet OUT.png`."""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from barrel_jax import files
from barrel_jax.command_line import Parser
from data.synthetic.landmarks import SCHEME_NAMES
from data.synthetic.sample import sample_face

TILE = 224


def draw_tile(record: dict, points: bool) -> np.ndarray:
    """The record's picture, enlarged to [TILE, TILE, 3] uint8 BGR.

    Visible points green, hidden ones red, the box yellow.
    """
    picture = cv2.imdecode(np.frombuffer(record["image"], np.uint8), cv2.IMREAD_COLOR)
    scale = TILE / picture.shape[0]
    tile = cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    if points:
        for (x, y), visible in zip((record["points"] + 0.5) * scale - 0.5, record["visible"], strict=True):
            cv2.circle(
                tile,
                (round(x * 16), round(y * 16)),
                22,
                (0, 255, 0) if visible == 2 else (0, 0, 255),
                -1,
                cv2.LINE_AA,
                4,
            )
        x, y, w, h = np.rint(record["box"] * scale).astype(int).tolist()
        cv2.rectangle(tile, (x, y), (x + w, y + h), (0, 220, 220), 1)
    return tile


def contact_sheet(scheme: str, seed: int, rows: int, columns: int, split: str, first: int, points: bool) -> np.ndarray:
    """Faces first .. first + rows * columns of a split: [rows * TILE, columns * TILE, 3] uint8 BGR."""
    tiles = [draw_tile(sample_face(seed, split, first + i, scheme), points) for i in range(rows * columns)]
    return np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])


def draw(args: argparse.Namespace) -> None:
    """Draws and writes what the command line asks for."""
    if not cv2.haveImageWriter(str(args.out)):
        raise ValueError(f"{args.out}: pictures of this ending cannot be written; name a .png or .jpg file")
    sheet = contact_sheet(args.scheme, args.seed, args.rows, args.columns, args.split, args.first, not args.no_points)
    files.write_bytes(args.out, cv2.imencode(args.out.suffix, sheet)[1].tobytes())


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser("python -m data.synthetic.contact_sheet", __doc__)
    parser.add_argument("out", type=Path, help="PNG or JPEG file to write")
    parser.add_argument("--scheme", default="300w-68", choices=SCHEME_NAMES, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which faces are drawn (default: %(default)s)")
    parser.add_argument("--split", default="train", help="(default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="index of the first face (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--columns", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--no-points", action="store_true", help="leave out the points and the box")
    args = parser.parse_args(arguments)
    for name, least in (("rows", 1), ("columns", 1), ("seed", 0), ("first", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name} {getattr(args, name)}: {least} or more")
    return parser.run(args, lambda: draw(args))


if __name__ == "__main__":
    sys.exit(main())
