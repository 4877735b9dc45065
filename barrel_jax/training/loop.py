# SPDX-License-Identifier: Apache-2.0
"""Training from the built set to the scored model: step, log if due, evaluate if due, save if due.

Every process of a run does all of it, and reads its own part of the data; the first alone speaks and draws.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from barrel_jax.config import Config
from barrel_jax.devices.distributed import in_turns, is_first, together
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.scores import Scores
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.dispatch import make_trainer
from barrel_jax.training.finite import FiniteCheck
from barrel_jax.training.hold import Hold
from barrel_jax.training.log import Log
from barrel_jax.training.loss_log import LossLog
from barrel_jax.training.scorer import Scored, Scorer
from barrel_jax.training.sets import Prepared
from barrel_jax.training.setup import Setup, set_up
from barrel_jax.training.state import State, is_finite
from barrel_jax.training.workdir import claim

Stop = Callable[[int], bool]


def train(config: Config, workdir: Path, prepared: Prepared, stop: Stop = lambda _: False) -> Scores | None:
    """Trains, or goes on training, in `workdir` on a built set; returns the last scores.

    A run is a function of its config and its data: killed and started again, with another number of devices or
    processes too, it goes on as it would have. What it starts from (`config.init_from`, `config.pretrained`) is read
    until the first checkpoint, and no more after that.

    Args:
        config: the run's.
        workdir: its folder, which all processes see.
        prepared: the built set's folder, or what builds a set where it is not there yet (process 0 before the others).
        stop: asked with the number of steps done; when it says so the state is saved and None is returned.

    Raises:
        FileNotFoundError: a file of weights that is not there and cannot be fetched.
        ValueError: a config that cannot work, weights to start from that do not fit, a folder that belongs to another
          run, processes that differ in their config or their data.
        FloatingPointError: the loss is not finite.
        OSError: the folder cannot be written, or was deleted meanwhile.
    """
    workdir = Path(workdir)
    setup = set_up(config, workdir, prepared)
    total = setup.intervals.total
    with ExitStack() as stack:
        hold = stack.enter_context(closing(together(lambda: Hold(workdir))))
        facts = setup.start.facts()
        _print(in_turns(lambda: claim(workdir, config, setup.train_crops, facts, total)), setup.start.words())
        checkpoints = stack.enter_context(closing(Checkpoints(workdir)))
        state = checkpoints.newest(setup.train_step.like)
        step = 0 if state is None else int(state.step)
        if step < total and stop(step):  # before anything is compiled, which an interrupt does not survive
            _print(f"told to stop before step {step + 1} of {total}; the same command goes on from there")
            return None
        if state is None:
            state = setup.train_step.create(config.seed, setup.start.weights)
        _print(setup.words(state.params, step))
        # A run that was told to stop where it is scored has left that to this one.
        rescored = 0 < step < total and setup.intervals.scores(step)
        log = stack.enter_context(closing(Log(workdir, step, total, config.batch_size, rescored)))
        scorer = Scorer(workdir, setup.test_crops, setup.train_step, checkpoints, log)
        if rescored:
            scorer.evaluate(state, step)
        scored: Scored | None
        if step == total:
            scored = scorer.score(state)
        else:
            check = FiniteCheck(workdir, checkpoints, log.compiled("the look for NaN", is_finite))
            scored = _Loop(setup, hold, checkpoints, log, check, scorer).run(state, step, stop)
        if scored is None:
            return None
        checkpoints.wait()
        hold.check()
        scorer.write(scored)
    _print(score_table.table(scored.scores))
    together(lambda: None)  # nobody leaves while another still writes
    return scored.scores


@dataclass(frozen=True)
class _Loop:
    """The steps of a run and what is done between them."""

    setup: Setup
    hold: Hold
    checkpoints: Checkpoints
    log: Log
    check: FiniteCheck
    scorer: Scorer

    def run(self, state: State, first: int, stop: Stop) -> Scored | None:
        """Takes the steps after the `first` ones; returns the last scores, or None when it was told to stop."""
        setup, intervals, log = self.setup, self.setup.intervals, self.log
        config, total = setup.train_step.config, intervals.total
        with log.apart("preparation"):
            trainer = make_trainer(setup.train_step, setup.train_crops, first, total, log.compiled)
            losses = LossLog(config, intervals.steps_per_epoch, first, log, self.check)
        step, scored = first, None
        while step < total:
            state, of_steps, count = trainer.advance(state, intervals.until_due(step))
            losses.add(step, of_steps)
            step += count
            log.bar.update(count)
            leaving = stop(step) and step < total
            logs = intervals.logs(step)
            scores = intervals.scores(step) and not leaving  # the machine may be about to go
            saves = intervals.saves(step) or leaving
            if logs:
                losses.write(step)
            if logs or scores or saves:
                self.hold.check()
            if scores or saves:
                losses.fetch()
                self.check.state(state, step)
            if scores:
                scored = self.scorer.evaluate(state, step)
            if saves:
                self.checkpoints.save("latest", state, {})
            if leaving:
                self.checkpoints.wait()
                log.sum_up((step - first) * config.batch_size)
                log.say(f"told to stop: saved at step {step} of {total}; the same command goes on from there")
                return None
        log.sum_up((step - first) * config.batch_size)
        return scored


def _print(*paragraphs: str) -> None:
    """What is not empty of them, by process 0."""
    if is_first():
        for words in filter(None, paragraphs):
            print(words)
