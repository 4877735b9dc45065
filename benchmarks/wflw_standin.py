# SPDX-License-Identifier: Apache-2.0
"""A full-size stand-in for WFLW: synthetic faces pasted into large photographs, in WFLW's own files and lists.

python -m benchmarks.wflw_standin DIR

writes 6,551 JPEGs of about 1,024 px with 7,500 + 2,500 faces of 98 points to DIR: what `data.prepare wflw` has to cope
with, without the download.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data.synthetic.sample import sample_face

IMAGES, TRAIN, TEST = 6551, 7500, 2500
EVENTS = ("0--Parade", "7--Cheering", "12--Group", "36--Football")  # four of WIDER FACE's folders


def draw_photograph(folder: str, number: int, faces: list[int]) -> list[str]:
    """Writes image `number` with the faces of these numbers side by side, and returns their lines of the lists."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(number)
    height, width = int(rng.integers(600, 1100)), 1024
    coarse = rng.integers(0, 256, (height // 64, width // 64, 3), np.uint8)
    photo = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    photo = cv2.add(photo, rng.integers(0, 24, photo.shape, np.uint8))
    name = f"{EVENTS[number % len(EVENTS)]}/{EVENTS[number % len(EVENTS)].split('--')[1]}_{number}.jpg"
    lines, column = [], width // len(faces)
    for place, face in enumerate(faces):
        drawn = sample_face(0, "standin", face, "wflw-98")
        pixels = cv2.imdecode(np.frombuffer(drawn["image"], np.uint8), cv2.IMREAD_COLOR)
        side = int(rng.integers(110, min(column, height) - 2))
        scale = side / len(pixels)
        x = place * column + int(rng.integers(0, column - side))
        y = int(rng.integers(0, height - side))
        photo[y : y + side, x : x + side] = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)
        points = (drawn["points"] + 0.5) * scale - 0.5 + (x, y)
        box = drawn["box"] * scale + (x, y, 0, 0)
        rect = np.rint([*box[:2], *(box[:2] + box[2:])]).astype(int)
        lines.append(
            " ".join([*(f"{v:.6f}" for v in points.ravel()), *map(str, rect), *map(str, drawn["flags"]), name])
        )
    path = Path(folder) / "WFLW_images" / name
    path.write_bytes(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return lines


def make(folder: Path, images: int, train: int, test: int) -> None:
    """Draws the images and writes the two lists; the first images hold two faces, so that all faces have a place."""
    for event in EVENTS:
        (folder / "WFLW_images" / event).mkdir(parents=True, exist_ok=True)
    lists = folder / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True, exist_ok=True)
    faces = [list(range(number, train + test, images)) for number in range(images)]
    with ProcessPoolExecutor() as pool:
        drawn = pool.map(draw_photograph, [str(folder)] * images, range(images), faces, chunksize=16)
        lines = [line for photo in tqdm(drawn, total=images, desc="stand-in", unit="image") for line in photo]
    # As in WFLW, the faces of an image may lie in both lists.
    order = np.random.default_rng(0).permutation(len(lines))
    for split, rows in (("train", order[:train]), ("test", order[train:])):
        (lists / f"list_98pt_rect_attr_{split}.txt").write_text("".join(lines[row] + "\n" for row in rows))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in (("images", IMAGES), ("train", TRAIN), ("test", TEST)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default: %(default)s")
    args = parser.parse_args()
    make(args.folder, args.images, args.train, args.test)


if __name__ == "__main__":
    main()
