# SPDX-License-Identifier: Apache-2.0
"""Configs: the files are valid, each check refuses what cannot work, and what is saved is loaded again."""

import ast
import dataclasses
import functools
import importlib
import math
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from barrel_jax import config as configuration
from barrel_jax import config_checks
from barrel_jax.backbones import BACKBONES
from barrel_jax.config import Config, ModelConfig, load_run_config, save_run_config
from barrel_jax.config_arguments import load_config
from barrel_jax.config_checks import validate
from tests.kit.in_process import run

pytestmark = pytest.mark.quick

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_every_config_file_is_valid_and_says_its_command(path):
    module = importlib.import_module(f"configs.{path.stem}")
    validate(module.get_config())
    assert path.stem == "base" or f"python train.py --config configs/{path.name}" in module.__doc__


# What cannot work: fields of a config that could, and what is said of them. At least one row for every check.
REFUSED = (
    ({"optim.learning_rat": 1.0}, r"optim.learning_rat: there is no such field; did you mean optim.learning_rate\?"),
    ({"optim.epochs": "30"}, "optim.epochs='30' is str, and the field takes int, such as 360"),
    ({"batch_size": True}, "batch_size=True is bool"),
    ({"optim.learning_rate": math.inf}, "learning_rate=inf holds a number that is not finite"),
    ({"augment.blur": -0.1}, r"augment.blur=-0.1 is not in \[0, 1\]"),
    ({"augment.occlude_margin": 3.0}, r"augment.occlude_margin=3.0 is not in \[0, 1\]"),
    ({"augment.blur": math.nan}, "blur=nan holds a number that is not finite"),
    ({"data.max_pixels": 0}, "data.max_pixels=0 must be positive"),
    ({"optim.epochs": 10**400}, "epochs=a whole number of many digits holds a number that is not finite, or beyond 64"),
    ({"optim.warmup_epochs": -(10**400)}, "warmup_epochs=a whole number of many digits holds"),
    ({"data.flip_pairs": ((0, 10**20),)}, r"flip_pairs=\(\(0, 1000.* holds a number that is not finite, or beyond 64"),
    ({"model.backbone": "resnet19"}, "none of .*resnet18, resnet34"),
    ({"model.stride": 4}, "stride=4 with resnet18 is not 8 or 16 or 32"),
    ({"model.backbone": "hrnet_w18"}, "stride=32 with hrnet_w18 is not 4"),
    (
        {"model.backbone": "hrnet_w18", "model.stride": 4, "data.image_size": 240},
        "image_size=240 does not divide by 32",
    ),
    ({"model.norm": "group"}, "norm='group' is neither"),
    ({"model.norm": "frozen", "pretrained": "", "optim.schedule": "cosine"}, "no.* without config.pretrained"),
    ({"model.norm_group": -1}, "norm_group=-1 must be positive"),
    ({"model.norm": "frozen", "model.norm_group": 16}, "norm_group=16 is of the batch's statistics"),
    ({"model.norm_group": 6}, "batch_size=16 does not divide by model.norm_group=6; use a batch of 12 or 18"),
    ({"model.norm_group": 32}, "use a batch of 32"),
    ({"model.encoder_layers": 8}, "encoder_layers=8 is not in 0..7"),
    ({"model.decoder_layers": 8}, "decoder_layers=8 is not in 0..7"),
    ({"model.qamem_layers": 3}, "qamem_layers=3 is not 0, 1 or 2"),
    ({"model.qamem_init": "zeros"}, "none of identity, xavier"),
    ({"model.decoder_layers": 0}, "plain regression"),
    ({"data.context": 0.6}, r"data.context=0.6 is not in \[0, 0.5\]"),
    ({"model.dqinit_rank": 257}, "dqinit_rank=257 is not in 0..256"),
    ({"model.qamem_rank": -1}, "qamem_rank=-1 is not in 0..256"),
    ({"model.qamem_layers": 0, "model.qamem_rank": 8}, "qamem_rank=8 is of a module that this model has not"),
    ({"model.dqinit": False, "model.dqinit_rank": 8}, "dqinit_rank=8 is of a module that this model has not"),
    ({"model.qamem_init": "xavier", "model.qamem_rank": 8}, "qamem_init='xavier': with model.qamem_rank"),
    ({"model.dqinit": False, "model.reference_points": True}, "reference_points=True reads DQInit's queries"),
    ({"model.dqinit": False, "optim.dqinit_loss": 0.5}, "dqinit_loss=0.5 reads DQInit's queries"),
    (
        {"model.decoder_layers": 0, "model.uncertainty": True},
        "uncertainty=True reads the decoder's queries",
    ),
    ({"optim.dqinit_loss": -0.5}, "dqinit_loss=-0.5 must not be negative"),
    ({"optim.scale_loss": -1.0}, "scale_loss=-1.0 must not be negative"),
    ({"augment.box_shift": 1.5}, r"box_shift=1.5 is not in \[0, 1\]"),
    ({"model.heads": 7}, "width=256 does not divide by model.heads=7"),
    ({"model.heads": 0}, "does not divide by model.heads=0"),
    ({"model.width": 18, "model.heads": 9}, "width=18 must be positive and divide by 4"),
    ({"model.width": 0}, "width=0 must be positive"),
    ({"model.feedforward": 0}, "feedforward=0 must be positive"),
    ({"model.dropout": 1.0}, "dropout=1.0 is not in"),
    ({"model.dtype": "float16"}, "dtype='float16' is unknown: choose from auto, float32, bfloat16"),
    ({"data.crop": "tight"}, "crop='tight' is none of pipnet"),
    ({"data.image_size": 16}, "at least 32"),
    ({"data.normaliser": (1, 2, 3)}, "normaliser=.* must be two points"),
    ({"data.normaliser": ("a", "b")}, "normaliser=.* must be two points"),
    ({"data.flip_pairs": (0, 1)}, r"flip_pairs=\(0, 1\) is not made of pairs"),
    ({"data.holdout": 1.0}, "holdout=1.0 is not in"),
    ({"data.also": ("coco", "DIR", 0.3)}, "a single one ends with a comma"),
    ({"data.also": (("coco", "DIR", 0.6), ("wflw", "DIR", 0.5))}, "sum to less than 1"),
    ({"data.also": (("coco", "DIR", 0.0),)}, "shares must be positive"),
    ({"batch_size": 0}, "batch_size=0 must be positive"),
    ({"join_seconds": 0}, "join_seconds=0 must be positive"),
    ({"heartbeat_seconds": 9}, "heartbeat_seconds=9 must be at least 10"),
    ({"optim.epochs": 0}, "epochs=0 must be positive"),
    ({"optim.learning_rate": 0.0}, "learning_rate=0.0 must be positive"),
    ({"optim.query_multiplier": -1.0}, "query_multiplier=-1.0 must not be negative"),
    *(
        ({f"optim.{name}": value}, f"{name}={value} must not be negative")
        for name, value in (
            ("clip_norm", -0.1),
            ("weight_decay", -1.0),
            ("warmup_epochs", -5.0),
            ("decay_epoch", -3),
            ("backbone_multiplier", -0.1),
        )
    ),
    ({"optim.warmup_epochs": 361.0}, "warmup_epochs=361.0 is longer than optim.epochs=360"),
    ({"model.uncertainty": True, "optim.scale_loss": 0.0}, "uncertainty=True is trained by optim.scale_loss"),
    ({"seed": -1}, r"seed=-1 is not in 0\.\.4294967295"),
    ({"seed": 2**32}, "seed=4294967296 is not in"),
    ({"optim.schedule": "linear"}, "schedule='linear' is neither"),
    ({"optim.ema_decay": 1.0}, "ema_decay=1.0 is not in"),
    ({"augment.flip_prob": 1.5}, "flip_prob=1.5 is not a probability"),
    ({"augment.scale": 1.0}, "scale=1.0 is not in"),
    ({"loop.save_steps": 0}, "save_steps=0 must be positive"),
    ({"loop.dispatch_steps": -1}, "dispatch_steps=-1 must be positive"),
    ({"pretrained": ""}, "backbone_multiplier=0.1 under optim.schedule='step' is for a pretrained"),
)


