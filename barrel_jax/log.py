# SPDX-License-Identifier: Apache-2.0
"""What a run says while it goes: JSON lines, TensorBoard, and a progress bar with faces/s and the time left.

Of several processes the first alone speaks.
"""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from barrel_jax import files
from barrel_jax.distributed import is_first


class Log:
    """Writes `metrics.jsonl` and TensorBoard events into a run's folder and keeps the progress bar."""

    def __init__(self, workdir: Path, start: int, total: int, batch_size: int) -> None:
        self._speaks = is_first()
        self._path = Path(workdir) / "metrics.jsonl" if self._speaks else Path(os.devnull)
        if self._speaks and self._path.exists():
            # What a killed run logged after its last checkpoint is done again, and logged again.
            lines = enumerate(self._path.read_text().splitlines(keepends=True), start=1)
            kept = "".join(line for n, line in lines if line.endswith("\n") and self._step(n, line) <= start)
            files.write(self._path, lambda temporary: temporary.write_text(kept))
        self._lines = self._path.open("a")
        self._tensorboard = (str(Path(workdir) / "tensorboard"), start + 1 if start else None)
        self.bar = tqdm(
            total=total,
            initial=start,
            desc="train",
            unit="face",
            unit_scale=batch_size,
            smoothing=0.05,
            disable=not self._speaks,
        )

    def _step(self, number: int, line: str) -> int:
        try:
            return json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path}, line {number}: no step in {line[:40]!r}; delete the line") from error

    @cached_property
    def _events(self) -> Any:
        # tensorboardX imports PyTorch where it is installed, which takes seconds: the first steps need not wait for it.
        from tensorboardX import SummaryWriter

        folder, purge_step = self._tensorboard
        return SummaryWriter(folder, purge_step=purge_step)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of numbers after `step` steps."""
        if not self._speaks:
            return
        self._lines.write(json.dumps({"step": step} | values) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def say(self, text: str) -> None:
        """A line for people, above the progress bar."""
        if self._speaks:
            self.bar.write(text)

    def close(self) -> None:
        """Flushes everything."""
        self.bar.close()
        self._lines.close()
        if self._speaks:
            self._events.close()
