# SPDX-License-Identifier: Apache-2.0
"""The picture at the top of the README: faces that the project draws, and the points that a run finds in them.

python -m benchmarks.front_picture RUN --faces 3 7 11 19 30 41

Writes docs/pictures/front.png.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection

from barrel_jax import files
from barrel_jax.config import DataConfig
from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.input.splits import load_split
from barrel_jax.plotting import PREDICTED, new_figure, pixels, write_picture
from barrel_jax.provenance import ROOT
from barrel_jax.training.trained import TrainedRun
from data.prepare import prepare_config

OUT = ROOT / "docs" / "pictures" / "front.png"
TILE, GAP, FACES = 190, 6, 6  # pixels of a face and between two; faces beside each other
DRAWN = 64  # test faces to choose from


def draw(images: np.ndarray, points_unit: np.ndarray, contours: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Crops [n, S, S, 3] above the same with their points [n, K, 2] in crop units: RGB uint8 [H, W, 3]."""
    width, height = len(images) * (TILE + GAP) - GAP, 2 * TILE + GAP
    figure = new_figure(width, height)
    for column, (image, points) in enumerate(zip(images, points_unit, strict=True)):
        for row in range(2):
            place = (column * (TILE + GAP) / width, (1 - row) * (TILE + GAP) / height, TILE / width, TILE / height)
            axes = figure.add_axes(place, xlim=(0, 1), ylim=(1, 0))
            axes.set_axis_off()
            axes.imshow(image, extent=(0, 1, 1, 0), interpolation="bicubic")
            if row:
                lines = [points[list(contour)] for contour in contours]
                axes.add_collection(LineCollection(lines, colors=PREDICTED, linewidths=1.0, alpha=0.9))
                axes.scatter(*points.T, s=np.full(len(points), 9), c=PREDICTED, edgecolors="black", linewidths=0.3)
    return pixels(figure)


def main() -> None:
    """Predicts and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--faces", type=int, nargs=FACES, default=range(FACES), help=f"of {DRAWN} (default: the first)")
    given = parser.parse_args()
    run, chosen = TrainedRun.open(given.run), np.array(given.faces)
    data = DataConfig(scheme=run.scheme, image_size=run.config.data.image_size, synthetic_train=1, synthetic_test=DRAWN)
    crops, large = (load_split(part, prepare_config(part), "test") for part in (data, replace(data, image_size=256)))
    points = px_to_unit(run.predict(crops)[chosen], crops.windows[chosen])
    files.write(OUT, lambda path: write_picture(path, draw(large.images[chosen], points, crops.scheme.contours)))
    print(OUT)


if __name__ == "__main__":
    main()
