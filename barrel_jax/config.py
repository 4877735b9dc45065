# SPDX-License-Identifier: Apache-2.0
"""Every setting of a run, typed, with the only default it has.

A file in `configs/` returns a `Config`; `--config.optim.epochs=30` on the command line overrides a field, and an
unknown field is an error. `validate` rejects what cannot work before anything is built or compiled.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.backbones import BACKBONES
from barrel_jax.command_line import meant
from barrel_jax.faces.crop_windows import PROTOCOLS
from barrel_jax.picture_heads import MAX_PIXELS

QAMEM_INITS = ("identity", "xavier")
HOLDOUT = "holdout"  # the split of the training faces that `data.holdout` keeps from training


@dataclass
class DataConfig:
    """Which faces, and how they are cropped."""

    dataset: str = "synthetic"  # wflw, w300, cofw, cofw68, coco (own faces) or synthetic (drawn here, no download)
    source: str = ""  # folder of the raw download; '' is data_dir/downloads/<dataset> (none for synthetic)
    data_dir: str = ""  # where built sets, cached crops and downloads live; '' is ~/.cache/barrel_jax
    image_size: int = 256  # side of the square crop in pixels
    resident: bool = True  # the training faces lie on every device; False, and several processes, bring each batch
    allow_partial: bool = False  # takes a part of a published set as it is; every table made from it says so
    max_pixels: int = MAX_PIXELS  # of a picture; larger ones are refused before they are decoded (three bytes a pixel)
    crop: str = "pipnet"  # crop protocol, one of barrel_jax.faces.crop_windows.PROTOCOLS
    context: float = 0.0  # how much of the picture around the crop training sees too, on each side, of the crop's side
    clamp_points: bool = False  # moves points outside the image to its border (PIPNet's WFLW), in the truth too
    train_split: str = "train"  # the faces that are learnt from
    test_split: str = "test"  # scored after every evaluation interval and at the end
    holdout: float = 0.0  # share of the training faces that is kept from training and scored in the test split's place
    also: tuple[tuple[str, str, float], ...] = ()  # more sets to train on: (dataset, source, share of an epoch's faces)
    flip_pairs: tuple[tuple[int, int], ...] = ()  # left/right pairs of points; () takes those found in the set
    normaliser: tuple[int, ...] = ()  # two points whose distance normalises the error; () takes those found
    boxes: str = "xywh"  # coco only: how bbox is written, such as xyxy or cxcywh-fraction (data.coco.units)
    points: str = "xy"  # coco only: how points are written, such as xy-percent or yx (data.coco.units)
    exif: str = "auto"  # coco only: frame of the points of turned pictures, where it is open: auto, stored or upright
    placeholders: str = "auto"  # coco only: points at (0, 0) are not labelled when far from their face; keep, or drop
    scheme: str = "wflw-98"  # synthetic only: which set's points are annotated
    synthetic_train: int = 3000  # synthetic only: faces drawn for training
    synthetic_test: int = 500  # synthetic only: faces drawn for the test
    synthetic_seed: int = 0  # synthetic only: which faces are drawn

    @property
    def scored_split(self) -> str:
        """The split that training scores."""
        return HOLDOUT if self.holdout else self.test_split


@dataclass
class ModelConfig:
    """BarrelNet and its ablations; K is the dataset's number of landmarks."""

    backbone: str = "resnet18"  # in barrel_jax.backbones: resnet10_w16, resnet10, 18, 34, 50, 101 or hrnet_w18
    stride: int = 32  # of the memory's grid: 32, 16 or 8 (strides replaced by dilation); with hrnet_w18 4, and only 4
    norm: str = "batch"  # batch: statistics are trained; frozen: DETR's choice for ImageNet weights
    norm_group: int = 0  # faces that share a batch norm's statistics, such as the paper's 16; 0 for the whole batch
    encoder_layers: int = 0  # 0..7; the paper removes the encoder (section 3.1)
    decoder_layers: int = 1  # 0..7; 0 is the plain regression: pooled features and one dense layer
    dqinit: bool = True  # dynamic query initialisation (equation 1); False starts from zeros
    dqinit_rank: int = 0  # rank of DQInit's weights: 8 are 0.16M numbers in place of 4.47M; 0 for the paper's full ones
    reference_points: bool = False  # coarse points of DQInit's queries tell the decoder where to look; not in the paper
    qamem_layers: int = 1  # query-aware memory (equation 3): 0, 1 or 2 per-query layers
    qamem_init: str = "identity"  # identity: starts as the shared memory; xavier: drawn as DETR draws its weights
    qamem_rank: int = 0  # rank of QAMem's change of the shared memory; 0 for the paper's full transforms
    uncertainty: bool = False  # every point has a scale of its error; not in the paper
    width: int = 256  # D, the decoder's width
    heads: int = 8  # N
    feedforward: int = 2048  # hidden width of the transformer's feed-forward part
    dropout: float = 0.1  # in the transformer
    dtype: str = "auto"  # compute type: float32, bfloat16, or auto (bfloat16 on accelerators)


