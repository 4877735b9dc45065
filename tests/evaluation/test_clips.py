# SPDX-License-Identifier: Apache-2.0
"""Clips: their frames in order, their error and flicker by hand."""

import dataclasses

import numpy as np
import pytest

from barrel_jax.evaluation.clips import clips_of, score_clips
from barrel_jax.evaluation.score_table import clip_table
from tests.kit.toy import SCHEME, SHAPE, make_truth


def of_files(*files):
    """Faces of three points, 20 px wide and high, eyes 20 px apart."""
    return make_truth(SCHEME, np.tile(SHAPE, (len(files), 1, 1)), files=files)


def test_frames_of_a_folder_are_a_clip_in_the_order_of_their_numbers():
    faces = of_files("b/f10.jpg", "a/f1.jpg", "b/f9.jpg", "alone.jpg", "a/f2.jpg")
    assert {clip: order.tolist() for clip, order in clips_of(faces).items()} == {"a": [1, 4], "b": [2, 0]}
    # By their folders' names, and folders of one name in different places are two clips.
    faces = of_files("b/f/1.jpg", "b/f/2.jpg", "a/f/1.jpg", "a/f/2.jpg")
    assert [(clip, order.tolist()) for clip, order in clips_of(faces).items()] == [("a/f", [2, 3]), ("b/f", [0, 1])]
    with pytest.raises(ValueError, match=r"b/1.jpg has several faces, .* put the frames of each person into a folder"):
        clips_of(of_files("b/1.jpg", "b/1.jpg", "b/2.jpg"))
    with pytest.raises(ValueError, match="no two pictures lie in one folder"):
        clips_of(of_files("a/1.jpg", "b/1.jpg"))


def test_error_and_flicker_of_clips_by_hand():
    faces = of_files("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg")
    points = faces.points_px.copy()
    points[1] += [3.0, 4.0]  # 5 px there and 5 px back: a quarter of the face
    points[3:] += [3.0, 4.0]  # stays
    found = score_clips(points, faces)
    assert [(clip.clip, clip.frames) for clip in found] == [("a", 3), ("b", 2)]
    assert [(clip.nme, clip.nmf) for clip in found] == [pytest.approx((25 / 3, 25)), pytest.approx((25, 0))]
    head, mean, first, _ = clip_table(found, "eyes").splitlines()
    assert head.split() == ["frames", "NME(eyes)", "%", "NMF", "%"]
    assert mean.split()[-3:] == ["5", "16.67", "12.50"] and first.split() == ["a", "3", "8.33", "25.00"]
    # The side is that of the true points, whatever is predicted.
    (larger, _) = score_clips(np.where(np.arange(5)[:, None, None] == 1, 2 * points - points[:, :1], points), faces)
    change = np.linalg.norm(2 * points[1] - points[1, :1] - faces.points_px[1], axis=1)
    assert larger.nmf == pytest.approx(100 * np.sqrt(np.mean(change**2)) / 20)
    unlabelled = dataclasses.replace(faces, visible=faces.visible * np.array([1, 0, 1, 1, 1], np.uint8)[:, None])
    with pytest.raises(ValueError, match="clip a: no point is annotated in two frames that follow each other"):
        score_clips(points, unlabelled)
