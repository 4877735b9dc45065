# SPDX-License-Identifier: Apache-2.0
"""Models beside each other in the paper's five respects, as values; how `barrel.json` says them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from barrel_jax.evaluation.comparison import ScoredFaces


@dataclass(frozen=True)
class Figure:
    """A number over a model's seeds; None for what does not exist."""

    mean: float | None
    std: float | None  # of the sample


ABSENT = Figure(None, None)


@dataclass(frozen=True)
class Criterion:
    """One of the five respects."""

    figures: Mapping[str, Figure]  # the numbers that it is measured by
    height: float | None = None  # 0..1 with 1 for the best of the models; None for what is not measured

    def figure(self, name: str) -> Figure:
        """A number by its name."""
        return self.figures.get(name, ABSENT)


@dataclass(frozen=True)
class StressFigures:
    """Errors at one strength of one kind of stress."""

    kind: str
    strength: float
    unit: str  # of the strength
    nme: Figure  # percent
    worst: Figure  # percent: the largest error of a face's points
    num_images: int


@dataclass(frozen=True)
class Model:
    """What is measured of a model, over its runs."""

    name: str
    workdirs: list[str]
    seeds: list[int]
    checkpoint_steps: list[int | None]
    criteria: Mapping[str, Criterion]  # by name, in the order of `tables.HEIGHTS`
    stress: list[StressFigures]
    pose: str  # how pose was measured, or why not
    device: str  # on which the efficiency was measured
    why_no_other: str  # why generalisation is not measured, '' where it is
    label_related: list[str]  # hyperparameters in use

    @property
    def shortest(self) -> str:
        """The criterion of the least height."""
        heights = self._heights()
        return min(heights, key=heights.__getitem__)

    @property
    def holds(self) -> float:
        """The least height, up to which a barrel of these holds water."""
        return min(self._heights().values())

    def _heights(self) -> dict[str, float]:
        return {name: one.height for name, one in self.criteria.items() if one.height is not None}

    def to_json(self) -> dict[str, Any]:
        """As one of `models` in `barrel.json`."""
        more: dict[str, dict[str, Any]] = {
            "robustness": {
                "records": [vars(one) | {"nme": vars(one.nme), "worst": vars(one.worst)} for one in self.stress],
                "pose": self.pose,
            },
            "efficiency": {"device": self.device},
            "generalisation": {"why": self.why_no_other},
            "ease of training": {"label_related": self.label_related},
        }
        return {
            "name": self.name,
            "workdirs": self.workdirs,
            "seeds": self.seeds,
            "checkpoint_steps": self.checkpoint_steps,
            "staves": {
                name: {"figures": {number: vars(figure) for number, figure in one.figures.items()}}
                | more.get(name, {})
                | {"height": one.height}
                for name, one in self.criteria.items()
            },
            "shortest": self.shortest,
            "holds": self.holds,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Model":
        """The inverse of `to_json`. Raises KeyError for a field that is not there."""
        staves = content["staves"]
        return cls(
            name=content["name"],
            workdirs=content["workdirs"],
            seeds=content["seeds"],
            checkpoint_steps=content["checkpoint_steps"],
            criteria={
                name: Criterion({number: Figure(**one) for number, one in stave["figures"].items()}, stave["height"])
                for name, stave in staves.items()
            },
            stress=[
                StressFigures(**one | {"nme": Figure(**one["nme"]), "worst": Figure(**one["worst"])})
                for one in staves["robustness"]["records"]
            ],
            pose=staves["robustness"]["pose"],
            device=staves["efficiency"]["device"],
            why_no_other=staves["generalisation"]["why"],
            label_related=staves["ease of training"]["label_related"],
        )


@dataclass(frozen=True)
class ModelComparison:
    """The content of `barrel.json`."""

    faces: ScoredFaces  # of the models' own set
    other: ScoredFaces | None  # of the set of generalisation, if there is one
    scored_epochs: list[float]  # at which all models were scored while they trained
    models: list[Model]

    def to_json(self) -> dict[str, Any]:
        """The content; `files.plain` makes of it what JSON can say."""
        return {
            **vars(self.faces),
            "other": None if self.other is None else vars(self.other),
            "scored_epochs": self.scored_epochs,
            "models": [model.to_json() for model in self.models],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelComparison":
        """The inverse of `to_json`, also of a result that says more. Raises KeyError for a field that is not there."""
        other = content["other"]
        return cls(
            faces=ScoredFaces.of(content),
            other=None if other is None else ScoredFaces.of(other),
            scored_epochs=content["scored_epochs"],
            models=[Model.from_json(model) for model in content["models"]],
        )
