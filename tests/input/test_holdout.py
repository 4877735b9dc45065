# SPDX-License-Identifier: Apache-2.0
"""Training faces that are kept from training: which, and that nothing else is scored."""

import json

import numpy as np
import pytest

from barrel_jax.evaluation.data_to_score import data_to_score
from barrel_jax.input.holdout import divide, held_out, photo_of
from barrel_jax.input.splits import load_split
from barrel_jax.training import loop
from data.prepare import prepare_config
from tests.kit import small
from tests.kit.toy import make_crops


def test_names_of_one_photo():
    assert photo_of("afw/134212_2.jpg") == photo_of("afw/134212_1.jpg") == photo_of("afw/134212_1_mirror.jpg")
    assert photo_of("a b/c.png") == photo_of("a b/c_mirror.jpg") != photo_of("d/c.png")
    # Numbers of images are not those of faces in one photo.
    assert photo_of("lfpw/trainset/image_0001.png") != photo_of("lfpw/trainset/image_0002.png")
    assert photo_of("train_0001.jpg") != photo_of("train_0002.jpg")
    assert photo_of("0--Parade/0_Parade_Parade_0_12.jpg") != photo_of("0--Parade/0_Parade_Parade_0_13.jpg")


def test_a_side_depends_on_the_name_alone():
    names = [f"{number}.jpg" for number in range(5000)]
    held = held_out(names, 0.1)
    # 500 expected, standard deviation 21.
    assert 430 < held.sum() < 570
    np.testing.assert_array_equal(held_out(names[::7], 0.1), held[::7])
    assert not (held & ~held_out(names, 0.2)).any()
    # SHA-256 of '0' begins 5fec; a larger share holds it out.
    assert held_out(["0"], 0x60 / 256).all() and not held_out(["0"], 0x5F / 256).any()


def test_faces_of_one_image_fall_on_one_side():
    crops = make_crops(200)  # two in each image
    kept, held = (divide(crops, 0.3, split) for split in ("train", "holdout"))
    assert len(kept) + len(held) == 200 and not set(kept.files) & set(held.files)
    assert held.split == "holdout" and kept.split == "train" and len(held) % 2 == 0
    numbers = {*kept.images[:][:, 0, 0, 0].tolist(), *held.images[:][:, 0, 0, 0].tolist()}
    assert numbers == set(range(200))
    with pytest.raises(ValueError, match=r"holdout=1e-09 keeps 0 of the 200 faces of toy test from training; choose"):
        divide(crops, 1e-9, "train")


def test_training_scores_what_was_kept_and_leaves_the_test_split_alone(tmp_path, capsys):
    config = small.config(mesh__data=1, data__data_dir=str(tmp_path / "sets"), data__holdout=0.25, optim__epochs=1)
    config.model.decoder_layers, config.model.dqinit, config.model.qamem_layers = 0, False, 0
    directory = prepare_config(config.data)
    scores = loop.train(config, tmp_path / "run", directory)
    kept, held = (load_split(config.data, directory, split) for split in ("train", "holdout"))
    assert scores.split == "holdout" and scores.num_images == len(held) and len(kept) + len(held) == 48
    assert f"{len(kept)} faces to train, {len(held)} to score (holdout)" in capsys.readouterr().out
    assert (tmp_path / "run/eval/synthetic-holdout/metrics.json").exists()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == len(kept) // 8 and "holdout/nme_outer_eye_corners" in lines[-1]
    assert [path.name for path in (directory / "crops").iterdir()] == ["train-pipnet-32"]
    config.data.holdout = 0.5
    with pytest.raises(ValueError, match=r"data.holdout: 0.25 there, 0.5 now"):
        loop.train(config, tmp_path / "run", directory)


def test_evaluate_knows_the_split_of_the_runs_own_set_alone():
    own = small.config(data__holdout=0.1).data
    assert data_to_score(own, "cofw-29", test_split="holdout").holdout == 0.1
    assert data_to_score(own, "cofw-29").test_split == "test"
    assert data_to_score(own, "cofw-29", dataset="coco", source="DIR", test_split="train").holdout == 0.0
