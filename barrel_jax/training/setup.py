# SPDX-License-Identifier: Apache-2.0
"""The parts of a run that are there before its folder is opened: faces, step, intervals, and what it starts from."""

from dataclasses import dataclass
from pathlib import Path

from chex import ArrayTree

from barrel_jax.config import Config
from barrel_jax.config_checks import validate
from barrel_jax.devices.distributed import check_alike, in_turns
from barrel_jax.devices.sharding import check_batch, describe, make_mesh
from barrel_jax.input.crops import FaceCrops
from barrel_jax.models.build import build_model, count_parameters
from barrel_jax.training.checkpoint import has_checkpoint
from barrel_jax.training.intervals import Intervals
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.order import epoch_length
from barrel_jax.training.sets import Prepared, load_sets
from barrel_jax.training.starting import Origin, begin, read_origin
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.transfer import Start


@dataclass(frozen=True)
class Setup:
    """A run that has taken no step yet."""

    train_crops: FaceCrops
    test_crops: FaceCrops
    train_step: TrainStep
    intervals: Intervals
    start: Start  # what a new run starts from

    def words(self, params: ArrayTree, step: int) -> str:
        """A line on the run, which begins with these parameters after `step` steps."""
        train_step, scheme, total = self.train_step, self.train_crops.scheme, self.intervals.total
        model = train_step.model
        return (
            f"{model.backbone}, stride {model.stride}, {count_parameters(params) / 1e6:.2f}M parameters; "
            f"{len(self.train_crops)} faces to train{_shares(self.train_crops)}, {len(self.test_crops)} to score "
            f"({self.test_crops.split}); "
            f"{scheme.num_points} points ({scheme.name}); {describe(train_step.mesh)}; "
            + (f"backbone from {self.start.backbone}; " if self.start.backbone else "")
            + (f"going on from step {step} of {total}" if step else f"{total} steps")
        )


def set_up(config: Config, workdir: Path, prepared: Prepared) -> Setup:
    """Checks a run's config and loads what it needs; writes nothing in its folder.

    Raises:
        FileNotFoundError: a file of weights that is not there and cannot be fetched.
        ValueError: a config that cannot work, weights to start from that do not fit, processes that differ in their
            config or their data.
    """
    validate(config)
    check_alike(config, {})
    mesh = make_mesh(config.mesh)
    check_batch(config.batch_size, mesh)
    # Before a set is built for it, and before the folder is claimed, which holds the next try to this config.
    origin = Origin() if has_checkpoint(workdir) else read_origin(config, mesh)
    train_crops, test_crops = in_turns(lambda: load_sets(config, prepared))
    also = {f"data.also[{index}]": part.fingerprint for index, part in enumerate(train_crops.parts[1:])}
    check_alike(config, {"train": train_crops.fingerprint, "test": test_crops.fingerprint} | also)
    scheme = train_crops.scheme
    model = build_model(config.model, scheme.num_points)
    steps_per_epoch = epoch_length(train_crops) // config.batch_size
    train_step = TrainStep(model, optimiser(config.optim, steps_per_epoch), config, mesh, scheme.flip)
    like = train_step.like
    start = begin(origin, config, {"params": like.params, "batch_stats": like.batch_stats}, train_crops)
    intervals = Intervals(config.loop, steps_per_epoch, config.optim.epochs * steps_per_epoch)
    return Setup(train_crops, test_crops, train_step, intervals, start)


def _shares(crops: FaceCrops) -> str:
    sets = ", ".join(f"{part.visits} of {part.faces} of {part.dataset}" for part in crops.parts)
    return f" (an epoch visits {sets})" if sets else ""
