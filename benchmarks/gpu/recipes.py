# SPDX-License-Identifier: Apache-2.0
"""The runs of the accuracy part: which model on which faces, for how many steps, from what start and which seed.

Augmentation and dropout are the config's defaults (PIPNet's numbers, as the paper gives none) throughout, but for the
small model. The optimiser is configs/coco.py's, for a backbone that no ImageNet weights came to, or the paper's.
Settings are fixed here beforehand; curves are of the tenth of the training faces that `config.data.holdout` keeps from
training, and a finished run opens the test split once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from barrel_jax.config import Config, OptimConfig
from barrel_jax.paper import MODULES
from configs.coco import get_config as from_scratch
from configs.w300 import get_config as base

HOLDOUT = 0.1
CORNERS = ("BarrelNet", "Baseline", "+DQInit", "+QAMem")
SEEDS = 3
# Sets of faces: what `config.data.dataset` calls each; coco is any set of real faces with the same points.
W300, REAL, DRAWN = "w300", "coco", "synthetic"
SPLITS = {W300: ("train", "test"), REAL: ("train", "val"), DRAWN: ("train", "val")}  # trained on, and scored
DECODER = 0.15  # of a step's time, that another decoder is estimated to add
LEAST = 30  # seconds of any run that are not its steps: it compiles, and scores itself
SHARE = 0.3  # of an epoch's faces, for each further set


@dataclass(frozen=True)
class Budget:
    """How long the runs of a kind train, and what that is estimated to take on the GPU."""

    image_size: int
    steps: int
    batch: int
    evaluations: int  # points of its curve
    seconds: float


@dataclass(frozen=True)
class Sizes:
    """Of a whole part."""

    budgets: Mapping[str, Budget]  # by kind of run; of a kind that is not here, the ablation's
    schedules: Mapping[str, float]  # shares of their budget's steps, by name
    drawn: int  # synthetic faces
    backbone: str
    width: int  # of the decoder
    runs: tuple[str, ...]  # names of the only ones of the list; () for all


SCHEDULES = {"": 1.0, "middle": 0.5, "short": 0.25}
FULL = Sizes(
    budgets={
        "start": Budget(128, 7_000, 64, 1, 170),
        "small": Budget(128, 14_000, 64, 2, 240),
        "ablation": Budget(128, 6_800, 32, 5, 70),
        "large": Budget(256, 10_000, 32, 4, 170),
        "recipe": Budget(256, 13_500, 32, 6, 220),
    },
    schedules=SCHEDULES,
    drawn=12_000,
    backbone="resnet18",
    width=256,
    runs=(),
)
REHEARSAL = Sizes(
    budgets={
        "start": Budget(32, 2, 8, 1, 90),
        "small": Budget(32, 4, 8, 1, 90),
        "ablation": Budget(32, 12, 8, 1, 90),
        "large": Budget(48, 12, 8, 1, 90),
        "recipe": Budget(48, 12, 8, 1, 90),
    },
    schedules={"": 1.0, "middle": 1.0, "short": 1.0},
    drawn=16,
    backbone="resnet10_w16",
    width=32,
    runs=(
        "small-BarrelNet-10-rank8-synthetic-coco-seed0",
        "size-BarrelNet-18-rank8-seed0",
    ),
)


@dataclass(frozen=True)
class Run:
    """One training."""

    kind: str  # start, small, ablation, coarse, size, large (256 px), recipe (256 px, longer), generalisation, own
    label: str  # of the model, as in `barrel_jax.paper`, and what differs; Regression-18 is the one without a decoder
    seed: int
    sets: tuple[str, ...] = (W300,)  # the first is visited once in an epoch and scored, the others have `SHARE` each
    started: bool = True  # from the weights of the start; else drawn
    schedule: str = ""  # of `SCHEDULES`
    fields: Mapping[str, object] = field(default_factory=dict)  # of the config, by their dotted names

    @property
    def name(self) -> str:
        """Of its files."""
        plain = self.label.replace("+", "").replace(", ", "-").replace(" ", "")
        faces = "".join(f"-{name}" for name in self.sets) if self.sets != (W300,) or not self.started else ""
        schedule = f"-{self.schedule}" if self.schedule else ""
        return f"{self.kind}-{plain}{faces}{schedule}-seed{self.seed}"


def _run(kind: str, modules: str, decoders: int = 1, seed: int = 0, sets: Sequence[str] = (W300,)) -> Run:
    suffix = f"-18-d{decoders}" if decoders > 1 else "-18"
    label = "Regression-18" if decoders == 0 else modules + suffix
    model = {"stride": 32, "decoder_layers": decoders} | MODULES[modules]
    fields = {f"model.{name}": value for name, value in model.items()}
    return Run(kind, label, seed, tuple(sets), kind not in ("start", "small", "generalisation"), fields=fields)


def start(real: bool) -> Run:
    """The run whose backbone the others start from: drawn faces, and real ones beside 300W's where there are some."""
    return _run("start", "BarrelNet", sets=(DRAWN, REAL) if real else (DRAWN,))


def _ranked(rank: int, seed: int = 0, module: str = "") -> Run:
    """BarrelNet with one of its modules of a low rank, or both."""
    run = _run("size", "BarrelNet", seed=seed)
    of = f" of {module}" if module else ""
    return replace(run, label=f"{run.label}, rank {rank}{of}", fields=run.fields | _ranks(rank, module))


def _ranks(rank: int, module: str = "") -> dict[str, object]:
    return {f"model.{name.lower()}_rank": rank for name in ("DQInit", "QAMem") if module in ("", name)}