@dataclass
class AugmentConfig:
    """PIPNet's training augmentation (docs/protocols.md, "Augmentation"); lengths are fractions of the crop's side."""

    translate_prob: float = 0.5  # of a shift along both axes
    translate: float = 30 / 256  # largest shift
    occlude_prob: float = 0.5  # of a patch of one colour
    occlude: float = 0.4  # largest side of the patch
    occlude_margin: float = 10 / 256  # strip at the right and bottom that no patch reaches
    flip_prob: float = 0.5  # of left and right changing places
    rotate_prob: float = 0.5  # of a turn about the centre
    rotate: float = 30.0  # largest angle, degrees
    scale_prob: float = 0.0  # of a change of size; not in the paper
    scale: float = 0.0  # largest relative change of size
    blur_prob: float = 0.3  # of a Gaussian blur
    blur: float = 5 / 256  # largest standard deviation
    grey_prob: float = 0.2  # of a grey picture: PIPNet's; not among the five that the paper names
    box_prob: float = 0.0  # of another box around the face, as detectors differ; not in the paper
    box_shift: float = 0.1  # largest shift of that box along each axis
    box_scale: float = 0.2  # largest relative change of its size, either way
    box_aspect: float = 0.1  # largest relative change of width against height, either way
    box_forehead: float = 0.25  # largest part, of its height, that half of these boxes have more above the face


@dataclass
class OptimConfig:
    """Adam; the defaults are the paper's recipe (section 4.1)."""

    epochs: int = 360  # passes through the training faces
    learning_rate: float = 1e-4  # of everything but the backbone, before the schedule
    schedule: str = "step"  # step: x0.1 at decay_epoch (the paper); cosine: to zero at the end, one step after the last
    decay_epoch: int = 240  # only for the step schedule
    warmup_epochs: float = 0.0  # linear; the first step after them has learning_rate
    backbone_multiplier: float = 0.1  # of the learning rate, for the backbone
    query_multiplier: float = 1.0  # of the learning rate, for what each query has of its own: DQInit, QAMem, positions
    weight_decay: float = 0.0  # decoupled (AdamW), on kernels only, and on none of QAMem's
    clip_norm: float = 0.0  # global norm of the gradient; 0 for no clipping
    dqinit_loss: float = 0.0  # weight of L1 on the coarse points that the head reads from DQInit's queries; 0 for none
    scale_loss: float = 0.01  # weight of the likelihood of the points' scales; only with model.uncertainty
    ema_decay: float = 0.0  # moving average of the weights used for predictions; 0 for none
    aux_loss: bool = False  # L1 on every decoder layer's points, as DETR trains; False: on the last layer's alone


@dataclass
class LoopConfig:
    """How often a run speaks, scores itself and saves."""

    log_steps: int = 20  # between two lines of metrics.jsonl
    eval_epochs: int = 10  # between two evaluations of the test split
    eval_batch: int = 64  # faces per batch of an evaluation
    save_steps: int = 500  # between two checkpoints of the latest state
    dispatch_steps: int = 0  # that the host starts at once; 0 for 1 on CPU, where scanned steps are no quicker, else 10


@dataclass
class MeshConfig:
    """How a run is laid out over its devices (barrel_jax.devices.sharding); changes no number but by rounding."""

    data: int = -1  # devices along which batches are split; -1 for all that there are
    model: int = 1  # devices along which DQInit's and QAMem's weights are split; batches are split over them too
    split_moments: bool = False  # Adam's moments over `data` (ZeRO-1): less memory, and on TPUs not less time


