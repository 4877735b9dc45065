# SPDX-License-Identifier: Apache-2.0
"""A config from the command line: `--config FILE` and `--config.FIELD=VALUE`, and the help that lists the fields."""

import argparse
import ast
import dataclasses
import importlib.util
import inspect
import re
import sys
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from barrel_jax.command_line import Parser, meant
from barrel_jax.config import Config, flatten, meant_field
from barrel_jax.config_checks import validate
from barrel_jax.files import read_bytes

WIDTH, INDENT = 120, 42  # columns of the help
FIELD = re.compile(r"--?(no)?config\.([\w.]+)")
TAKES = {bool: "True or False", int: "a whole number", float: "a number", str: "a word", tuple: "a tuple, in quotes"}
# What running somebody's config file raises when it is mistyped, or given a text that it does not take.
MISTYPED = (
    ImportError, NameError, AttributeError, TypeError, LookupError, ArithmeticError, ValueError, AssertionError,
    RuntimeError,
)  # fmt: skip


class ConfigParser(Parser):
    """The arguments of a program that takes a config."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(prog, description, lambda: "fields of the config, by default:\n" + describe_fields())
        self.add_argument(
            "--config", required=True, metavar="FILE", help="a file of configs/; --config.FIELD=VALUE changes a field"
        )

    def parse_args(  # type: ignore[override]  # typeshed has overloads by the namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """As argparse does; the fields' values are `overrides`, for `read_config`."""
        parsed, overrides = self.parse_known_args(args, namespace)
        parsed.overrides = overrides
        strange = [word for word in parsed.overrides if re.match("--?[a-zA-Z]", word) and not FIELD.match(word)]
        if strange:
            self.error(f"unrecognized arguments: {' '.join(strange)}")
        return parsed


def read_config(args: argparse.Namespace) -> Config:
    """The config of the file and the fields that `ConfigParser` was given, checked.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file makes no config, there is no such field, or a value is not what its field takes.
    """
    config = load_config(args.config)
    known = flatten(config)
    for word in args.overrides:
        found = FIELD.match(word)
        name = found[2] if found else ""
        below = [field for field in known if field.startswith(f"{name}.")]
        if below:
            raise ValueError(f"--config.{name}: it is made of fields, set these: {', '.join(below)}")
        if found and name not in known:
            raise ValueError(f"--config.{name}: there is no such field{meant_field(name)}")
    words = _last(args.overrides)
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    try:
        holder = config_flags.DEFINE_config_dataclass("config", config, flag_values=values, sys_argv=["", *words])
        rest = values(["", *words])[1:]
    except flags.IllegalFlagValueError as error:
        named = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
        if named is None:
            raise ValueError(str(error)) from error
        name, value = named.groups()
        takes = TAKES[type(known[name])]
        raise ValueError(
            f"--config.{name}={value[:80]}: the field takes {takes}; its default is {known[name]!r}"
        ) from error
    except flags.Error as error:
        raise ValueError(f"{error}; write --config.FIELD=VALUE") from error
    if rest:
        raise ValueError(f"{' '.join(rest)}: neither a field nor its value; write --config.FIELD=VALUE")
    validate(holder.value)
    return holder.value


def _last(overrides: Sequence[str]) -> list[str]:
    """The last value of each field alone: config_flags would string together those of a tuple that is given twice."""
    places = {found[2]: place for place, word in enumerate(overrides) if (found := FIELD.match(word))}
    kept, counts = [], True
    for place, word in enumerate(overrides):
        if found := FIELD.match(word):
            counts = places[found[2]] == place
        if counts:  # the word of a field, or behind it its value
            kept.append(word)
    return kept


def load_config(file: str) -> Config:
    """What `get_config()` of a config file returns; `FILE:TEXT` gives it the text.

    Raises:
        FileNotFoundError: there is no such file; names the nearest.
        ValueError: the file cannot be run, or makes no config.
    """
    name, *text = (file,) if Path(file).is_file() else file.split(":", 1)
    path = Path(name)
    if not path.is_file():
        folders = (Path("configs"), path.parent)
        files = [file for folder in folders for file in sorted(folder.glob("[a-z]*.py")) if file.is_file()]
        configs = {file.stem: str(file) for file in files if b"def get_config(" in read_bytes(file)}
        raise FileNotFoundError(f"{name}: no such config file{meant(path.stem, configs) or '; configs/ has some'}")
    spec = importlib.util.spec_from_file_location("config", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{name}: a config is a Python file (.py) with a function get_config()")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(*text) if hasattr(module, "get_config") else None
    except SyntaxError as error:
        where = f"{error.filename or name}, line {error.lineno or 1}"  # of bytes that are no text Python says neither
        raise ValueError(f"{where}: this is no Python ({error.msg})") from error
    except MISTYPED as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        word = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        hint = meant_field(word[1]) if word else ""
        said = str(error) or type(error).__name__
        reason = re.sub(r"\. Did you mean '\w+'\?$", "", said) if hint else said  # Python 3.13's own
        raise ValueError(f"{name}, line {lines[-1] if lines else 1}: {reason}{hint}") from error
    if not hasattr(module, "get_config"):
        raise ValueError(f"{name}: there is no function get_config() in it")
    if not isinstance(config, Config):
        raise ValueError(f"{name}: get_config() returns {type(config).__name__}, not a barrel_jax.config.Config")
    return config


def list_fields() -> dict[str, list[tuple[str, Any, str]]]:
    """The fields of a config by group, under what the group is: name, default and what config.py says of each."""
    comments, groups = _comments(), {}

    def add(node: Any, prefix: str) -> None:
        items = [(item.name, getattr(node, item.name)) for item in dataclasses.fields(node)]
        groups[inspect.cleandoc(type(node).__doc__ or "")] = [
            (f"{prefix}{name}", value, comments[type(node).__name__, name])
            for name, value in items
            if not dataclasses.is_dataclass(value)
        ]
        for name, value in items:
            if dataclasses.is_dataclass(value):
                add(value, f"{prefix}{name}.")

    add(Config(), "")
    return groups


def describe_fields() -> str:
    """`list_fields` in the form of the command line."""
    blocks = []
    for title, fields in list_fields().items():
        lines = [f"\n{title}"]
        for name, value, comment in fields:
            word = f"  --config.{name}={value}"
            text = textwrap.wrap(comment, WIDTH - INDENT)
            beside = word.ljust(INDENT) + text.pop(0) if len(word) < INDENT else word
            lines += [beside, *(" " * INDENT + line for line in text)]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def _comments() -> dict[tuple[str, str], str]:
    """The comment at the end of each field's line in config.py, by its class and name."""
    source = inspect.getsource(sys.modules[Config.__module__])
    lines = source.splitlines()
    return {
        (node.name, item.target.id): lines[(item.end_lineno or 0) - 1][item.end_col_offset :].partition("# ")[2]
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
