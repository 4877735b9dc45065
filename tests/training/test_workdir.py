# SPDX-License-Identifier: Apache-2.0
"""Whose folder it is: what a run that goes on may change, and what is kept of it."""

import dataclasses
import json

import numpy as np
import pytest

from barrel_jax.input.crops import Part
from barrel_jax.training.workdir import claim
from tests.kit import small
from tests.kit.toy import make_crops

CROPS = make_crops(6)
# One of every group that changes neither the weights nor the order of examples, and all that stand alone.
FREE = {
    "loop__log_steps": 7,
    "mesh__model": 2,
    "distributed": "off",
    "join_seconds": 7,
    "heartbeat_seconds": 7,
    "data__source": "elsewhere",
    "data__data_dir": "elsewhere",
    "data__allow_partial": True,
    "data__max_pixels": 7,
    "data__resident": False,
}
BOUND = {
    "seed": 7,
    "batch_size": 7,
    "data__image_size": 64,
    "model__width": 64,
    "optim__learning_rate": 7.0,
    "augment__flip_prob": 0.25,
}


@pytest.mark.parametrize("name", FREE)
def test_a_run_goes_on_with_another_value(tmp_path, name):
    assert claim(tmp_path, small.config(), CROPS) == ""
    assert claim(tmp_path, small.config(**{name: FREE[name]}), CROPS) == ""


@pytest.mark.parametrize("name", BOUND)
def test_a_folder_of_other_settings_is_refused(tmp_path, name):
    claim(tmp_path, small.config(), CROPS)
    with pytest.raises(ValueError, match=name.replace("__", ".") + ": .* there, .* now"):
        claim(tmp_path, small.config(**{name: BOUND[name]}), CROPS)


def test_every_lengthening_is_kept(tmp_path):
    said = [claim(tmp_path, small.config(optim__epochs=epochs), CROPS) for epochs in (2, 3, 5, 5)]
    assert [bool(words) for words in said] == [False, True, True, False] and "lengthened from 3 to 5" in said[2]
    assert json.loads((tmp_path / "run.json").read_text())["lengthened"] == [[2, 3], [3, 5]]


def test_the_steps_of_the_whole_run_are_those_of_the_last_start(tmp_path):
    for steps in (12, 18):
        claim(tmp_path, small.config(optim__epochs=steps), CROPS, steps=steps)
        assert json.loads((tmp_path / "run.json").read_text())["steps"] == steps
    claim(tmp_path / "none", small.config(), CROPS)
    assert "steps" not in json.loads((tmp_path / "none" / "run.json").read_text())


def test_the_boxes_are_those_of_the_first_set(tmp_path):
    """Tight boxes are 20 x 20 and begin at the first point's pixel's middle; another set's are three times as large."""
    boxes = np.concatenate([CROPS.points_px[:, 0] + 0.5, np.full((6, 2), 20, np.float32)], 1)
    boxes[4:, 2:] *= 3
    of_two = dataclasses.replace(CROPS, boxes=boxes, parts=(Part("toy", "f00d", 2, 2), Part("other", "beef", 4, 4)))
    claim(tmp_path / "two", small.config(), of_two)
    assert json.loads((tmp_path / "two/run.json").read_text())["box_fit"] == [[0, 0], [1, 1]]
    boxes[2:, 2:] = 60  # of six faces of one set most are large
    claim(tmp_path / "one", small.config(), dataclasses.replace(of_two, parts=()))
    assert json.loads((tmp_path / "one/run.json").read_text())["box_fit"] == [[1, 1], [3, 3]]
    claim(tmp_path / "first", small.config(), of_two)
    assert json.loads((tmp_path / "first/run.json").read_text())["box_fit"] == [[0, 0], [1, 1]]
