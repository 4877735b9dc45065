# SPDX-License-Identifier: Apache-2.0
"""A report of faces of noise, some of whose files have names that would be elements if they were not escaped."""

from dataclasses import replace

import numpy as np

from barrel_jax.evaluation.score import score
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.report.page import write_page
from barrel_jax.report.run import run_report
from barrel_jax.training.trained import TrainedRun
from tests.kit import small
from tests.kit.saved_run import save_run
from tests.kit.toy import make_crops

EVIL = ("<img src=x onerror=alert(1)>.jpg", '</script><script>alert("1")</script>.jpg')
EYES = 40  # pixels between the outer corners


def noise_faces(count):
    """`count` faces of 29 points: crops, and predictions that miss every point of face i by 6 i / (count - 1) px."""
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 90, (count, 29, 2)).astype(np.float32)
    points[:, 9] = points[:, 8] + [EYES, 0]
    names = [EVIL[face % 2] if face >= count - 4 else f"{face:05}.jpg" for face in range(count)]
    image = rng.integers(0, 255, (32, 32, 3), np.uint8)
    faces = replace(
        make_crops(count, rng.random((count, 2)) > 0.7, ("dark", "turned")), scheme=COFW_29, points_px=points,
        visible=np.full((count, 29), 2, np.uint8), images=np.broadcast_to(image, (count, 32, 32, 3)),
        windows=np.tile(np.array([[0, 0, 100, 100]], np.float32), (count, 1)), files=tuple(names),
        faces=np.arange(count),
    )  # fmt: skip
    return faces, points + np.linspace(0, 6, count, dtype=np.float32)[:, None, None] * np.array([0, 1], np.float32)


def noise_page(count):
    """The report of them as text; their mean error is 3 of 40 px."""
    faces, points = noise_faces(count)
    return run_report(score(points, faces, crop_frame="pipnet"), points, faces, "noise")


def run_page(folder):
    """The report of a run that nobody trained: its path, and of the face shown first the maps [K, 2, 2] and points."""
    faces, points = noise_faces(6)
    run = TrainedRun.open(save_run(folder / "run", small.config(model__stride=16), faces))
    scores = score(points, faces, crop="pipnet", checkpoint_step=0, config=run.config)
    write_page(folder / "run.html", run_report(scores, points, faces, "run", run, faces))
    points_unit, maps = run.attention(faces.images[::-1])  # the last face has the largest error
    return folder / "run.html", maps[0], points_unit[0]
