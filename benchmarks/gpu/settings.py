# SPDX-License-Identifier: Apache-2.0
"""The settings of one start of the programme, from its command line, for every process of it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """One start of the programme; paths are absolute."""

    part: str  # speed, accuracy, or a module with `steps`
    out: str  # folder of the results
    scratch: str  # folder of what is only needed on the way: crops, checkpoints, compiled programs
    pack: str  # file of the faces, '' for none
    real: str  # file of further real faces, '' for none
    start: str  # file of the backbone's weights, '' to train one on drawn faces first
    optimiser: str  # scratch or paper (recipes.py)
    rehearse: bool  # tiny sizes
    command: tuple[str, ...]  # the arguments of the command
    sharing: int  # trainings that are on the device at a time

    def to_json(self) -> str:
        """One line, for another process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**fields | {"command": tuple(fields["command"])})

    def step_file(self, name: str) -> Path:
        """Where the rows of a step lie."""
        return Path(self.out) / "steps" / f"{name}.json"
