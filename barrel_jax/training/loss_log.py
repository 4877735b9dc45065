# SPDX-License-Identifier: Apache-2.0
"""The losses of a run's steps, from their dispatch to the line of the log that has their mean."""

import jax
import numpy as np

from barrel_jax.config import Config
from barrel_jax.training.finite import FiniteCheck
from barrel_jax.training.log import Log
from barrel_jax.training.optimiser import learning_rate


class LossLog:
    """Losses that wait on the devices, those that were fetched since the last line, and the speed since then.

    Args:
        config: the run's.
        steps_per_epoch: steps of one epoch.
        step: the steps that are done already.
        log: the run's; its stopwatch counts from now on for the first line.
        check: what fetched losses have to pass.
    """

    def __init__(self, config: Config, steps_per_epoch: int, step: int, log: Log, check: FiniteCheck) -> None:
        self._log, self._check, self._batch_size = log, check, config.batch_size
        self._rate, self._steps_per_epoch = learning_rate(config.optim, steps_per_epoch), steps_per_epoch
        self._waiting: list[tuple[int, jax.Array]] = []  # first step and losses of each dispatch
        self._fetched: list[np.ndarray] = []
        self._since = (step, log.watch.seconds("training"))  # of the last line

    def add(self, first: int, losses: jax.Array) -> None:
        """Takes the losses of a dispatch, whose first step is `first`; waits until the dispatch before is done."""
        if self._waiting:  # at most two are in flight: the progress is true, and a stop need not wait for many
            jax.block_until_ready(self._waiting[-1][1])
        self._waiting.append((first, losses))

    def fetch(self) -> None:
        """Fetches the losses that wait. Raises FloatingPointError when one is not finite (`FiniteCheck.losses`)."""
        if not self._waiting:
            return
        first = self._waiting[0][0]
        fetched = jax.device_get([losses for _, losses in self._waiting])
        losses = np.concatenate([np.ravel(part) for part in fetched]).astype(np.float64)
        self._waiting.clear()
        self._check.losses(first, losses)
        self._fetched.append(losses)

    def write(self, done: int) -> None:
        """A line of the log, after `done` steps: the mean loss and the speed since the last line."""
        self.fetch()
        mean, now = float(np.concatenate(self._fetched).mean()), self._log.watch.seconds("training")
        self._fetched.clear()
        before, at = self._since
        speed, self._since = (done - before) * self._batch_size / (now - at), (done, now)
        epoch = done / self._steps_per_epoch
        rate = float(self._rate(done - 1))
        self._log.write(done, {"epoch": epoch, "loss": mean, "learning_rate": rate, "faces_per_s": speed})
        self._log.bar.set_postfix_str(f"epoch {epoch:.1f}, loss {mean:.4f}")
