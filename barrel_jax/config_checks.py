# SPDX-License-Identifier: Apache-2.0
"""The checks of a config, before anything is built or compiled: each field alone, and one against another."""

from typing import Any

from barrel_jax.backbones import BACKBONES
from barrel_jax.config import (
    DTYPES,
    QAMEM_INITS,
    AugmentConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    check_types,
    require,
)
from barrel_jax.faces.crop_windows import PROTOCOLS


def validate(config: Config, *, trained: bool = False) -> None:
    """Checks every field that can be wrong on its own or against another.

    Args:
        trained: the run's weights are there, and its recipe is no concern any more.

    Raises:
        ValueError: names the field, its value and what it may be.
    """
    check_types(config)
    _check_backbone(config)
    _check_transformer(config.model, config.optim)
    _check_data(config.data)
    _check_run(config)
    _check_augmentation(config.augment)
    if not trained:
        _check_recipe(config)


def _check_backbone(config: Config) -> None:
    data, model = config.data, config.model
    require(model.backbone in BACKBONES, f"model.backbone={model.backbone!r} is none of {', '.join(BACKBONES)}")
    backbone = BACKBONES[model.backbone]
    require(
        model.stride in backbone.strides,
        f"model.stride={model.stride} with {backbone.name} is not {' or '.join(map(str, backbone.strides))}",
    )
    require(
        data.image_size % backbone.divisor == 0,
        f"data.image_size={data.image_size} does not divide by {backbone.divisor}, as {backbone.name} needs it",
    )
    require(model.norm in ("batch", "frozen"), f"model.norm={model.norm!r} is neither 'batch' nor 'frozen'")
    require(
        model.norm == "batch" or bool(config.pretrained or config.init_from),
        "model.norm='frozen' keeps the given statistics, and there are none without config.pretrained or "
        "config.init_from",
    )
    require(model.norm_group >= 0, f"model.norm_group={model.norm_group} must be positive, or 0 for the whole batch")
    if model.norm_group and config.batch_size % model.norm_group:
        smaller = config.batch_size // model.norm_group * model.norm_group
        nearest = f"{smaller} or {smaller + model.norm_group}" if smaller else f"{model.norm_group}"
        raise ValueError(
            f"config: batch_size={config.batch_size} does not divide by model.norm_group={model.norm_group}; "
            f"use a batch of {nearest}"
        )


def _check_transformer(model: ModelConfig, optim: OptimConfig) -> None:
    require(0 <= model.encoder_layers <= 7, f"model.encoder_layers={model.encoder_layers} is not in 0..7")
    require(0 <= model.decoder_layers <= 7, f"model.decoder_layers={model.decoder_layers} is not in 0..7")
    require(model.qamem_layers in (0, 1, 2), f"model.qamem_layers={model.qamem_layers} is not 0, 1 or 2")
    require(
        model.qamem_init in QAMEM_INITS, f"model.qamem_init={model.qamem_init!r} is none of {', '.join(QAMEM_INITS)}"
    )
    fault = rank_fault(model, "model.")
    require(not fault, fault)
    for name, wanted in (("model.reference_points", model.reference_points), ("optim.dqinit_loss", optim.dqinit_loss)):
        require(model.dqinit or not wanted, f"{name}={wanted} reads DQInit's queries, and model.dqinit is False")
    require(
        model.decoder_layers > 0 or not model.uncertainty,
        "model.uncertainty=True reads the decoder's queries, and model.decoder_layers is 0",
    )
    require(
        model.decoder_layers > 0 or not (model.dqinit or model.qamem_layers or model.encoder_layers),
        "model.decoder_layers=0 is the plain regression, which has neither queries nor memory: "
        "set model.dqinit=False, model.qamem_layers=0 and model.encoder_layers=0 with it",
    )
    require(
        model.heads > 0 and model.width % model.heads == 0,
        f"model.width={model.width} does not divide by model.heads={model.heads}",
    )
    require(
        model.width > 0 and model.width % 4 == 0,
        f"model.width={model.width} must be positive and divide by 4 (sine and cosine of x and y)",
    )
    require(model.feedforward > 0, f"model.feedforward={model.feedforward} must be positive")
    require(0 <= model.dropout < 1, f"model.dropout={model.dropout} is not in [0, 1)")
    require(model.dtype in DTYPES, f"model.dtype={model.dtype!r} is unknown: choose from {', '.join(DTYPES)}")


def rank_fault(model: Any, of: str = "") -> str:
    """What is wrong with the ranks of DQInit and QAMem, '' for nothing.

    Args:
        model: a ModelConfig, or what has its fields.
        of: what stands before the fields' names in the sentence.
    """
    for name, on in (("dqinit_rank", model.dqinit), ("qamem_rank", model.qamem_layers > 0)):
        rank = getattr(model, name)
        if not 0 <= rank <= model.width:
            return f"{of}{name}={rank} is not in 0..{model.width}, the model's width"
        if rank and not on:
            return f"{of}{name}={rank} is of a module that this model has not; set it to 0"
    if model.qamem_rank and model.qamem_init != "identity":
        return f"{of}qamem_init={model.qamem_init!r}: with {of}qamem_rank the transforms start as the identity"
    return ""


