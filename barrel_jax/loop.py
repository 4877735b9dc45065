# SPDX-License-Identifier: Apache-2.0
"""Training from the built set to the scored model: evaluate if due, save if due, step, log if due."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from barrel_jax import files, pretrained, report
from barrel_jax.checkpoint import Checkpoints, has_checkpoint
from barrel_jax.config import Config, validate
from barrel_jax.evaluator import face_errors, predict_all, score, write_evaluation
from barrel_jax.input.crops import FaceCrops, load_crops
from barrel_jax.input.placement import place
from barrel_jax.log import Log
from barrel_jax.optim import learning_rate, optimiser
from barrel_jax.sharding import check_batch, make_mesh
from barrel_jax.state import State, abstract, build_model, count_parameters, create
from barrel_jax.steps import epoch_order, make_predict_step, make_train_step
from barrel_jax.workdir import claim


def load_split(config: Config, directory: Path, split: str) -> FaceCrops:
    """The crops of a split as the config wants them."""
    data = config.data
    return load_crops(directory, split, data.image_size, data.crop, data.flip_pairs, data.normaliser, data.clamp_points)


def _flush(pending: list[tuple[int, jax.Array]], checkpoints: Checkpoints) -> float:
    """Fetches the losses of the steps since the last call and returns their mean.

    Raises:
      FloatingPointError: names the steps whose loss is not finite and the last good checkpoint.
    """
    steps = [step for step, _ in pending]
    losses = np.array(jax.device_get([loss for _, loss in pending]), np.float64)
    pending.clear()
    broken = [step for step, loss in zip(steps, losses, strict=True) if not np.isfinite(loss)]
    if broken:
        checkpoints.wait()
        saved = checkpoints.steps("latest")
        good = f"the last good checkpoint is that of step {saved[-1]}" if saved else "there is no checkpoint yet"
        raise FloatingPointError(
            f"the loss is not finite at {len(broken)} of the steps {steps[0]}..{steps[-1]}, first at step {broken[0]}; "
            f"{good}. Lower optim.learning_rate, lengthen optim.warmup_epochs or set optim.clip_norm (0.1 is DETR's)"
        )
    return float(losses.mean())


def _evaluate(
    predict: Callable[[Any, jax.Array], jax.Array],
    state: State,
    crops: FaceCrops,
    config: Config,
    mesh: Mesh,
    workdir: Path,
) -> tuple[dict[str, Any], np.ndarray]:
    """Scores a split: the metrics and the points [n, K, 2] in source pixels; draws 24 of its faces in the workdir."""
    from barrel_jax.pictures import draw_sample, write_picture  # matplotlib: the first steps need not wait for it

    points_px = predict_all(predict, state.variables(), crops, config.loop.eval_batch, mesh)
    about = {"crop": config.data.crop, "checkpoint_step": int(state.step), "config": dataclasses.asdict(config)}
    metrics = score(points_px, crops, **about)
    title = f"{crops.dataset} {crops.split} after {int(state.step)} steps"
    picture = draw_sample(crops, points_px, face_errors(points_px, crops), title)
    files.write(workdir / "predictions.png", lambda path: write_picture(path, picture))
    return metrics, points_px


def train(config: Config, workdir: Path, directory: Path) -> dict[str, Any]:
    """Trains, or goes on training, in `workdir` on the built set in `directory`; returns the last metrics.

    A run is a function of its config and its data: killed and started again it ends with the same weights. A file of
    weights for the backbone (`config.pretrained`) is read until the first checkpoint, and no more after that.

    Raises:
      FileNotFoundError: a file of weights that is not there and cannot be fetched.
      ValueError: a config that cannot work, a file of weights that does not fit, a folder that belongs to another run.
      FloatingPointError: the loss is not finite.
    """
    validate(config)
    mesh = make_mesh(config.devices)
    check_batch(config.batch_size, mesh)
    train_crops = load_split(config, directory, config.data.train_split)
    test_crops = load_split(config, directory, config.data.test_split)
    if len(train_crops) < config.batch_size:
        raise ValueError(
            f"config.batch_size={config.batch_size}, but {config.data.train_split!r} has {len(train_crops)} faces; "
            "use a smaller batch"
        )
    workdir = Path(workdir)
    # Before the folder is claimed, so that it does not hold the next try to a file that was wrong.
    new = config.pretrained and not has_checkpoint(workdir)
    backbone = pretrained.load(config.pretrained, config.model.backbone) if new else None
    claim(workdir, config, train_crops)

    scheme = train_crops.scheme
    model = build_model(config.model, scheme.num_points)
    steps_per_epoch = len(train_crops) // config.batch_size
    total = config.optim.epochs * steps_per_epoch
    tx, rate = optimiser(config.optim, steps_per_epoch), learning_rate(config.optim, steps_per_epoch)
    shape = (model, tx, config.seed, config.data.image_size, config.optim.ema_decay > 0, mesh)
    with ExitStack() as stack:
        checkpoints = stack.enter_context(closing(Checkpoints(workdir)))
        saved = checkpoints.steps("latest")
        state = checkpoints.restore("latest", saved[-1], abstract(*shape)) if saved else create(*shape, backbone)
        best = min((checkpoints.facts("best", step)["nme"] for step in checkpoints.steps("best")), default=np.inf)
        start = int(state.step)

        print(
            f"{model.backbone}, stride {model.stride}, {count_parameters(state.params) / 1e6:.2f}M parameters; "
            f"{len(train_crops)} faces to train, {len(test_crops)} to test; "
            f"{scheme.num_points} points ({scheme.name}); {mesh.size} {jax.devices()[0].platform} device(s); "
            + (f"backbone from {config.pretrained}; " if backbone is not None else "")
            + (f"going on from step {start} of {total}" if start else f"{total} steps")
        )
        faces = place(train_crops, mesh)
        step_fn = make_train_step(model, tx, config, scheme.flip, mesh)
        predict = make_predict_step(model, mesh)
        log = stack.enter_context(closing(Log(workdir, start, total, config.batch_size)))
        pending: list[tuple[int, jax.Array]] = []
        order = epoch_order(config.seed, start // steps_per_epoch, len(train_crops))
        since, at = time.perf_counter(), start
        metrics: dict[str, Any] = {}

        for step in range(start, total):
            if step % steps_per_epoch == 0:
                order = epoch_order(config.seed, step // steps_per_epoch, len(train_crops))
            state, loss = step_fn(state, faces, order)
            pending.append((step, loss))
            done = step + 1
            log.bar.update()
            if done % config.loop.log_steps == 0 or done == total:
                mean = _flush(pending, checkpoints)
                now = time.perf_counter()
                speed = (done - at) * config.batch_size / (now - since)
                since, at = now, done
                epoch = done / steps_per_epoch
                log.write(
                    done, {"epoch": epoch, "loss": mean, "learning_rate": float(rate(step)), "faces_per_s": speed}
                )
                log.bar.set_postfix(epoch=f"{epoch:.1f}", loss=f"{mean:.4f}")
            if done % (config.loop.eval_epochs * steps_per_epoch) == 0 or done == total:
                if pending:
                    _flush(pending, checkpoints)
                metrics, points_px = _evaluate(predict, state, test_crops, config, mesh, workdir)
                values = {"nme": metrics["nme"], "fr_0.10": metrics["fr"]["0.10"], "auc_0.10": metrics["auc"]["0.10"]}
                by = scheme.normaliser_name
                log.write(done, {f"{test_crops.split}/{name}_{by}": value for name, value in values.items()})
                log.bar.write(f"step {done}: {test_crops.split} NME {metrics['nme']:.3f} % ({scheme.normaliser_name})")
                if metrics["nme"] < best:
                    best = metrics["nme"]
                    checkpoints.save("best", state, {"nme": best})
                since, at = time.perf_counter(), done
            if done % config.loop.save_steps == 0 or done == total:
                if pending:
                    _flush(pending, checkpoints)
                checkpoints.save("latest", state, {})
        checkpoints.wait()
        if start == total:
            metrics, points_px = _evaluate(predict, state, test_crops, config, mesh, workdir)
        write_evaluation(workdir / "eval" / f"{test_crops.dataset}-{test_crops.split}", metrics, points_px, test_crops)
    print(report.table(metrics))
    return metrics
