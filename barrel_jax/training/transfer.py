# SPDX-License-Identifier: Apache-2.0
"""Weights that a new run takes from a trained one (`config.init_from`): every one that fits, the rest is drawn.

A part of the model is taken whole or not at all. The backbone fits when it is the same one, or a ResNet of the same
blocks with fewer of them: those that it lacks are drawn, and each begins as the identity (`_deepened`). What reads its
features (the projection, the plain regression) then fits too. Attention fits when it has as many heads. What belongs to
single landmarks (query positions, DQInit, QAMem, the plain regression) is taken when the points are the same: as many,
in a scheme of the same name, with the same mirror pairs. From WFLW's 98 points to 300W's 68 it is mapped as the points
themselves are (`faces.wflw_to_300w`): exactly for the regression, which is linear; for queries x and y have one weight,
the mean. At a low rank QAMem's products are mapped, and the nearest of that rank taken.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from barrel_jax.backbones import RESNETS
from barrel_jax.config import ModelConfig
from barrel_jax.faces.landmarks import SCHEMES, W300_68, WFLW_98
from barrel_jax.faces.wflw_to_300w import WEIGHTS
from barrel_jax.input.crops import FaceCrops
from barrel_jax.models.truncation import low_rank

# Their first axis is the landmarks; their last axis is the landmarks, each with a few numbers.
LANDMARKS_FIRST = re.compile(r"query_positions/|/qamem/")
LANDMARKS_LAST = re.compile(r"dqinit/dense/|regression/")
OF_BACKBONE = ("backbone", "projection", "regression")  # it and what reads its features


@dataclass(frozen=True)
class SourceModel:
    """A trained model, or a backbone's file, before it is known which of its weights fit."""

    about: str  # where it lies and what it is, for people
    variables: Mapping[str, Any]  # {params, batch_stats}, on the host
    model: ModelConfig | None = None  # None for the file of a backbone
    facts: Mapping[str, Any] = field(default_factory=dict)  # of run.json
    folded: bool = False  # its batch norm, into the convolutions: `starting.begin` takes it out again


@dataclass(frozen=True)
class Start:
    """The weights that fit a new run, and the account of them: parts with how many numbers they have, or why not."""

    weights: Mapping[str, Any] = field(default_factory=dict)  # of {params, batch_stats}; what it lacks is drawn
    about: str = ""  # what `config.init_from` names; '' when it names nothing
    taken: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)
    drawn: Mapping[str, str] = field(default_factory=dict)
    backbone: str = ""  # the `config.pretrained` that the backbone is from

    def words(self) -> str:
        """The account for people; '' when there is none to give."""
        if not self.about:
            return ""

        def counts(parts: Mapping[str, int]) -> str:
            return ", ".join(f"{name} {count / 1e6:.2f}M" for name, count in parts.items())

        lines = [f"from {self.about}:"]
        lines += [f"  taken: {counts(self.taken)}"] if self.taken else []
        lines += [f"  mapped to {W300_68.name}: {counts(self.mapped)}"] if self.mapped else []
        lines += [f"  drawn anew: {name} ({why})" for name, why in self.drawn.items()]
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """The account for run.json; {} when there is none."""
        if not self.about:
            return {}
        return {"from": self.about, "taken": self.taken, "mapped": self.mapped, "drawn": self.drawn}


