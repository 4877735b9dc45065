# SPDX-License-Identifier: Apache-2.0
"""Training from the built set to the scored model: step, log if due, evaluate if due, save if due.

Every process of a run does all of it, and reads its own part of the data; the first alone speaks and draws.
"""

import dataclasses
import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from barrel_jax import files
from barrel_jax.config import Config, DataConfig, validate
from barrel_jax.devices.distributed import check_alike, in_turns, is_first, together
from barrel_jax.devices.sharding import check_batch, describe, make_mesh
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.score import face_errors, predict_all, score, write_evaluation
from barrel_jax.evaluation.scores import Scores
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.mixture import join
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model, count_parameters
from barrel_jax.training.checkpoint import Checkpoints, has_checkpoint
from barrel_jax.training.dispatch import make_trainer
from barrel_jax.training.hold import Hold
from barrel_jax.training.log import Log
from barrel_jax.training.optimiser import learning_rate, optimiser
from barrel_jax.training.order import epoch_length
from barrel_jax.training.starting import Origin, begin, read_origin
from barrel_jax.training.state import State, is_finite
from barrel_jax.training.steps import TrainStep, make_predict_step
from barrel_jax.training.workdir import claim


@dataclass
class _Run:
    """What a run in progress has at hand beside its state."""

    config: Config
    workdir: Path
    test_crops: FaceCrops
    mesh: Mesh
    predict: Callable[[Any, jax.Array], jax.Array]
    finite: Callable[[State], jax.Array]
    checkpoints: Checkpoints
    log: Log
    rate: Callable[[int], jax.Array]  # the learning rate by step
    steps_per_epoch: int
    best: float = math.inf  # the lowest NME of the test split until now, percent
    pending: list[tuple[int, jax.Array]] = field(default_factory=list)  # first step and losses of each dispatch
    losses: list[np.ndarray] = field(default_factory=list)  # fetched, since the last line of the log
    since: tuple[int, float] = (0, 0.0)  # step and seconds of training at the last line of the log

    def until_due(self, step: int, total: int) -> int:
        """How many steps there are until something is to be done between two of them."""
        loop = self.config.loop
        return min(total - step, *(n - step % n for n in (loop.log_steps, loop.save_steps, self.steps_per_epoch)))

    def fetch_losses(self) -> None:
        """Fetches the losses of the steps since the last call.

        Raises:
          FloatingPointError: names the steps whose loss is not finite and the last good checkpoint.
        """
        if not self.pending:
            return
        first = self.pending[0][0]
        fetched = jax.device_get([losses for _, losses in self.pending])
        losses = np.concatenate([np.ravel(part) for part in fetched]).astype(np.float64)
        self.pending.clear()
        broken = first + np.flatnonzero(~np.isfinite(losses))
        if len(broken):
            raise self._broken(
                f"the loss is not finite at {len(broken)} of the steps {first}..{first + len(losses) - 1}, first at "
                f"step {broken[0]}"
            )
        self.losses.append(losses)

    def _broken(self, what: str) -> FloatingPointError:
        self.checkpoints.wait()
        saved = self.checkpoints.steps("latest")
        good = f"the last good checkpoint is that of step {saved[-1]}" if saved else "there is no checkpoint yet"
        return FloatingPointError(
            f"{what}; {good}. In another --workdir: a lower optim.learning_rate, a longer optim.warmup_epochs or "
            "optim.clip_norm (0.1 is DETR's)"
            + (f"; --config.init_from={self.workdir} starts from what was learnt" if saved else "")
        )

    def check_state(self, state: State, done: int) -> None:
        """Sees that a state may be scored and kept.

        Raises:
          FloatingPointError: a loss until it or one of its numbers is not finite; names the last good checkpoint.
        """
        self.fetch_losses()
        if not self.finite(state):
            raise self._broken(f"the weights, or the optimiser's moments, are not finite after step {done}")

    def scores_after(self, step: int, total: int) -> bool:
        """Whether the test split is scored after `step` steps."""
        return step % (self.config.loop.eval_epochs * self.steps_per_epoch) == 0 or step == total

    def write_log(self, done: int) -> None:
        """A line of the log, after `done` steps."""
        self.fetch_losses()
        mean, now = float(np.concatenate(self.losses).mean()), self.log.watch.seconds("training")
        self.losses.clear()
        before, at = self.since
        speed, self.since = (done - before) * self.config.batch_size / (now - at), (done, now)
        epoch = done / self.steps_per_epoch
        rate = float(self.rate(done - 1))
        self.log.write(done, {"epoch": epoch, "loss": mean, "learning_rate": rate, "faces_per_s": speed})
        self.log.bar.set_postfix_str(f"epoch {epoch:.1f}, loss {mean:.4f}")

    def predict_test(self, state: State) -> tuple[Scores, np.ndarray]:
        """Scores the test split: the scores and the points [n, K, 2] in source pixels; draws 24 of its faces."""
        from barrel_jax.evaluation.face_sheets import draw_sample
        from barrel_jax.plotting import write_picture

        crops, config = self.test_crops, self.config
        points_px = predict_all(self.predict, state.variables(), crops, config.loop.eval_batch, self.mesh)
        about: dict[str, Any] = {
            "crop": config.data.crop,
            "checkpoint_step": int(state.step),
            "config": dataclasses.asdict(config),
        }
        scores = score(points_px, crops, **about)
        if is_first():
            title = f"{crops.dataset} {crops.split} after {int(state.step)} steps"
            picture = draw_sample(crops, points_px, face_errors(points_px, crops), title)
            files.write(self.workdir / "predictions.png", lambda path: write_picture(path, picture))
        return scores, points_px

    def evaluate(self, state: State, done: int) -> tuple[Scores, np.ndarray]:
        """`predict_test`, its scores written to the log, and the state kept when it is the best until now."""
        with self.log.watch.during("evaluation"):
            scores, points_px = self.predict_test(state)
        values = {"nme": scores.nme, "fr_0.10": scores.fr["0.10"], "auc_0.10": scores.auc["0.10"]}
        by, split = scores.normaliser, self.test_crops.split
        self.log.write(done, {f"{split}/{name}_{by}": value for name, value in values.items()})
        self.log.say(f"step {done}: {split} NME {scores.nme:.3f} % ({by})")
        if scores.nme < self.best:
            self.best = scores.nme
            self.checkpoints.save("best", state, {"nme": scores.nme})
        return scores, points_px


