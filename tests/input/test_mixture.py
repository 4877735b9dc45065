# SPDX-License-Identifier: Apache-2.0
"""Several sets trained on at once: which faces, how many of each, in which order."""

import dataclasses
import json
from collections import Counter

import chex
import cv2
import jax
import numpy as np
import pytest

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.faces.landmarks import Normaliser
from barrel_jax.input.mixture import join, select
from barrel_jax.input.placement import place
from barrel_jax.input.streaming import stream
from barrel_jax.training import loop
from barrel_jax.training.order import epoch_length, epoch_order_of
from data.prepare import prepare_config
from tests.data.test_coco import face, image, noise, write_json
from tests.kit import small
from tests.kit.toy import make_crops
from tests.training.test_resume import last_state


def named(count, name, first):
    """Toy faces of a set, the first red pixels counting from `first`."""
    crops = make_crops(count)
    crops.images[:, 0, 0, 0] += first
    return dataclasses.replace(crops, dataset=name, fingerprint=name)


@pytest.fixture
def mixed():
    """10 faces, and as shares 0.3 of 4 and 0.2 of 50: an epoch visits 10, 6 and 4."""
    return join(named(10, "a", 0), [(named(4, "b", 100), 0.3), (named(50, "c", 150), 0.2)])


def test_faces_of_several_sets_lie_behind_each_other(mixed):
    assert len(mixed) == 64 and mixed.dataset == "a"
    assert [tuple(part) for part in mixed.parts] == [("a", "a", 10, 10), ("b", "b", 4, 6), ("c", "c", 50, 4)]
    numbers = [*range(10), *range(100, 104), *range(150, 200)]
    assert mixed.images[:][:, 0, 0, 0].tolist() == numbers
    assert mixed.images[np.array([63, 9, 10, 13, 14])][:, 0, 0, 0].tolist() == [199, 9, 100, 103, 150]
    assert mixed.images[12][0, 0, 0] == 102
    np.testing.assert_array_equal(mixed.points_px[10:14], make_crops(4).points_px)
    np.testing.assert_array_equal(mixed.points_unit[14:], make_crops(50).points_unit)


def test_a_part_of_a_split_keeps_its_faces_together(mixed):
    some = select(mixed, np.array([11, 3]), "some")
    assert some.split == "some" and some.images[:][:, 0, 0, 0].tolist() == [101, 3]
    assert some.files == (mixed.files[11], mixed.files[3]) and some.faces.tolist() == [101, 103]
    np.testing.assert_array_equal(some.points_unit, mixed.points_unit[[11, 3]])


def test_an_epoch_has_every_face_of_the_first_set_and_the_share_of_the_others(mixed):
    assert epoch_length(mixed) == 20
    orders = [np.asarray(epoch_order_of(7, epoch, mixed)) for epoch in range(25)]
    assert {len(order) for order in orders} == {20}
    for order in orders:
        assert sorted(order[order < 10]) == list(range(10))
        assert ((order >= 10) & (order < 14)).sum() == 6 and (order >= 14).sum() == 4
    # 25 epochs visit 150 faces of b's 4 and 100 of c's 50: nobody comes again before all have come.
    visits = Counter(np.concatenate(orders).tolist())
    assert sorted(visits[face] for face in range(10, 14)) == [37, 37, 38, 38]
    assert {visits[face] for face in range(14, 64)} == {2}
    # The sets are shuffled together, differently in each epoch and for each seed.
    assert any((order[:10] < 10).sum() != (order[10:] < 10).sum() for order in orders)
    assert len({tuple(order) for order in orders}) == 25
    np.testing.assert_array_equal(orders[3], epoch_order_of(7, 3, mixed))
    assert (np.asarray(epoch_order_of(8, 3, mixed)) != orders[3]).any()


def test_the_order_of_one_set_is_what_it_was(mixed):
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), 1), 2)
    np.testing.assert_array_equal(epoch_order_of(5, 2, make_crops(40)), jax.random.permutation(key, 40))


def test_what_an_epoch_has_of_several_sets_is_what_it_was(mixed):
    """By hand, for runs that go on: epoch 1 has faces 7 to 12 of b's rounds of 4, and c's 5 to 8."""

    def stream(number):
        return jax.random.fold_in(jax.random.key(5), number)

    def drawn(key, number, count):
        return np.asarray(jax.random.permutation(jax.random.fold_in(key, number), count))

    b, c = (jax.random.fold_in(stream(3), number) for number in (0, 1))
    of_b = 10 + np.concatenate([drawn(b, 1, 4), drawn(b, 2, 4)])[2:]
    together = np.concatenate([drawn(stream(1), 1, 10), of_b, 14 + drawn(c, 0, 50)[4:8]])
    np.testing.assert_array_equal(epoch_order_of(5, 1, mixed), together[drawn(stream(4), 1, 20)])


