# SPDX-License-Identifier: Apache-2.0
"""The runs of the accuracy part, in order of worth: which model, how long, from which seed.

The paper's augmentation and dropout throughout. The optimiser is configs/coco.py's, for a backbone that no ImageNet
weights came to, or the paper's. Settings are fixed here beforehand; curves are of the tenth of the training faces that
`config.data.holdout` keeps from training, and a finished run opens the test split once.
"""

from dataclasses import dataclass

from barrel_jax.config import Config, OptimConfig
from barrel_jax.paper import MODULES
from configs.coco import get_config as from_scratch
from configs.w300 import get_config as base

HOLDOUT = 0.1
CORNERS = ("Baseline", "BarrelNet", "+DQInit", "+QAMem")
SEEDS = 3


@dataclass(frozen=True)
class Budget:
    """How long the runs of a kind train, and what that is estimated to take on the GPU."""

    image_size: int
    epochs: int
    batch: int
    evaluations: int  # points of its curve
    seconds: float


@dataclass(frozen=True)
class Sizes:
    """Of a whole part."""

    recipe: Budget
    ablation: Budget
    start: Budget
    drawn: int  # synthetic faces to start from
    width: int  # of the decoder
    runs: int  # the first ones of the list alone; 0 for all


FULL = Sizes(
    recipe=Budget(256, 360, 16, 18, 220),
    ablation=Budget(128, 120, 16, 8, 55),
    start=Budget(128, 24, 64, 2, 75),
    drawn=20_000,
    width=256,
    runs=0,
)
REHEARSAL = Sizes(
    recipe=Budget(48, 2, 8, 1, 90),
    ablation=Budget(32, 2, 8, 1, 90),
    start=Budget(32, 1, 8, 1, 90),
    drawn=16,
    width=32,
    runs=2,
)


@dataclass(frozen=True)
class Run:
    """One training."""

    kind: str  # recipe or ablation
    label: str  # of the model, as in `barrel_jax.paper`; Regression-18 is the one without a decoder
    seed: int
    model: dict[str, object]  # fields of config.model

    @property
    def name(self) -> str:
        """Of its files."""
        plain = self.label.replace("+", "").replace(" ", "")
        return f"{self.kind}-{plain}-seed{self.seed}"


def _run(kind: str, modules: str, decoders: int, seed: int) -> Run:
    suffix = f"-18-d{decoders}" if decoders > 1 else "-18"
    label = "Regression-18" if decoders == 0 else modules + suffix
    model = {"backbone": "resnet18", "stride": 32, "decoder_layers": decoders} | MODULES[modules]
    return Run(kind, label, seed, model)


def runs(sizes: Sizes) -> list[Run]:
    """All runs, the most worth first."""
    first = [_run("recipe", name, 1, 0) for name in ("BarrelNet", "Baseline")]
    ablation = [_run("ablation", name, 1, 0) for name in CORNERS]
    ablation += [_run("ablation", "Baseline", decoders, 0) for decoders in (6, 3, 0)]
    ablation += [_run("ablation", name, 1, 0) for name in ("BarrelNet x2", "+QAMem x2")]
    ablation += [_run("ablation", name, 1, seed) for seed in range(1, SEEDS) for name in CORNERS]
    again = [_run("recipe", name, 1, seed) for seed in range(1, SEEDS) for name in ("BarrelNet", "Baseline")]
    every = first + ablation + again
    return [first[0], ablation[6]] if sizes.runs == 2 else every


def config_of(run: Run, sizes: Sizes, optimiser: str, faces: int) -> Config:
    """The config of a run that trains on `faces` faces."""
    budget = sizes.recipe if run.kind == "recipe" else sizes.ablation
    config = base()
    config.seed = run.seed
    config.data.holdout = HOLDOUT
    for name, value in run.model.items():
        setattr(config.model, name, value)
    _fit(config, budget, sizes, optimiser, faces)
    return config


def start_config(sizes: Sizes, faces: int) -> Config:
    """The config of the run on synthetic faces whose backbone the others start from."""
    config = base()
    config.pretrained = ""
    config.data.dataset = "synthetic"
    config.data.test_split = "val"
    _fit(config, sizes.start, sizes, "scratch", faces)
    return config


def _fit(config: Config, budget: Budget, sizes: Sizes, optimiser: str, faces: int) -> None:
    config.batch_size = budget.batch
    config.data.image_size = budget.image_size
    config.model.width = sizes.width
    if sizes.width < 256:
        config.model.heads, config.model.feedforward = 4, 2 * sizes.width
    config.optim = from_scratch().optim if optimiser == "scratch" else OptimConfig()
    config.optim.epochs = budget.epochs
    config.optim.decay_epoch = budget.epochs * 2 // 3
    # An epoch is one dispatch: a single program is compiled, and the host has nothing to do between steps.
    steps = faces // budget.batch
    every = max(budget.epochs // budget.evaluations, 1)
    config.loop.dispatch_steps = config.loop.log_steps = steps
    config.loop.eval_epochs = every
    config.loop.save_steps = 4 * every * steps
    config.loop.eval_batch = 4 * budget.batch
    config.mesh.data = 1
