# SPDX-License-Identifier: Apache-2.0
"""The cost of a rank: a run's error at a rank of its per-query weights beside that at full rank, and its file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barrel_jax import files

NAME = "rank_cost.json"
AGAIN = "run evaluate.py --rank again, or remove the file"


@dataclass(frozen=True, kw_only=True)
class RankCost:
    """The content of `rank_cost.json`, of one split; the errors are percent, in source pixels, NaN without a face."""

    rank: int  # of DQInit's and QAMem's weights
    checkpoint_step: int
    dataset: str
    split: str
    normaliser: str  # its name, what the errors are shares of
    nme: float  # at the rank
    nme_at_full_rank: float


def write_rank_cost(folder: Path, cost: RankCost) -> Path:
    """Writes a cost into the folder of an evaluation, beside its `metrics.json`; returns the file's path."""
    path = folder / NAME
    files.write_json(path, files.plain(cost))
    return path


def read_rank_costs(workdir: Path, rank: int, checkpoint_step: int) -> list[RankCost]:
    """The costs that were measured of a run at a rank and a checkpoint, by set and split; none where none was.

    Args:
        workdir: the run's folder, below whose `eval` the evaluations lie.
        rank: of the weights.
        checkpoint_step: of the checkpoint.

    Raises:
        ValueError: a file is damaged or of another version; names it and the remedy.
    """
    costs = [_read(path) for path in sorted(Path(workdir).glob(f"eval/*/{NAME}"))]
    return [cost for cost in costs if (cost.rank, cost.checkpoint_step) == (rank, checkpoint_step)]


def _read(path: Path) -> RankCost:
    content: Any = files.read_json(path, AGAIN)
    try:
        fields: Mapping[str, Any] = {
            name: math.nan if name.startswith("nme") and value is None else value for name, value in content.items()
        }
        return RankCost(**fields)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{path}: not what evaluate.py writes ({error}); {AGAIN}") from error
