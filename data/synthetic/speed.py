# SPDX-License-Identifier: Apache-2.0
"""Synthetic faces per second on one core, JPEG included: `python -m data.synthetic.speed [--faces 400]`."""

import argparse
import time

import cv2

from data.synthetic.landmarks import SCHEME_NAMES
from data.synthetic.sample import sample_face


def faces_per_second(scheme: str, faces: int) -> float:
    """Speed of drawing `faces` faces, by this process's own time, so that a busy machine does not count."""
    cv2.setNumThreads(1)
    sample_face(0, "train", 0, scheme)
    start = time.process_time()
    for index in range(faces):
        sample_face(0, "train", index, scheme)
    return faces / (time.process_time() - start)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=400)
    parser.add_argument("--scheme", default="300w-68", choices=SCHEME_NAMES)
    args = parser.parse_args()
    print(f"{faces_per_second(args.scheme, args.faces):.0f} faces/s on one core")


if __name__ == "__main__":
    main()
