# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, by which schedulers announce that a machine is taken away: a run saves and leaves with status 0.

In one process a signal handler hears it. In several the notice must stop all of them after the same step, though one
alone may have it: JAX's preemption service hears it then, and agrees on the step.
"""

import os
import signal

import jax
from jax.experimental import multihost_utils


class Notice:
    """Hears SIGTERM from its making on, in the main thread."""

    def __init__(self) -> None:
        self._given = False
        self._listen()

    def _listen(self) -> None:
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, *_: object) -> None:
        self._given = True

    def hand_over(self) -> None:
        """To call when the processes have found each other: from then on JAX's service has the signal."""
        if jax.process_count() == 1:
            self._listen()
        elif self._given:
            os.kill(os.getpid(), signal.SIGTERM)

    def reached(self, step: int) -> bool:
        """Whether to stop after `step` steps: the same in every process, if each asks after each step."""
        return self._given if jax.process_count() == 1 else multihost_utils.reached_preemption_sync_point(step)