@dataclass
class Config:
    """A whole run."""

    seed: int = 0  # decides the initial weights, the order of examples and every random draw
    batch_size: int = 16  # over all devices
    distributed: str = "auto"  # auto (Slurm, Open MPI, Kubernetes, a TPU slice, or one process), off, or HOST:PORT,N,I
    join_seconds: int = 300  # how long the processes of a run wait for each other at the start
    heartbeat_seconds: int = 60  # after which a process that says nothing is taken for dead, and the others stop
    pretrained: str = ""  # weights a new run's backbone starts from: '', 'imagenet', or a .pth or .safetensors file
    init_from: str = ""  # a run's folder, 'small' or a weights file: what fits of it is taken, before `pretrained`
    mesh: MeshConfig = field(default_factory=MeshConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


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


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"config: {message}")


def validate(config: Config, *, trained: bool = False) -> None:
    """Checks every field that can be wrong on its own or against another.

    Args:
        trained: the run's weights are there, and its recipe is no concern any more.

    Raises:
        ValueError: names the field, its value and what it may be.
    """
    _check_types(config)
    data, model, optim, augment = config.data, config.model, config.optim, config.augment
    _require(model.backbone in BACKBONES, f"model.backbone={model.backbone!r} is none of {', '.join(BACKBONES)}")
    backbone = BACKBONES[model.backbone]
    _require(
        model.stride in backbone.strides,
        f"model.stride={model.stride} with {backbone.name} is not {' or '.join(map(str, backbone.strides))}",
    )
    _require(
        data.image_size % backbone.divisor == 0,
        f"data.image_size={data.image_size} does not divide by {backbone.divisor}, as {backbone.name} needs it",
    )
    _require(model.norm in ("batch", "frozen"), f"model.norm={model.norm!r} is neither 'batch' nor 'frozen'")
    _require(
        model.norm == "batch" or bool(config.pretrained or config.init_from),
        "model.norm='frozen' keeps the given statistics, and there are none without config.pretrained or "
        "config.init_from",
    )
    _require(model.norm_group >= 0, f"model.norm_group={model.norm_group} must be positive, or 0 for the whole batch")
    if model.norm_group and config.batch_size % model.norm_group:
        smaller = config.batch_size // model.norm_group * model.norm_group
        nearest = f"{smaller} or {smaller + model.norm_group}" if smaller else f"{model.norm_group}"
        raise ValueError(
            f"config: batch_size={config.batch_size} does not divide by model.norm_group={model.norm_group}; "
            f"use a batch of {nearest}"
        )
    _require(0 <= model.encoder_layers <= 7, f"model.encoder_layers={model.encoder_layers} is not in 0..7")
    _require(0 <= model.decoder_layers <= 7, f"model.decoder_layers={model.decoder_layers} is not in 0..7")
    _require(model.qamem_layers in (0, 1, 2), f"model.qamem_layers={model.qamem_layers} is not 0, 1 or 2")
    _require(
        model.qamem_init in QAMEM_INITS, f"model.qamem_init={model.qamem_init!r} is none of {', '.join(QAMEM_INITS)}"
    )
    fault = rank_fault(model, "model.")
    _require(not fault, fault)
    for name, wanted in (("model.reference_points", model.reference_points), ("optim.dqinit_loss", optim.dqinit_loss)):
        _require(model.dqinit or not wanted, f"{name}={wanted} reads DQInit's queries, and model.dqinit is False")
    _require(
        model.decoder_layers > 0 or not model.uncertainty,
        "model.uncertainty=True reads the decoder's queries, and model.decoder_layers is 0",
    )
    _require(
        model.decoder_layers > 0 or not (model.dqinit or model.qamem_layers or model.encoder_layers),
        "model.decoder_layers=0 is the plain regression, which has neither queries nor memory: "
        "set model.dqinit=False, model.qamem_layers=0 and model.encoder_layers=0 with it",
    )
    _require(
        model.heads > 0 and model.width % model.heads == 0,
        f"model.width={model.width} does not divide by model.heads={model.heads}",
    )
    _require(
        model.width > 0 and model.width % 4 == 0,
        f"model.width={model.width} must be positive and divide by 4 (sine and cosine of x and y)",
    )
    _require(model.feedforward > 0, f"model.feedforward={model.feedforward} must be positive")
    _require(0 <= model.dropout < 1, f"model.dropout={model.dropout} is not in [0, 1)")
    _require(model.dtype in ("auto", "float32", "bfloat16"), f"model.dtype={model.dtype!r} is unknown")
    # Here too, since a set is built before its crops are cut.
    _require(data.crop in PROTOCOLS, f"data.crop={data.crop!r} is none of {', '.join(PROTOCOLS)}")
    _require(data.image_size >= 32, f"data.image_size={data.image_size} must be at least 32")
    _require(data.max_pixels > 0, f"data.max_pixels={data.max_pixels} must be positive")
    _require(0 <= data.context <= 0.5, f"data.context={data.context} is not in [0, 0.5]: what sets keep around a face")
    _require(
        len(data.normaliser) in (0, 2) and all(type(point) is int for point in data.normaliser),
        f"data.normaliser={data.normaliser} must be two points, such as (36, 45), or empty",
    )
    _require(
        all(isinstance(pair, tuple) and list(map(type, pair)) == [int, int] for pair in data.flip_pairs),
        f"data.flip_pairs={data.flip_pairs} is not made of pairs of points, such as ((0, 1), (2, 3)); a single one "
        "ends with a comma: ((0, 1),)",
    )
    _require(0 <= data.holdout < 1, f"data.holdout={data.holdout} is not in [0, 1): a tenth of the faces is 0.1")
    _check_sets(data)
    _require(config.batch_size > 0, f"batch_size={config.batch_size} must be positive")
    _require(config.join_seconds > 0, f"join_seconds={config.join_seconds} must be positive")
    _require(config.heartbeat_seconds >= 10, f"heartbeat_seconds={config.heartbeat_seconds} must be at least 10")
    _require(optim.epochs > 0, f"optim.epochs={optim.epochs} must be positive")
    _require(optim.learning_rate > 0, f"optim.learning_rate={optim.learning_rate} must be positive")
    _require(optim.schedule in ("step", "cosine"), f"optim.schedule={optim.schedule!r} is neither 'step' nor 'cosine'")
    _require(0 <= optim.ema_decay < 1, f"optim.ema_decay={optim.ema_decay} is not in [0, 1)")
    for name, value in vars(augment).items():
        if name.endswith("_prob"):
            _require(0 <= value <= 1, f"augment.{name}={value} is not a probability")
    for name in ("translate", "occlude", "occlude_margin", "blur"):
        _require(0 <= getattr(augment, name) <= 1, f"augment.{name}={getattr(augment, name)} is not in [0, 1]")
    for name in ("query_multiplier", "dqinit_loss", "scale_loss"):
        _require(getattr(optim, name) >= 0, f"optim.{name}={getattr(optim, name)} must not be negative")
    for name in ("box_shift", "box_scale", "box_aspect", "box_forehead"):
        value = getattr(augment, name)
        _require(0 <= value <= 1, f"augment.{name}={value} is not in [0, 1]")
    _require(0 <= augment.scale < 1, f"augment.scale={augment.scale} is not in [0, 1)")
    for name, value in vars(config.loop).items():
        _require(value > 0 or (name, value) == ("dispatch_steps", 0), f"loop.{name}={value} must be positive")
    if not trained:
        _check_recipe(config)


