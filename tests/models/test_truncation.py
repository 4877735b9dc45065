# SPDX-License-Identifier: Apache-2.0
"""Per-query weights at a lower rank: exact where they have no more, the nearest by Eckart and Young where they do."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from barrel_jax.config import ModelConfig
from barrel_jax.models.build import build_model, draw, shapes_of
from barrel_jax.models.truncation import truncate

CONFIG = ModelConfig(backbone="resnet10_w16", width=16, heads=2, feedforward=16, qamem_layers=2, dtype="float32")
IMAGES = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)


@pytest.fixture(scope="module")
def variables():
    drawn = draw(build_model(CONFIG, 3), 64, jax.random.key(0))
    random = np.random.default_rng(1)
    qamem = drawn["params"]["decoder0"]["qamem"]
    for name in ("kernel1", "kernel2"):  # 1 + two columns times two rows
        low = random.standard_normal((3, 16, 2)) @ random.standard_normal((3, 2, 16)) / 4
        qamem[name] = (np.eye(16) + low).astype(np.float32)
    dense = drawn["params"]["dqinit"]["dense"]
    dense["kernel"] = (random.standard_normal((16, 2)) @ random.standard_normal((2, 48)) / 4).astype(np.float32)
    return drawn


@partial(jax.jit, static_argnums=0)
def apply(model, variables):
    return model.apply(variables, IMAGES, train=False)


def points(config, variables):
    return np.asarray(apply(build_model(config, 3), variables))


def test_weights_of_the_rank_asked_for_stay_what_they_are(variables):
    config, truncated = truncate(CONFIG, variables, 2)
    assert (config.dqinit_rank, config.qamem_rank) == (2, 2)
    model = build_model(config, 3)
    assert jax.tree.map(np.shape, truncated) == jax.tree.map(np.shape, shapes_of(model, 64))
    np.testing.assert_allclose(points(config, truncated), points(CONFIG, variables), atol=1e-5)


def test_what_is_lost_are_the_smaller_singular_values(variables):
    """The squared difference of the products is the square of the second singular value of each."""
    _, truncated = truncate(CONFIG, variables, 1)
    kernel = np.asarray(variables["params"]["decoder0"]["qamem"]["kernel1"])
    qamem = truncated["params"]["decoder0"]["qamem"]
    product = np.eye(16) + np.einsum("kdr,ker->kde", qamem["u1"], qamem["v1"])
    lost = np.linalg.svd(kernel - np.eye(16))[1][:, 1]
    assert lost.min() > 0.1
    np.testing.assert_allclose(np.sqrt(np.square(kernel - product).sum((1, 2))), lost, rtol=1e-4)


@pytest.mark.parametrize(("module", "other"), [("dqinit", "qamem"), ("qamem", "dqinit")])
def test_one_of_the_modules_alone(variables, module, other):
    """What was not asked for stays, and so does a bias of what was."""
    params = variables["params"]
    bias = np.linspace(-1, 1, 48, dtype=np.float32)
    dense = params["dqinit"]["dense"] | {"bias": bias}
    variables = {**variables, "params": params | {"dqinit": {"dense": dense}}}
    config, truncated = truncate(CONFIG, variables, 2, (module,))
    assert getattr(config, f"{module}_rank") == 2 and getattr(config, f"{other}_rank") == 0
    np.testing.assert_array_equal(truncated["params"]["dqinit"]["dense"]["bias"], bias)
    np.testing.assert_allclose(points(config, truncated), points(CONFIG, variables), atol=1e-5)
    # A model without the other has nothing else to be truncated.
    without = dataclasses.replace(CONFIG, **({"dqinit": False} if other == "dqinit" else {"qamem_layers": 0}))
    assert truncate(without, variables, 2)[0] == dataclasses.replace(without, **{f"{module}_rank": 2})


@pytest.mark.parametrize(
    ("fields", "rank", "said"),
    [
        ({"dqinit": False, "qamem_layers": 0}, 2, "no dqinit and no qamem"),
        ({"qamem_rank": 4}, 2, "trained with model.dqinit_rank=0 and model.qamem_rank=4 already"),
        ({}, 16, r"rank 16 is not in 1\.\.15"),
    ],
)
def test_what_cannot_be_truncated_is_named(fields, rank, said):
    with pytest.raises(ValueError, match=said):
        truncate(ModelConfig(**{"width": 16, "heads": 2, **fields}), {"params": {}}, rank)
