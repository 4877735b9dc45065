# SPDX-License-Identifier: Apache-2.0
"""A picture of 5 x 8 synthetic faces with their points: `python -m data.synthetic.contact_sheet OUT.png`."""

import argparse

import cv2
import numpy as np

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


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="PNG or JPEG file to write")
    parser.add_argument("--scheme", default="300w-68", choices=SCHEME_NAMES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="train")
    parser.add_argument("--first", type=int, default=0, help="index of the first face")
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--no_points", action="store_true")
    args = parser.parse_args()
    sheet = contact_sheet(args.scheme, args.seed, args.rows, args.columns, args.split, args.first, not args.no_points)
    if not cv2.imwrite(args.out, sheet):
        raise ValueError(f"{args.out}: cannot be written; check the folder and the ending (.png or .jpg)")


if __name__ == "__main__":
    main()
