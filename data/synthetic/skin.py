# SPDX-License-Identifier: Apache-2.0
"""Paints the face onto the chart: skin, eyes, brows, nose, mouth, beard, make-up."""

import cv2
import numpy as np

from data.synthetic.chart import HEIGHT, WIDTH, Chart, blend, fixed, smooth, speckle
from data.synthetic.landmarks import pupils
from data.synthetic.looks import Looks

BOTH = (-1, 1)


def paint_face(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    """Paints everything of the face but the hair, in place."""
    paint_skin(chart, looks, rng)
    paint_nose(chart, looks)
    paint_beard(chart, looks, rng)
    paint_mouth(chart, looks, rng)
    for side in range(2):
        paint_eye(chart, looks, side)
        paint_brow(chart, looks, side, rng)


def paint_skin(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    head, skin = chart.head, looks.skin
    mottle = speckle(rng, (HEIGHT, WIDTH), (14, 16)) * 0.7 + speckle(rng, (HEIGHT, WIDTH), (54, 64)) * 0.6
    chart.image[...] = np.clip(skin * (1 + looks.mottle * mottle[..., None]), 0, 255).astype(np.uint8)
    dark, red = skin * np.array([0.62, 0.52, 0.48], np.float32), np.clip(skin * np.array([1.02, 0.72, 0.7], np.float32), 0, 255)
    m, n = head.mouth, head.nose
    for s in BOTH:
        chart.ellipse((s * 0.5, 0.42), 0.17, 0.14, red, 0.1, 0.25 + looks.blush)
        eye = head.eyes[(s + 1) // 2]
        chart.ellipse(eye.centre + [-s * 0.02, -0.03], 0.19, 0.1, dark, 0.05, looks.eye_shade)
        chart.ellipse(eye.centre + [0, 0.1], 0.13, 0.035, dark, 0.03, 0.15 + 0.4 * looks.wrinkles)
        fold = smooth(np.array([[s * 0.17 * n['wing'], n['wing_y'] - 0.08], [s * 0.24, (n['base'] + m['corner']) / 2 - 0.03], [s * (m['half'] + 0.05), m['corner'] + 0.01],
                                [s * (m['half'] + 0.07), m['corner'] + 0.13]]), False)
        chart.stroke(fold, dark, 0.025, 0.014, 0.2 + 0.5 * looks.wrinkles * (0.5 + max(head.does.smile, 0)))
    for k in range(3):
        y = -0.36 - 0.1 * k
        line = smooth(np.array([[-0.42, y + 0.03], [-0.2, y - 0.01], [0, y + 0.01], [0.2, y - 0.01], [0.42, y + 0.03]]), False)
        chart.stroke(line, dark, 0.016, 0.01, 0.7 * looks.wrinkles * max(0.25, head.does.brow_raise))
    for s in BOTH:
        chart.stroke(np.array([[s * 0.05, -0.2], [s * 0.045, -0.1]]), dark, 0.02, 0.012, 0.25 * looks.wrinkles + 0.5 * head.does.frown)


def paint_nose(chart: Chart, looks: Looks) -> None:
    n, skin = chart.head.nose, looks.skin
    dark, hole = skin * np.array([0.6, 0.5, 0.47], np.float32), skin * np.array([0.25, 0.17, 0.15], np.float32)
    light = np.clip(skin * 1.12 + 8, 0, 255)
    w = n['wing']
    chart.stroke(np.array([[0, n['root']], [0, n['tip'] - 0.05]]), light, 0.05, 0.03, 0.35)
    chart.ellipse((0, n['tip'] - 0.02), 0.05, 0.04, light, 0.03, 0.5)
    chart.ellipse((0, n['base'] + 0.03), 0.13 * w, 0.03, dark, 0.03, 0.5)
    for s in BOTH:
        chart.stroke(smooth(np.array([[s * 0.05, -0.03], [s * 0.075, 0.12], [s * 0.09 * w, n['tip'] - 0.08]]), False), dark, 0.03, 0.03, 0.3)
        wing = smooth(np.array([[s * 0.125 * w, n['wing_y'] - 0.1], [s * 0.178 * w, n['wing_y'] - 0.055], [s * 0.172 * w, n['wing_y'] - 0.005], [s * 0.115 * w, n['base'] - 0.012],
                                [s * 0.03 * w, n['base'] + 0.006]]), False)
        chart.stroke(wing, dark, 0.022, 0.012, 0.75)
        chart.ellipse((s * 0.078 * w, n['base'] - 0.024), 0.042 * w, 0.02, hole, 0.007, 0.9)


def paint_eye(chart: Chart, looks: Looks, side: int) -> None:
    head, skin = chart.head, looks.skin
    eye = head.eyes[side]
    t = np.linspace(0, 1, 9)
    upper, lower = eye.lid(t, True), eye.lid(t, False)
    contour = np.concatenate([upper, lower[-2:0:-1]])
    lash = np.minimum(looks.hair, skin * 0.3) * 0.5
    dark = skin * np.array([0.5, 0.4, 0.37], np.float32)
    crease = upper + np.array([0, -0.035]) + np.array([0, -0.02]) * (4 * t * (1 - t))[:, None]
    if looks.makeup:
        lid = np.concatenate([crease + [0, -0.03], upper[::-1]])
        chart.fill(lid, looks.shadow, 0.02, 0.6)
    chart.stroke(crease, dark, 0.014, 0.008, 0.55)
    keep = chart.mask(contour)
    if eye.upper_height + eye.lower_height > 0.012:
        sclera = np.clip(np.array([232, 226, 220]) * 0.8 + skin * 0.12, 0, 255)
        chart.fill(contour, sclera, 0.0)
        centre = pupils(head)[side]
        r = 0.062 * eye.half_width / 0.139
        chart.ellipse(centre, r, r, looks.iris, 0.006, 1.0, keep)
        chart.ellipse(centre, 0.45 * r, 0.45 * r, np.array([8, 6, 6]), 0.004, 1.0, keep)
        chart.stroke(upper + [0, 0.014], sclera * 0.35, 0.03, 0.012, 0.6, keep)
        chart.ellipse(centre + [0.3 * r, -0.35 * r], 0.2 * r, 0.2 * r, np.array([255, 255, 255]), 0.004, 0.8, keep)
        inner = np.clip(skin * np.array([0.95, 0.6, 0.58]), 0, 255)
        chart.ellipse(eye.inner + (eye.outer - eye.inner) * 0.06, 0.016, 0.012, inner, 0.006, 0.8)
    chart.stroke(upper, lash, 0.022 + 0.012 * looks.makeup, 0.006, looks.lid_line)
    chart.stroke(lower, lash if looks.makeup else dark, 0.012, 0.006, 0.6 * looks.lid_line)


def paint_brow(chart: Chart, looks: Looks, side: int, rng: np.random.Generator) -> None:
    upper, lower = chart.head.brows[side]
    contour = smooth(np.concatenate([upper, lower[::-1]]), True, 3)
    colour = looks.brow
    chart.fill(contour, colour, 0.014, looks.brow_strength)
    mid = (upper + lower) / 2
    chart.stroke(smooth(mid, False), colour * 0.8, 0.03, 0.012, 0.7 * looks.brow_strength)
    # Single hairs lean outwards.
    t = rng.random(10)
    k = np.minimum((t * 4).astype(int), 3)
    f = (t * 4 - k)[:, None]
    lo, up = lower[k] * (1 - f) + lower[k + 1] * f, upper[k] * (1 - f) + upper[k + 1] * f
    a, b = chart.at(lo), chart.at(up + (np.stack([np.full(10, -0.03 if side == 0 else 0.03), np.zeros(10)], 1)))
    lines = [fixed(np.stack(p)) for p in zip(a, b)]
    shade = tuple(int(c) for c in colour * 0.7 + 0.3 * looks.skin)
    cv2.polylines(chart.image, lines, False, shade, 1, cv2.LINE_AA, 4)


def paint_mouth(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    head, lips = chart.head, looks.lips
    outer, inner, m = head.lips['outer'], head.lips['inner'], head.mouth
    outline = smooth(outer, True, 3)
    # The corners are sharp: a smooth closed curve would cut them.
    chart.fill(outline, lips, 0.006, 0.92)
    chart.fill(np.concatenate([outer[:7], inner[4:0:-1], inner[:1]]), lips * 0.82, 0.006, 0.6)
    centre = outer[7:12].mean(0) + [0, -0.2 * m['low']]
    chart.ellipse(centre, 0.12, 0.02, np.clip(lips * 1.2 + 15, 0, 255), 0.015, 0.5)
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
            chart.ellipse((head.who.skew, inner[6, 1] - 0.02), 0.15, 0.3 * gap, np.array([165, 80, 80]) * 0.85, 0.03, 0.7, keep)
    seam = (inner[:5] + inner[[0, 7, 6, 5, 4]]) / 2 if gap <= 0.025 else inner[:5]
    seam = np.concatenate([outer[:1], seam[1:4], outer[6:7]])
    chart.stroke(smooth(seam, False, 4), dark, 0.016, 0.006, 0.85)
    for corner, s in ((outer[0], -1), (outer[6], 1)):
        chart.ellipse(corner + [s * 0.01, 0], 0.018, 0.014, dark, 0.01, 0.5)


def beard_region(chart: Chart, drop: float) -> np.ndarray:
    """[HEIGHT, WIDTH] mask of the cheeks and chin where a beard grows, without the lips."""
    head, m = chart.head, chart.head.mouth
    y = m['corner']
    theta = np.array([-1.75, -1.4, -1.15, -0.75, -0.45, 0.0, 0.45, 0.75, 1.15, 1.4, 1.75])
    edge = np.array([0.15, 0.2, 0.38 + drop, y - 0.12 + drop, y - 0.13, head.nose['base'] + 0.06, y - 0.13, y - 0.12 + drop, 0.38 + drop, 0.2, 0.15])
    line = smooth(chart.place(theta, edge), False)
    box = np.concatenate([line, [[WIDTH + 5, HEIGHT + 5], [-5, HEIGHT + 5]]])
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [fixed(box)], 255, cv2.LINE_AA, 4)
    mask = cv2.blur(mask, (9, 9))
    cv2.fillPoly(mask, [fixed(chart.at(smooth(head.lips['outer'], True, 2)))], 0, cv2.LINE_AA, 4)
    return mask


def paint_beard(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    if looks.stubble == looks.beard == looks.moustache == 0:
        return
    region = beard_region(chart, looks.beard_drop)
    grain = speckle(rng, (HEIGHT, WIDTH), (108, 128))
    if looks.stubble > 0 and looks.beard == 0:
        blend(chart.image, region, looks.hair * 0.5 + looks.skin * 0.3, looks.stubble)
    hair = np.clip(looks.hair * (1 + 0.22 * grain[..., None]), 0, 255)
    if looks.beard > 0:
        blend(chart.image, region, hair, 0.95 * looks.beard)
    if looks.moustache > 0:
        m, n, outer = chart.head.mouth, chart.head.nose, chart.head.lips['outer']
        top = n['base'] + 0.045
        shape = smooth(np.array([[-m['half'] - 0.05, m['corner'] + 0.05], [-0.2, top + 0.04], [0, top], [0.2, top + 0.04], [m['half'] + 0.05, m['corner'] + 0.05],
                                 [outer[5, 0], outer[5, 1]], [0, outer[3, 1]], [outer[1, 0], outer[1, 1]]]), True, 3)
        mask = cv2.GaussianBlur(chart.mask(shape), (0, 0), 1.2)
        blend(chart.image, mask, hair, 0.95 * looks.moustache)
