# SPDX-License-Identifier: Apache-2.0
"""A model as one file of 8-bit weights: what is lost, what is kept, what is refused."""

import functools
import json
import operator
import zipfile

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from barrel_jax.config import Config, ModelConfig
from barrel_jax.models.build import build_model
from barrel_jax.models.folding import fold
from barrel_jax.models.inference import make_inference
from barrel_jax.models.packed import pack, unpack

K, SIZE = 5, 64
FACTS = {"scheme": "toy", "num_landmarks": K}
LOW = {"dqinit_rank": 4, "qamem_rank": 4, "reference_points": True, "uncertainty": True}


def config_of(**fields):
    model = ModelConfig(backbone="resnet10_w16", width=32, heads=4, feedforward=48, dtype="float32", **fields)
    config = Config(model=model)
    config.data.image_size = SIZE
    return config


def drawn(config):
    model = build_model(config.model, K)
    images = np.zeros((1, SIZE, SIZE, 3), np.float32)
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
    random = np.random.default_rng(0)

    def noisy(leaf):
        return np.asarray(leaf) + 0.1 * random.standard_normal(leaf.shape).astype(np.float32)

    return {"params": jax.tree.map(noisy, variables["params"]), "batch_stats": variables["batch_stats"]}


@pytest.mark.parametrize("fields", [{"qamem_layers": 2}, LOW], ids=str)
def test_weights_are_rounded_by_half_a_level_at_most_and_points_hardly_move(tmp_path, fields):
    config, facts = config_of(**fields), FACTS | {"box_fit": [[0.0, 0.1], [1.1, 1.2]], "refine": 1}
    variables = drawn(config)
    size = pack(tmp_path / "model.npz", config, facts, variables)
    found = unpack(tmp_path / "model.npz")
    assert found.config == config and found.facts == facts and (found.scheme, found.num_landmarks) == ("toy", K)
    assert found.box_fit.size == (1.1, 1.2)
    _, weights = make_inference(config.model, K, variables)
    _, rounded = make_inference(config.model, K, found.variables)
    assert jax.tree.map(np.shape, weights) == jax.tree.map(np.shape, rounded)
    pairs = list(zip(jax.tree.leaves(weights), jax.tree.leaves(rounded), strict=True))
    numbers = sum(leaf.size for leaf, _ in pairs)
    assert size < 1.2 * numbers
    for leaf, other in pairs:
        if leaf.ndim < 2:
            np.testing.assert_array_equal(leaf, other)
        else:
            assert np.abs(leaf - other).max() <= np.abs(leaf).max() / 127 / 2 * 1.001
    assert any(np.any(leaf != other) for leaf, other in pairs)
    kept = flatten_dict(jax.tree.map(np.asarray, fold(variables))["params"], sep="/")
    for name, leaf in flatten_dict(found.variables["params"], sep="/").items():
        if name.rpartition("/")[2].startswith(("bias", "embedding")):  # bias1 is QAMem's, a row for each query
            np.testing.assert_array_equal(leaf, kept[name], err_msg=name)
    images = np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    predict = jax.jit(make_inference(config.model, K, variables)[0])
    before, after = predict(weights, images), predict(rounded, images)
    assert 0 < np.abs(before - after).max() < 0.05


@pytest.mark.parametrize(
    ("fields", "place"), [({}, ("head", "layer3", "kernel")), (LOW, ("decoder0", "qamem", "v1"))], ids=["head", "V_i"]
)
def test_an_output_of_small_weights_keeps_them(tmp_path, fields, place):
    """A level is of one output alone: beside one a thousand times as large, it is not rounded away.

    The outputs of T^i = 1 + U_i V_i^T are the rows of V_i.
    """

    def weights(variables):
        return functools.reduce(operator.getitem, place, variables["params"])[:, 0]

    config = config_of(**fields)
    variables = drawn(config)
    small = weights(variables)
    small *= 1e-3
    pack(tmp_path / "model.npz", config, FACTS, variables)
    found = weights(unpack(tmp_path / "model.npz").variables)
    np.testing.assert_allclose(found, small, atol=np.abs(small).max() / 250)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_packed(tmp_path, number):
    config = config_of()
    variables = drawn(config)
    variables["params"]["head"]["layer3"]["kernel"][0, 0] = number
    with pytest.raises(
        ValueError, match=r"m\.npz: not written, as the weights head/layer3/kernel are not finite; take an"
    ):
        pack(tmp_path / "m.npz", config, FACTS, variables)
    assert not (tmp_path / "m.npz").exists()


