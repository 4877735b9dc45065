# SPDX-License-Identifier: Apache-2.0
"""The training step: the same on one device and on eight, by seed and step, in one dispatch or several."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import check_batch, make_mesh
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.models.build import build_model
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.order import epoch_order
from barrel_jax.training.steps import TrainStep, make_predict_step
from barrel_jax.training.streams import Stream, seed_data, step_keys, stream_key
from tests.kit import small


def run(devices, steps=1, tx=None, **fields):
    """State and losses after some steps of plain SGD, whose update is the gradient itself."""
    train_step = make(devices, tx, **fields)
    seed = train_step.config.seed
    state = train_step.create(seed)
    start = jax.device_get(state.params)
    faces, losses = small.faces(20, train_step.config.data.image_size, 29), []
    for _ in range(steps):
        state, loss = train_step.on_faces(state, seed_data(seed), faces, epoch_order(seed, 0, 20))
        losses.append(float(loss))
    return start, jax.device_get(state), losses, train_step


def traced_once():
    """A TrainStep whose second trace is an error."""

    class Counted(TrainStep):
        update = chex.assert_max_traces(TrainStep.update, n=1)

    return Counted


def make(devices, tx=None, kind=TrainStep, **fields):
    config = small.config(**fields)
    model, mesh = build_model(config.model, 29), make_mesh(MeshConfig(data=devices))
    return kind(model, tx or optax.sgd(1.0), config, mesh, COFW_29.flip)


@pytest.fixture(scope="module")
def one():
    return run(1)


@pytest.mark.quick
def test_loss_gradients_and_statistics_agree_on_1_and_8_devices(one):
    start, state, losses, *_ = one
    _, state8, losses8, *_ = run(8)
    np.testing.assert_allclose(losses, losses8, atol=1e-5)
    chex.assert_trees_all_close(state.params, state8.params, atol=1e-5)
    chex.assert_trees_all_close(state.batch_stats, state8.batch_stats, atol=1e-5)
    gradient = jax.tree.map(np.subtract, start, state.params)
    chex.assert_tree_all_finite((losses, gradient, state))
    assert np.mean([np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(gradient)]) > 0.8
    means = [mean for path, mean in flatten_dict(state.batch_stats).items() if path[-1] == "mean"]
    assert len(means) > 10 and all(np.abs(mean).max() > 1e-4 for mean in means)  # which began at zero


@pytest.mark.quick
def test_a_step_compiles_once_and_takes_the_state_it_was_given():
    train_step = make(1, kind=traced_once())
    state, seed = train_step.create(0), seed_data(0)
    faces, order = small.faces(20, 32, 29), epoch_order(0, 0, 20)
    following, loss = train_step.on_faces(state, seed, faces, order)
    chex.assert_shape(loss, ())
    chex.assert_trees_all_equal_shapes_and_dtypes(following, train_step.like)
    train_step.on_faces(following, seed, faces, order)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_the_seed_decides_and_steps_differ(one):
    _, _, losses, train_step = one
    assert run(1)[2] == losses
    state, faces = train_step.create(1), small.faces(20, 32, 29)
    kernels = [of.params["projection"]["kernel"] for of in (state, train_step.create(0), train_step.create(0))]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01  # the first weights are the seed's too
    np.testing.assert_array_equal(kernels[1], kernels[2])
    assert float(train_step.on_faces(state, seed_data(1), faces, epoch_order(1, 0, 20))[1]) != losses[0]


def test_every_step_draws_anew_and_a_second_epoch_begins_at_its_first_face(one):
    """Of an order of two batches and a half, from one and the same state but for its number."""
    train_step, seed, faces = one[-1], seed_data(0), small.faces(20, 32, 29)

    start = train_step.create(0)

    def loss(step, order):
        at = jax.device_put(jnp.int32(step), start.step.sharding)
        state = jax.tree.map(jnp.copy, start).replace(step=at)  # which it is given for good
        return float(train_step.on_faces(state, seed, faces, jnp.array(order))[1])

    twice = [*range(8), *range(8), *range(4)]
    assert loss(0, twice) != loss(1, twice)  # the same faces
    assert loss(2, twice) == loss(2, range(20)) != loss(0, twice)


def test_three_seeds_of_a_grid_share_their_programs():
    """In one process they are traced once; and what one process compiled is the same text, so the cache on disk has it.

    The draws are those of the seed all the same.
    """
    faces, order, train_step = small.faces(20, 32, 29), epoch_order(0, 0, 20), make(1, kind=traced_once())
    step = train_step.on_faces
    losses = [float(step(train_step.create(0), seed_data(seed), faces, order)[1]) for seed in range(3)]
    assert len(set(losses)) == 3
    texts = set()
    for seed in range(3):
        of_seed = make(1, seed=seed)
        texts.add(of_seed.on_faces.lower(of_seed.like, seed_data(seed), faces, order).as_text())
    assert len(texts) == 1


def test_equal_steps_have_the_same_programs_and_others_their_own():
    """Equal but for what no program reads; nothing that one reads may be left out."""
    tx = optax.sgd(1.0)
    first, alike = make(1, tx), make(1, tx, seed=3, loop__log_steps=1, data__source="elsewhere")
    assert first == alike and alike.on_faces is first.on_faces and alike.on_batch is first.on_batch
    assert alike.in_one_dispatch(2) is first.in_one_dispatch(2) is not first.in_one_dispatch(3)
    others = {
        "batch_size": 4, "data__image_size": 48, "data__context": 0.25, "augment__flip_prob": 0.0,
        "optim__aux_loss": True, "model__uncertainty": True, "mesh__split_moments": True,
    }  # fmt: skip
    for name, value in others.items():
        assert make(1, tx, **{name: value}) != first, name
    assert make(8, tx) != first  # on other devices
    assert make(1, optax.sgd(1.0)) != first  # what two optimisers do cannot be compared, unless they are one
    assert optimiser(small.config().optim, 6) is optimiser(small.config(seed=3).optim, 6)
    assert optimiser(small.config().optim, 6) is not optimiser(small.config().optim, 7)
    first.config.optim.aux_loss = True  # by a caller, whose config it is
    assert make(1, tx).on_faces is first.on_faces


@pytest.mark.quick
@pytest.mark.parametrize("seed", [0, 7, 2**31, 2**32 - 1])
def test_streams_are_those_of_the_runs_that_there_are(seed):
    """Runs that were begun before the streams had names go on with the same numbers."""
    assert [int(stream) for stream in (Stream.ORDER, Stream.STEP, Stream.OTHER_SETS, Stream.MIXTURE)] == [1, 2, 3, 4]
    for stream in Stream:
        expected = jax.random.key_data(jax.random.fold_in(jax.random.key(seed), int(stream)))
        np.testing.assert_array_equal(
            jax.random.key_data(jax.jit(stream_key, static_argnums=1)(seed_data(seed), stream)), expected
        )
    augmentation, dropout = jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 2), 5))
    keys = jax.jit(step_keys)(seed_data(seed), 5)
    chex.assert_trees_all_equal(keys._asdict(), {"augmentation": augmentation, "dropout": dropout})


def test_steps_of_one_dispatch_are_the_steps_one_by_one(one):
    train_step, seed = one[-1], seed_data(0)
    faces, order = small.faces(20, 32, 29), epoch_order(0, 0, 20)
    state, losses = train_step.in_one_dispatch(2)(train_step.create(0), seed, faces, order)
    alone, first = train_step.on_faces(train_step.create(0), seed, faces, order)
    alone, second = train_step.on_faces(alone, seed, faces, order)
    chex.assert_shape(losses, (2,))
    np.testing.assert_allclose(losses, [first, second], rtol=1e-5)
    assert int(state.step) == 2 and first != second
    chex.assert_trees_all_close(state.params, alone.params, atol=1e-5)


def test_unlabelled_points_change_nothing():
    train_step = make(1, optax.sgd(0.1))
    faces = small.faces(20, 32, 29)
    junk = faces._replace(points=np.where(faces.labelled[..., None], faces.points, 0.9).astype(np.float32))
    results = []
    for given in (faces, junk):
        state, loss = train_step.on_faces(train_step.create(0), seed_data(0), given, epoch_order(0, 0, 20))
        results.append((float(loss), jax.device_get(state.params)))
    assert results[0][0] == results[1][0]
    chex.assert_trees_all_equal(results[0][1], results[1][1])


@pytest.mark.quick
def test_every_epoch_visits_every_face_once_in_its_own_order():
    first, second = np.asarray(epoch_order(0, 0, 50)), np.asarray(epoch_order(0, 1, 50))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert (first != second).any() and (first != np.asarray(epoch_order(1, 0, 50))).any()


def test_the_moving_average_by_hand(one):
    assert one[1].ema is None  # nor is there one to keep and to save where none was asked for
    start, state, *_ = run(1, optim__ema_decay=0.9)
    # At step 0 the decay is (1 + 0) / (10 + 0).
    expected = jax.tree.map(lambda before, after: 0.1 * before + 0.9 * after, start, state.params)
    chex.assert_trees_all_close(state.ema["params"], expected, rtol=1e-7, atol=1e-6)
    assert state.variables() is state.ema


def test_predictions_do_not_depend_on_the_devices_or_the_batch(one):
    _, state, _, train_step = one
    model, mesh = train_step.model, train_step.mesh
    images = small.faces(16, 32, 29).images
    alone = make_predict_step(model, mesh)(state.variables(), images)
    split = make_predict_step(model, make_mesh(MeshConfig(data=8)))(state.variables(), images)
    np.testing.assert_allclose(alone, split, atol=1e-5)
    np.testing.assert_allclose(make_predict_step(model, mesh)(state.variables(), images[:8]), alone[:8], atol=1e-5)
    assert alone.dtype == jnp.float32


@pytest.mark.quick
def test_a_batch_that_does_not_divide_names_the_numbers_that_do():
    with pytest.raises(ValueError, match=r"batch_size=12 does not divide by the 8 devices .* use 8 or 16"):
        check_batch(12, make_mesh(MeshConfig(data=8)))
    with pytest.raises(ValueError, match="take 9 devices, and there are 8 cpu"):
        make_mesh(MeshConfig(data=9))


def test_the_loss_is_of_the_last_decoder_layer_or_of_all_when_asked():
    """The same batch by hand: without augmentation and dropout a step's loss is L1 of a plain forward pass."""
    still = {f"augment__{name}_prob": 0.0 for name in ("translate", "occlude", "flip", "rotate", "blur", "grey")}
    fields = still | {"model__decoder_layers": 3, "model__dropout": 0.0}
    train_step = make(1, **fields)
    config, model, state = train_step.config, train_step.model, train_step.create(0)
    faces, order = small.faces(20, 32, 29), epoch_order(config.seed, 0, 20)
    chosen = np.asarray(order[: config.batch_size])
    points, _ = model.apply(
        state.variables(), faces.images[chosen] / np.float32(255), train=True, mutable=["batch_stats"]
    )
    labelled = faces.labelled[chosen]
    layers = np.abs(np.asarray(points) - faces.points[chosen])[:, labelled].mean((1, 2))
    assert len(layers) == 3 and abs(layers.mean() - layers[-1]) > 1e-4
    for step, expected in ((train_step, layers[-1]), (make(1, optim__aux_loss=True, **fields), layers.mean())):
        _, loss = step.on_faces(jax.tree.map(jnp.copy, state), seed_data(config.seed), faces, order)
        np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_the_coarse_loss_and_the_likelihood_have_their_weights_and_a_wider_crop_its_middle():
    """By hand from a plain forward pass, as above; the scale of each error is still that of the start, log b = -3.5."""
    still = {f"augment__{name}_prob": 0.0 for name in ("translate", "occlude", "flip", "rotate", "blur", "grey")}
    model = {"model__decoder_layers": 2, "model__dropout": 0.0, "model__uncertainty": True}
    train_step = make(1, **still, **model, optim__dqinit_loss=0.5, optim__scale_loss=0.25, data__context=0.25)
    config, state = train_step.config, train_step.create(0)
    faces, chosen = small.faces(20, 48, 29), np.asarray(epoch_order(config.seed, 0, 20)[: config.batch_size])
    images, labelled = faces.images[chosen, 8:40, 8:40] / np.float32(255), faces.labelled[chosen]
    points, kept = train_step.model.apply(
        state.variables(), images, train=True, mutable=["batch_stats", "intermediates"]
    )

    def error(points):
        return np.abs(np.asarray(points) - faces.points[chosen])[labelled].mean()

    last, coarse = error(points[-1]), error(kept["intermediates"]["coarse"][0])
    expected = last + 0.5 * coarse + 0.25 * (last * np.exp(3.5) - 3.5)
    assert abs(last - error(points[0])) > 1e-4
    _, loss = train_step.on_faces(state, seed_data(config.seed), faces, epoch_order(config.seed, 0, 20))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
