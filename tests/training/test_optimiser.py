# SPDX-License-Identifier: Apache-2.0
"""The optimiser: PyTorch's Adam, the paper's schedule, weight decay, clipping, rates of parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from barrel_jax.config import OptimConfig
from barrel_jax.models.build import build_model, shapes_of
from barrel_jax.training.optimiser import learning_rate, optimiser
from tests.kit import small

pytestmark = pytest.mark.quick


def test_ten_steps_equal_torch_adam_with_a_slower_backbone():
    from tests.kit.needs_torch import torch

    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal((3, 2)).astype(np.float32) for name in ("backbone", "head")}
    gradients = [{name: rng.standard_normal((3, 2)).astype(np.float32) for name in start} for _ in range(10)]
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    adam = torch.optim.Adam(
        [{"params": [tensors["backbone"]], "lr": 1e-3 * 0.1}, {"params": [tensors["head"]], "lr": 1e-3}]
    )
    params = {name: {"kernel": jnp.array(value)} for name, value in start.items()}
    tx = optimiser(OptimConfig(learning_rate=1e-3, backbone_multiplier=0.1), steps_per_epoch=100)
    opt_state = tx.init(params)
    for gradient in gradients:
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradient[name])
        adam.step()
        updates, opt_state = tx.update(
            {name: {"kernel": jnp.array(value)} for name, value in gradient.items()}, opt_state, params
        )
        params = {name: {"kernel": params[name]["kernel"] + updates[name]["kernel"]} for name in params}
    for name, tensor in tensors.items():
        np.testing.assert_allclose(params[name]["kernel"], tensor.detach().numpy(), atol=1e-6)


def test_the_papers_schedule_drops_tenfold_at_the_decay_epoch():
    rate = learning_rate(OptimConfig(), steps_per_epoch=468)
    assert rate(0) == pytest.approx(1e-4) and rate(240 * 468 - 1) == pytest.approx(1e-4)
    assert rate(240 * 468) == pytest.approx(1e-5) and rate(360 * 468 - 1) == pytest.approx(1e-5)


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_warm_up_rises_to_the_rate_and_leaves_the_decay_where_it_is(schedule):
    config = OptimConfig(epochs=10, decay_epoch=5, learning_rate=1.0, warmup_epochs=2, schedule=schedule)
    rate = learning_rate(config, steps_per_epoch=10)
    assert rate(0) == pytest.approx(1 / 20) and rate(10) == pytest.approx(0.525)
    assert rate(19) == pytest.approx(0.9525) and rate(20) == pytest.approx(1.0)
    if schedule == "step":
        assert rate(49) == pytest.approx(1.0) and rate(50) == pytest.approx(0.1)
    else:
        assert rate(60) == pytest.approx(0.5) and rate(100) == pytest.approx(0.0, abs=1e-6)


def test_weight_decay_pulls_kernels_only():
    params = {"head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    tx = optimiser(OptimConfig(learning_rate=0.1, weight_decay=0.5), steps_per_epoch=1)
    updates, _ = tx.update({"head": {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}}, tx.init(params), params)
    np.testing.assert_allclose(updates["head"]["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_allclose(updates["head"]["bias"], 0.0)


@pytest.mark.parametrize("rank", [0, 2])
def test_of_a_whole_model_weight_decay_pulls_what_is_multiplied_but_no_position_norm_or_transform(rank):
    config = small.config(model__encoder_layers=1, model__qamem_rank=rank, model__dqinit_rank=rank)
    shapes = shapes_of(build_model(config.model, 29), 32)["params"]
    params = jax.tree.map(lambda x: jnp.ones(x.shape), shapes)
    tx = optimiser(OptimConfig(weight_decay=0.5), steps_per_epoch=1)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    pulled = {"/".join(path): float(jnp.abs(leaf).max()) > 0 for path, leaf in flatten_dict(updates).items()}
    assert {name for name, is_pulled in pulled.items() if is_pulled} == {n for n in pulled if n.endswith("/kernel")}
    for alone in ("query_positions/embedding", "decoder0/qamem/bias1", f"decoder0/qamem/{'u1' if rank else 'kernel1'}"):
        assert not pulled[alone]
    assert pulled["dqinit/dense/kernel"] and pulled["decoder0/cross_attention/query/kernel"]


def test_clipping_bounds_what_adam_remembers():
    params = {"head": {"kernel": jnp.zeros((2, 2))}}
    tx = optimiser(OptimConfig(clip_norm=0.1), steps_per_epoch=1)
    _, opt_state = tx.update({"head": {"kernel": jnp.full((2, 2), 100.0)}}, tx.init(params), params)
    # Adam's first moment after one step is a tenth of the gradient, whose norm is now 0.1.
    assert float(jnp.linalg.norm(opt_state[1].mu["head"]["kernel"])) == pytest.approx(0.01, rel=1e-5)


@pytest.mark.parametrize("rank", [0, 2])
def test_what_a_query_has_of_its_own_has_a_rate_of_its_own(rank):
    config = small.config(model__dqinit_rank=rank, model__qamem_rank=rank)
    shapes = shapes_of(build_model(config.model, num_landmarks=5), config.data.image_size)["params"]
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    tx = optimiser(OptimConfig(learning_rate=0.1, backbone_multiplier=0.5, query_multiplier=3.0), steps_per_epoch=1)
    # The first step of Adam moves every weight by the rate, whatever its gradient.
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    rates = {}
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        rates.setdefault(round(-float(update.ravel()[0]), 4), set()).add("/".join(key.key for key in path[:2]))
    assert set(rates) == {0.05, 0.1, 0.3}
    assert {name.split("/")[0] for name in rates[0.05]} == {"backbone"}
    assert rates[0.3] == {"decoder0/qamem", "dqinit/dense", "query_positions/embedding"} | (
        {"dqinit/reduce"} if rank else set()
    )
