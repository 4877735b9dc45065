# SPDX-License-Identifier: Apache-2.0
"""The cost of boxes that are not the set's, and the gain of cropping again around the points found.

python -m benchmarks.boxes MODEL [--dataset coco --source DIR --split val] [--refines 0,1,2] [--out boxes-common]

The faces of a split are predicted from boxes made of their annotated points: the tight box, fitted as the run's set has
its boxes, then taller at the forehead, larger, smaller and shifted; and from the boxes of OpenCV's Haar cascade, of the
faces that it finds; with 0, 1 and 2 crops around the points found before, or as --refines says. Writes
benchmarks/results/OUT.json.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.evaluation.metrics import mean
from barrel_jax.evaluation.score import face_errors
from barrel_jax.faces.box_fit import BoxFit
from barrel_jax.faces.crop_windows import landmark_box
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.source import decode, open_split
from barrel_jax.predict.detectors import make_detector, overlaps
from barrel_jax.predict.predictor import Predictor
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.open_model import open_model
from benchmarks.scored_faces import parser_of, scored_faces

AT_ONCE = 64  # faces
# From a box x, y, w, h: how far the left, top, right and bottom edges go out, in its widths and heights.
CHANGES = {
    "tight": (0.0, 0.0, 0.0, 0.0),
    "25 % taller at the forehead": (0.0, 0.25, 0.0, 0.0),
    "1.3 times as large": (0.15, 0.15, 0.15, 0.15),
    "0.85 times as large": (-0.075, -0.075, -0.075, -0.075),
}
SHIFTS = (0.1, 0.15)  # in four directions, whose mean is taken
HAAR = "of OpenCV's Haar cascade"
FOUND = 0.3  # least overlap (intersection over union) of a detector's box with the tight box of the face it is of


def changed(boxes: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Boxes [n, 4] whose edges went out."""
    x, y, w, h = boxes.T
    return np.stack([x - left * w, y - top * h, w * (1 + left + right), h * (1 + top + bottom)], axis=1)


def variants(boxes: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The boxes of each case; several, where a mean over directions is meant."""
    found = {name: [changed(boxes, *edges)] for name, edges in CHANGES.items()}
    for share in SHIFTS:
        angles = [math.pi / 4 + quarter * math.pi / 2 for quarter in range(4)]
        moves = [(share * math.cos(angle), share * math.sin(angle)) for angle in angles]
        found[f"shifted by {100 * share:.0f} %"] = [changed(boxes, -dx, -dy, dx, dy) for dx, dy in moves]
    return found


def measure(
    model: str, fit: BoxFit | None, crops: FaceCrops, directory: Path, refines: Sequence[int]
) -> list[dict[str, Any]]:
    """A row for each case and number of crops around the points: NME in percent, and its ratio to the tight box's."""
    records = open_split(directory, crops.split)
    tight = np.array([landmark_box(p, seen) for p, seen in zip(crops.points_px, crops.labelled, strict=True)])
    boxes = tight if fit is None else fit.apply(tight)
    detected, found = detect(records, boxes)
    print(f"the detector finds {found.sum()} of {len(found)} faces")
    rows = []
    for refine in refines:
        predictor = Predictor.load(model, refine=refine)
        if predictor.refine < refine:
            break
        cases = variants(boxes) | {HAAR: [detected]}
        errors: dict[str, np.ndarray] = {}
        for name, some in cases.items():
            nmes = [face_errors(_predict(predictor, records, case), crops) for case in some]
            errors[name] = np.mean(nmes, axis=0)
            of = found if name == HAAR else np.ones(len(crops), bool)
            nme, tight_nme = mean(errors[name][of]), mean(errors["tight"][of])
            row = {"box": name, "refine": refine, "nme": 100 * nme, "ratio": nme / tight_nme, "faces": int(of.sum())}
            rows.append(row)
            print(row, flush=True)
    return rows


def detect(records: Any, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The detector's boxes [n, 4] in the stored regions of the faces, and which faces [n] it found.

    Where it finds a face nowhere near the box [n, 4], that box stands in its place.
    """
    haar, found, detected = make_detector("haar"), np.zeros(len(boxes), bool), boxes.copy()
    for number, box in enumerate(boxes):
        record = records[number]
        finds = haar(decode(record["image"], "a stored region"))
        finds[:, :2] += np.array(record["region"][:2], np.float64)
        near = overlaps(finds, box[None])[:, 0]
        if near.size and near.max() >= FOUND:
            found[number], detected[number] = True, finds[near.argmax()]
    return detected, found


def _predict(predictor: Predictor, records: Any, boxes: np.ndarray) -> np.ndarray:
    """Points [n, K, 2] in source pixels, from the stored regions of the faces."""
    found = []
    for start in range(0, len(boxes), AT_ONCE):
        part = boxes[start : start + AT_ONCE]
        some = [records[start + index] for index in range(len(part))]
        corners = np.array([record["region"][:2] for record in some], np.float64)
        images = [decode(record["image"], "a stored region") for record in some]
        inside = np.concatenate([part[:, :2] - corners, part[:, 2:]], axis=1)
        points = predictor.predict_batch(images, inside[:, None])
        found += [face[0] + corner for face, corner in zip(points, corners, strict=True)]
    return np.stack(found).astype(np.float32)


def main() -> None:
    """Measures and writes."""
    parser = parser_of(__doc__, "boxes-common")
    parser.add_argument("model", help="a run's folder, a packed model's file or a name")
    parser.add_argument("--refines", default="0,1,2", help="crops around the points (default: %(default)s)")
    args = parser.parse_args()
    result = describe("boxes", "benchmarks.boxes")
    run = open_model(args.model)
    crops, directory = scored_faces(run.config.data, run.scheme, args)
    rows = measure(args.model, run.box_fit, crops, directory, [int(count) for count in args.refines.split(",")])
    write(
        ROOT / "benchmarks" / "results" / f"{args.out}.json",
        result | {"dataset": crops.dataset, "split": crops.split, "partial": crops.partial, "rows": rows},
    )


if __name__ == "__main__":
    main()