def _load_both(config: Config, prepared: Path | Callable[[DataConfig], Path]) -> tuple[FaceCrops, FaceCrops]:
    """The faces to train, of all sets, and those that are scored, of the first."""
    data = config.data
    directory = prepared(data) if callable(prepared) else prepared
    main = load_split(config.data, directory, data.train_split, data.context)
    train_crops = join(
        main, [(_load_other(config, main, dataset, source, prepared), share) for dataset, source, share in data.also]
    )
    if epoch_length(train_crops) < config.batch_size:
        raise ValueError(
            f"config.batch_size={config.batch_size}, but {data.train_split!r} has {len(main)} faces; "
            "use a smaller batch"
        )
    return train_crops, load_split(config.data, directory, data.scored_split)


def _load_other(
    config: Config, main: FaceCrops, dataset: str, source: str, prepared: Path | Callable[[DataConfig], Path]
) -> FaceCrops:
    """The training faces of a further set, cropped as those of the first; synthetic ones get the first's points."""
    scheme = main.scheme.name
    if not callable(prepared):
        raise ValueError(f"config.data.also names {dataset}, and {prepared} is one set: give what builds them")
    if dataset == "synthetic" and scheme not in SCHEMES:
        raise ValueError(
            f"config.data.also: synthetic faces are annotated as {', '.join(SCHEMES)}, and {main.dataset}'s points are "
            f"{scheme}"
        )
    data = replace(config.data, dataset=dataset, source=source, holdout=0.0)
    data.scheme = scheme if dataset == "synthetic" else data.scheme
    return load_split(data, prepared(data), data.train_split, data.context)


def _shares(crops: FaceCrops) -> str:
    sets = ", ".join(f"{part.visits} of {part.faces} of {part.dataset}" for part in crops.parts)
    return f" (an epoch visits {sets})" if sets else ""


def _never(step: int) -> bool:
    del step
    return False


