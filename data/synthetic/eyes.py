# SPDX-License-Identifier: Apache-2.0
"""Eyes, their make-up, and brows, painted onto the chart."""

import cv2
import numpy as np

from data.synthetic.chart import Chart, fixed, smooth
from data.synthetic.landmarks import pupils
from data.synthetic.looks import Looks


def paint_eyes(chart: Chart, looks: Looks) -> None:
    """Both eyes at once: crease, white, iris, pupil, glint, corner and lashes."""
    head, skin = chart.head, looks.skin
    t = np.linspace(0, 1, 9)
    upper, lower = (np.stack([eye.lid(t, up) for eye in head.eyes]) for up in (True, False))
    contour = np.concatenate([upper, lower[:, -2:0:-1]], 1)
    lash = np.minimum(looks.hair, skin * 0.3) * 0.5
    dark = skin * np.array([0.5, 0.4, 0.37], np.float32)
    crease = upper + np.stack([0 * t, -0.035 - 0.02 * (4 * t * (1 - t))], 1)
    if looks.makeup:
        chart.fill(np.concatenate([crease + [0, -0.03], upper[:, ::-1]], 1), looks.shadow, 0.02, 0.6)
    chart.stroke(crease, dark, 0.014, 0.008, 0.55)
    if any(eye.upper_height + eye.lower_height > 0.012 for eye in head.eyes):
        keep = chart.mask(contour)
        sclera = np.array([232, 228, 224]) * 0.82 + skin * 0.16
        chart.fill(contour, sclera)
        centre = pupils(head)
        r = 0.062 * head.eyes[0].half_width / 0.139
        chart.ellipse(centre, r, r, looks.iris, 0.006, 1.0, keep)
        chart.ellipse(centre, 0.45 * r, 0.45 * r, np.array([8, 6, 6]), 0.004, 1.0, keep)
        chart.stroke(upper + [0, 0.008], sclera * 0.35, 0.018, 0.01, 0.45, keep)
        chart.ellipse(centre + [0.3 * r, -0.35 * r], 0.2 * r, 0.2 * r, np.array([255, 255, 255]), 0.004, 0.8, keep)
        corner = np.stack([eye.inner + (eye.outer - eye.inner) * 0.06 for eye in head.eyes])
        chart.ellipse(corner, 0.016, 0.012, skin * np.array([0.95, 0.6, 0.58]), 0.006, 0.8)
    chart.stroke(upper + [0, -0.006], lash, 0.014 + 0.012 * looks.makeup, 0.003, looks.lid_line)
    chart.stroke(lower + [0, 0.004], lash if looks.makeup else dark, 0.01, 0.003, 0.5 * looks.lid_line)


def paint_brows(chart: Chart, looks: Looks, rng: np.random.Generator) -> None:
    """Both brows: a soft shape, a darker core and a few single hairs that lean outwards."""
    brows = np.array(chart.head.brows)  # [2 sides, 2 edges, 5, 2]
    colour = looks.brow
    contour = np.stack([smooth(np.concatenate([upper, lower[::-1]]), True, 3) for upper, lower in brows])
    chart.fill(contour, colour, 0.014, looks.brow_strength)
    chart.stroke(brows.mean(1), colour * 0.8, 0.03, 0.012, 0.7 * looks.brow_strength)
    t = 4 * rng.random((2, 10))
    k, side = np.minimum(t.astype(int), 3), np.arange(2)[:, None]
    f = (t - k)[..., None]
    upper, lower = (brows[side, edge, k] * (1 - f) + brows[side, edge, k + 1] * f for edge in (0, 1))
    lean = np.array([[[-0.03, 0]], [[0.03, 0]]])
    lines = fixed(chart.at(np.stack([lower, upper + lean], 2).reshape(20, 2, 2)))
    shade = tuple(int(c) for c in colour * 0.7 + 0.3 * looks.skin)
    cv2.polylines(chart.image, list(lines), False, shade, 1, cv2.LINE_AA, 4)
