# SPDX-License-Identifier: Apache-2.0
"""The steps of a run after which it writes a line of the log, is scored, or is saved."""

from dataclasses import dataclass

from barrel_jax.config import LoopConfig


@dataclass(frozen=True)
class Intervals:
    """What is due after how many steps; all of it is due after the last one."""

    loop: LoopConfig
    steps_per_epoch: int
    total: int  # steps of the run

    def until_due(self, step: int) -> int:
        """The steps from `step` to the next line of the log, save, or end of an epoch or of the run."""
        loop = self.loop
        return min(self.total - step, *(n - step % n for n in (loop.log_steps, loop.save_steps, self.steps_per_epoch)))

    def logs(self, step: int) -> bool:
        """Whether a line of the log is due after `step` steps."""
        return step % self.loop.log_steps == 0 or step == self.total

    def scores(self, step: int) -> bool:
        """Whether the test faces are to be scored after `step` steps."""
        return step % (self.loop.eval_epochs * self.steps_per_epoch) == 0 or step == self.total

    def saves(self, step: int) -> bool:
        """Whether the state is to be saved after `step` steps."""
        return step % self.loop.save_steps == 0 or step == self.total
