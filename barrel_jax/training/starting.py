# SPDX-License-Identifier: Apache-2.0
"""The start of a new run: a run of one's own (`config.init_from`), a backbone's weights (`config.pretrained`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from barrel_jax.command_line import meant
from barrel_jax.config import Config
from barrel_jax.config_checks import check_drawn_backbone
from barrel_jax.devices.distributed import from_first, together
from barrel_jax.devices.sharding import lay_mesh
from barrel_jax.input.crops import FaceCrops
from barrel_jax.models.packed import SUFFIX, unpack
from barrel_jax.models.unfolding import unfold
from barrel_jax.pretrained.backbone import load, read_backbone
from barrel_jax.pretrained.named_models import NAMED, find_model, is_name
from barrel_jax.training.checkpoint import has_checkpoint
from barrel_jax.training.trained import TrainedRun
from barrel_jax.training.transfer import SourceModel, Start, describe, fit

CALIBRATION_FACES = 128  # that a folded model's norms get their statistics of


@dataclass(frozen=True)
class Origin:
    """What a config names to start from, as read: a model, a backbone, or neither."""

    trained: SourceModel | None = None  # of `config.init_from`
    backbone: Mapping[str, Any] | None = None  # {params, batch_stats} of `config.pretrained`


def read_origin(config: Config, mesh: Mesh) -> Origin:
    """Reads `config.init_from`, and `config.pretrained` unless the former has the backbone; needs no faces.

    Args:
        config: the run's.
        mesh: devices that the weights of a run pass through.

    Raises:
        FileNotFoundError: what is named is not there.
        ValueError: it is not what it should be, or a backbone that is to be frozen would be drawn.
    """
    backbone, trained = config.model.backbone, None
    if config.init_from:
        trained = read_trained(config.init_from, backbone, mesh)
        if trained.model is None or trained.model.backbone == backbone:
            return Origin(trained)
    if config.pretrained:
        return Origin(trained, together(lambda: load(config.pretrained, backbone)))
    if config.model.norm == "frozen":
        raise ValueError(
            f"config.model.norm='frozen' keeps the given statistics, and config.init_from={config.init_from} has no "
            f"{backbone}; name one with config.pretrained as well"
        )
    return Origin(trained)


def begin(origin: Origin, config: Config, like: Mapping[str, Any], crops: FaceCrops) -> Start:
    """What a new run starts from.

    Args:
        origin: what was read.
        config: the run's.
        like: its {params, batch_stats}, which may be abstract.
        crops: what it is trained on, which says the points.

    Raises:
        ValueError: nothing of the run that `config.init_from` names fits, or its backbone does not and the one that is
          drawn would get the small rate of a trained one.
    """
    trained = origin.trained
    if trained and trained.model and trained.folded:
        images = _some(crops, config.data.image_size)
        unfolded = unfold(trained.model, trained.facts["num_landmarks"], trained.variables, jnp.asarray(images))
        trained = replace(trained, variables=from_first(unfolded), folded=False)
    start = fit(trained, like, config.model, crops, deepen=origin.backbone is None) if trained else Start()
    if origin.backbone is None:
        if "backbone" in start.drawn:
            check_drawn_backbone(config.optim)
        return start
    weights = {kind: {**start.weights.get(kind, {}), "backbone": tree} for kind, tree in origin.backbone.items()}
    drawn = {part: why for part, why in start.drawn.items() if part != "backbone"}
    return replace(start, weights=weights, drawn=drawn, backbone=config.pretrained)


def _some(crops: FaceCrops, size: int) -> np.ndarray:
    """Some faces uint8 [n, S, S, 3] of those to train on, without what is around the crops."""
    images = crops.images[np.linspace(0, len(crops) - 1, min(len(crops), CALIBRATION_FACES)).astype(int)]
    around = (images.shape[1] - size) // 2
    return images[:, around : around + size, around : around + size]


def read_trained(init_from: str, backbone: str, mesh: Mesh) -> SourceModel:
    """What `config.init_from` names: a run, whose best checkpoint is read (the latest where none was scored yet), with
    the weights that it predicts with; a packed model; or the file of a backbone.

    Args:
        init_from: a run's folder, a packed model (`.npz`) or the name of one, or a `.pth` or `.safetensors` file.
        backbone: of the new run, which a file must be of.
        mesh: devices that it passes through.

    Raises:
        FileNotFoundError: there is neither, or the run has no checkpoint yet.
        ValueError: the folder is damaged, or the file is none of a backbone's weights, or of another.
    """
    path = Path(init_from).expanduser()
    if is_name(init_from):
        path = together(lambda: find_model(init_from))
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no run and no weights file; give --config.init_from one that is there, or the name of a model "
            f"({', '.join(NAMED)}){meant(init_from, dict(zip(NAMED, NAMED, strict=True)))}"
        )
    if path.suffix == SUFFIX and not path.is_dir():
        packed = together(lambda: unpack(path))
        about = f"{init_from} (packed: {describe(packed.config.model, packed.facts)})"
        return SourceModel(about, packed.variables, packed.config.model, folded=True, facts=packed.facts)
    if not path.is_dir():
        variables = together(lambda: read_backbone(path, backbone))
        return SourceModel(
            f"{init_from} ({backbone} alone)", {kind: {"backbone": tree} for kind, tree in variables.items()}
        )
    which = "best" if has_checkpoint(path, "best") else "latest"
    # Laid out whole on every device, so that every process can fetch it.
    run = TrainedRun.open(path, which, lay_mesh(list(mesh.devices.flat), mesh.size))
    about = f"{init_from} ({which} checkpoint, step {run.step}: {describe(run.config.model, run.facts)})"
    return SourceModel(about, jax.device_get(run.variables), run.config.model, run.facts)