def _check_recipe(config: Config) -> None:
    """What a model is trained by; one that was trained otherwise, before this was asked, may be used."""
    model, optim = config.model, config.optim
    _require(
        0 <= config.seed < 2**32, f"seed={config.seed} is not in 0..{2**32 - 1}: others are drawn from as one of these"
    )
    _require(
        model.norm == "batch" or not model.norm_group,
        f"model.norm_group={model.norm_group} is of the batch's statistics, and model.norm='frozen' has none",
    )
    _require(
        optim.warmup_epochs <= optim.epochs,
        f"optim.warmup_epochs={optim.warmup_epochs} is longer than optim.epochs={optim.epochs}",
    )
    _require(
        optim.scale_loss > 0 or not model.uncertainty,
        "model.uncertainty=True is trained by optim.scale_loss, which is 0",
    )
    for name in ("decay_epoch", "warmup_epochs", "backbone_multiplier", "weight_decay", "clip_norm"):
        _require(getattr(optim, name) >= 0, f"optim.{name}={getattr(optim, name)} must not be negative")
    if not (config.pretrained or config.init_from):
        check_drawn_backbone(optim)


def check_drawn_backbone(optim: OptimConfig) -> None:
    """Sees that a backbone without trained weights does not get the small rate that is for a trained one.

    Raises:
        ValueError: it would.
    """
    _require(
        optim.schedule != "step" or optim.backbone_multiplier >= 1,
        f"optim.backbone_multiplier={optim.backbone_multiplier} under optim.schedule='step' is for a pretrained "
        "backbone, and this run's would be drawn: set --config.pretrained=imagenet (or a file), or from scratch "
        "--config.optim.backbone_multiplier=1, or take the recipe of configs/coco.py",
    )


