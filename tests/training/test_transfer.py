# SPDX-License-Identifier: Apache-2.0
"""Weights that a new run takes of a trained one, part by part; the runs themselves are in test_starting.py."""

import dataclasses

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from barrel_jax.backbones import BACKBONES
from barrel_jax.config import Config, MeshConfig, ModelConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.faces.landmarks import COFW_29, SCHEMES, W300_68, WFLW_98
from barrel_jax.faces.wflw_to_300w import WEIGHTS, map_points
from barrel_jax.models.build import build_model, shapes_of
from barrel_jax.models.dqinit import DQInit
from barrel_jax.training.starting import Origin, begin, read_trained
from barrel_jax.training.transfer import SourceModel, fit
from tests.kit.toy import make_crops

OWN = dataclasses.replace(make_crops(1).scheme, name="custom-68", num_points=68, flip=tuple(range(68)))
FACTS_68 = {"num_landmarks": 68, "scheme": W300_68.name, "flip": list(W300_68.flip), "fingerprint": "f"}
REGRESSION = {"decoder_layers": 0, "dqinit": False, "qamem_layers": 0}


def model_of(**fields):
    return ModelConfig(**{"width": 16, "heads": 4, "feedforward": 24, "decoder_layers": 2, "qamem_layers": 2} | fields)


def like_of(model, landmarks):
    return shapes_of(build_model(model, landmarks), 64)


def trained_on(scheme, **fields):
    """A run's weights, all different."""
    model, rng = model_of(**fields), np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.random(x.shape, x.dtype), like_of(model, scheme.num_points))
    facts = {"num_landmarks": scheme.num_points, "scheme": scheme.name, "flip": list(scheme.flip), "fingerprint": "f"}
    return SourceModel("runs/a", variables, model, facts)


def start_of(trained, scheme, **fields):
    """What a run takes of it, by name, and the whole account; what was taken, mapped and drawn is all there is."""
    model, crops = model_of(**fields), dataclasses.replace(make_crops(1), scheme=scheme)
    like = like_of(model, scheme.num_points)
    start = fit(trained, like, model, crops)
    given = flat(start.weights)
    for name, leaf in given.items():
        assert leaf.shape == flat(like)[name].shape and leaf.dtype == np.float32
    assert sum(leaf.size for leaf in given.values()) == sum({**start.taken, **start.mapped}.values())
    return given, start


def flat(tree):
    return {"/".join(path): leaf for path, leaf in flatten_dict(tree).items()}


def assert_taken(given, trained, names):
    theirs = flat(trained.variables)
    assert set(given) == set(names)
    for name in names:
        np.testing.assert_array_equal(given[name], theirs[name])


def test_with_the_same_points_every_weight_is_taken():
    trained = trained_on(W300_68)
    given, start = start_of(trained, W300_68)
    assert_taken(given, trained, flat(trained.variables))
    assert start.drawn == {} == start.mapped and "decoder0/qamem" in start.taken and "backbone" in start.taken
    # Faces that somebody else annotated alike, told by the same mirror pairs.
    own = trained_on(OWN)
    assert_taken(start_of(own, OWN)[0], own, flat(own.variables))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(COFW_29, W300_68), (W300_68, WFLW_98), (W300_68, OWN), (dataclasses.replace(OWN, flip=W300_68.flip), OWN)],
    ids=["29 to 68", "68 to 98", "another 68", "other pairs"],
)
def test_with_other_points_what_belongs_to_one_is_drawn_anew(theirs, ours):
    trained = trained_on(theirs)
    given, start = start_of(trained, ours)
    of_points = ("query_positions", "dqinit", "qamem")
    assert_taken(given, trained, [n for n in flat(trained.variables) if not any(word in n for word in of_points)])
    why = f"the run's points are others, {theirs.name}"
    memories = {f"decoder{i}/qamem/{layer}": why for i in (0, 1) for layer in (1, 2)}
    assert start.drawn == {"query_positions": why, "dqinit": why, **memories} and start.mapped == {}


