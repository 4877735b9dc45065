# SPDX-License-Identifier: Apache-2.0
"""Checkpoints (orbax): the latest states to resume from, and the best one. The only home of orbax."""

import math
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import checkpoint_managers

from barrel_jax import files
from barrel_jax.devices.distributed import gather, is_first, together
from barrel_jax.plain_path import PlainPath
from barrel_jax.training import array_store, checksums
from barrel_jax.training.state import State

# Orbax would have every device write a share of what all of them hold: every process compiles a slice for each shape,
# a hundred programs before the first checkpoint of a hundred megabytes.
_verbosity = logging.get_verbosity()
logging.set_verbosity(logging.ERROR)  # that it takes another's place, as it should, is told as a warning
ocp.type_handlers.register_type_handler(
    jax.Array, ocp.type_handlers.ArrayHandler(use_replica_parallel=False), override=True
)
logging.set_verbosity(_verbosity)


def has_checkpoint(workdir: Path, kind: str = "latest") -> bool:
    """Whether a run can go on in `workdir` ('latest'), or has its 'best'; makes nothing there."""
    return bool(ocp.utils.checkpoint_steps(Path(workdir) / "checkpoints" / kind))


def saved_step(workdir: Path) -> int:
    """The step that a run in `workdir` goes on from, 0 without a checkpoint; makes nothing there."""
    return max(ocp.utils.checkpoint_steps(Path(workdir) / "checkpoints" / "latest"), default=0)


UNREAD = (
    "this checkpoint cannot be read; see that its files are there and may be read, then start the same command again"
)
KEPT = {"latest": 2, "best": 1}  # checkpoints of each kind