@pytest.mark.parametrize("devices", [1, 4])
def test_brought_batches_are_the_gathered_ones(mixed, devices):
    mesh = make_mesh(MeshConfig(data=devices))
    placed = jax.device_get(place(mixed, mesh))
    brought = stream(mixed, lambda epoch: np.asarray(epoch_order_of(1, epoch, mixed)), 8, 2, 1, 5, mesh)
    for step, batch in zip(range(1, 5), brought, strict=True):
        rows = np.asarray(epoch_order_of(1, step // 2, mixed))[step % 2 * 8 :][:8]
        for ours, every in zip(jax.device_get(batch), placed, strict=True):
            np.testing.assert_array_equal(ours, every[rows])


def test_sets_with_other_points_are_refused(mixed):
    main, other = make_crops(6), make_crops(6)
    pair = Normaliser(points=(0, 2))
    for scheme, words in (
        (dataclasses.replace(main.scheme, flip=(0, 1, 2)), r"left/right pairs: \[\] there, \[\(0, 1\)\] in toy"),
        (dataclasses.replace(main.scheme, normaliser=pair), r"normaliser: points_0_2 \(0, 2\) there"),
        (dataclasses.replace(main.scheme, num_points=4, flip=(1, 0, 2, 3)), "points: 4 there, 3 in toy"),
    ):
        with pytest.raises(ValueError, match=f"cannot be trained on together with toy .*{words}"):
            join(main, [(dataclasses.replace(other, scheme=scheme), 0.5)])
    with pytest.raises(ValueError, match=r"a share of 0\.01 an epoch of 6 faces of toy has none of toy; give it a"):
        join(main, [(other, 0.01)])


def own_faces(folder, seed, count):
    """Anyone's own faces of five points, `count` to train on and two to validate on; the seed decides what is seen."""
    (folder / "images").mkdir(parents=True)
    for split, faces in (("train", count), ("val", 2)):
        cv2.imwrite(str(folder / "images" / f"{split}.png"), noise(60, 60, seed))
        write_json(folder, [image(0, f"{split}.png", 60, 60)], [face(n, 0, n, seed % 9) for n in range(faces)], split)
    return str(folder)


def on_two_sets(tmp_path, **fields):
    source, other = (tmp_path / name for name in ("a", "b"))
    for folder, seed, count in ((source, 1, 6), (other, 2, 5)):
        if not folder.exists():
            own_faces(folder, seed, count)
    given = {"data__dataset": "coco", "data__source": str(source), "data__test_split": "val", "batch_size": 4}
    given |= {"data__also": (("coco", str(other), 0.25),), "mesh__data": 1, "data__data_dir": str(tmp_path / "sets")}
    given |= small.PLAIN | {"optim__epochs": 3}
    return small.config(**given | fields)


def test_a_run_on_two_sets_goes_on_as_if_it_had_not_been_stopped(tmp_path, capsys):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    config = on_two_sets(tmp_path)
    assert loop.train(config, whole, prepare_config).num_images == 2
    assert "11 faces to train (an epoch visits 6 of 6 of coco, 2 of 5 of coco), 2 to score" in capsys.readouterr().out
    assert loop.train(config, parted, prepare_config, lambda step: step == 3) is None
    # The folder of a set may lie elsewhere.
    (tmp_path / "b").rename(tmp_path / "moved")
    moved = on_two_sets(tmp_path, data__also=(("coco", str(tmp_path / "moved"), 0.25),))
    loop.train(moved, parted, prepare_config)
    expected, state = (last_state(workdir, 5) for workdir in (whole, parted))
    assert int(state.step) == 6
    chex.assert_trees_all_equal(state, expected)
    also = json.loads((parted / "run.json").read_text())["also"]
    assert [(part["dataset"], part["faces"], part["visits"]) for part in also] == [("coco", 5, 2)]


def test_a_batch_is_as_large_as_what_an_epoch_visits_of_all_sets_at_most(tmp_path):
    config = on_two_sets(tmp_path, batch_size=8)  # 6 faces of the first set and 2 of the other
    assert loop.train(config, tmp_path / "run", prepare_config, lambda step: step == 0) is None
    config.batch_size = 9
    with pytest.raises(ValueError, match="batch_size=9, but 'train' has 8 faces for an epoch; use a smaller batch"):
        loop.train(config, tmp_path / "other", prepare_config)


def test_other_faces_in_a_further_set_are_another_run(tmp_path):
    config = on_two_sets(tmp_path)
    assert loop.train(config, tmp_path / "run", prepare_config, lambda step: step == 0) is None
    config.data.also = (("coco", own_faces(tmp_path / "c", 4, 5), 0.25),)
    with pytest.raises(ValueError, match=r"trained on other sets beside coco \(coco, fingerprint \w{12}; now coco, "):
        loop.train(config, tmp_path / "run", prepare_config)
    config.data.also = (("coco", str(tmp_path / "b"), 0.3),)
    with pytest.raises(ValueError, match=r"data.also: \(\('coco', 0.25\),\) there, \(\('coco', 0.3\),\) now"):
        loop.train(config, tmp_path / "run", prepare_config)


def test_synthetic_faces_join_only_sets_that_they_can_be_annotated_as(tmp_path):
    config = on_two_sets(tmp_path, data__also=(("synthetic", "", 0.25),))
    with pytest.raises(ValueError, match="annotated as wflw-98, 300w-68, cofw-29, and coco's points are custom-5"):
        loop.train(config, tmp_path / "run", prepare_config)


@pytest.mark.parametrize(
    ("also", "words"),
    [
        (("coco", "DIR", 0.3), r"a single one ends with a comma: \(\('coco', 'DIR', 0.3\),\)"),
        ((("coco", 0.3),), r"not made of \(dataset, source, share\)"),
        ((("coco", "DIR", 0.6), ("synthetic", "", 0.4)), "the shares must be positive and sum to less than 1"),
        ((("coco", "DIR", 0.0),), "the shares must be positive"),
    ],
)
def test_shares_that_cannot_be_are_refused(tmp_path, also, words):
    with pytest.raises(ValueError, match=words):
        loop.train(small.config(data__also=also), tmp_path, prepare_config)