def test_runs_from_before_the_pairs_were_kept_have_the_same_points_when_it_is_known():
    for scheme, fingerprint, same in ((W300_68, "x", True), (OWN, "x", False), (OWN, "f00d", True)):
        trained = trained_on(scheme)
        facts = {name: value for name, value in trained.facts.items() if name != "flip"} | {"fingerprint": fingerprint}
        given, _ = start_of(dataclasses.replace(trained, facts=facts), scheme)
        assert ("params/query_positions/embedding" in given) == same


def test_from_98_points_to_68_products_of_low_rank_are_mapped():
    """What DQInit and QAMem compute, as at full rank; where a point is one of WFLW's exactly, else by the nearest."""
    trained = trained_on(WFLW_98, dqinit_rank=8, qamem_rank=2)
    given, start = start_of(trained, W300_68, dqinit_rank=8, qamem_rank=2)
    theirs, mean = flat(trained.variables), WEIGHTS.mean(axis=0)
    assert set(given) == set(theirs) and start.drawn == {}
    assert set(start.mapped) == {"query_positions", "dqinit", "decoder0/qamem", "decoder1/qamem"}

    def transforms(weights):
        return np.einsum("kdr,ker->kde", weights["params/decoder1/qamem/u2"], weights["params/decoder1/qamem/v2"])

    wanted, found = np.einsum("kj,jde->kde", mean, transforms(theirs)), transforms(given)
    alone = mean.max(1) == 1
    assert alone.sum() == 52
    np.testing.assert_allclose(found[alone], wanted[alone], atol=1e-4)
    singular = np.linalg.svd(wanted, compute_uv=False)
    np.testing.assert_allclose(np.square(wanted - found).sum((1, 2)), np.square(singular[:, 2:]).sum(1), atol=1e-2)
    weights = "params/dqinit/reduce/kernel", "params/dqinit/dense/kernel"
    queries = [np.reshape(w[weights[0]] @ w[weights[1]], (16, -1, 16)) for w in (theirs, given)]
    np.testing.assert_allclose(queries[1], np.einsum("kj,djc->dkc", mean, queries[0]), atol=1e-3)


def test_from_98_points_to_68_it_is_mapped():
    trained = trained_on(WFLW_98)
    given, start = start_of(trained, W300_68)
    theirs, dot = flat(trained.variables), np.float32(1e-5)
    assert set(given) == set(theirs) and start.drawn == {}
    assert set(start.mapped) == {"query_positions", "dqinit", "decoder0/qamem", "decoder1/qamem"}
    # Jaw point 5 is WFLW's 10; lid point 37 is two thirds of 61 and a third of 62; brow point 18 takes the x of 34 and
    # the mean y of 34 and 41, so that of its one query three quarters are 34's.
    for name in ("params/query_positions/embedding", "params/decoder1/qamem/kernel2", "params/decoder0/qamem/bias1"):
        old, new = theirs[name], given[name]
        np.testing.assert_allclose(new[5], old[10], atol=dot)
        np.testing.assert_allclose(new[37], 2 / 3 * old[61] + 1 / 3 * old[62], atol=dot)
        np.testing.assert_allclose(new[18], 3 / 4 * old[34] + 1 / 4 * old[41], atol=dot)
    # DQInit's queries are those of the 98 points, mapped.
    memory = np.random.default_rng(1).normal(size=(2, 4, 16)).astype(np.float32)

    def queries(weights, landmarks):
        params = {"dense": {leaf: weights[f"params/dqinit/dense/{leaf}"] for leaf in ("kernel", "bias")}}
        return np.asarray(DQInit(landmarks, 0, np.float32).apply({"params": params}, memory))

    expected = np.einsum("kj,bjd->bkd", WEIGHTS.mean(axis=0), queries(theirs, 98))
    np.testing.assert_allclose(queries(given, 68), expected, atol=1e-4)


def test_the_identity_stays_the_identity_when_it_is_mapped():
    trained = trained_on(WFLW_98)
    leaves = flatten_dict(trained.variables)
    leaves["params", "decoder0", "qamem", "kernel1"] = np.broadcast_to(np.eye(16, dtype=np.float32), (98, 16, 16))
    given, _ = start_of(dataclasses.replace(trained, variables=unflatten_dict(leaves)), W300_68)
    np.testing.assert_allclose(given["params/decoder0/qamem/kernel1"], np.tile(np.eye(16), (68, 1, 1)), atol=1e-6)


