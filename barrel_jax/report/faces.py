# SPDX-License-Identifier: Apache-2.0
"""Faces with their predicted and true points, to switch on and off and to enlarge."""

import base64

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from barrel_jax.evaluation.predictions import face_name
from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.input.crops import FaceCrops
from barrel_jax.report.markup import Content, Markup, element, joined

WORST, QUALITY, SIDE = 30, 85, 256  # faces; of JPEG; the largest side of a picture in pixels
LAYERS = {"true": "true points", "predicted": "predicted points", "error": "errors", "contour": "contours"}


def worst_first(nmes: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The faces in the order of their errors, the largest first and those without a score last."""
    return np.argsort(-np.nan_to_num(nmes, nan=-1.0), kind="stable")


def worst_faces(
    crops: FaceCrops, points_px: Float[np.ndarray, "n K 2"], errors: Float[np.ndarray, "n K"],
    nmes: Float[np.ndarray, " n"],
) -> Markup:  # fmt: skip
    """The faces with the largest errors as pictures.

    Args:
        crops: the truth with its pixels.
        points_px: predicted points in source pixels.
        errors: of each point, fractions, NaN where it has none.
        nmes: the faces' errors, fractions.
    """
    chosen = worst_first(nmes)[:WORST]
    figures = []
    for face, image in zip(map(int, chosen), crops.images[chosen], strict=True):
        window = crops.windows[face : face + 1]
        view = face_view(
            image,
            px_to_unit(points_px[face : face + 1], window)[0],
            px_to_unit(crops.points_px[face : face + 1], window)[0],
            crops.labelled[face],
            crops.scheme,
        )
        name, score = face_name(crops, face), "no score"
        if np.isfinite(nmes[face]):
            point = int(np.nanargmax(errors[face]))
            score = f"NME {100 * nmes[face]:.2f} %, largest {100 * errors[face, point]:.1f} % at landmark {point}"
        figures.append(
            element(
                "figure",
                element("button", view, type="button", aria_label=f"Enlarge {name}, {score}"),
                element("figcaption", element("strong", score), element("span", name, class_="file")),
            )
        )
    return element("div", switches(), element("div", figures, class_="grid"), _enlarged(), class_="faces")


def face_view(
    image: UInt8[np.ndarray, "S S 3"],
    predicted_unit: Float[np.ndarray, "K 2"],
    true_unit: Float[np.ndarray, "K 2"] | None,
    labelled: Bool[np.ndarray, " K"],
    scheme: LandmarkScheme,
) -> Markup:
    """A crop with its points, which keep their size on the screen when the picture grows.

    Args:
        image: the crop, RGB.
        predicted_unit, true_unit: points in crop units; None where the truth is of other points.
        labelled: which points have a true one.
        scheme: gives the contours.
    """
    layers = [_contours(predicted_unit, scheme, "predicted")]
    dots = [_dots(predicted_unit, "predicted")]
    if true_unit is not None:
        true_unit = np.where(labelled[:, None], true_unit, np.nan)
        lines = "".join(
            f"M{_place(start)}L{_place(end)}"
            for start, end in zip(true_unit, predicted_unit, strict=True)
            if np.isfinite(start).all()
        )
        layers += [_contours(true_unit, scheme, "true"), element("path", class_="error", d=lines)]
        dots.insert(0, _dots(true_unit, "true"))
    points = element("svg", layers, dots, viewBox="0 0 1 1", preserveAspectRatio="none", aria_hidden="true")
    return element("span", element("img", src=jpeg(image), alt="", decoding="async"), points, class_="face")


def jpeg(image: UInt8[np.ndarray, "S S 3"]) -> str:
    """A picture as a data URI."""
    if len(image) > SIDE:
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", np.asarray(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def switches() -> Markup:
    """Boxes that show and hide what is drawn on faces."""
    boxes = [
        element("label", element("input", type="checkbox", value=name, checked=name != "contour"),
                element("span", class_=f"swatch {name}"), words)
        for name, words in LAYERS.items()
    ]  # fmt: skip
    return element("fieldset", element("legend", "Show"), boxes, class_="switches")


def _enlarged() -> Markup:
    """The window in which a face is enlarged; the script fills it."""
    buttons = [
        element("button", words, type="button", value=value)
        for value, words in (("previous", "Previous"), ("next", "Next"), ("close", "Close"))
    ]
    zoom = element("input", type="range", min=1, max=8, step=0.25, value=1)
    words = "Drag or use the arrow keys to move the picture, + and - to zoom."
    return element(
        "dialog",
        element("div", element("label", "Zoom ", zoom), buttons, class_="tools"),
        element("div", class_="pane", tabindex=0, role="region", aria_label=f"Enlarged face. {words}"),
        element("p", element("output"), class_="reading"),
        element("p", words, class_="note"),
        aria_label="Enlarged face",
    )


def _contours(points: Float[np.ndarray, "K 2"], scheme: LandmarkScheme, kind: str) -> Markup:
    lines = [points[list(contour)] for contour in scheme.contours]
    path = joined("M" + "L".join(map(_place, line)) for line in lines if np.isfinite(line).all())
    return element("path", class_=f"contour {kind}", d=path)


def _dots(points: Float[np.ndarray, "K 2"], kind: str) -> Content:
    path = "".join(f"M{_place(point)}h0" for point in points if np.isfinite(point).all())
    return element("path", class_=f"rim {kind}", d=path), element("path", class_=f"dots {kind}", d=path)


def _place(point: Float[np.ndarray, " 2"]) -> str:
    return f"{point[0]:.4f} {point[1]:.4f}"
