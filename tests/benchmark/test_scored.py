# SPDX-License-Identifier: Apache-2.0
"""Runs of several seeds as one row: means by hand, and no mean over what is not alike."""

import numpy as np
import pytest

from barrel_jax.evaluation.comparison import compare, read_evaluation
from barrel_jax.evaluation.score import score, write_evaluation
from barrel_jax.faces.landmarks import W300_68
from benchmarks.scored import keep_predictions, over_seeds
from tests.kit.toy import make_truth, shifted

MISSES = {"a": [2.0, 4.0, 6.0, 8.0], "b": [4.0, 4.0, 4.0, 4.0], "c": [1.0, 2.0, 3.0, 4.0]}


def evaluation(folder, name, count=4):
    """An evaluation in which face i misses by MISSES[name][i] % of the eyes' distance, which is 100 px."""
    points_px = np.random.default_rng(0).normal(0, 50, (count, 68, 2))
    points_px[:, 36], points_px[:, 45] = [0, 0], [100, 0]
    faces = make_truth(W300_68, points_px)
    points_px = shifted(faces, np.array(MISSES[name][:count]))
    write_evaluation(folder / name, score(points_px, faces), points_px, faces)
    return read_evaluation(folder / name, name)


def test_the_error_of_a_face_is_its_mean_over_the_seeds(tmp_path):
    seeds = [evaluation(tmp_path, name) for name in "ab"]
    np.testing.assert_allclose(100 * over_seeds(seeds).nmes, [3, 4, 5, 6], rtol=1e-5)
    other = evaluation(tmp_path, "c")
    difference = compare([over_seeds(seeds), other]).evaluations[1].difference
    each = [compare([seed, other]).evaluations[1].difference.nme for seed in seeds]
    assert difference.nme == pytest.approx(-2, abs=1e-4) == np.mean(each)
    np.testing.assert_allclose(difference.interval, [-2, -2], atol=1e-4)  # every face's mean error is 2 % less


def test_one_seed_is_itself(tmp_path):
    one = evaluation(tmp_path, "a")
    np.testing.assert_array_equal(over_seeds([one]).nmes, one.nmes)


def test_seeds_of_other_faces_are_refused(tmp_path):
    seeds = [evaluation(tmp_path, "a"), evaluation(tmp_path, "b", count=3)]
    with pytest.raises(ValueError, match="cannot be compared"):
        over_seeds(seeds)


def test_predictions_are_kept_once(tmp_path):
    points = np.random.default_rng(0).random((3, 5, 2), np.float32)
    assert keep_predictions({"points": points}, tmp_path / "first-run.npz", "run") == "first-run.npz"
    assert keep_predictions({"points": points}, tmp_path / "second-run.npz", "run") == "first-run.npz"
    assert keep_predictions({"points": points + 1}, tmp_path / "second-run.npz", "run") == "second-run.npz"
    assert keep_predictions({"points": points[:2]}, tmp_path / "third-run.npz", "run") == "third-run.npz"
    with np.load(tmp_path / "second-run.npz") as kept:
        np.testing.assert_array_equal(kept["points"], points + 1)
