# SPDX-License-Identifier: Apache-2.0
"""Every setting of a run, typed, with the only default it has.

A file in `configs/` returns a `Config`; `--config.optim.epochs=30` on the command line overrides a field, and an
unknown field is an error. What cannot work is rejected before anything is built or compiled (`config_checks`).
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.command_line import meant
from barrel_jax.picture_heads import MAX_PIXELS

QAMEM_INITS = ("identity", "xavier")
DTYPES = ("auto", "float32", "bfloat16")  # of the computation; auto is bfloat16 on accelerators, float32 on CPUs
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
    crop: str = "pipnet"  # how a box becomes a crop (docs/protocols.md): one of barrel_jax.faces.crop_windows.PROTOCOLS
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
    box_forehead: float = 0.25  # half of these boxes reach higher, by up to this part of their height, as detectors do


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
    dispatch_steps: int = 0  # steps in one call of a device; 0: 1 on a CPU, where more are no quicker, else 10


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


def require(condition: bool, message: str) -> None:
    """Holds a config against a condition.

    Raises:
        ValueError: it does not hold, in the words of `message`.
    """
    if not condition:
        raise ValueError(f"config: {message}")


def check_types(config: Config) -> None:
    """There is nothing but the fields, each of the type of its default; a whole number may stand for another."""
    default = Config()
    known = flatten(default)
    for name, value in flatten(config, strange=True).items():
        require(name in known, f"{name}: there is no such field{'' if name in known else meant_field(name)}")
        kind = type(known[name])
        require(
            type(value) is kind or (kind is float and type(value) is int),
            f"{name}={_short(value)} is {type(value).__name__}, and the field takes {kind.__name__}, such as "
            f"{known[name]!r}",
        )
        require(_is_usual(value), f"{name}={_short(value)} holds a number that is not finite, or beyond 64 bits")


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
        check_types(config)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix('config: ')}; {remedy}") from error
    return config


def _tuples(value: object) -> object:
    """Lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
