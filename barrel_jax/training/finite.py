# SPDX-License-Identifier: Apache-2.0
"""The check that losses and states are finite, and the error of a run that has lost its numbers."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.state import State


class FiniteCheck:
    """Sees that the numbers of a run are finite; its errors name the last good checkpoint.

    Args:
        workdir: the run's folder.
        checkpoints: the run's.
        is_finite: `state.is_finite`, compiled.
    """

    def __init__(self, workdir: Path, checkpoints: Checkpoints, is_finite: Callable[[State], jax.Array]) -> None:
        self._workdir, self._checkpoints, self._is_finite = workdir, checkpoints, is_finite

    def losses(self, first: int, losses: Float[np.ndarray, " n"]) -> None:
        """Checks the losses of the steps after the `first` ones.

        Raises:
            FloatingPointError: names the steps whose loss is not finite and the last good checkpoint.
        """
        broken = first + 1 + np.flatnonzero(~np.isfinite(losses))
        if len(broken):
            raise self._error(
                f"the loss is not finite at {len(broken)} of the steps {first + 1}..{first + len(losses)}, first at "
                f"step {broken[0]}"
            )

    def state(self, state: State, done: int) -> None:
        """Checks the state after `done` steps, before it is scored or kept.

        Raises:
            FloatingPointError: one of its numbers is not finite; names the last good checkpoint.
        """
        if not self._is_finite(state):
            raise self._error(f"the weights, or the optimiser's moments, are not finite after step {done}")

    def _error(self, what: str) -> FloatingPointError:
        self._checkpoints.wait()
        saved = self._checkpoints.steps("latest")
        good = f"the last good checkpoint is that of step {saved[-1]}" if saved else "there is no checkpoint yet"
        return FloatingPointError(
            f"{what}; {good}. In another --workdir: a lower optim.learning_rate, a longer optim.warmup_epochs or "
            "optim.clip_norm (0.1 is DETR's)"
            + (f"; --config.init_from={self._workdir} starts from what was learnt" if saved else "")
        )
