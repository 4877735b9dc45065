# SPDX-License-Identifier: Apache-2.0
"""A record of a grid: the scores of a row on one subset, over its seeds, beside the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """NME in percent, None where it is not known; deviations are those of the sample."""

    model: str  # the row's title
    label: str  # the model by the paper's name for it (`paper.Row.label`)
    dataset: str
    network: Mapping[str, Any]  # fields of config.model
    subset: str  # '' for the whole test set
    paper: float | None
    nme: float | None  # in source pixels
    nme_crop: float | None  # as PIPNet measures, which stands beside the paper's
    std: float | None
    std_crop: float | None
    seeds: list[int]  # that are done
    partial: str  # what is missing of the published set, '' for nothing
    clamped: bool  # true points were moved into the image
    speed: Mapping[str, float | None]  # frames per second by column (`figure5.speed_columns`)

    def to_json(self) -> dict[str, Any]:
        """As one of `rows` in GRID.json, where the network's fields stand among the others."""
        return {
            "model": self.model,
            "label": self.label,
            "set": self.dataset,
            **self.network,
            "subset": self.subset,
            "paper": self.paper,
            "nme": self.nme,
            "nme_crop": self.nme_crop,
            "std": self.std,
            "std_crop": self.std_crop,
            "seeds": self.seeds,
            "partial": self.partial,
            "clamped": self.clamped,
            "speed": self.speed,
        }