def test_the_mapped_regression_predicts_the_mapped_points():
    trained = trained_on(WFLW_98, **REGRESSION)
    given, start = start_of(trained, W300_68, **REGRESSION)
    assert set(start.mapped) == {"regression"} and set(start.taken) == {"backbone"}
    pooled = np.random.default_rng(1).normal(size=(3, 512)).astype(np.float32)

    def points(weights):
        dense = pooled @ weights["params/regression/kernel"] + weights["params/regression/bias"]
        return dense.reshape(3, -1, 2)

    np.testing.assert_allclose(points(given), map_points(points(flat(trained.variables))), atol=1e-3)


def test_more_layers_than_the_run_had_are_drawn_anew():
    given, start = start_of(trained_on(W300_68), W300_68, decoder_layers=4, encoder_layers=1)
    none = "the run has none"
    assert start.drawn == {"decoder2": none, "decoder3": none, "encoder0": none}
    assert not any(name.startswith("params/decoder2") for name in given) and "params/decoder1/norm1/bias" in given
    assert "  drawn anew: decoder2 (the run has none)" in start.words()
    # A second layer of the memory is drawn (the identity), the first one is taken; fewer layers than there are do.
    given, start = start_of(trained_on(W300_68, qamem_layers=1), W300_68, decoder_layers=1)
    assert start.drawn == {"decoder0/qamem/2": none} and "params/decoder0/qamem/kernel1" in given


def test_a_part_of_which_the_run_has_some_is_drawn_as_a_whole():
    """The kernel of a layer says nothing beside a bias that is drawn."""
    trained = trained_on(W300_68)
    del trained.variables["params"]["projection"]["bias"]
    given, start = start_of(trained, W300_68)
    assert start.drawn == {"projection": "the run has none"} and "params/projection/kernel" not in given


def test_modules_of_another_rank_are_drawn_and_said_to_be_so():
    given, start = start_of(trained_on(W300_68), W300_68, dqinit_rank=4, qamem_rank=4)
    why = "of another rank in the run"
    layers = [f"decoder{layer}/qamem/{number}" for layer in (0, 1) for number in (1, 2)]
    assert start.drawn == dict.fromkeys(["dqinit", *layers], why)
    assert not any("dqinit" in name or "/qamem/" in name for name in given)


def test_another_backbone_is_drawn_with_what_reads_its_features():
    trained = trained_on(W300_68, backbone="resnet34")
    given, start = start_of(trained, W300_68)
    why = "the run's backbone is resnet34"
    assert start.drawn == {"backbone": why, "projection": why}
    assert not any("backbone" in name for name in given) and "params/dqinit/dense/kernel" in given


@pytest.mark.parametrize(
    ("theirs", "ours", "added"),
    [
        ("resnet10", "resnet18", {f"layer{stage}_1" for stage in (1, 2, 3, 4)}),
        (
            "resnet18",
            "resnet34",
            {f"layer{at}" for at in ("1_2", "2_2", "2_3", "3_2", "3_3", "3_4", "3_5", "4_2")},
        ),
    ],
)
def test_a_deeper_backbone_takes_what_the_run_has_and_begins_where_it_is(theirs, ours, added):
    images = np.random.default_rng(1).uniform(size=(2, 64, 64, 3)).astype(np.float32)
    shallow, deep = (build_model(model_of(backbone=name), 68) for name in (theirs, ours))
    trained = SourceModel(
        "runs/a", shallow.init(jax.random.key(3), images, train=False), model_of(backbone=theirs), FACTS_68
    )
    crops, drawn = dataclasses.replace(make_crops(1), scheme=W300_68), deep.init(jax.random.key(4), images, train=False)
    start = fit(trained, drawn, model_of(backbone=ours), crops)
    given = flat(start.weights)
    missing = {name.split("/")[2] for name in set(flat(drawn)) - set(given)}
    assert missing == added
    assert start.drawn == {"backbone/blocks": f"the run's {theirs} has fewer; each begins as the identity"}
    assert start.taken["backbone"] == sum(x.size for n, x in flat(trained.variables).items() if "/backbone/" in n)
    variables = unflatten_dict({tuple(name.split("/")): leaf for name, leaf in {**flat(drawn), **given}.items()})
    for train in (False, True):
        points = [
            model.apply(weights, images, train=train, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)})[0]
            for model, weights in ((shallow, trained.variables), (deep, variables))
        ]
        np.testing.assert_allclose(*points, atol=1e-6)


