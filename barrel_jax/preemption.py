# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, by which schedulers announce that a machine is taken away: a run saves and leaves with status 0.

In one process a signal handler hears it. In several the notice must stop all of them after the same step, though one
alone may have it: JAX's preemption service agrees on that.
"""

import os
import signal

import jax
from jax.experimental import multihost_utils


class Notice:
    """Hears SIGTERM from its making on, in the main thread."""

    def __init__(self) -> None:
        self._given = False
        self._asked = 0
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, *_: object) -> None:
        self._given = True

    def hand_over(self) -> None:
        """To call when the processes have found each other: JAX's service hears the signal now, this one's too."""
        if jax.distributed.is_initialized() and self._given:
            os.kill(os.getpid(), signal.SIGTERM)

    def reached(self) -> bool:
        """Whether to stop now; every process must ask equally often, and gets the same answer."""
        if not jax.distributed.is_initialized():
            return self._given
        # A count of the questions: steps may rise by more than one, and the point agreed on would be stepped over.
        self._asked += 1
        return multihost_utils.reached_preemption_sync_point(self._asked)