def _check_types(config: Config) -> None:
    """There is nothing but the fields, each of the type of its default; a whole number may stand for another."""
    default = Config()
    known = flatten(default)
    for name, value in flatten(config, strange=True).items():
        _require(name in known, f"{name}: there is no such field{'' if name in known else meant_field(name)}")
        kind = type(known[name])
        _require(
            type(value) is kind or (kind is float and type(value) is int),
            f"{name}={_short(value)} is {type(value).__name__}, and the field takes {kind.__name__}, such as "
            f"{known[name]!r}",
        )
        _require(_is_usual(value), f"{name}={_short(value)} holds a number that is not finite, or beyond 64 bits")


def _is_usual(value: object) -> bool:
    """Whether all numbers in a value are finite and fit into 64 bits."""
    if isinstance(value, tuple):
        return all(map(_is_usual, value))
    return not isinstance(value, int | float) or abs(value) < 2**63  # False for NaN


def _short(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a whole number of many digits"  # Python refuses to write more than 4,300
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."


def meant_field(name: str) -> str:
    """'; did you mean X?' for a name that is no field's; one in the wrong group is known by its last part."""
    known = flatten(Config())
    return meant(name, {field.rpartition(".")[2]: field for field in known} | {field: field for field in known})


def _check_sets(data: DataConfig) -> None:
    setting = f"data.also={data.also!r}"
    _require(
        all(isinstance(item, tuple) and list(map(type, item)) == [str, str, float] for item in data.also),
        f"{setting} is not made of (dataset, source, share), such as (('coco', 'DIR', 0.3), ('synthetic', '', 0.2)); a "
        "single one ends with a comma: (('coco', 'DIR', 0.3),)",
    )
    shares = [share for _, _, share in data.also]
    _require(
        all(share > 0 for share in shares) and sum(shares) < 1,
        f"{setting}: the shares must be positive and sum to less than 1, the rest being that of {data.dataset}",
    )


def settings(config: Config) -> dict[str, object]:
    """`flatten` without the folders of `data.also`, which may differ between hosts and between starts of a run."""
    flat = flatten(config)
    return flat | {"data.also": tuple((dataset, share) for dataset, _, share in config.data.also)}


def flatten(config: Config, *, strange: bool = False) -> dict[str, object]:
    """The fields by their dotted names, as the command line spells them; `strange` adds attributes that are none."""

    def walk(prefix: str, node: object) -> dict[str, object]:
        if not dataclasses.is_dataclass(node):
            return {prefix: node}
        names = vars(node) if strange else [item.name for item in dataclasses.fields(node)]
        return {
            name: value
            for own in names
            for name, value in walk(f"{prefix}.{own}" if prefix else own, getattr(node, own)).items()
        }

    return walk("", config)


def save_run_config(config: Config, workdir: Path) -> None:
    """Writes the resolved config to `workdir/config.json`."""
    files.write_json(workdir / "config.json", dataclasses.asdict(config))


def load_run_config(workdir: Path) -> Config:
    """The config that a run saved.

    Raises:
        FileNotFoundError: when the folder holds no run.
        ValueError: when the file is no JSON, or has fields that this version does not know, or of other types.
    """
    path = Path(workdir) / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no run there; train first, or give the --workdir that train.py was given")
    remedy = "put the run's own back, or train in another --workdir"
    return from_dict(files.read_json(path, remedy), str(path), remedy)


def from_dict(raw: object, where: str, remedy: str) -> Config:
    """A config from its fields in JSON; fields that it lacks have their defaults.

    Args:
        raw: the fields, as `save_run_config` writes them.
        where: where they were read, for messages.
        remedy: what to do about faults.

    Raises:
        ValueError: there are fields that this version does not know, or of other types.
    """
    config = Config()

    def fill(node: Any, values: object, prefix: str) -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{where}: {prefix.rstrip('.') or 'the whole'} is not made of fields; {remedy}")
        names = {item.name for item in dataclasses.fields(node)}
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"{where}: unknown field {prefix}{name}; the run was written by another version")
            if dataclasses.is_dataclass(old := getattr(node, name)):
                fill(old, value, f"{prefix}{name}.")
            else:
                setattr(node, name, _tuples(value) if isinstance(old, tuple) else value)

    fill(config, raw, "")
    try:
        _check_types(config)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix('config: ')}; {remedy}") from error
    return config


def _tuples(value: object) -> object:
    """Lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