@pytest.mark.parametrize(
    ("theirs", "ours", "norm"),
    [
        ("resnet18", "resnet10", "batch"),  # fewer blocks
        ("resnet34", "resnet50", "batch"),  # as many, of another kind
        ("resnet10", "hrnet_w18", "batch"),
        ("resnet10_w16", "resnet18", "batch"),  # fewer channels
        ("resnet10", "resnet18", "frozen"),  # zeros that nobody trains would stay
    ],
)
def test_a_backbone_that_is_no_deeper_kin_is_drawn(theirs, ours, norm):
    given, start = start_of(
        trained_on(W300_68, backbone=theirs), W300_68, backbone=ours, norm=norm, stride=max(BACKBONES[ours].strides)
    )
    assert start.drawn["backbone"] == f"the run's backbone is {theirs}"
    assert not any("/backbone/" in name for name in given)


def test_attention_of_another_number_of_heads_and_other_shapes_are_drawn():
    given, start = start_of(trained_on(W300_68), W300_68, heads=8, feedforward=32)
    heads, shape = "the run has 4 heads", "of another shape in the run"
    assert start.drawn == {
        f"decoder{i}/{part}": why
        for i in (0, 1)
        for part, why in (("self_attention", heads), ("cross_attention", heads), ("feedforward", shape))
    }
    assert "params/decoder0/feedforward/linear2/bias" not in given  # would fit, but not without its kernel


def test_nothing_that_fits_says_what_the_run_is():
    plain = trained_on(W300_68, backbone="resnet34", **REGRESSION)
    said = (
        r"nothing of runs/a fits this run \(resnet18, 2 decoder layers of width 16, DQInit, 2 QAMem layers; 29 points, "
        r"cofw-29\); give another"
    )
    with pytest.raises(ValueError, match=said):
        start_of(plain, COFW_29)


def test_a_backbones_file_gives_the_backbone():
    trained = trained_on(W300_68)
    alone = {kind: {"backbone": tree["backbone"]} for kind, tree in trained.variables.items()}
    given, start = start_of(SourceModel("weights.pth (resnet18 alone)", alone), COFW_29)
    assert_taken(given, trained, [name for name in flat(trained.variables) if "/backbone/" in name])
    assert set(start.drawn.values()) == {"the file holds a backbone alone"} and set(start.taken) == {"backbone"}


def test_every_known_scheme_is_taken_as_itself():
    for scheme in SCHEMES.values():
        assert start_of(trained_on(scheme), scheme)[1].drawn == {}


def test_a_backbones_weights_stand_in_the_place_of_a_runs():
    """`config.pretrained` beside a run with another backbone: the rest of the run is kept."""
    trained, crops = trained_on(W300_68, backbone="resnet34"), dataclasses.replace(make_crops(1), scheme=W300_68)
    config = Config(model=model_of(), pretrained="imagenet")
    like, own = like_of(config.model, 68), {"params": {"stem": np.ones(3)}, "batch_stats": {"stem": np.zeros(3)}}
    start = begin(Origin(trained, own), config, like, crops)
    assert start.weights["params"]["backbone"] is own["params"] and start.backbone == "imagenet"
    assert start.weights["batch_stats"]["backbone"] is own["batch_stats"]
    np.testing.assert_array_equal(
        start.weights["params"]["head"]["layer1"]["kernel"], trained.variables["params"]["head"]["layer1"]["kernel"]
    )
    assert set(start.drawn) == {"projection"}


def test_a_run_is_looked_for_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"^{tmp_path}/none: no run and no weights file"):
        read_trained("~/none", "resnet18", make_mesh(MeshConfig(data=1)))
