# SPDX-License-Identifier: Apache-2.0
"""The runs of the accuracy part: which model on which faces, for how many steps, from what start and which seed.

The paper's augmentation and dropout throughout. The optimiser is configs/coco.py's, for a backbone that no ImageNet
weights came to, or the paper's. Settings are fixed here beforehand; curves are of the tenth of the training faces that
`config.data.holdout` keeps from training, and a finished run opens the test split once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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

    recipe: Budget
    ablation: Budget
    start: Budget
    drawn: int  # synthetic faces
    backbone: str
    width: int  # of the decoder
    runs: int  # the first ones of the list alone; 0 for all


FULL = Sizes(
    recipe=Budget(256, 13_500, 32, 6, 200),
    ablation=Budget(128, 6_800, 32, 5, 70),
    start=Budget(128, 7_000, 64, 1, 150),
    drawn=12_000,
    backbone="resnet18",
    width=256,
    runs=0,
)
REHEARSAL = Sizes(
    recipe=Budget(48, 12, 8, 1, 90),
    ablation=Budget(32, 12, 8, 1, 90),
    start=Budget(32, 2, 8, 1, 90),
    drawn=16,
    backbone="resnet10",
    width=32,
    runs=3,
)


@dataclass(frozen=True)
class Run:
    """One training."""

    kind: str  # recipe, ablation, generalisation (budget and curves of the ablation), start
    label: str  # of the model, as in `barrel_jax.paper`; Regression-18 is the one without a decoder
    seed: int
    sets: tuple[str, ...] = (W300,)  # the first is visited once in an epoch and scored, the others have `SHARE` each
    started: bool = True  # from the weights of the start; else drawn
    model: Mapping[str, object] = field(default_factory=dict)  # fields of config.model

    @property
    def name(self) -> str:
        """Of its files."""
        plain = self.label.replace("+", "").replace(" ", "")
        faces = "".join(f"-{name}" for name in self.sets) if self.sets != (W300,) or not self.started else ""
        return f"{self.kind}-{plain}{faces}-seed{self.seed}"


def _run(kind: str, modules: str, decoders: int = 1, seed: int = 0, sets: Sequence[str] = (W300,)) -> Run:
    suffix = f"-18-d{decoders}" if decoders > 1 else "-18"
    label = "Regression-18" if decoders == 0 else modules + suffix
    model = {"stride": 32, "decoder_layers": decoders} | MODULES[modules]
    return Run(kind, label, seed, tuple(sets), kind in ("recipe", "ablation"), model)


def start(real: bool) -> Run:
    """The run whose backbone the others start from: drawn faces, and real ones beside 300W's where there are some."""
    return _run("start", "BarrelNet", sets=(DRAWN, REAL) if real else (DRAWN,))


def runs(sizes: Sizes, real: bool) -> list[Run]:
    """All runs, the most worth first; `real`: there are real faces beside 300W's."""
    every = [_run("generalisation", "BarrelNet")]
    every += [_run("ablation", name) for name in CORNERS]
    every += [_run("ablation", "Baseline", 6), _run("recipe", "BarrelNet")]
    every += [_run("ablation", "Baseline", decoders) for decoders in (3, 0)]
    every += [_run("ablation", name, seed=1) for name in CORNERS]
    every += [_run("recipe", "BarrelNet", sets=(W300, REAL, DRAWN))] if real else []
    every += [_run("ablation", name, seed=2) for name in CORNERS]
    every += [_run("ablation", name) for name in ("BarrelNet x2", "+QAMem x2")]
    every += [_run("recipe", "Baseline"), _run("generalisation", "BarrelNet", sets=(DRAWN,))]
    if real:
        every += [_run("generalisation", "BarrelNet", sets=sets) for sets in ((REAL,), (W300, REAL, DRAWN))]
    every += [_run("recipe", name, seed=seed) for seed in range(1, SEEDS) for name in ("BarrelNet", "Baseline")]
    return [every[0], every[6], every[8]] if sizes.runs == 3 else every


def budget_of(run: Run, sizes: Sizes) -> Budget:
    """How long the run trains."""
    return {"recipe": sizes.recipe, "start": sizes.start}.get(run.kind, sizes.ablation)


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
    for name, value in run.model.items():
        setattr(config.model, name, value)
    config.model.backbone, config.model.width = sizes.backbone, sizes.width
    if sizes.width < 256:
        config.model.heads, config.model.feedforward = 4, 2 * sizes.width
    # An epoch is one dispatch: a single program is compiled, and the host has nothing to do between steps.
    steps = visits // budget.batch
    config.optim = OptimConfig() if optimiser == "paper" and run.started else from_scratch().optim
    config.optim.epochs = max(round(budget.steps / steps), 1)
    config.optim.decay_epoch = config.optim.epochs * 2 // 3
    if run.started and optimiser == "scratch":
        config.optim.backbone_multiplier = 1.0  # it has learnt already; from drawn weights it learns twice as fast
    every = max(config.optim.epochs // budget.evaluations, 1)
    config.loop.dispatch_steps = config.loop.log_steps = steps
    config.loop.eval_epochs = every
    config.loop.save_steps = config.optim.epochs * steps
    config.loop.eval_batch = 4 * budget.batch
    config.mesh.data = 1
    return config
