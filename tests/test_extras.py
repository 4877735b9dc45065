# SPDX-License-Identifier: Apache-2.0
"""Imports of prediction, and the line that is said where the libraries of training are not installed."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
import pytest

from barrel_jax import extras
from barrel_jax.command_line import Parser
from barrel_jax.models.build import build_model, shapes_of
from barrel_jax.models.packed import pack
from configs.tiny import get_config

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# In a Python of its own: the libraries of training are not there, and what was imported for one prediction is printed.
INFERENCE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {train}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
import numpy as np
from barrel_jax import Predictor

points = Predictor.load({model!r}).predict(np.zeros((40, 40, 3), np.uint8), np.array([[4, 4, 30, 30]]))
assert points.shape == (1, 29, 2)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))

from barrel_jax.__main__ import COMMANDS, main

for command in COMMANDS:  # each says how it is used
    try:
        main([command, "--help"])
    except SystemExit as ended:
        assert ended.code == 0
"""


def distributions(requirements):
    return {re.split(r"[^\w-]", line)[0].lower().replace("-", "_") for line in requirements}


def test_the_extra_is_what_the_code_asks_for():
    names = {{"PIL": "pillow"}.get(name, name.lower()) for name in extras.TRAIN}
    assert distributions(PROJECT["optional-dependencies"]["train"]) == names
    assert not distributions(PROJECT["dependencies"]) & names
    assert 'test = ["barrel-jax[train,' in (ROOT / "pyproject.toml").read_text()


def test_a_plain_installation_exports_with_what_jax_does_not_ask_for():
    """Without it `export` ends in a traceback of JAX's where `[export]`, which brings it too, is not installed."""
    asked = {re.split(r"[^\w-]", line)[0] for line in metadata.requires("jax") or ()}
    assert "flatbuffers" in distributions(PROJECT["dependencies"]) and "flatbuffers" not in asked


@pytest.mark.quick
def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch, capsys):
    parser = Parser("python -m barrel_jax.compare", "Compares.")

    def work():
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib.figure")

    line = "compare: this needs matplotlib: pip install 'barrel-jax[train]', in a clone pip install -e '.[train]'\n"
    assert parser.run(parser.parse_args([]), work) == 1 and capsys.readouterr().err == line
    with pytest.raises(ModuleNotFoundError):
        parser.run(parser.parse_args(["--debug"]), work)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "matplotlib" else name)
    assert parser.run(parser.parse_args([]), extras.require_train) == 1 and capsys.readouterr().err == line
    assert extras.remedy("numpy") == ""  # keeps its traceback


@pytest.mark.processes
def test_a_packed_model_predicts_without_the_libraries_of_training(tmp_path):
    config = get_config()
    shapes = shapes_of(build_model(config.model, 29), config.data.image_size)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), shapes)
    pack(tmp_path / "model.npz", config, {"scheme": "cofw-29", "num_landmarks": 29}, variables)
    code = INFERENCE.format(train=set(extras.TRAIN), model=str(tmp_path / "model.npz"))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[0].split())
    assert {"jax", "flax", "cv2"} <= imported
    assert not imported & ({"chex", "optax", "orbax", "tensorstore", "ml_collections", "tqdm"} | set(extras.TRAIN))
