# SPDX-License-Identifier: Apache-2.0
"""Ends of programs: one line and status 1 for what a user can mend, 2 for wrong usage, a traceback for the rest."""

import functools
import gc
import importlib
import inspect
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

import barrel_jax
import evaluate
import train
from barrel_jax import config as configuration
from barrel_jax import config_arguments
from barrel_jax.command_line import Parser, in_one_line, meant
from barrel_jax.config import Config, flatten
from barrel_jax.config_arguments import ConfigParser, describe_fields, read_config
from barrel_jax.scoring.arguments import RequestParser

pytestmark = pytest.mark.quick

ROOT = Path(__file__).resolve().parents[1]
PY = ".py"  # of files that are not there, which no document may name
PROGRAMS = {
    "train.py": "train",
    "evaluate.py": "evaluate",
    "data.prepare": "data.prepare",
    "data.convert": "data.convert.__main__",
    "data.synthetic.contact_sheet": "data.synthetic.contact_sheet",
    "compare": "barrel_jax.compare",
    "reproduce barrel": "barrel_jax.reproduce.barrel.compare_models",
    **{name: f"barrel_jax.{name}.__main__" for name in ("predict", "export", "benchmark", "pod", "reproduce")},
}


def main_of(program):
    return importlib.import_module(PROGRAMS[program]).main


def test_every_program_is_in_the_list():
    """But for the name that the commands go by together, and what runs beside an export without this project."""
    starts = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("barrel_jax", "data")
        for path in (ROOT / folder).rglob("*.py")
        if path.name == "__main__.py" or 'if __name__ == "__main__":' in path.read_text()
    }
    alone = {"barrel_jax.__main__", "barrel_jax.export.run_onnx", "barrel_jax.export.run_stablehlo"}
    roots, part_of_another = {"train", "evaluate"}, {PROGRAMS["reproduce barrel"]}
    assert starts - alone == set(PROGRAMS.values()) - roots - part_of_another


def work_that_raises(error):
    def work():
        raise error

    return work


def test_what_can_be_mended_is_one_line_and_debug_brings_the_traceback(capsys):
    parser = Parser("python -m barrel_jax.predict", "Finds points.")
    for error, said in (
        (ValueError("a.json, record 3: no box; add one"), "a.json, record 3: no box; add one"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: No such file or directory"),
        (FileNotFoundError("a.png: not there; put it there"), "a.png: not there; put it there"),
        (FloatingPointError("the loss is not finite"), "the loss is not finite"),
        (TimeoutError(), "TimeoutError"),
    ):
        assert parser.run(parser.parse_args([]), work_that_raises(error)) == 1
        assert capsys.readouterr().err == f"predict: {said}\n"
        assert in_one_line(error) == said
        with pytest.raises(type(error)):
            parser.run(parser.parse_args(["--debug"]), work_that_raises(error))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\n at X", "out of memory: take a smaller .*9 bytes"),
        ("INTERNAL: Gloo: Connection closed by peer\nat X", r"another process of the run, failed .* again.*by peer\)"),
    ],
)
def test_what_jax_says_of_a_lost_device_is_one_line(capsys, said, line):
    parser, work = Parser("train.py", "Trains."), work_that_raises(jax.errors.JaxRuntimeError(said))
    assert parser.run(parser.parse_args([]), work) == 1
    words = capsys.readouterr().err
    assert words.count("\n") == 1 and re.match(f"train.py: .*{line}", words)
    with pytest.raises(jax.errors.JaxRuntimeError):
        parser.run(parser.parse_args(["--debug"]), work)


def test_faults_of_the_program_keep_their_traceback():
    parser = Parser("train.py", "Trains.")
    for error in (TypeError("f() takes no argument"), KeyError("nme"), RuntimeError("XLA"), AttributeError("x")):
        with pytest.raises(type(error)):
            parser.run(parser.parse_args([]), work_that_raises(error))


