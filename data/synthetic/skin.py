# SPDX-License-Identifier: Apache-2.0
"""The face painted onto the chart: skin, nose, mouth, beard, and eyes and brows (eyes.py)."""

import cv2
import numpy as np

from data.synthetic.chart import CIRCLE, HEIGHT, WIDTH, Chart, blend, fixed, smooth, soften, speckle
from data.synthetic.eyes import paint_brows, paint_eyes
from data.synthetic.looks import Looks

BOTH = (-1, 1)


def paint_face(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    """Paints everything of the face but the hair, in place."""
    paint_skin(chart, looks, rng)
    paint_nostrils(chart, looks)
    paint_beard(chart, looks, rng)
    paint_mouth(chart, looks, rng)
    paint_eyes(chart, looks)
    paint_brows(chart, looks, rng)


def paint_skin(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    """Skin colour, red cheeks, and the soft shadows and lines of the face; shadows of like softness share one mask."""
    head, skin = chart.head, looks.skin
    chart.image[0] = skin
    chart.image[1:] = chart.image[0]
    coarse = looks.mottle * (
        0.7 * speckle(rng, (54, 64), (14, 16)) + 0.6 * rng.standard_normal((54, 64), dtype=np.float32)
    )
    cv2.resize(coarse.astype(np.float32), (WIDTH, HEIGHT), chart.grain, interpolation=cv2.INTER_LINEAR)
    dark, red = (
        skin * np.array([0.6, 0.5, 0.46], np.float32),
        np.minimum(skin * np.array([1.02, 0.72, 0.7], np.float32), 255),
    )
    light = np.minimum(skin * 1.12 + 8, 255)
    m, n, w = head.mouth, head.nose, head.nose["wing"]
    wide, fine, bright = Shadows(chart), Shadows(chart), Shadows(chart)
    bright.line(np.array([[0, n["root"]], [0, n["tip"] - 0.05]]), 0.05, 0.25)
    bright.spot((0, n["tip"] - 0.02), 0.05, 0.04, 0.4)
    wide.spot((0, n["base"] + 0.03), 0.13 * w, 0.03, 0.5)
    smile = max(head.does.smile, 0)
    chart.ellipse(np.array([[-0.5, 0.42], [0.5, 0.42]]), 0.17, 0.14, red, 0.09, 0.25 + looks.blush)
    for s in BOTH:
        eye = head.eyes[(s + 1) // 2]
        wide.spot(eye.centre + [-s * 0.02, -0.03], 0.17, 0.09, looks.eye_shade)
        wide.spot(eye.centre + [0, 0.1], 0.13, 0.03, 0.1 + 0.4 * looks.wrinkles)
        wide.line(np.array([[s * 0.055, -0.03], [s * 0.085, 0.12], [s * 0.1 * w, n["tip"] - 0.08]]), 0.04, 0.25)
        fine.line(
            smooth(
                np.array(
                    [
                        [s * 0.17 * w, n["wing_y"] - 0.08],
                        [s * 0.24, (n["base"] + m["corner"]) / 2 - 0.03],
                        [s * (m["half"] + 0.05), m["corner"] + 0.01],
                        [s * (m["half"] + 0.07), m["corner"] + 0.13],
                    ]
                ),
                False,
            ),
            0.025,
            0.15 + 0.5 * looks.wrinkles * (0.5 + smile),
        )
        fine.line(
            smooth(
                np.array(
                    [
                        [s * 0.125 * w, n["wing_y"] - 0.1],
                        [s * 0.178 * w, n["wing_y"] - 0.055],
                        [s * 0.172 * w, n["wing_y"] - 0.005],
                        [s * 0.115 * w, n["base"] - 0.012],
                        [s * 0.03 * w, n["base"] + 0.006],
                    ]
                ),
                False,
            ),
            0.025,
            0.7,
        )
        fine.line(np.array([[s * 0.05, -0.2], [s * 0.045, -0.1]]), 0.02, 0.2 * looks.wrinkles + 0.5 * head.does.frown)
    for k in range(3):
        y = -0.36 - 0.1 * k
        fine.line(
            np.array([[-0.42, y + 0.03], [-0.2, y - 0.01], [0, y + 0.01], [0.2, y - 0.01], [0.42, y + 0.03]]),
            0.016,
            0.6 * looks.wrinkles * max(0.25, head.does.brow_raise),
        )
    wide.soften(0.045)
    fine.soften(0.014)
    cv2.max(wide.mask, fine.mask, wide.mask)
    wide.apply(dark)
    bright.soften(0.03)
    bright.apply(light)


class Shadows:
    """A mask over the face for shadows or lights of one softness."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.left, self.top = (chart.place(np.array(-1.25), np.array(-0.68)) + 0.5).astype(int).tolist()
        self.mask = np.zeros((HEIGHT - self.top, WIDTH - 2 * self.left), np.uint8)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Frontal points [..., 2] as OpenCV coordinates of the mask."""
        return fixed(self.chart.at(xy) - (self.left, self.top))

    def line(self, xy: np.ndarray, width: float, strength: float) -> None:
        """A line along frontal points [n, 2]; `width` in head units, `strength` 0..1."""
        cv2.polylines(
            self.mask,
            [self.at(xy)],
            False,
            255 * min(strength, 1),
            max(1, round(width * self.chart.per_unit)),
            cv2.LINE_AA,
            4,
        )

    def spot(self, centre: np.ndarray, rx: float, ry: float, strength: float) -> None:
        """A filled ellipse."""
        cv2.fillPoly(
            self.mask, [self.at(np.asarray(centre) + CIRCLE * [rx, ry])], 255 * min(strength, 1), cv2.LINE_AA, 4
        )

    def soften(self, soft: float) -> None:
        """Blurs the mask by `soft` head units."""
        soften(self.mask, soft * self.chart.per_unit)

    def apply(self, colour: np.ndarray) -> None:
        """Paints `colour` [3] through the mask."""
        blend(self.chart.image[self.top :, self.left : WIDTH - self.left], self.mask, colour)


def paint_nostrils(chart: Chart, looks: Looks) -> None:
    """Both nostrils."""
    n = chart.head.nose
    hole = looks.skin * np.array([0.25, 0.17, 0.15], np.float32)
    centres = np.array([[-0.078 * n["wing"], n["base"] - 0.02], [0.078 * n["wing"], n["base"] - 0.02]])
    chart.ellipse(centres, 0.042 * n["wing"], 0.02, hole, 0.007, 0.9)


def paint_mouth(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    """Lips, and between them teeth and tongue, or the seam."""
    head, lips = chart.head, looks.lips
    outer, inner, m = head.lips["outer"], head.lips["inner"], head.mouth
    outline = smooth(outer, True, 3)
    # The corners are sharp: a smooth closed curve would cut them.
    chart.fill(outline, lips, 0.006, 0.92)
    chart.fill(np.concatenate([outer[:7], inner[4:0:-1], inner[:1]]), lips * 0.82, 0.006, 0.6)
    centre = outer[7:12].mean(0) + [0, -0.2 * m["low"]]
    chart.ellipse(centre, 0.12, 0.02, np.minimum(lips * 1.2 + 15, 255), 0.015, 0.5)
    gap = inner[6, 1] - inner[2, 1]
    dark = np.array([45, 16, 16]) * (0.5 + looks.skin.mean() / 400)
    if gap > 0.025:
        hole = np.concatenate([smooth(inner[:5], False, 3), smooth(inner[[4, 5, 6, 7, 0]], False, 3)[1:-1]])
        keep = chart.mask(hole)
        chart.fill(hole, dark, 0.004, 1.0)
        if rng.random() < 0.85:
            teeth = min(0.09, 0.75 * gap)
            band = np.concatenate([inner[:5] * [0.9, 1] + [0, -0.02], (inner[4::-1] * [0.86, 1] + [0, teeth])])
            chart.fill(band, np.array([225, 218, 205]) * rng.uniform(0.7, 1.0), 0.006, 0.95, keep)
            if gap > 0.16 and rng.random() < 0.5:
                band = np.concatenate([inner[[4, 5, 6, 7, 0]] + [0, 0.02], inner[[0, 7, 6, 5, 4]] - [0, 0.05]])
                chart.fill(band * [0.85, 1], np.array([205, 196, 185]), 0.008, 0.8, keep)
        if gap > 0.12:
            chart.ellipse(
                (head.who.skew, inner[6, 1] - 0.02), 0.15, 0.3 * gap, np.array([165, 80, 80]) * 0.85, 0.03, 0.7, keep
            )
    seam = (inner[:5] + inner[[0, 7, 6, 5, 4]]) / 2 if gap <= 0.025 else inner[:5]
    seam = np.concatenate([outer[:1], seam[1:4], outer[6:7]])
    chart.stroke(smooth(seam, False, 4), dark, 0.016, 0.006, 0.85)
    chart.ellipse(outer[[0, 6]] + [[-0.01, 0], [0.01, 0]], 0.018, 0.014, dark, 0.01, 0.5)


def beard_region(chart: Chart, drop: float) -> np.ndarray:
    """[HEIGHT, WIDTH] mask of the cheeks and chin where a beard grows, without the lips."""
    head, m = chart.head, chart.head.mouth
    y = m["corner"]
    theta = np.array([-1.75, -1.4, -1.15, -0.75, -0.45, 0.0, 0.45, 0.75, 1.15, 1.4, 1.75])
    edge = np.array(
        [
            0.15,
            0.2,
            0.38 + drop,
            y - 0.12 + drop,
            y - 0.13,
            head.nose["base"] + 0.06,
            y - 0.13,
            y - 0.12 + drop,
            0.38 + drop,
            0.2,
            0.15,
        ]
    )
    line = smooth(chart.place(theta, edge), False)
    box = np.concatenate([line, [[WIDTH + 5, HEIGHT + 5], [-5, HEIGHT + 5]]])
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [fixed(box)], 255, cv2.LINE_AA, 4)
    mask = cv2.blur(mask, (9, 9))
    cv2.fillPoly(mask, [fixed(chart.at(smooth(head.lips["outer"], True, 2)))], 0, cv2.LINE_AA, 4)
    return mask


def paint_beard(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    """Stubble, beard and moustache."""
    if looks.stubble == looks.beard == looks.moustache == 0:
        return
    region = beard_region(chart, looks.beard_drop)
    grain = speckle(rng, (HEIGHT, WIDTH), (108, 128))
    if looks.stubble > 0 and looks.beard == 0:
        blend(chart.image, region, looks.hair * 0.5 + looks.skin * 0.3, looks.stubble)
    chart.grain += region * (0.2 / 255 * max(looks.beard, 0.3 * looks.stubble)) * grain
    if looks.beard > 0:
        blend(chart.image, region, looks.hair, 0.95 * looks.beard)
    if looks.moustache > 0:
        m, n, outer = chart.head.mouth, chart.head.nose, chart.head.lips["outer"]
        top = n["base"] + 0.045
        shape = smooth(
            np.array(
                [
                    [-m["half"] - 0.05, m["corner"] + 0.05],
                    [-0.2, top + 0.04],
                    [0, top],
                    [0.2, top + 0.04],
                    [m["half"] + 0.05, m["corner"] + 0.05],
                    [outer[5, 0], outer[5, 1]],
                    [0, outer[3, 1]],
                    [outer[1, 0], outer[1, 1]],
                ]
            ),
            True,
            3,
        )
        chart.fill(shape, looks.hair, 0.014, 0.95 * looks.moustache)
