# SPDX-License-Identifier: Apache-2.0
"""Layers point one way, and the code keeps to its own rules."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "barrel_jax").rglob("*.py"))
# Lower may not import higher.
LAYERS = (
    (
        "landmarks",
        "mirror",
        "geometry",
        "config",
        "files",
        "xla",
        "protocols",
        "truth",
        "torch_names",
        "grids",
        "progress",
        "stopwatch",
    ),
    ("normalisers", "pose", "wflw68", "resampling", "cofw68_text", "imagenet", "state_dicts", "folding", "plan"),
    ("box_files", "cropping", "detectors", "video"),
    ("distributed", "preemption"),
    ("losses", "metrics", "augment", "models", "sharding", "input"),
    (
        "optim",
        "state",
        "pretrained",
        "report",
        "pictures",
        "curves",
        "predictions",
        "inference",
        "stave_tables",
        "barrel",
        "drawing",
    ),
    ("steps", "evaluator", "stress", "checkpoint", "workdir", "transfer", "log", "speed_accuracy"),
    ("order",),
    ("trained", "stepper"),
    ("starting",),
    ("loop", "compare", "export", "benchmark", "measures", "reproduced", "predictor"),
    ("annotator", "staves", "reproduce", "predict", "pod"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Each has one home.
HOMES = {
    "flax.linen": ("models", "state", "steps"),
    "orbax": ("checkpoint",),
    "tensorstore": ("checkpoint",),
    "tensorflow_datasets": ("input",),
    "grain": ("input",),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ([f"{node.module}.{name.name}" for name in node.names] if node.module else [])
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def part(path):
    return path.relative_to(ROOT / "barrel_jax").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    mine = part(path)
    for name in imports(path):
        top = name.split(".")[0]
        if (mine, top) != ("benchmark", "benchmarks"):  # where the PyTorch opponent lives
            assert top not in ("configs", "data", "tests", "benchmarks", "train", "evaluate"), name
        if top == "barrel_jax" and mine != "__init__":
            other = name.split(".")[1]
            assert other == mine or RANK[other] <= RANK[mine], f"{mine} imports {other}"
        for library, homes in HOMES.items():
            assert not name.startswith(library) or mine in homes, f"{name} outside {homes}"


def test_every_module_is_ranked():
    assert {part(path) for path in FILES} - {"__init__"} == set(RANK)


def test_everything_imports_without_tensorflow():
    for folder in ("barrel_jax", "data", "configs"):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert "tensorflow" not in sys.modules and "torch" not in {m for m in sys.modules if m.startswith("barrel_jax")}


def test_ruff_is_content():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]


def test_no_habits_that_hide_faults():
    for path in [*FILES, *(ROOT / "data").rglob("*.py"), ROOT / "train.py", ROOT / "evaluate.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            assert not isinstance(node, ast.Assert), f"{where}: an assert on input disappears under -O"
            if isinstance(node, ast.ExceptHandler):
                names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"Exception"}
                assert not names & {"Exception", "BaseException"}, where