class Checkpoints:
    """A run's checkpoints below `workdir/checkpoints`: `latest` (two kept) and `best` (one, of the lowest NME).

    Saving is asynchronous and atomic: a killed process leaves whole checkpoints only. The checksums of their files are
    part of them and are checked at every reading.
    """

    def __init__(self, workdir: Path, *, reading: bool = False) -> None:
        """Opens them; `reading` makes and moves nothing there, so that another run may write meanwhile."""
        self._root, self._reading = Path(workdir).absolute() / "checkpoints", reading
        if not reading:
            self._root.mkdir(parents=True, exist_ok=True)
        files.refuse_special(self._root)
        self._address = PlainPath(self._root)
        kinds = {kind: keep for kind, keep in KEPT.items() if not reading or (self._root / kind).is_dir()}
        self._managers = {kind: self._open(kind, keep) for kind, keep in kinds.items()}

    def _open(self, kind: str, keep: int) -> ocp.CheckpointManager:
        policy = checkpoint_managers.LatestN(keep)
        options = ocp.CheckpointManagerOptions(preservation_policy=policy, enable_async_checkpointing=True)
        registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
        state, facts = _Arrays(), _Facts()
        for item, args, handler in (
            ("state", ocp.args.StandardSave, state),
            ("state", ocp.args.StandardRestore, state),
            ("state", ocp.args.PyTreeRestore, ocp.PyTreeCheckpointHandler()),
            ("facts", ocp.args.JsonSave, facts),
            ("facts", ocp.args.JsonRestore, facts),
        ):
            registry.add(item, args, handler)
        path = self._address.path / kind
        try:
            return ocp.CheckpointManager(path, options=options, handler_registry=registry)
        except ValueError as error:  # orbax reads what every step says of itself
            raise ValueError(
                f"{self._root / kind}: what a checkpoint there says of itself (STEP/_CHECKPOINT_METADATA) is damaged "
                f"({str(error)[:300]}); put a copy of it back, or move that step to another place"
            ) from error

    def steps(self, kind: str) -> list[int]:
        """The steps saved as 'latest' or 'best', in rising order."""
        return sorted(self._managers[kind].all_steps()) if kind in self._managers else []

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
            if is_first():
                # Orbax waits for minutes for a folder that it may not make.
                tempfile.TemporaryFile(dir=self._address.path / kind).close()
            self._managers[kind].save(step, args=items, force=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if not array_store.is_file_error(error):
                raise
            saved = ocp.utils.checkpoint_steps(self._address.path / "latest") if self._root.is_dir() else []
            good = f"the run goes on from step {max(saved)}" if saved else "the run starts anew"
            raise OSError(
                f"{self._root}: a checkpoint could not be written; see that there is free space and the folder can be "
                f"written, then start the same command again: {good} ({str(error)[:300]})"
            ) from error

    def facts(self, kind: str, step: int) -> dict[str, Any]:
        """The facts saved with a state. Raises ValueError when they are damaged, OSError when they cannot be read."""
        path = self._root / kind / str(step) / "facts"
        if damage := checksums.damage(path):
            raise ValueError(f"{path}: {damage}")
        return self._managers[kind].restore(step, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))["facts"]

    def newest(self, like: State) -> State | None:
        """The newest 'latest' state that can be read, laid out as `like`; None when none is saved.

        A warning names newer ones that a disk or a crash has damaged; where they were not opened for reading alone,
        they are moved into `checkpoints/damaged`.

        Raises:
            ValueError: all are damaged.
            OSError: one cannot be read for a reason that may pass, such as too many open files.
        """
        try:
            return self._newest(like)
        except ValueError:
            if not self.look_again():
                raise
            return self._newest(like)

    def look_again(self) -> bool:
        """Whether the run that writes them has replaced some since they were looked for, where they are only read."""
        before = {kind: self.steps(kind) for kind in self._managers}
        if self._reading:
            for manager in self._managers.values():
                manager.reload()
        return any(self.steps(kind) != steps for kind, steps in before.items())

    def _newest(self, like: State) -> State | None:
        unreadable: dict[int, str] = {}
        for step in reversed(self.steps("latest")):
            state, failure = None, ""
            try:
                state = self.restore("latest", step, like)
            except (ValueError, OSError) as error:
                failure = str(error)
            failures = [words for words in gather(failure) if words]
            if passing := next(filter(array_store.passes, failures), ""):
                raise OSError(passing)
            if not failures:
                for damaged, why in unreadable.items():
                    if not self._reading:
                        self._set_aside("latest", damaged, f"the run goes on from step {step} ({why})")
                    elif is_first():
                        warnings.warn(f"{why}; that of step {step} is read in its place", stacklevel=2)
                return state
            unreadable[step] = failures[0]
        if unreadable:
            raise ValueError("; ".join(unreadable.values()))
        return None

    def _damage(self, kind: str, step: int) -> str:
        # Orbax takes what it can read of a damaged array, so that files are looked at before it.
        folder = self._root / kind / str(step) / "state"
        damage = checksums.damage(folder)
        return array_store.unreadable(self._address.path / kind / str(step) / "state") if damage is None else damage

    def best_nme(self) -> float:
        """The lowest scored NME of a kept state in percent; infinite when there is none.

        Raises:
            OSError, ValueError: the score of one cannot be read for a reason that may pass.
        """
        lowest = math.inf
        for step in self.steps("best"):
            try:
                lowest = min(lowest, together(partial(self._nme, step)))
            except (OSError, ValueError) as error:
                if array_store.passes(str(error)):
                    raise
                self._set_aside("best", step, f"its score is lost ({str(error)[:300]})")
        return lowest

    def _nme(self, step: int) -> float:
        facts = self.facts("best", step)
        if "nme" not in facts:
            raise ValueError(f"no nme among {', '.join(facts) or 'no facts'}")
        return facts["nme"]

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

        Every process of a run calls it. Of a `like` without an optimiser's state its parts alone are read, and the
        others are None as there (`state.abstract_weights`).

        Raises:
            ValueError: the checkpoint is damaged, or of another model.
            OSError: one of its files cannot be read.
        """
        path = self._root / kind / str(step)
        try:
            damage = "".join(gather(together(lambda: self._damage(kind, step) if is_first() else "")))
        except (ValueError, OSError) as error:
            raise OSError(f"{path}: {UNREAD} ({str(error)[:300]})") from error
        if damage:
            raise ValueError(
                f"{path}: this checkpoint is damaged; take another (--checkpoint), put its files back from a copy, or "
                f"start in another --workdir ({damage})"
            )
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        try:
            if like.opt_state is not None:
                args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
                return self._managers[kind].restore(step, args=args)["state"]
            # Orbax begins to read parts before it has seen that they are there.
            if difference := self._difference(kind, step, like):
                raise ValueError(difference)
            parts = _parts(abstract)
            restore_args = ocp.checkpoint_utils.construct_restore_args(parts)
            args = ocp.args.PyTreeRestore(parts, restore_args=restore_args, partial_restore=True)
            return like.replace(**self._managers[kind].restore(step, args=ocp.args.Composite(state=args))["state"])
        except (ValueError, OSError) as error:
            if array_store.is_file_error(error):
                raise OSError(f"{path}: {UNREAD} ({str(error)[:300]})") from error
            # Orbax has no error of its own for this, and says it in many ways.
            if not self._difference(kind, step, like):
                raise
            raise ValueError(
                f"{path}: this checkpoint is of another model than the config describes; use the config of its run, or "
                f"another --workdir ({str(error)[:300]})"
            ) from error

    def _difference(self, kind: str, step: int, like: State) -> str:
        """Where what is saved differs in shape from the parts of `like`; '' where it does not."""
        saved = self._managers[kind].item_metadata(step)["state"]
        parts = _parts(like)
        wanted, there = _shapes(parts), _shapes({name: saved.get(name) for name in parts})
        return "; ".join(
            f"{name}: {there.get(name, 'nothing')} is there, {wanted.get(name, 'nothing')} is wanted"
            for name in sorted(wanted.keys() | there.keys())
            if wanted.get(name) != there.get(name)
        )

    def wait(self) -> None:
        """Blocks until every checkpoint is on the disk."""
        with self._writing():
            for manager in self._managers.values():
                manager.wait_until_finished()

    def close(self) -> None:
        """Waits and lets go of the folder."""
        try:
            with self._writing():
                for manager in self._managers.values():
                    manager.close()
        finally:
            self._address.close()


class _Arrays(ocp.StandardCheckpointHandler):
    """Arrays as orbax writes them; before they count as saved, they are found there and their files summed."""

    def finalize(self, directory: Path) -> None:
        super().finalize(directory)
        if not array_store.open_store(directory).list().result():
            raise OSError("what was written cannot be found again")
        checksums.write(Path(directory))


class _Facts(ocp.JsonCheckpointHandler):
    """Facts as orbax writes them, with their checksum."""

    def finalize(self, directory: Path) -> None:
        super().finalize(directory)
        checksums.write(Path(directory))


def _parts(like: State) -> dict[str, Any]:
    return {name: part for name, part in vars(like).items() if part is not None}


def _shapes(state: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each array of a state, or of what orbax says of one, by its name."""
    named = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in named}