def fit(
    trained: SourceModel, like: Mapping[str, Any], model: ModelConfig, crops: FaceCrops, deepen: bool = True
) -> Start:
    """What a new run takes of `trained`.

    Args:
        trained: what there is to start from.
        like: the new run's {params, batch_stats}, which may be abstract.
        model: the new run's.
        crops: what it is trained on, which says the points.
        deepen: whether a backbone of fewer blocks may be taken.

    Raises:
        ValueError: nothing fits.
    """
    theirs = {"/".join(path): leaf for path, leaf in flatten_dict(trained.variables).items()}
    ours = {"/".join(path): leaf for path, leaf in flatten_dict(like).items()}
    deeper = _deepened(trained.model, model, ours) if deepen else {}
    parts: dict[str, list[str]] = {}
    for name in (name for name in ours if name not in deeper):
        parts.setdefault(_part(name), []).append(name)
    weights: dict[str, np.ndarray] = {}
    taken: dict[str, int] = {}
    mapped: dict[str, int] = {}
    drawn: dict[str, str] = {}
    for part, names in parts.items():
        shapes = {name: ours[name].shape for name in names}
        how, found = _part_of(part, shapes, theirs, trained, model, crops, bool(deeper))
        if found:
            weights |= found
            account = mapped if how else taken
            account[_group(part)] = account.get(_group(part), 0) + sum(leaf.size for leaf in found.values())
        else:
            drawn[part] = how
    if not weights:
        raise ValueError(
            f"config.init_from: nothing of {trained.about} fits this run "
            f"({describe(model, {'scheme': crops.scheme.name, 'num_landmarks': crops.scheme.num_points})}); give "
            "another, or none to start from drawn weights"
        )
    if trained.model and deeper:
        weights |= {name: leaf for name, leaf in deeper.items() if leaf is not None}
        drawn["backbone/blocks"] = f"the run's {trained.model.backbone} has fewer; each begins as the identity"
    tree = unflatten_dict({tuple(name.split("/")): leaf for name, leaf in weights.items()})
    return Start(tree, trained.about, taken, mapped, _merged(drawn, set(map(_part, ours))))


def describe(model: ModelConfig, facts: Mapping[str, Any]) -> str:
    """A model in a few words, `facts` being its run's."""
    modules = [_count(model.encoder_layers, "encoder layer")] * bool(model.encoder_layers)
    if model.decoder_layers:
        modules += [f"{_count(model.decoder_layers, 'decoder layer')} of width {model.width}"]
    else:
        modules += ["regression"]
    modules += ["DQInit"] * model.dqinit + [_count(model.qamem_layers, "QAMem layer")] * bool(model.qamem_layers)
    return f"{', '.join([model.backbone, *modules])}; {facts['num_landmarks']} points, {facts['scheme']}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _part_of(
    part: str,
    shapes: Mapping[str, tuple[int, ...]],
    theirs: Mapping[str, np.ndarray],
    trained: SourceModel,
    model: ModelConfig,
    crops: FaceCrops,
    deepened: bool,
) -> tuple[str, dict[str, np.ndarray]]:
    """A part's leaves, and whether they were mapped; without leaves why there are none."""
    if trained.model is None and part != "backbone":
        return "the file holds a backbone alone", {}
    other = trained.model is not None and trained.model.backbone != model.backbone and not deepened
    if trained.model is not None and other and part in OF_BACKBONE:
        return f"the run's backbone is {trained.model.backbone}", {}
    if any(name not in theirs for name in shapes):
        ranked = re.search("dqinit|qamem", part) and any(_part(name) == part for name in theirs)
        return "of another rank in the run" if ranked else "the run has none", {}
    if "attention" in part and trained.model is not None and trained.model.heads != model.heads:
        return f"the run has {trained.model.heads} heads", {}
    found, how = {name: theirs[name] for name in shapes}, ""
    if any(LANDMARKS_FIRST.search(name) or LANDMARKS_LAST.search(name) for name in shapes):
        if _is_mapped(trained.facts, crops):
            found, how = _mapped(found), "mapped"
        elif not _same_points(trained.facts, crops):
            return f"the run's points are others, {trained.facts['scheme']}", {}
    if any(found[name].shape != shape for name, shape in shapes.items()):
        return "of another shape in the run", {}
    return how, found


