# SPDX-License-Identifier: Apache-2.0
"""The picture at the top of the README: faces that the project draws, the points found in them, and barrels.

python -m benchmarks.front_picture --faces 4 24 9 32 40 60 --caption "What the barrels are of."

The barrels are those of benchmarks/results/barrel.json. Writes docs/pictures/front.png.
"""

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import numpy as np
from matplotlib.collections import LineCollection

from barrel_jax import files
from barrel_jax.config import DataConfig
from barrel_jax.input.splits import load_split
from barrel_jax.models.inference import make_inference
from barrel_jax.plotting import MUTED, PREDICTED, new_figure, pixels, write_picture
from barrel_jax.provenance import ROOT
from barrel_jax.reproduce.barrel.comparison import Model, ModelComparison
from barrel_jax.reproduce.barrel.picture import draw_barrel
from barrel_jax.training.open_model import open_model
from data.prepare import prepare_config

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARRELS = ROOT / "benchmarks" / "results" / "barrel.json"
MODELS = ["Baseline, six decoders", "BarrelNet"]
OUT = ROOT / "docs" / "pictures" / "front.png"
TILE, GAP, FACES = 190, 6, 6  # pixels of a face and between two; faces beside each other
DRAWN = 64  # test faces to choose from
WIDTH = FACES * (TILE + GAP) - GAP
TALL, FOOT = 440, 30  # height of the barrels, and of the caption below them
LOW = TALL + FOOT
HEIGHT = 2 * TILE + GAP + LOW


def draw(
    images: np.ndarray,
    points_unit: np.ndarray,
    contours: tuple[tuple[int, ...], ...],
    models: list[Model],
    caption: str,
) -> np.ndarray:
    """Crops [n, S, S, 3] above the same with their points [n, K, 2] in crop units, barrels of `models` below, and a
    caption: RGB uint8 [HEIGHT, WIDTH, 3].
    """
    figure = new_figure(WIDTH, HEIGHT)
    draw_faces(figure, images, points_unit, contours)
    for column, model in enumerate(models):
        draw_barrel(figure, (column / len(models), FOOT / HEIGHT, 1 / len(models), TALL / HEIGHT), model)
    figure.text(0.5, FOOT / 2 / HEIGHT, caption, fontsize=11, color=MUTED, ha="center", va="center")
    return pixels(figure)


def draw_faces(
    figure: "Figure", images: np.ndarray, points_unit: np.ndarray, contours: tuple[tuple[int, ...], ...]
) -> None:
    """Crops above the same with their points, at the top of the figure."""
    for column, (image, points) in enumerate(zip(images, points_unit, strict=True)):
        for row in range(2):
            left, bottom = column * (TILE + GAP), LOW + (1 - row) * (TILE + GAP)
            place = left / WIDTH, bottom / HEIGHT, TILE / WIDTH, TILE / HEIGHT
            axes = figure.add_axes(place, xlim=(0, 1), ylim=(1, 0))
            axes.set_axis_off()
            axes.imshow(image, extent=(0, 1, 1, 0), interpolation="bicubic")
            if row:
                lines = [points[list(contour)] for contour in contours]
                axes.add_collection(LineCollection(lines, colors=PREDICTED, linewidths=1.0, alpha=0.9))
                axes.scatter(*points.T, s=np.full(len(points), 9), c=PREDICTED, edgecolors="black", linewidths=0.3)


def main() -> None:
    """Predicts and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", help="a run's folder or a model's name (%(default)s)")
    parser.add_argument("--faces", type=int, nargs=FACES, default=range(FACES), help=f"of {DRAWN} (default: the first)")
    parser.add_argument("--barrels", nargs="+", default=MODELS, metavar="NAME", help="of models (%(default)s)")
    parser.add_argument("--caption", default="", help="below the barrels")
    args = parser.parse_args()
    by_name = {model.name: model for model in ModelComparison.from_json(json.loads(BARRELS.read_text())).models}
    run, chosen = open_model(args.model), np.array(args.faces)
    data = DataConfig(scheme=run.scheme, image_size=run.config.data.image_size, synthetic_train=1, synthetic_test=DRAWN)
    crops, large = (load_split(part, prepare_config(part), "test") for part in (data, replace(data, image_size=256)))
    predict, weights = make_inference(run.config.model, run.num_landmarks, run.variables)
    points = np.asarray(jax.jit(predict)(weights, crops.images[chosen]))
    models = [by_name[name] for name in args.barrels]
    picture = draw(large.images[chosen], points, crops.scheme.contours, models, args.caption)
    files.write(OUT, lambda path: write_picture(path, picture))
    print(OUT)


if __name__ == "__main__":
    main()
