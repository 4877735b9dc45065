# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, by which schedulers announce that a machine is taken away, and Ctrl-C: a run saves and leaves with status 0.

In one process a signal handler hears it. In several the notice must stop all of them after the same step, though one
alone may have it: JAX's preemption service hears it then, and agrees on the step.
"""

import os
import signal
import sys

import jax
from jax.experimental import multihost_utils


class Notice:
    """Hears SIGTERM from its making on, and Ctrl-C from the first step on, in the main thread."""

    def __init__(self) -> None:
        self._given = False
        self._asked = False
        self._listen()

    def _listen(self) -> None:
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, *_: object) -> None:
        self._given = True

    def _interrupt(self, *_: object) -> None:
        """Ctrl-C is heard like SIGTERM; the next one ends the process, in whatever it is."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("\nCtrl-C: saving after this step; once more leaves at once, without", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    def hand_over(self) -> None:
        """To call when the processes have found each other: from then on JAX's service has the signal."""
        if jax.process_count() == 1:
            self._listen()
        elif self._given:
            os.kill(os.getpid(), signal.SIGTERM)

    def reached(self, step: int) -> bool:
        """Whether to stop after `step` steps: the same in every process, if each asks after each step.

        Until it is asked there is nothing to save, and Ctrl-C raises KeyboardInterrupt as anywhere. From then on it
        must not: raised within a compilation it would end in a segmentation fault.
        """
        if not self._asked:
            self._asked = True
            signal.signal(signal.SIGINT, self._interrupt)
        return self._given if jax.process_count() == 1 else multihost_utils.reached_preemption_sync_point(step)