def test_ctrl_c_is_no_traceback(capsys):
    parser = Parser("evaluate.py", "Scores.")
    assert parser.run(parser.parse_args([]), work_that_raises(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "evaluate.py: stopped; the same command starts again\n"


def test_a_ctrl_c_that_falls_into_a_dropped_callback_comes_again(capsys):
    """As JAX's at garbage collection: Python prints what is raised there and goes on."""

    def interrupted(phase, info):
        gc.callbacks.remove(interrupted)
        raise KeyboardInterrupt

    def work():
        gc.callbacks.append(interrupted)
        gc.collect(0)  # is done before the signal comes: one that comes between wakes nothing
        time.sleep(60)

    parser, begin = Parser("train.py", None), time.monotonic()
    assert parser.run(parser.parse_args([]), work) == 130
    assert capsys.readouterr().err == "train.py: stopped; the same command starts again\n"
    assert time.monotonic() - begin < 30  # what the main thread waits for is not waited for


@pytest.mark.processes
def test_the_last_line_is_its_own_though_a_thread_of_orbax_began_one_and_ended():
    program = (
        "import sys, threading; import orbax.checkpoint; from barrel_jax.command_line import Parser\n"
        "def work():\n"
        "    begin = threading.Thread(target=lambda: sys.stderr.write('    '))\n"
        "    begin.start(); begin.join()\n"
        "    raise ValueError('a.json: no box; add one')\n"
        "parser = Parser('train.py', None); sys.exit(parser.run(parser.parse_args(), work))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.splitlines() == ["    ", "train.py: a.json: no box; add one"]


def test_the_status_is_that_of_the_work():
    parser = Parser("evaluate.py", "Scores.")
    assert [parser.run(parser.parse_args([]), lambda value=value: value) for value in (None, 0, 1)] == [0, 0, 1]


def test_a_program_looks_for_cycles_seldom_and_not_in_what_it_imported_and_a_call_leaves_it(monkeypatch):
    before, found = gc.get_threshold(), []

    def work():
        found.append((gc.get_threshold(), gc.get_freeze_count()))

    try:
        parser = Parser("a program", "")
        parser.run(parser.parse_args([]), work)  # called from Python: the caller's collector
        gc.unfreeze()
        gc.set_threshold(700, 10, 10)
        parser.run(parser.parse_args([]), work)
        monkeypatch.setattr(sys, "argv", ["program.py"])
        parser.run(parser.parse_args(), work)
    finally:
        gc.freeze()
        gc.set_threshold(*before)
    assert found[0][0] == before and found[1] == ((700, 10, 10), 0)
    assert found[2][0][0] > 10_000 and found[2][1] > 10_000


def test_underscores_are_hyphens_but_in_fields_and_values():
    parser = Parser("x", "Does.")
    parser.add_argument("--allow-partial", action="store_true")
    parser.add_argument("--data-dir")
    for style in (["--allow_partial", "--data_dir", "a_b"], ["--allow-partial", "--data-dir=a_b"]):
        given = parser.parse_args(style)
        assert (given.allow_partial, given.data_dir) == (True, "a_b")
    _, extra = parser.parse_known_args(["--config.data.data_dir=a_b"])
    assert extra == ["--config.data.data_dir=a_b"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_the_same_help_and_usage(program, capsys):
    with pytest.raises(SystemExit) as ended:
        main_of(program)(["--help"])
    assert ended.value.code == 0 and "--debug" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main_of(program)(["--no-such-flag"])
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("program", ["train.py", "evaluate.py", "pod"])
def test_help_lists_every_field_with_its_comment_and_default(program, capsys):
    with pytest.raises(SystemExit, match="0"):
        main_of(program)(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for name, value in flatten(Config()).items():
        assert f" --config.{name}={value} " in said
    assert "--config.optim.clip_norm=0.0 global norm of the gradient; 0 for no clipping" in said
    assert "bring each batch --config.data.allow_partial=False" in said  # a comment of two lines, and its end


def test_every_field_has_a_comment():
    lines = inspect.getsource(configuration).splitlines()
    for name in flatten(Config()):
        assert any(re.match(rf"    {name.rpartition('.')[2]}: .* = .*  # \w", line) for line in lines), name
    assert describe_fields().count("--config.") == len(flatten(Config()))


@pytest.mark.parametrize("parser", [ConfigParser, functools.partial(RequestParser, sets=("w300",), reading={})])
def test_the_configs_source_is_read_for_the_help_alone(parser, monkeypatch):
    """Python 3.11 cannot parse in two threads, and a thread that prints a traceback parses its lines."""
    read, comments = [], config_arguments._comments
    monkeypatch.setattr(config_arguments, "_comments", lambda: read.append(1) or comments())
    made = parser("program", "Works.")
    made.parse_known_args(["--config", f"a{PY}"])
    assert not read
    assert "--config.optim.epochs=" in made.format_help() and len(read) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"configs/wflv{PY}"], f"configs/wflv{PY}: no such config file; did you mean configs/wflw.py?"),
        (["tiny"], "tiny: no such config file; did you mean configs/tiny.py?"),
        ([f"a/b/zzz{PY}"], f"a/b/zzz{PY}: no such config file; configs/ has some"),
        (["README.md"], "README.md: a config is a Python file (.py) with a function get_config()"),
        (["configs/__init__.py"], "configs/__init__.py: there is no function get_config() in it"),
        (["configs/tiny.py", "--config.learning_rat=1"], "there is no such field; did you mean optim.learning_rate?"),
        (["configs/tiny.py", "--config.model.strid=1"], "there is no such field; did you mean model.stride?"),
        (["configs/tiny.py", "--config.zzz=1"], "--config.zzz: there is no such field"),
        (["configs/tiny.py", "--config.optim=1"], "--config.optim: it is made of fields, set these: optim.epochs, "),
        (["configs/tiny.py", "--config.seed=abc"], "--config.seed=abc: the field takes a whole number; its default is"),
        (["configs/tiny.py", "--config.seed", "abc"], "--config.seed=abc: the field takes a whole number"),
        (["configs/tiny.py", "--config.data.resident=maybe"], "the field takes True or False; its default is True"),
        (["configs/tiny.py", "--config.data.also=(('a',"], "the field takes a tuple, in quotes; its default is ()"),
        (["configs/tiny.py", "--config.seed"], "write --config.FIELD=VALUE"),
        (["configs/tiny.py", "word"], "word: neither a field nor its value; write --config.FIELD=VALUE"),
        (["configs/tiny.py", "--config.optim.epochs=0"], "config: optim.epochs=0 must be positive"),
    ],
)
def test_what_is_wrong_with_a_config_is_one_line(arguments, said, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    parser = ConfigParser("train.py", "Trains.")
    given = parser.parse_args(["--config", *arguments])
    assert parser.run(given, lambda: bool(read_config(given))) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("train.py: ") and said in printed and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def get_config()\n    return 1", "line 1: this is no Python (expected ':')"),
        ("def get_config():\n    return {}", "get_config() returns dict, not a barrel_jax.config.Config"),
        ("def get_config():\n    return Confg()", "line 2: name 'Confg' is not defined"),
        (
            "from barrel_jax.config import Config\ndef get_config():\n    return Config(batchsize=3)",
            "'batchsize'; did you mean batch_size?",
        ),
        (
            "from barrel_jax.config import Config\ndef get_config():\n    config = Config()\n"
            "    config.optim.epoch = 3\n    return config",
            "optim.epoch: there is no such field; did you mean optim.epochs?",
        ),
    ],
)
def test_a_mistyped_config_file_is_one_line(text, said, tmp_path, capsys):
    (tmp_path / f"mine{PY}").write_text(text)
    assert train.main(["--config", str(tmp_path / f"mine{PY}")]) == 1
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1