def changed(changes, module=configuration):
    config = module.Config(pretrained="imagenet")
    for name, value in changes.items():
        *path, last = name.split(".")
        setattr(functools.reduce(getattr, path, config), last, value)
    return config


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[str(row[0]) for row in REFUSED])
def test_what_cannot_work_is_refused(changes, message):
    validate(changed({}))
    with pytest.raises(ValueError, match=message):
        validate(changed(changes))


def is_check(node):
    """Whether a statement is a check: a call of require, or an error of its own."""
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func)
    return called == "require" or (isinstance(node, ast.Raise) and "config: batch_size" in ast.unparse(node))


def without_check(source, index):
    """The tree of a module with one check taken out."""
    tree = ast.parse(source)
    checks = 0
    for block in (node for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)):
        for place, node in enumerate(block.body):
            if is_check(node):
                if checks == index:
                    block.body[place] = ast.copy_location(ast.Pass(), node)
                    return tree, ast.unparse(node)
                checks += 1
    return None, ""


def refuses(module, changes, message):
    try:
        getattr(module, "validate", module.check_types)(changed(changes, module))
    except ValueError as error:
        return re.search(message, str(error)) is not None
    except (TypeError, KeyError, ZeroDivisionError):  # what the check kept away
        return False
    return False


@pytest.mark.parametrize("checked", [configuration, config_checks])
def test_every_check_is_missed_when_it_is_deleted(monkeypatch, checked):
    source = Path(checked.__file__).read_text()
    deleted = []
    while (mutant := without_check(source, len(deleted)))[0] is not None:
        module = types.ModuleType("without_a_check")
        monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look their types up
        exec(compile(mutant[0], checked.__file__, "exec"), module.__dict__)
        assert not all(refuses(module, *row) for row in REFUSED), f"no row of REFUSED misses {mutant[1]}"
        deleted.append(mutant[1])
    calls = re.findall(r"^ +require\(", source, re.MULTILINE)
    assert len(deleted) == len(calls) + source.count('f"config: batch_size=') > 0  # which raises itself


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 2**40), ("optim.warmup_epochs", 400.0), ("optim.clip_norm", -1.0)]
)
def test_a_model_that_was_trained_so_before_it_was_refused_may_be_used(name, value):
    config = changed({name: value})
    with pytest.raises(ValueError, match=name):
        validate(config)
    validate(config, trained=True)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("norm", "pretrained"), [("batch", ""), ("batch", "imagenet"), ("frozen", "weights.pth")])