def _check_data(data: DataConfig) -> None:
    # Here too, since a set is built before its crops are cut.
    require(data.crop in PROTOCOLS, f"data.crop={data.crop!r} is none of {', '.join(PROTOCOLS)}")
    require(data.image_size >= 32, f"data.image_size={data.image_size} must be at least 32")
    require(data.max_pixels > 0, f"data.max_pixels={data.max_pixels} must be positive")
    require(0 <= data.context <= 0.5, f"data.context={data.context} is not in [0, 0.5]: what sets keep around a face")
    require(
        len(data.normaliser) in (0, 2) and all(type(point) is int for point in data.normaliser),
        f"data.normaliser={data.normaliser} must be two points, such as (36, 45), or empty",
    )
    require(
        all(isinstance(pair, tuple) and list(map(type, pair)) == [int, int] for pair in data.flip_pairs),
        f"data.flip_pairs={data.flip_pairs} is not made of pairs of points, such as ((0, 1), (2, 3)); a single one "
        "ends with a comma: ((0, 1),)",
    )
    require(0 <= data.holdout < 1, f"data.holdout={data.holdout} is not in [0, 1): a tenth of the faces is 0.1")
    _check_sets(data)


def _check_sets(data: DataConfig) -> None:
    setting = f"data.also={data.also!r}"
    require(
        all(isinstance(item, tuple) and list(map(type, item)) == [str, str, float] for item in data.also),
        f"{setting} is not made of (dataset, source, share), such as (('coco', 'DIR', 0.3), ('synthetic', '', 0.2)); a "
        "single one ends with a comma: (('coco', 'DIR', 0.3),)",
    )
    shares = [share for _, _, share in data.also]
    require(
        all(share > 0 for share in shares) and sum(shares) < 1,
        f"{setting}: the shares must be positive and sum to less than 1, the rest being that of {data.dataset}",
    )


def _check_run(config: Config) -> None:
    optim = config.optim
    require(config.batch_size > 0, f"batch_size={config.batch_size} must be positive")
    require(config.join_seconds > 0, f"join_seconds={config.join_seconds} must be positive")
    require(config.heartbeat_seconds >= 10, f"heartbeat_seconds={config.heartbeat_seconds} must be at least 10")
    require(optim.epochs > 0, f"optim.epochs={optim.epochs} must be positive")
    require(optim.learning_rate > 0, f"optim.learning_rate={optim.learning_rate} must be positive")
    require(optim.schedule in ("step", "cosine"), f"optim.schedule={optim.schedule!r} is neither 'step' nor 'cosine'")
    require(0 <= optim.ema_decay < 1, f"optim.ema_decay={optim.ema_decay} is not in [0, 1)")
    for name in ("query_multiplier", "dqinit_loss", "scale_loss"):
        require(getattr(optim, name) >= 0, f"optim.{name}={getattr(optim, name)} must not be negative")
    for name, value in vars(config.loop).items():
        require(value > 0 or (name, value) == ("dispatch_steps", 0), f"loop.{name}={value} must be positive")


def _check_augmentation(augment: AugmentConfig) -> None:
    for name, value in vars(augment).items():
        if name.endswith("_prob"):
            require(0 <= value <= 1, f"augment.{name}={value} is not a probability")
    for name in ("translate", "occlude", "occlude_margin", "blur"):
        require(0 <= getattr(augment, name) <= 1, f"augment.{name}={getattr(augment, name)} is not in [0, 1]")
    for name in ("box_shift", "box_scale", "box_aspect", "box_forehead"):
        value = getattr(augment, name)
        require(0 <= value <= 1, f"augment.{name}={value} is not in [0, 1]")
    require(0 <= augment.scale < 1, f"augment.scale={augment.scale} is not in [0, 1)")


def _check_recipe(config: Config) -> None:
    """What a model is trained by; one that was trained otherwise, before this was asked, may be used."""
    model, optim = config.model, config.optim
    require(
        0 <= config.seed < 2**32, f"seed={config.seed} is not in 0..{2**32 - 1}: others are drawn from as one of these"
    )
    require(
        model.norm == "batch" or not model.norm_group,
        f"model.norm_group={model.norm_group} is of the batch's statistics, and model.norm='frozen' has none",
    )
    require(
        optim.warmup_epochs <= optim.epochs,
        f"optim.warmup_epochs={optim.warmup_epochs} is longer than optim.epochs={optim.epochs}",
    )
    require(
        optim.scale_loss > 0 or not model.uncertainty,
        "model.uncertainty=True is trained by optim.scale_loss, which is 0",
    )
    for name in ("decay_epoch", "warmup_epochs", "backbone_multiplier", "weight_decay", "clip_norm"):
        require(getattr(optim, name) >= 0, f"optim.{name}={getattr(optim, name)} must not be negative")
    if not (config.pretrained or config.init_from):
        check_drawn_backbone(optim)


def check_drawn_backbone(optim: OptimConfig) -> None:
    """Sees that a backbone without trained weights does not get the small rate that is for a trained one.

    Raises:
        ValueError: it would.
    """
    require(
        optim.schedule != "step" or optim.backbone_multiplier >= 1,
        f"optim.backbone_multiplier={optim.backbone_multiplier} under optim.schedule='step' is for a pretrained "
        "backbone, and this run's would be drawn: set --config.pretrained=imagenet (or a file), or from scratch "
        "--config.optim.backbone_multiplier=1, or take the recipe of configs/coco.py",
    )
