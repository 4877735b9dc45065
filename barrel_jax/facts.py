# SPDX-License-Identifier: Apache-2.0
"""The facts of a run, as run.json (`training.workdir.claim`) and a packed model have them, read and checked."""

import math
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.faces.box_fit import BoxFit

# What is read of them, where it is there; the scheme and its points must be.
KINDS = {
    "scheme": str,
    "num_landmarks": int,
    "steps": int,
    "dataset": str,
    "fingerprint": str,
    "flip": list,
    "box_fit": list,
    "refine": int,
    "also": list,
    "lengthened": list,
    "init_from": dict,
    "machine": dict,
    "versions": dict,
}


class Described:
    """A trained model's `facts`, and what they say of it."""

    facts: dict[str, Any]

    @property
    def num_landmarks(self) -> int:
        """K."""
        return self.facts["num_landmarks"]

    @property
    def scheme(self) -> str:
        """The name of the points."""
        return self.facts["scheme"]

    @property
    def box_fit(self) -> BoxFit | None:
        """How the boxes of the training set lie about its landmarks; None for a run that did not write it."""
        shift, size = self.facts.get("box_fit") or (None, None)
        return BoxFit(tuple(shift), tuple(size)) if shift and size else None


def read_facts(workdir: Path) -> dict[str, Any]:
    """dataset, fingerprint, scheme, num_landmarks, versions, ... of a run.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: the file is damaged.
    """
    path = Path(workdir) / "run.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no run there; train first, or give the --workdir that train.py was given")
    remedy = "put the run's own back, or start its command in another --workdir"
    return check_facts(files.read_json(path, remedy), path, remedy)


def check_facts(facts: Any, path: Path, remedy: str) -> dict[str, Any]:
    """Facts that were read from a file. Raises ValueError when they are not what a run writes."""
    if not isinstance(facts, dict) or not {"scheme", "num_landmarks"} <= facts.keys():
        raise ValueError(f"{path}: a run's scheme and num_landmarks are missing; {remedy}")
    wrong = [name for name, kind in KINDS.items() if name in facts and type(facts[name]) is not kind]
    wrong += [] if wrong or 0 < facts["num_landmarks"] < 2**31 else ["num_landmarks"]
    for part in [] if wrong else facts.get("also", []):
        if not isinstance(part, dict) or not all(type(part.get(name)) is str for name in ("dataset", "fingerprint")):
            wrong = ["also"]
    if not wrong and "box_fit" in facts and not _is_fit(facts["box_fit"]):
        wrong = ["box_fit"]
    if wrong:
        raise ValueError(f"{path}: {wrong[0]} is not what a run writes there; {remedy}")
    return facts


def _is_fit(pairs: list[Any]) -> bool:
    numbers = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    return len(numbers) == len(pairs) == 2 and all(
        type(number) is float and math.isfinite(number) for pair in numbers for number in pair
    )
