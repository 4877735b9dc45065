# SPDX-License-Identifier: Apache-2.0
"""The worth of a model's own doubt: sigma against the errors, and the score of faces against walls.

python -m benchmarks.doubt MODEL --walls FOLDER [--dataset coco --source DIR --split val] [--out doubt]

Faces of a split, cropped by their annotated boxes, and 500 windows of pictures without a face (any folder of such;
those here are the ones that come with scikit-image and scikit-learn). Writes benchmarks/results/OUT.json and OUT.png.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.source import decode, open_split
from barrel_jax.plotting import new_figure, pixels, write_picture
from barrel_jax.predict.face import Face, relative_sigma
from barrel_jax.predict.picture_files import read_picture
from barrel_jax.predict.predictor import Predictor
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.open_model import open_model
from benchmarks.scored_faces import parser_of, scored_faces

NOMINAL = (0.1, 0.25, 0.5, 0.68, 0.8, 0.9, 0.95)
BINS = 10
WALLS = 500
PATCH = 0.4  # side of what hides a part of a face, of its box's


def faces_of(
    predictor: Predictor, crops: FaceCrops, directory: Path, patch: float = 0.0
) -> tuple[list[Face], np.ndarray]:
    """The faces of a split in their annotated boxes, in pixels of the stored regions, and the regions' corners [n, 2].

    `patch`: a grey patch of that share of the box's sides hides a corner of it.
    """
    found, corners = [], []
    for number, record in enumerate(open_split(directory, crops.split)):
        corner, box = np.array(record["region"][:2], np.float64), np.array(record["box"], np.float64)
        image = decode(record["image"], "a stored region")
        inside = np.concatenate([box[:2] - corner, box[2:]])
        if patch:
            left, top, right, bottom = hidden(inside, number, patch).round().astype(int)
            image = image.copy()
            image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 128
        found += predictor.faces(image, inside[None])
        corners.append(corner)
    return found, np.array(corners)


def hidden(box: np.ndarray, number: int, patch: float) -> np.ndarray:
    """The patch on a face: left, top, right, bottom; in turns at the four corners of its box."""
    side = patch * box[2:]
    start = box[:2] + np.array([number % 2, number // 2 % 2]) * (box[2:] - side)
    return np.concatenate([start, start + side])


def walls_of(predictor: Predictor, folder: Path) -> list[Face]:
    """What the model makes of windows of pictures without a face, from 48 pixels to a half of the shorter side."""
    random = np.random.default_rng(0)
    pictures = [read_picture(path).upright for path in sorted(folder.iterdir())]
    found = []
    for _ in range(WALLS):
        image = pictures[random.integers(len(pictures))]
        height, width = image.shape[:2]
        side = random.uniform(48, max(min(height, width) / 2, 64))
        corner = random.uniform(0, 1, 2) * (np.array([width, height]) - side)
        found += predictor.faces(image, np.array([[*corner, side, side]]))
    return found


def auc(faces: np.ndarray, walls: np.ndarray) -> float:
    """The probability that a face scores higher than a wall (Mann and Whitney)."""
    ranks = rankdata(np.concatenate([faces, walls]))
    return float((ranks[: len(faces)].sum() - len(faces) * (len(faces) + 1) / 2) / (len(faces) * len(walls)))


def calibration(errors: np.ndarray, sigma: np.ndarray) -> dict[str, Any]:
    """Coverage of intervals, and errors by sigma.

    Args:
        errors: of points along both axes [n, K, 2], in pixels, NaN where not labelled.
        sigma: [n, K], in pixels.
    """
    scale = np.repeat((sigma / 2**0.5)[..., None], 2, axis=-1)
    seen = np.isfinite(errors)
    size, scale = np.abs(errors[seen]), scale[seen]
    coverage = [float((size <= -scale * np.log(1 - share)).mean()) for share in NOMINAL]
    order = np.array_split(np.argsort(scale), BINS)
    return {
        "nominal": list(NOMINAL),
        "coverage": coverage,
        "expected_px": [float(scale[part].mean()) for part in order],
        "observed_px": [float(size[part].mean()) for part in order],
        "rank_correlation": float(np.corrcoef(rankdata(scale), rankdata(size))[0, 1]),
    }


def draw(result: dict[str, Any], path: Path) -> None:
    """Coverage against nominal, expected against observed error, the two kinds of score."""

    figure = new_figure(1100, 360)
    left, middle, right = figure.subplots(1, 3)
    left.plot([0, 1], [0, 1], color="0.7")
    left.plot(result["nominal"], result["coverage"], "o-")
    left.set(xlabel="nominal coverage", ylabel="share of the errors inside")
    most = 1.05 * max(*result["expected_px"], *result["observed_px"])
    middle.plot([0, most], [0, most], color="0.7")
    middle.plot(result["expected_px"], result["observed_px"], "o-")
    middle.set(xlabel="expected error along an axis, px", ylabel="mean error, px")
    right.hist([result["face_scores"], result["wall_scores"]], bins=20, range=(0, 1), label=["faces", "walls"])
    right.set(xlabel="score", ylabel="faces, walls")
    right.legend()
    figure.tight_layout()
    write_picture(path, pixels(figure))


def main() -> None:
    """Measures and writes."""
    parser = parser_of(__doc__, "doubt")
    parser.add_argument("model", help="a run's folder, a packed model's file or a name; with uncertainty")
    parser.add_argument("--walls", type=Path, required=True, metavar="FOLDER", help="pictures without a face")
    args = parser.parse_args()
    result = describe("doubt", "benchmarks.doubt")
    run, predictor = open_model(args.model), Predictor.load(args.model)
    if not predictor.uncertain:
        parser.error(f"{args.model}: this model was not trained with model.uncertainty=True")
    crops, directory = scored_faces(run.config.data, run.scheme, args)
    faces, corners = faces_of(predictor, crops, directory)
    covered, _ = faces_of(predictor, crops, directory, PATCH)
    walls = walls_of(predictor, args.walls)
    found = np.array([face.points for face in faces]) + corners[:, None]
    errors = found - np.where(crops.labelled[..., None], crops.points_px, np.nan)
    sigma = np.array([face.sigma for face in faces])
    under = np.array([_under(face, number) for number, face in enumerate(faces)])
    change = np.array([face.sigma for face in covered]) / sigma
    scores = [[face.score for face in group] for group in (faces, walls)]
    result |= calibration(errors, sigma) | {
        "dataset": crops.dataset,
        "split": crops.split,
        "faces": len(faces),
        "walls": len(walls),
        "auc": auc(*map(np.array, scores)),
        "face_scores": scores[0],
        "wall_scores": scores[1],
        "sigma_under_a_patch": float(np.median(change[under])),
        "sigma_beside_it": float(np.median(change[~under])),
        "relative_sigma": [
            float(np.median([relative_sigma(face.points, face.sigma) for face in group])) for group in (faces, walls)
        ],
    }
    write(ROOT / "benchmarks" / "results" / f"{args.out}.json", result)
    draw(result, ROOT / "benchmarks" / "results" / f"{args.out}.png")
    print({name: value for name, value in result.items() if not name.endswith("scores")})


def _under(face: Face, number: int) -> np.ndarray:
    left, top, right, bottom = hidden(face.box, number, PATCH)
    x, y = face.points.T + 0.5
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


if __name__ == "__main__":
    main()
