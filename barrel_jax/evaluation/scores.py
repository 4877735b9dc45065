# SPDX-License-Identifier: Apache-2.0
"""Scores as values: of a group of faces, of an evaluated split, under stress; and how they are read from JSON.

`files.plain` turns them into what JSON can say: a number that does not exist is NaN here and null there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from barrel_jax import files

AGAIN = "run evaluate.py again"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The metrics of a set or a subset of it; keys of the dictionaries are thresholds ("0.08") or percents ("50")."""

    num_images: int  # scored faces
    num_unscorable: int  # the other ones
    nme: float  # percent, in source pixels
    nme_crop: float  # percent, in crop units, as PIPNet measures; NaN where the windows are not known
    nme_interval: list[float]  # [low, high], 95 % bootstrap, percent
    fr: Mapping[str, float]  # failure rates, percent
    fr_interval: Mapping[str, list[float]]
    auc: Mapping[str, float]  # 0 to 1
    auc_interval: Mapping[str, list[float]]
    percentiles: Mapping[str, float]  # of the faces' errors, percent


@dataclass(frozen=True, kw_only=True)
class Scores(Summary):
    """The content of `metrics.json`: the metrics of a whole split, what they are of, and those of its subsets."""

    dataset: str
    split: str
    fingerprint: str  # of the set's annotations
    scheme: str  # of the compared points
    normaliser: str
    normaliser_points: list[int] | list[list[int]]
    normalised_by: str  # the same in words
    partial: str  # what is missing of the published set, '' for nothing
    clamped: bool  # true points were moved into the image
    mapped: str  # what was mapped to make points comparable, '' for nothing
    crop: str  # the protocol under which a model saw the faces, '' for predictions from elsewhere
    crop_frame: str  # the protocol of the windows in which `nme_crop` is measured
    unscorable: Mapping[str, int]  # faces without a score, by reason
    point_nme: list[float]  # percent, each point's mean over the scored faces
    regions: Mapping[str, float]  # percent, the mean over the faces of the mean over a region's labelled points
    subsets: Mapping[str, Summary]  # by flag
    checkpoint_step: int | None  # of the model, None for predictions from elsewhere
    config: Mapping[str, Any] | None  # of the model, as JSON says it

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Scores":
        """From the content of `metrics.json`. Raises KeyError for a field that is not there."""
        own = {field.name: content[field.name] for field in fields(cls)}
        return cls(**own | _metrics(content) | {
            "point_nme": _numbers(content["point_nme"]),
            "regions": _numbers(content["regions"]),
            "subsets": {name: Summary(**_metrics(subset)) for name, subset in content["subsets"].items()},
        })  # fmt: skip


@dataclass(frozen=True)
class StressRecord:
    """Errors at one strength of one kind of stress; NaN without a face."""

    kind: str
    strength: float
    unit: str  # of the strength
    nme: float  # percent, mean over the faces of the mean over their points
    worst: float  # percent, mean over the faces of the largest error of their points
    num_images: int  # faces that have a score


@dataclass(frozen=True, kw_only=True)
class Stress:
    """The content of `stress.json`: of which faces, what normalises them, and the records, unperturbed first."""

    dataset: str
    split: str
    fingerprint: str
    normaliser: str
    normalised_by: str
    crop: str
    seed: int  # of the perturbations
    pose: str  # how pose was measured, or why not
    records: list[StressRecord]
    checkpoint_step: int | None
    clamped: bool | None = None  # true points were moved into the image; None in files of before, which do not say

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Stress":
        """From the content of `stress.json`. Raises KeyError for a field that is not there."""
        own = {field.name: content[field.name] for field in fields(cls) if field.name != "clamped"}
        records = [StressRecord(**_numbers(record)) for record in content["records"]]
        return cls(**own | {"records": records, "clamped": content.get("clamped")})


def read_scores(path: Path) -> Scores:
    """Reads a `metrics.json`.

    Raises:
        OSError: it is not there.
        ValueError: it is damaged or of another version; names the file and the remedy.
    """
    return _read(path, Scores.from_json)


def read_stress(path: Path) -> Stress:
    """Reads a `stress.json`. Raises as `read_scores`."""
    return _read(path, Stress.from_json)


def _read(path: Path, parse: Any) -> Any:
    content = files.read_json(path, AGAIN)
    try:
        return parse(content)
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]} missing (an older version?); {AGAIN}") from error
    except (AttributeError, TypeError) as error:  # a list for an object, a text for a number
        raise ValueError(f"{path}: not what evaluate.py writes ({error}); {AGAIN}") from error


def _metrics(content: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: _numbers(content[field.name]) for field in fields(Summary)}


def _numbers(node: Any) -> Any:
    """The same with NaN for null."""
    if isinstance(node, Mapping):
        return {name: _numbers(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_numbers(value) for value in node]
    return math.nan if node is None else node
