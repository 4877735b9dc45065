# SPDX-License-Identifier: Apache-2.0
"""The attention of a chosen landmark's query, on some of the worst and of the typical faces."""

import base64

import cv2
import numpy as np
from jaxtyping import Float

from barrel_jax.evaluation.predictions import face_name
from barrel_jax.faces.landmarks import REGIONS, SCHEMES
from barrel_jax.input.crops import FaceCrops
from barrel_jax.report.faces import face_view, worst_first
from barrel_jax.report.markup import Markup, data, element, joined
from barrel_jax.training.trained import TrainedRun

EACH, CELLS = 4, 24  # faces of each kind; cells of a map's side that are kept
WORDS = (
    "Red is where the landmark's query looked: the weights of the last decoder layer's cross-attention, mean over "
    "its heads, each map as a share of its largest cell. The dot is the predicted point."
)


def chosen_faces(nmes: Float[np.ndarray, " n"]) -> dict[int, str]:
    """The faces whose attention is shown, and what they are of the set."""
    order = worst_first(nmes)[: max(int(np.isfinite(nmes).sum()), 1)]
    middle = max(len(order) // 2 - EACH // 2, 0)
    typical = dict.fromkeys(map(int, order[middle : middle + EACH]), "typical")
    return dict.fromkeys(map(int, order[:EACH]), "among the worst") | {
        face: words for face, words in typical.items() if face not in order[:EACH]
    }


def attention(run: TrainedRun, crops: FaceCrops, nmes: Float[np.ndarray, " n"]) -> Markup:
    """Faces under a landmark's attention, and the choice of the landmark; a sentence for a model without decoder.

    Args:
        run: the model that predicted.
        crops: the faces that it saw.
        nmes: their errors, fractions, NaN without a score.
    """
    if not run.config.model.decoder_layers:
        words = "This model has no decoder, and so no attention: its points are read from the mean of the features."
        return element("p", words, class_="note")
    chosen = chosen_faces(nmes)
    images = crops.images[np.array(list(chosen))]
    points, maps = run.attention(images)
    scheme, small = SCHEMES.get(run.scheme, crops.scheme), pooled(maps)
    largest = small.max((2, 3), keepdims=True)
    figures = []
    for place, (face, kind) in enumerate(chosen.items()):
        view = face_view(images[place], points[place], None, np.zeros(len(points[place]), bool), scheme)
        name = face_name(crops, face)
        error = f"NME {100 * nmes[face]:.2f} %" if np.isfinite(nmes[face]) else "no score"
        caption = element("strong", f"{error}, {kind}"), element("span", name, class_="file"), element("output")
        figures.append(element("figure", view, element("figcaption", caption)))
    regions = {point: name for name, of in REGIONS.get(run.scheme, {}).items() for point in of}
    first = next(iter(scheme.normaliser.points), 0)  # an eye's corner, where that is known
    options = [
        element("option", f"{point} {regions.get(point, '')}".strip(), value=point, selected=point == first)
        for point in range(maps.shape[1])
    ]
    shades = np.round(255 * small / np.maximum(largest, 1e-12)).astype(np.uint8)
    content = {
        "side": small.shape[2],
        "maps": [base64.b64encode(face.tobytes()).decode() for face in shades],
        "largest": np.round(100 * largest[..., 0, 0].astype(float), 1).tolist(),
        "points": np.round(points.astype(float), 4).tolist(),
    }
    return joined(
        element("p", WORDS, class_="note"),
        element(
            "div",
            element("p", element("label", "Landmark ", element("select", options)), " or click on a face, near it."),
            element("div", figures, class_="grid"),
            data(content),
            class_="attention",
        ),
    )


def pooled(maps: Float[np.ndarray, "B K h w"]) -> Float[np.ndarray, "B K h2 w2"]:
    """Maps of at most `CELLS` cells a side, each the sum over what it covers, so that a map still sums to 1."""
    batch, landmarks, side, _ = maps.shape
    if side <= CELLS:
        return maps
    flat = maps.reshape(-1, side, side).astype(np.float32)
    means = np.stack([cv2.resize(one, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for one in flat])
    return means.reshape(batch, landmarks, CELLS, CELLS) * (side / CELLS) ** 2
