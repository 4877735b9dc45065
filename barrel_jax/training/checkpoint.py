# SPDX-License-Identifier: Apache-2.0
"""Checkpoints (orbax): the latest states to resume from, and the best one. The only home of orbax."""

import math
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
import tensorstore as ts
from orbax.checkpoint import checkpoint_managers

from barrel_jax.devices.distributed import gather, is_first, together
from barrel_jax.training.state import State


def has_checkpoint(workdir: Path, kind: str = "latest") -> bool:
    """Whether a run can go on in `workdir` ('latest'), or has its 'best'; makes no folder there, as `Checkpoints`."""
    return bool(ocp.utils.checkpoint_steps(Path(workdir) / "checkpoints" / kind))


class Checkpoints:
    """A run's checkpoints below `workdir/checkpoints`: `latest` (two kept) and `best` (one, lowest test NME).

    Saving is asynchronous and atomic: a killed process leaves whole checkpoints only.
    """

    def __init__(self, workdir: Path) -> None:
        self._root = Path(workdir).absolute() / "checkpoints"
        self._managers = {kind: self._open(kind, keep) for kind, keep in (("latest", 2), ("best", 1))}

    def _open(self, kind: str, keep: int) -> ocp.CheckpointManager:
        policy = checkpoint_managers.LatestN(keep)
        options = ocp.CheckpointManagerOptions(preservation_policy=policy, enable_async_checkpointing=True)
        return ocp.CheckpointManager(self._root / kind, options=options)

    def steps(self, kind: str) -> list[int]:
        """The steps saved as 'latest' or 'best', in rising order."""
        return sorted(self._managers[kind].all_steps())

    def save(self, kind: str, state: State, facts: dict[str, Any]) -> None:
        """Saves a state with a few facts (JSON) about it; a step that is already there is left alone.

        Raises:
          OSError: this checkpoint, or the one before it, could not be written. Earlier ones stay whole.
        """
        step = int(state.step)
        if step in self._managers[kind].all_steps():
            return
        # A save in flight holds a copy of its state: one at a time, whichever folder it goes to.
        self.wait()
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), facts=ocp.args.JsonSave(facts))
        with self._writing():
            self._managers[kind].save(step, args=items, force=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # TensorStore reports the operating system's errors as ValueErrors with their text.
            saved = self.steps("latest")
            good = f"the run goes on from step {saved[-1]}" if saved else "the run starts anew"
            raise OSError(
                f"{self._root}: a checkpoint could not be written; see that there is free space and the folder can be "
                f"written, then start the same command again: {good} ({str(error)[:300]})"
            ) from error

    def facts(self, kind: str, step: int) -> dict[str, Any]:
        """The facts saved with a state."""
        return self._managers[kind].restore(step, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))["facts"]

    def newest(self, like: State) -> State | None:
        """The newest 'latest' state that can be read, laid out as `like`; None when none is saved.

        Newer ones, which a disk or a crash has damaged, are set aside into `checkpoints/damaged` with a warning.

        Raises:
          ValueError: none can be read.
        """
        unreadable: dict[int, str] = {}
        for step in reversed(self.steps("latest")):
            state, failure = None, self._unreadable("latest", step) if is_first() else ""
            failures = [words for words in gather(failure) if words]
            if not failures:
                try:
                    state = self.restore("latest", step, like)
                except ValueError as error:
                    failure = str(error)
                failures = [words for words in gather(failure) if words]
            if not failures:
                for damaged, why in unreadable.items():
                    self._set_aside("latest", damaged, f"the run goes on from step {step} ({why})")
                return state
            unreadable[step] = failures[0]
        if unreadable:
            raise ValueError("; ".join(unreadable.values()))
        return None

    def _unreadable(self, kind: str, step: int) -> str:
        # All arrays are read, and with them their checksums: orbax raises no error of its own for a damaged one.
        path = self._root / kind / str(step)
        try:
            store = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{path}/state/"}).result()
            for value in [store.read(key) for key in store.list().result()]:
                value.result()
        except (ValueError, OSError) as error:
            return (
                f"{path}: the arrays of this checkpoint cannot be read; delete it to go on from another, or to start "
                f"anew ({str(error)[:300]})"
            )
        return ""

    def best_nme(self) -> float:
        """The lowest test NME of a kept state in percent; infinite when there is none."""
        lowest = math.inf
        for step in self.steps("best"):
            try:
                lowest = min(lowest, self.facts("best", step)["nme"])
            except (OSError, ValueError, KeyError) as error:
                self._set_aside("best", step, f"its score is lost ({str(error)[:300]})")
        return lowest

    def _set_aside(self, kind: str, step: int, consequence: str) -> None:
        damaged, target = self._root / kind / str(step), self._root / "damaged" / f"{kind}-{step}"
        if is_first():
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            damaged.rename(target)
            warnings.warn(
                f"{damaged}: this checkpoint is damaged and lies in {target} now; {consequence}", stacklevel=3
            )
        together(lambda: None)
        self._managers[kind].reload()

    def restore(self, kind: str, step: int, like: State) -> State:
        """The state saved at a step, laid out as `like`, which may be made of ShapeDtypeStructs with shardings.

        Raises:
          ValueError: the checkpoint is of another model, or damaged.
        """
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        try:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
            return self._managers[kind].restore(step, args=args)["state"]
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(
                f"{self._root / kind / str(step)}: this checkpoint is of another model than the config describes, or "
                "damaged; use the config of its run or another --workdir, or delete the checkpoint "
                f"({str(error)[:300]})"
            ) from error

    def wait(self) -> None:
        """Blocks until every checkpoint is on the disk."""
        with self._writing():
            for manager in self._managers.values():
                manager.wait_until_finished()

    def close(self) -> None:
        """Waits and lets go of the folder."""
        with self._writing():
            for manager in self._managers.values():
                manager.close()
