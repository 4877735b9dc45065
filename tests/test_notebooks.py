# SPDX-License-Identifier: Apache-2.0
"""The notebooks, run from the first cell to the last in tiny sizes; none holds outputs."""

import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
# What takes the place of the cell that is tagged "parameters".
MODEL = "CHANGED = {'backbone': 'resnet10_w16', 'width': 32, 'heads': 4, 'feedforward': 64}\n"
TINY = {
    "own_faces": MODEL
    + "FOLDER, RUN = Path('faces'), Path('run')\nFACES, SIZE, EPOCHS = {'train': 8, 'val': 4}, 32, 1",
    "modules": MODEL + "RUN = Path('run')\nFACES, EPOCHS, SIZE = 8, 1, 32",
    "pytorch": MODEL + "SIZE, LANDMARKS = 32, 5",
}


def cells(name):
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]


def test_every_notebook_has_tiny_sizes():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    if name == "pytorch":
        pytest.importorskip("torch", reason="no PyTorch here: pip install -e '.[parity]'")
    monkeypatch.chdir(ROOT)
    plt.switch_backend("Agg")
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert len(code) > 3 and sum("parameters" in cell["metadata"].get("tags", ()) for cell in code) == 1
    scope = {"__name__": "__main__"}
    for number, cell in enumerate(code):
        parameters = "parameters" in cell["metadata"].get("tags", ())
        exec(compile(TINY[name] if parameters else "".join(cell["source"]), f"{name}, cell {number}", "exec"), scope)
        if parameters:
            os.chdir(tmp_path)  # what follows writes
        plt.close("all")


@pytest.mark.parametrize("name", TINY)
def test_a_notebook_is_stored_without_outputs(name):
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells(name))
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < 20_000