def test_what_is_no_packed_model_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "none.npz")
    text, other, unknown = (tmp_path / f"{name}.npz" for name in ("text", "other", "unknown"))
    text.write_text("no archive")
    np.savez(other, points=np.zeros(3))
    np.savez(unknown, about=np.array(json.dumps({"config": {"wings": 2}, "facts": {}})))
    encrypted = tmp_path / "encrypted.npz"  # so says a bit of the entry's head, in the archive's list of them
    content = bytearray(unknown.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    encrypted.write_bytes(content)
    for file, said in (
        (text, "no packed model"), (other, "no packed model"), (unknown, "unknown field wings"),
        (encrypted, "no packed model .*encrypted"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{file}: .*{said}"):
            unpack(file)


def test_a_bomb_is_not_expanded(tmp_path):
    """How large its arrays are is said in the archive's list of them."""
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(1000))
    content = bytearray(bomb.read_bytes())
    expanded = content.rindex(b"PK\1\2") + 24
    content[expanded : expanded + 4] = ((2 << 30) + 1).to_bytes(4, "little")
    bomb.write_bytes(content)
    with pytest.raises(ValueError, match=f"{bomb}: .*more than 2 GB when it is expanded"):
        unpack(bomb)


WEIGHTS = "head/layer1/kernel"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    file = tmp_path_factory.mktemp("packed") / "model.npz"
    config = config_of()
    pack(file, config, FACTS | {"box_fit": [[0.0, 0.0], [1.0, 1.0]]}, drawn(config))
    return file


def says(group, name, value):
    """What is said under a name is another; None takes it away."""

    def spoil(columns, about):
        place = about["facts"] if group == "facts" else about["config"]["model"]
        del place[name]
        place |= {} if value is None else {name: value}

    return spoil


def holds(name, change):
    """What an array holds is another; None takes it away."""

    def spoil(columns, about):
        old = columns.pop(name, None)
        columns |= {} if change is None else {name: change(old)}

    return spoil


def with_a_nan(step):
    step = step.copy()
    step[0, 0] = np.nan
    return step


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (says("facts", "num_landmarks", None), "scheme and num_landmarks are missing"),
        (says("facts", "box_fit", "tight"), "box_fit is not what a run writes there"),
        (says("facts", "num_landmarks", K + 1), "are not of the model that its config describes"),
        (says("model", "backbone", "resnet11"), "backbone='resnet11' is none of"),
        (holds(WEIGHTS, None), f"its weights {WEIGHTS} are not of the model"),
        (holds(WEIGHTS, lambda old: old[:, :7]), f"its weights {WEIGHTS} are not of the model"),
        (holds(f"{WEIGHTS}:step", lambda old: old[:, :7]), f"its weights {WEIGHTS} are not of the model"),
        (holds(f"{WEIGHTS}:step", None), f"its weights {WEIGHTS} are not of the model"),
        (holds(f"{WEIGHTS}:step", with_a_nan), f"its weights {WEIGHTS} are not of the model"),
        (holds("head/layer9/kernel", lambda old: np.zeros((2, 2))), "its weights head/layer9/kernel are of no part"),
        (holds(WEIGHTS, lambda old: np.array([{"a": 1}])), "no packed model .*Object arrays cannot be loaded"),
    ],
)
def test_a_file_that_says_something_else_is_one_line_with_its_name(packed, tmp_path, spoil, said):
    with np.load(packed) as content:
        columns = {name: content[name] for name in content.files}
    about = json.loads(str(columns["about"]))
    spoil(columns, about)
    columns["about"] = np.array(json.dumps(about))
    spoilt = tmp_path / "spoilt.npz"
    np.savez(spoilt, **columns)
    with pytest.raises(ValueError, match=rf"^{spoilt}: .*{said}.*; write it anew: python -m barrel_jax\.export RUN"):
        unpack(spoilt)


def test_how_often_to_crop_again_is_a_number(packed, tmp_path):
    spoilt = tmp_path / "spoilt.npz"
    config = config_of()
    pack(spoilt, config, FACTS | {"refine": "twice"}, drawn(config))
    with pytest.raises(ValueError, match=f"{spoilt}: refine is not what a run writes there"):
        unpack(spoilt)


def test_predictions_are_told_from_a_model(tmp_path):
    np.savez(tmp_path / "p.npz", points=np.zeros((1, 68, 2)), nme=np.zeros(1))
    with pytest.raises(ValueError, match=r"p\.npz: this is no packed model \(its arrays are nme, points, and none"):
        unpack(tmp_path / "p.npz")
