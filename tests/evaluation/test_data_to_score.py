# SPDX-License-Identifier: Apache-2.0
"""The data settings of a run that stay when a command line names other faces."""

import dataclasses

import pytest

from barrel_jax.config import DataConfig
from barrel_jax.evaluation.data_to_score import OWN_FACES, data_to_score
from data.face_sets import READING

OWN = DataConfig(
    dataset="w300", source="mine", test_split="common", holdout=0.1, flip_pairs=((0, 16),), normaliser=(36, 45),
    scheme="cofw-29", clamp_points=True, allow_partial=True, crop="hrnet",
)  # fmt: skip


def test_the_runs_own_settings_stay_where_nothing_else_is_named():
    before = dataclasses.asdict(OWN)
    for same in (data_to_score(OWN, "300w-68"), data_to_score(OWN, "300w-68", dataset="w300", crop=None)):
        assert same == OWN
    assert data_to_score(OWN, "300w-68", source="").source == ""
    named = data_to_score(OWN, "300w-68", source="there", test_split="full", clamp_points=False, crop="pipnet")
    assert named == dataclasses.replace(OWN, source="there", test_split="full", clamp_points=False, crop="pipnet")
    data_to_score(OWN, "300w-68", dataset="wflw")
    assert dataclasses.asdict(OWN) == before


def test_another_set_takes_nothing_that_belongs_to_the_runs_own():
    other = data_to_score(OWN, "300w-68", dataset="wflw")
    assert (other.dataset, other.source, other.flip_pairs, other.normaliser, other.holdout) == ("wflw", "", (), (), 0.0)
    assert (other.test_split, other.crop, other.allow_partial) == ("test", "hrnet", True)
    assert data_to_score(OWN, "300w-68", dataset="coco", source="faces").test_split == "val"
    drawn = data_to_score(OWN, "300w-68", dataset="synthetic")
    assert drawn.scheme == "300w-68"  # annotated as the model's points are
    assert data_to_score(OWN, "custom-5", dataset="synthetic").scheme == "cofw-29"


def test_how_own_faces_are_read_is_refused_for_sets_that_have_one_way():
    assert tuple(READING) == OWN_FACES
    for name in OWN_FACES:
        said = rf"--{name} says how own faces are read \(coco\); w300 has one way alone: leave it out"
        with pytest.raises(ValueError, match=said):
            data_to_score(OWN, "300w-68", **{name: "auto"})
        read = data_to_score(OWN, "300w-68", dataset="coco", source="faces", **{name: "auto"})
        assert getattr(read, name) == "auto"


def test_the_synthetic_set_has_no_source():
    with pytest.raises(ValueError, match="--source=there: the synthetic set has no source; name the set too"):
        data_to_score(DataConfig(), "wflw-98", source="there")
    assert data_to_score(DataConfig(), "wflw-98", source="").source == ""
    assert data_to_score(DataConfig(), "wflw-98", dataset="coco", source="there").source == "there"