# What is added to BarrelNet so that it learns in less time, by what tables call it.
COARSE: dict[str, dict[str, object]] = {
    "": {},
    "coarse loss": {"optim.dqinit_loss": 0.5},
    "coarse to fine": {"optim.dqinit_loss": 0.5, "model.reference_points": True},
}


def _coarse(what: str, schedule: str = "", seed: int = 0) -> Run:
    run = _run("coarse", "BarrelNet", seed=seed)
    label = f"{run.label}, {what}" if what else run.label
    return replace(run, label=label, schedule=schedule, fields=run.fields | COARSE[what])


def _small(real: bool) -> Run:
    """A model of little size for anybody's pictures, from faces whose licence allows it: none of 300W's."""
    run = _run("small", "BarrelNet", sets=(DRAWN, REAL) if real else (DRAWN,))
    fields = {
        "model.backbone": "resnet10",
        "model.feedforward": 1024,
        "model.reference_points": True,
        "model.uncertainty": True,
        "optim.dqinit_loss": 0.5,
        "augment.box_prob": 0.8,
        "augment.box_shift": 0.1,
        "augment.box_scale": 0.15,
        "augment.box_aspect": 0.08,
        "augment.box_forehead": 0.15,
    }
    return replace(run, label="BarrelNet-10, rank 8", fields=run.fields | _ranks(8) | fields)


def runs(sizes: Sizes, real: bool) -> list[Run]:
    """All runs, the most worth first; `real`: there are real faces beside 300W's."""
    every = [_small(real)]
    every += [_run("large", "BarrelNet")]
    every += [_run("ablation", name) for name in CORNERS]
    every += [_ranked(8)]
    every += [_run("own", "BarrelNet", sets=(REAL,))] if real else []
    every += [_run("ablation", name, seed=1) for name in CORNERS]
    every += [_ranked(rank) for rank in (16, 4, 32)]
    every += [_run("ablation", name, seed=2) for name in CORNERS]
    every += [_ranked(8, seed) for seed in range(1, SEEDS)]
    every += [_run("large", "Baseline")]
    every += [_ranked(8, module=name) for name in ("DQInit", "QAMem")]
    every += [_run("ablation", name) for name in ("BarrelNet x2", "+QAMem x2")]
    every += [_run("ablation", "Baseline", decoders) for decoders in (6, 3, 0)]
    every += [_coarse("coarse to fine")] + [_coarse(what, "short") for what in COARSE]
    every += [_coarse(what, "middle") for what in COARSE] + [_coarse("coarse loss")]
    every += [_coarse(what, "short", seed) for seed in range(1, SEEDS) for what in COARSE]
    every += [_run("recipe", "BarrelNet"), _run("recipe", "Baseline")]
    every += [_run("recipe", "BarrelNet", sets=(W300, REAL, DRAWN))] if real else []
    every += [_run("generalisation", "BarrelNet"), _run("generalisation", "BarrelNet", sets=(DRAWN,))]
    if real:
        every += [_run("generalisation", "BarrelNet", sets=sets) for sets in ((REAL,), (W300, REAL, DRAWN))]
    every += [_run("recipe", name, seed=seed) for seed in range(1, SEEDS) for name in ("BarrelNet", "Baseline")]
    return [run for run in every if not sizes.runs or run.name in sizes.runs]


def budget_of(run: Run, sizes: Sizes) -> Budget:
    """How long the run trains."""
    budget = sizes.budgets.get(run.kind, sizes.budgets["ablation"])
    share, decoders = sizes.schedules[run.schedule], int(run.fields["model.decoder_layers"])
    steps_take = share * (budget.seconds - LEAST) * (1 + DECODER * max(decoders - 1, 0))
    return replace(budget, steps=round(share * budget.steps), seconds=LEAST + steps_take)


def config_of(run: Run, sizes: Sizes, optimiser: str, visits: int) -> Config:
    """The config of a run whose epoch visits so many faces."""
    config, budget = base(), budget_of(run, sizes)
    config.seed = run.seed
    config.pretrained = ""
    data = config.data
    data.dataset = run.sets[0]
    data.train_split, data.test_split = SPLITS[run.sets[0]]
    data.also = tuple((name, "", SHARE) for name in run.sets[1:])
    data.holdout = HOLDOUT if run.sets[0] == W300 else 0.0
    data.image_size = budget.image_size
    config.batch_size = budget.batch
    config.model.backbone, config.model.width = sizes.backbone, sizes.width
    # An epoch is one dispatch: a single program is compiled, and the host has nothing to do between steps.
    steps = visits // budget.batch
    config.optim = OptimConfig() if optimiser == "paper" and run.started else from_scratch().optim
    config.optim.epochs = max(round(budget.steps / steps), 1)
    config.optim.decay_epoch = config.optim.epochs * 2 // 3
    if run.started and optimiser == "scratch":
        config.optim.backbone_multiplier = 1.0  # it has learnt already; from drawn weights it learns twice as fast
    for name, value in run.fields.items():
        group, _, own = name.partition(".")
        setattr(getattr(config, group), own, value)
    if sizes.width < 256:  # a rehearsal, whatever model the run names
        config.model.backbone, config.model.heads, config.model.feedforward = sizes.backbone, 4, 2 * sizes.width
    every = max(config.optim.epochs // budget.evaluations, 1)
    config.loop.dispatch_steps = config.loop.log_steps = steps
    config.loop.eval_epochs = every
    config.loop.save_steps = config.optim.epochs * steps
    config.loop.eval_batch = 4 * budget.batch
    config.mesh.data = 1
    return config
