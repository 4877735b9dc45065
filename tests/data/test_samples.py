# SPDX-License-Identifier: Apache-2.0
"""Every set of the paper, from a few real faces in its original layout to a trained and scored model."""

import importlib
import json

import pytest

from barrel_jax.training import loop
from configs.tiny import get_config as tiny
from data.prepare import main as prepare_main
from data.prepare import prepare_config
from tests.kit.in_process import call
from tests.kit.shared import SHARED, needs_shared

pytestmark = needs_shared

SETS = {"wflw": ("WFLW", 98, 2), "w300": ("300W", 68, 3), "cofw": ("COFW", 29, 2), "cofw68": ("300W", 68, 3)}


def small_run(name, tmp_path):
    """configs/NAME.py with the sizes of configs/tiny.py, on the samples."""
    config, small = importlib.import_module(f"configs.{name}").get_config(), tiny()
    config.model, config.loop = small.model, small.loop
    config.pretrained, config.optim.backbone_multiplier = "", 1.0
    config.batch_size, config.mesh.data, config.optim.epochs, config.data.image_size = 2, 1, 2, 32
    config.data.source = str(SHARED / "samples" / SETS[name][0])
    config.data.data_dir = str(tmp_path / "sets")
    config.data.allow_partial = True
    return config


@pytest.mark.parametrize("name", SETS)
def test_samples_train_and_are_scored(name, tmp_path, capsys):
    config = small_run(name, tmp_path)
    scores = loop.train(config, tmp_path / "run", prepare_config(config.data))
    _, points, faces = SETS[name]
    assert scores.num_images == faces and len(scores.point_nme) == points
    assert scores.partial.startswith("PARTIAL SET: ")
    printed = capsys.readouterr().out
    (row,) = (line.split() for line in printed.splitlines() if line.startswith("  in the crop "))
    assert row[3] == f"{scores.nme_crop:.2f}" and 0 < scores.nme_crop != scores.nme
    assert "PARTIAL SET" in printed and f"crop protocol {config.data.crop}" in printed
    if name == "w300":
        assert scores.subsets["common"].num_images + scores.subsets["challenging"].num_images == 3
    if name == "wflw":
        assert list(scores.subsets) == ["pose", "expression", "illumination", "make-up", "occlusion", "blur"]
    if name == "cofw68":
        arguments = ["--workdir", str(tmp_path / "run"), "--dataset", "cofw68"]
        assert (
            call("evaluate", [*arguments, "--source", str(SHARED / "samples" / "COFW"), "--normaliser", "pupils"]) == 0
        )
        written = json.loads((tmp_path / "run" / "eval" / "cofw68-test" / "metrics.json").read_text())
        assert (written["normaliser"], written["num_images"], written["crop"]) == ("pupils", 2, "pipnet_cross")
        assert "PARTIAL SET: 2 of 507 test faces" in capsys.readouterr().out


CITED = {
    "wflw": ("WFLW", "CVPR 2018", 2),
    "w300": ("300W", "ICCV Workshops 2013", 8),
    "cofw": ("COFW", "CC BY 4.0", 2),
    "cofw68": ("COFW", "Ghiasi", 1),
}


@pytest.mark.parametrize("name", CITED)
def test_the_check_finds_gaps_and_nothing_wrong(name, capsys):
    folder, cited, gaps = CITED[name]
    arguments = [name, "--source", str(SHARED / "samples" / folder), "--check"]
    assert prepare_main(arguments) == 1
    printed = capsys.readouterr().out
    assert printed.count("\ngap: ") == gaps and cited in printed
    assert prepare_main([*arguments, "--allow-partial"]) == 0
    printed = capsys.readouterr().out
    assert "fault:" not in printed and "doubt:" not in printed