def test_a_config_file_that_does_not_take_its_text_or_is_of_other_bytes_is_named(tmp_path, capsys):
    path = tmp_path / f"mine{PY}"
    path.write_text("def get_config(text):\n    return int(text)")
    assert train.main(["--config", f"{path}:abc"]) == 1
    assert f"{path}, line 2: invalid literal for int() with base 10: 'abc'" in capsys.readouterr().err
    path.write_text("def get_config():\n    assert False")
    assert train.main(["--config", str(path)]) == 1
    assert f"{path}, line 2: AssertionError" in capsys.readouterr().err
    path.write_bytes("def get_config():\n    return 1".encode("utf-16"))
    assert train.main(["--config", str(path)]) == 1
    assert f"{path}, line 1: this is no Python (" in capsys.readouterr().err
    (tmp_path / f"theirs{PY}").write_bytes(b"# \xe9\ndef get_config():\n    return 1")
    assert train.main(["--config", str(tmp_path / f"their{PY}")]) == 1
    assert "no such config file; did you mean" in capsys.readouterr().err


def test_fields_are_read_in_every_form(monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ["--config=configs/tiny.py", "--config.seed", "7", "-config.batch_size=4", "--noconfig.data.resident"]
    words += [
        "--config.optim.learning_rate=3e-4",
        "--config.data.flip_pairs=((0, 1), (2, 3))",
        "--config.mesh.data",
        "-1",
    ]
    config = read_config(ConfigParser("train.py", "Trains.").parse_args(words))
    assert (config.seed, config.batch_size, config.data.resident, config.mesh.data) == (7, 4, False, -1)
    assert (config.optim.learning_rate, config.data.flip_pairs) == (3e-4, ((0, 1), (2, 3)))
    words += ["--config.data.flip_pairs=((4, 5),)", "--config.seed=8", "--config.data.flip_pairs", "((6, 7),)"]
    config = read_config(ConfigParser("train.py", "Trains.").parse_args(words))
    assert (config.seed, config.data.flip_pairs) == (8, ((6, 7),))  # the last one counts, of a tuple too


def test_nothing_near_is_not_guessed():
    assert meant("lr", {"blur": "augment.blur"}) == "" != meant("blurr", {"blur": "augment.blur"})


def test_evaluate_says_in_one_line_what_a_run_lacks(tmp_path, capsys):
    assert evaluate.main(["--workdir", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"evaluate.py: {tmp_path}/config.json: no run there") and printed.count("\n") == 1


@pytest.mark.processes
def test_the_package_offers_its_model_and_predictor_and_is_cheap_to_import():
    from barrel_jax.models.barrelnet import BarrelNet
    from barrel_jax.predict.predictor import Predictor

    assert barrel_jax.BarrelNet is BarrelNet and barrel_jax.Predictor is Predictor
    assert BarrelNet(num_landmarks=68).decoder_layers == 1
    with pytest.raises(AttributeError, match="no attribute 'Barrel'; it has BarrelNet, Predictor"):
        barrel_jax.Barrel  # noqa: B018
    code = "import sys, barrel_jax; sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_commands_go_by_one_name(capsys):
    from barrel_jax.__main__ import COMMANDS, main

    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)
    assert main(["predcit"]) == 2 and "no command 'predcit'; did you mean predict?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--help"])
    assert ended.value.code == 0 and "usage: python -m barrel_jax.compare" in capsys.readouterr().out
    modules = {path.parent.name for path in (ROOT / "barrel_jax").glob("*/__main__.py")} | {"compare"}
    assert modules == set(COMMANDS)


def test_grids_are_run_in_a_clone(monkeypatch, tmp_path, capsys):
    from barrel_jax.reproduce import __main__ as reproduce

    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    assert reproduce.main(["table3", "--list"]) == 1
    assert "start this in a clone of it" in capsys.readouterr().err


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "barrel_jax" / "py.typed").exists()
    assert 'barrel_jax = ["py.typed", ' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["parameters", "pods", "tables", "trainings"])
def test_a_measurement_that_takes_no_arguments_shows_its_help_and_measures_nothing(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)  # run as a program it is another module
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out