def train(
    config: Config, workdir: Path, prepared: Path | Callable[[DataConfig], Path], stop: Callable[[int], bool] = _never
) -> Scores | None:
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
    validate(config)
    check_alike(config, {})
    mesh = make_mesh(config.mesh)
    check_batch(config.batch_size, mesh)
    workdir = Path(workdir)
    # Before a set is built for it, and before the folder is claimed, which holds the next try to this config.
    origin = Origin() if has_checkpoint(workdir) else read_origin(config, mesh)
    train_crops, test_crops = in_turns(lambda: _load_both(config, prepared))
    also = {f"data.also[{index}]": part.fingerprint for index, part in enumerate(train_crops.parts[1:])}
    check_alike(config, {"train": train_crops.fingerprint, "test": test_crops.fingerprint} | also)
    scheme = train_crops.scheme
    model = build_model(config.model, scheme.num_points)
    steps_per_epoch = epoch_length(train_crops) // config.batch_size
    total = config.optim.epochs * steps_per_epoch
    rate = learning_rate(config.optim, steps_per_epoch)
    train_step = TrainStep(model, optimiser(config.optim, steps_per_epoch), config, mesh, scheme.flip)
    like = train_step.like
    start = begin(origin, config, {"params": like.params, "batch_stats": like.batch_stats}, train_crops)
    with ExitStack() as stack:
        hold = stack.enter_context(closing(together(lambda: Hold(workdir))))
        said = in_turns(lambda: claim(workdir, config, train_crops, start.facts()))
        if is_first():
            for words in filter(None, (said, start.words())):
                print(words)
        checkpoints = stack.enter_context(closing(Checkpoints(workdir)))
        state = checkpoints.newest(like)
        first = step = 0 if state is None else int(state.step)
        if step < total and stop(step):  # before anything is compiled, which an interrupt does not survive
            if is_first():
                print(f"told to stop before step {step + 1} of {total}; the same command goes on from there")
            return None
        if state is None:
            state = train_step.create(config.seed, start.weights)
        if is_first():
            print(
                f"{model.backbone}, stride {model.stride}, {count_parameters(state.params) / 1e6:.2f}M parameters; "
                f"{len(train_crops)} faces to train{_shares(train_crops)}, {len(test_crops)} to score "
                f"({test_crops.split}); "
                f"{scheme.num_points} points ({scheme.name}); {describe(mesh)}; "
                + (f"backbone from {start.backbone}; " if start.backbone else "")
                + (f"going on from step {step} of {total}" if step else f"{total} steps")
            )
        # A run that was told to stop where it is scored has left that to this one.
        rescored = 0 < step < total and step % (config.loop.eval_epochs * steps_per_epoch) == 0
        log = stack.enter_context(closing(Log(workdir, step, total, config.batch_size, rescored)))
        predict = log.compiled("the prediction", make_predict_step(model, mesh))
        finite = log.compiled("the look for NaN", is_finite)
        run = _Run(config, workdir, test_crops, mesh, predict, finite, checkpoints, log, rate, steps_per_epoch)
        run.best = checkpoints.best_nme()
        if step == total:
            scores, points_px = run.predict_test(state)
        elif rescored:
            run.evaluate(state, step)
        with log.apart("preparation"):
            trainer = make_trainer(train_step, train_crops, step, total, log.compiled)
            run.since = (step, log.watch.seconds("training"))

        while step < total:
            state, losses, count = trainer.advance(state, run.until_due(step, total))
            if run.pending:  # two dispatches at once: what counts as done is done, and a stop need not wait for many
                jax.block_until_ready(run.pending[-1][1])
            run.pending.append((step, losses))
            step += count
            log.bar.update(count)
            leaving = stop(step) and step < total
            if step % config.loop.log_steps == 0 or step == total:
                run.write_log(step)
            evaluates = run.scores_after(step, total) and not leaving  # the machine may be about to go
            saves = step % config.loop.save_steps == 0 or step == total or leaving
            if not run.pending or evaluates or saves:
                hold.check()
            if evaluates or saves:
                run.check_state(state, step)
            if evaluates:
                scores, points_px = run.evaluate(state, step)
            if saves:
                checkpoints.save("latest", state, {})
            if leaving:
                checkpoints.wait()
                log.sum_up((step - first) * config.batch_size)
                log.say(f"told to stop: saved at step {step} of {total}; the same command goes on from there")
                return None
        if step > first:
            log.sum_up((step - first) * config.batch_size)
        checkpoints.wait()
        hold.check()
        if is_first():
            folder = workdir / "eval" / f"{test_crops.dataset}-{test_crops.split}"
            write_evaluation(folder, scores, points_px, test_crops)
    if is_first():
        print(score_table.table(scores))
    together(lambda: None)  # nobody leaves while another still writes
    return scores