def test_every_backbone_may_start_from_weights_and_be_frozen_then(backbone, norm, pretrained):
    stride = BACKBONES[backbone].strides[-1]
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
    save_run_config(config, tmp_path)
    assert dataclasses.asdict(load_run_config(tmp_path)) == dataclasses.asdict(config)


def test_loading_names_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run there"):
        load_run_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model": {"strid": 3}}')
    with pytest.raises(ValueError, match=re.escape("unknown field model.strid")):
        load_run_config(tmp_path)
    for content, said in (
        ("[" * 100_000, "this is no JSON"),
        ("[]", "the whole is not made of fields"),
        ('{"seed": {"real": 1}}', "seed={'real': 1} is dict, and the field takes int"),
        ('{"data": 3}', "data is not made of fields"),
        ('{"data": {"scored_split": "a"}}', "unknown field data.scored_split"),
        ('{"data": {"flip_pairs": 3}}', "data.flip_pairs=3 is int, and the field takes tuple"),
        ('{"batch_size": null}', "batch_size=None is NoneType"),
        ('{"optim": {"learning_rate": 1e999}}', "optim.learning_rate=inf holds a number that is not finite"),
        (f'{{"seed": 1{"0" * 400}}}', "seed=a whole number of many digits holds a number"),
        (f'{{"seed": 1{"0" * 5000}}}', "this is no JSON"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=re.escape(said)) as caught:
            load_run_config(tmp_path)
        assert str(caught.value).startswith(str(tmp_path / "config.json"))


def test_a_config_file_of_any_name_is_read(tmp_path):
    file = tmp_path / "2024-05-01T10:20:30 [v2].py"
    file.write_text("from barrel_jax.config import Config\n\ndef get_config():\n    return Config(seed=7)\n")
    assert load_config(str(file)).seed == 7


@pytest.fixture
def train_in(tmp_path, monkeypatch):
    """train.py from another folder than the project's, which has no download."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path / "home"))
    return lambda config, *arguments: run("train", ["--config", str(ROOT / "configs" / config), *arguments])


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        ("wflw.py", (), "wflw: no download at .*/downloads/wflw; unpack WFLW_images.*for research only"),
        ("cofw68.py", (), "w300: no download at .*/downloads/w300; unpack afw.zip.*for research only"),
        ("wflw.py", ("--config.pretrained=",), "config: optim.backbone_multiplier=0.1 under optim.schedule='step'"),
    ],
)
def test_what_a_run_lacks_is_said_in_one_line(config, arguments, said, train_in, tmp_path):
    done = train_in(config, *arguments)
    assert done.returncode == 1 and re.fullmatch(f"train.py: {said}[^\n]*\n", done.stderr), done.stderr
    assert not any(tmp_path.iterdir())


def test_a_run_is_named_after_its_config(train_in, tmp_path):
    done = train_in("tiny.py", "--config.optim.epochs=1", "--config.data.synthetic_train=8", "--config.mesh.data=1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "tiny" / "run.json").exists()


@pytest.mark.processes
def test_an_unknown_field_on_the_command_line_is_an_error(tmp_path):
    command = [sys.executable, "train.py", "--config", "configs/tiny.py", "--workdir", str(tmp_path)]
    done = subprocess.run([*command, "--config.optim.epoch=3"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "train.py: --config.optim.epoch: there is no such field; did you mean optim.epochs?\n"
    assert not any(tmp_path.iterdir())
