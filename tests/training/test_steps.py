# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import check_batch, make_mesh
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.models.build import build_model
from barrel_jax.training.state import create
from barrel_jax.training.steps import epoch_order, in_one_dispatch, make_predict_step, make_train_step
from tests.kit import small

pytestmark = pytest.mark.quick


def run(devices, steps=1, tx=None, **fields):
    """State and losses after some steps of plain SGD, whose update is the gradient itself."""
    config = small.config(**fields)
    mesh = make_mesh(MeshConfig(data=devices))
    model = build_model(config.model, 29)
    tx = tx or optax.sgd(1.0)
    state = create(model, tx, config, mesh)
    start = jax.device_get(state.params)
    step = make_train_step(model, tx, config, COFW_29.flip, mesh)
    faces, losses = small.faces(20, config.data.image_size, 29), []
    for _ in range(steps):
        state, loss = step(state, faces, epoch_order(config.seed, 0, 20))
        losses.append(float(loss))
    return start, jax.device_get(state), losses, step, model, mesh


@pytest.fixture(scope="module")
def one():
    return run(1)


def test_loss_gradients_and_statistics_agree_on_1_and_8_devices(one):
    start, state, losses, *_ = one
    _, state8, losses8, *_ = run(8)
    np.testing.assert_allclose(losses, losses8, atol=1e-5)
    assert jax.tree.structure(state.params) == jax.tree.structure(state8.params)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(state8.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(jax.tree.leaves(state.batch_stats), jax.tree.leaves(state8.batch_stats), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (start, state.params)), strict=True)]
    assert np.mean(np.array(moved) > 1e-4) > 0.8


def test_a_step_compiles_once_and_takes_the_state_it_was_given(one):
    _, _, _, step, model, mesh = one
    state = create(model, optax.sgd(1.0), small.config(), mesh)
    faces, order = small.faces(20, 32, 29), epoch_order(0, 0, 20)
    before = step._cache_size()
    following, _ = step(state, faces, order)
    step(following, faces, order)
    assert step._cache_size() == before
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_the_seed_decides_and_steps_differ(one):
    _, _, losses, *_ = one
    assert run(1)[2] == losses
    assert run(1, seed=1)[2] != losses


def test_steps_of_one_dispatch_are_the_steps_one_by_one(one):
    _, _, _, step, model, mesh = one
    faces, order = small.faces(20, 32, 29), epoch_order(0, 0, 20)

    def start():
        return create(model, optax.sgd(1.0), small.config(), mesh)

    state, losses = in_one_dispatch(step, 2)(start(), faces, order)
    alone, first = step(start(), faces, order)
    alone, second = step(alone, faces, order)
    np.testing.assert_allclose(losses, [first, second], rtol=1e-5)
    assert int(state.step) == 2 and first != second
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_unlabelled_points_change_nothing():
    config = small.config()
    mesh = make_mesh(MeshConfig(data=1))
    model, tx = build_model(config.model, 29), optax.sgd(0.1)
    step = make_train_step(model, tx, config, COFW_29.flip, mesh)
    faces = small.faces(20, 32, 29)
    junk = faces._replace(points=np.where(faces.labelled[..., None], faces.points, 0.9).astype(np.float32))
    results = []
    for given in (faces, junk):
        state, loss = step(create(model, tx, config, mesh), given, epoch_order(0, 0, 20))
        results.append((float(loss), jax.device_get(state.params)))
    assert results[0][0] == results[1][0]
    jax.tree.map(np.testing.assert_array_equal, results[0][1], results[1][1])


def test_every_epoch_visits_every_face_once_in_its_own_order():
    first, second = np.asarray(epoch_order(0, 0, 50)), np.asarray(epoch_order(0, 1, 50))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert (first != second).any() and (first != np.asarray(epoch_order(1, 0, 50))).any()


def test_the_moving_average_by_hand():
    start, state, *_ = run(1, optim__ema_decay=0.9)
    # At step 0 the decay is (1 + 0) / (10 + 0).
    for a, p, e in zip(*map(jax.tree.leaves, (start, state.params, state.ema["params"])), strict=True):
        np.testing.assert_allclose(e, 0.1 * a + 0.9 * p, atol=1e-6)
    assert state.variables() is state.ema


def test_predictions_do_not_depend_on_the_devices_or_the_batch(one):
    _, state, _, _, model, mesh = one
    images = small.faces(16, 32, 29).images
    alone = make_predict_step(model, mesh)(state.variables(), images)
    split = make_predict_step(model, make_mesh(MeshConfig(data=8)))(state.variables(), images)
    np.testing.assert_allclose(alone, split, atol=1e-5)
    np.testing.assert_allclose(make_predict_step(model, mesh)(state.variables(), images[:8]), alone[:8], atol=1e-5)
    assert alone.dtype == jnp.float32


def test_a_batch_that_does_not_divide_names_the_numbers_that_do():
    with pytest.raises(ValueError, match=r"batch_size=12 does not divide by the 8 devices .* use 8 or 16"):
        check_batch(12, make_mesh(MeshConfig(data=8)))
    with pytest.raises(ValueError, match="take 9 devices, and there are 8 cpu"):
        make_mesh(MeshConfig(data=9))


def test_the_loss_is_of_the_last_decoder_layer_or_of_all_when_asked():
    """The same batch by hand: without augmentation and dropout a step's loss is L1 of a plain forward pass."""
    still = {f"augment__{name}_prob": 0.0 for name in ("translate", "occlude", "flip", "rotate", "blur", "grey")}
    fields = still | {"model__decoder_layers": 3, "model__dropout": 0.0}
    config, mesh = small.config(**fields), make_mesh(MeshConfig(data=1))
    model = build_model(config.model, 29)
    state = create(model, optax.sgd(1.0), config, mesh)
    faces, chosen = small.faces(20, 32, 29), np.asarray(epoch_order(config.seed, 0, 20)[: config.batch_size])
    points, _ = model.apply(state.variables(), faces.images[chosen] / np.float32(255), True, mutable=["batch_stats"])
    labelled = faces.labelled[chosen]
    layers = np.abs(np.asarray(points) - faces.points[chosen])[:, labelled].mean((1, 2))
    assert len(layers) == 3 and abs(layers.mean() - layers[-1]) > 1e-4
    for aux_loss, expected in ((False, layers[-1]), (True, layers.mean())):
        np.testing.assert_allclose(run(1, optim__aux_loss=aux_loss, **fields)[2][0], expected, rtol=1e-4)