def _deepened(trained: ModelConfig | None, model: ModelConfig, ours: Mapping[str, Any]) -> dict[str, np.ndarray | None]:
    """The weights of the blocks that the trained backbone lacks and the new one has; {} where it is no deeper kin.

    A block adds to what it gets: with zeros for the scale of its last norm it adds nothing, and the deeper backbone
    computes what the other did. Those zeros are given, the rest (None) is drawn.
    """
    theirs, mine = RESNETS.get(trained.backbone) if trained else None, RESNETS.get(model.backbone)
    if theirs is None or mine is None or model.norm == "frozen":
        return {}
    if (theirs.bottleneck, theirs.width) != (mine.bottleneck, mine.width):
        return {}
    if any(had > has for had, has in zip(theirs.blocks, mine.blocks, strict=True)):
        return {}
    last = f"conv{3 if mine.bottleneck else 2}/norm/scale"
    added: dict[str, np.ndarray | None] = {}
    for name, leaf in ours.items():
        block = re.search(r"/backbone/layer(\d)_(\d+)/(.*)", name)
        if block and int(block[2]) >= theirs.blocks[int(block[1]) - 1]:
            added[name] = np.zeros(leaf.shape, np.float32) if block[3] == last else None
    return added


def _part(name: str) -> str:
    """What is taken whole or not at all: 'backbone', 'head', 'decoder0/feedforward', 'decoder0/qamem/1' (a layer)."""
    _, *path = name.split("/")
    if not re.match(r"(encoder|decoder)\d", path[0]):
        return path[0]
    return "/".join(path[:2]) + (f"/{path[2][-1]}" if path[1] == "qamem" else "")


def _group(part: str) -> str:
    """The part's name in the account: a layer of the transformer, or its per-query memory."""
    return re.sub(r"/(?!qamem).*", "", part)


def _merged(drawn: Mapping[str, str], parts: set[str]) -> dict[str, str]:
    """The parts that are drawn, under one name for a whole layer whose parts all are for one reason."""
    merged: dict[str, str] = {}
    for part, why in drawn.items():
        layer = part.partition("/")[0]
        same = all(drawn.get(other) == why for other in parts if other.partition("/")[0] == layer)
        merged[layer if same else part] = why
    return merged


def _same_points(facts: Mapping[str, Any], crops: FaceCrops) -> bool:
    scheme = crops.scheme
    if (facts["num_landmarks"], facts["scheme"]) != (scheme.num_points, scheme.name):
        return False
    if "flip" in facts:
        return tuple(facts["flip"]) == scheme.flip
    return scheme.name in SCHEMES or facts["fingerprint"] == crops.fingerprint  # runs of before it was kept


def _is_mapped(facts: Mapping[str, Any], crops: FaceCrops) -> bool:
    return (facts["scheme"], crops.scheme.name) == (WFLW_98.name, W300_68.name)


def _mapped(leaves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The leaves of a part that belongs to 98 landmarks for 68."""
    mapped = {name: _mapped_leaf(name, leaf) for name, leaf in leaves.items()}
    for left in (name for name in leaves if re.search(r"/qamem/u\d$", name)):
        # Of two factors the product alone has a meaning: the mean of the factors is not that of the products.
        right = f"{left[:-2]}v{left[-1]}"
        products = np.einsum("jdr,jer->jde", leaves[left], leaves[right])
        factors = low_rank(_mapped_leaf(left, products), leaves[left].shape[-1])
        mapped[left], mapped[right] = factors[0], np.swapaxes(factors[1], -1, -2)
    return mapped


def _mapped_leaf(name: str, leaf: np.ndarray) -> np.ndarray:
    if LANDMARKS_FIRST.search(name):
        return np.einsum("kj,j...->k...", WEIGHTS.mean(axis=0), leaf).astype(leaf.dtype)
    if not LANDMARKS_LAST.search(name):
        return leaf
    each = leaf.reshape(*leaf.shape[:-1], WFLW_98.num_points, -1)
    if "regression/" in name:  # x and y
        each = np.einsum("ckj,...jc->...kc", WEIGHTS, each)
    else:
        each = np.einsum("kj,...jd->...kd", WEIGHTS.mean(axis=0), each)
    return each.reshape(*leaf.shape[:-1], -1).astype(leaf.dtype)
