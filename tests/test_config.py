# SPDX-License-Identifier: Apache-2.0
import ast
import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from barrel_jax import config as configuration
from barrel_jax.config import Config, DataConfig, ModelConfig, validate

pytestmark = pytest.mark.quick

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_every_config_file_is_valid_and_says_its_command(path):
    module = importlib.import_module(f"configs.{path.stem}")
    validate(module.get_config())
    assert path.stem == "base" or f"python train.py --config configs/{path.name}" in module.__doc__


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.backbone", "resnet19", "resnet18, resnet34"),
        ("model.stride", 4, "stride=4"),
        ("model.stride", 4, "stride=4 with resnet18 is not 8 or 16 or 32"),
        ("model.backbone", "hrnet_w18", "stride=32 with hrnet_w18 is not 4"),
        ("model.norm", "frozen", "config.pretrained"),
        ("model.decoder_layers", 8, "0..7"),
        ("model.decoder_layers", 0, "plain baseline"),
        ("model.qamem_layers", 3, "0, 1 or 2"),
        ("model.qamem_init", "zeros", "none of identity, xavier"),
        ("model.heads", 7, "divide"),
        ("model.dtype", "float16", "dtype"),
        ("data.image_size", 16, "at least 32"),
        ("data.normaliser", (1, 2, 3), "two points"),
        ("batch_size", 0, "positive"),
        ("optim.schedule", "linear", "cosine"),
        ("augment.flip_prob", 1.5, "probability"),
        ("loop.save_steps", 0, "positive"),
    ],
)
def test_what_cannot_work_is_refused(name, value, message):
    config = Config()
    *path, last = name.split(".")
    node = config
    for part in path:
        node = getattr(node, part)
    setattr(node, last, value)
    with pytest.raises(ValueError, match=message):
        validate(config)


@pytest.mark.parametrize("backbone", configuration.BACKBONES)
@pytest.mark.parametrize(("norm", "pretrained"), [("batch", ""), ("batch", "imagenet"), ("frozen", "weights.pth")])
def test_every_backbone_may_start_from_weights_and_be_frozen_then(backbone, norm, pretrained):
    stride = configuration.BACKBONES[backbone].strides[-1]
    config = Config(model=ModelConfig(backbone=backbone, stride=stride, norm=norm), pretrained=pretrained)
    config.optim.backbone_multiplier = 1.0
    validate(config)


def test_a_drawn_backbone_is_not_trained_at_a_tenth_of_the_paper_rate():
    """The paper's recipe is for ImageNet weights: its files ask for them, and '' alone is refused with the remedy."""
    for name in ("base", "wflw", "w300", "cofw", "cofw68"):
        config = importlib.import_module(f"configs.{name}").get_config()
        assert config.pretrained == "imagenet"
        config.pretrained = ""
        with pytest.raises(ValueError, match=r"=0.1 under .*='step'.*set --config.pretrained=imagenet .*coco.py"):
            validate(config)
        validate(config, trained=True)  # a model that is trained may be used
        for field, value in (("backbone_multiplier", 1.0), ("schedule", "cosine")):
            validate(dataclasses.replace(config, optim=dataclasses.replace(config.optim, **{field: value})))


def test_hrnet_needs_images_that_its_four_grids_divide():
    with pytest.raises(ValueError, match="image_size=240 does not divide by 32"):
        validate(Config(model=ModelConfig(backbone="hrnet_w18", stride=4), data=DataConfig(image_size=240)))


def test_every_field_is_read_somewhere():
    read = set()
    for path in [*ROOT.glob("*.py"), *(ROOT / "barrel_jax").rglob("*.py"), *(ROOT / "data").rglob("*.py")]:
        if path != ROOT / "barrel_jax" / "config.py":
            read |= {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    fields = {name.split(".")[-1] for name in configuration.flatten(Config())}
    # model.* goes to BarrelNet's attributes by name.
    assert fields - read == set()


def test_saved_and_loaded_is_the_same(tmp_path):
    config = Config()
    config.data.flip_pairs, config.data.normaliser, config.optim.epochs = ((0, 1), (2, 3)), (4, 5), 7
    configuration.save(config, tmp_path)
    assert dataclasses.asdict(configuration.load(tmp_path)) == dataclasses.asdict(config)


def test_loading_names_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run there"):
        configuration.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model": {"strid": 3}}')
    with pytest.raises(ValueError, match=re.escape("unknown field model.strid")):
        configuration.load(tmp_path)


def train_in(folder, config, *arguments):
    """train.py from another folder than the project's, which has no download."""
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs" / config), *arguments]
    environment = os.environ | {"BARREL_JAX_DATA": str(folder / "home"), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        ("wflw.py", (), "wflw: no download at .*/downloads/wflw; unpack WFLW_images.*for research only"),
        ("cofw68.py", (), "w300: no download at .*/downloads/w300; unpack afw.zip.*for research only"),
        ("wflw.py", ("--config.pretrained=",), "config: optim.backbone_multiplier=0.1 under optim.schedule='step'"),
    ],
)
def test_what_a_run_lacks_is_said_in_one_line(config, arguments, said, tmp_path):
    done = train_in(tmp_path, config, *arguments)
    assert done.returncode == 1 and re.fullmatch(f"train.py: {said}[^\n]*\n", done.stderr), done.stderr
    assert not any(tmp_path.iterdir())


def test_a_run_is_named_after_its_config(tmp_path):
    done = train_in(tmp_path, "tiny.py", "--config.optim.epochs=1", "--config.data.synthetic_train=8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "tiny" / "run.json").exists()


def test_an_unknown_field_on_the_command_line_is_an_error(tmp_path):
    command = [sys.executable, "train.py", "--config", "configs/tiny.py", "--workdir", str(tmp_path)]
    done = subprocess.run([*command, "--config.optim.epoch=3"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode and "epoch" in done.stderr
    assert not any(tmp_path.iterdir())
