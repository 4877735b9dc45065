# SPDX-License-Identifier: Apache-2.0
"""Every command in a block of the documents is taken by its program: arguments, config files and fields."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from barrel_jax.__main__ import COMMANDS, MODULES
from barrel_jax.command_line import Parser
from barrel_jax.config_arguments import read_config
from tests.test_readme import DOCUMENTS

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"train.py": "train", "evaluate.py": "evaluate", "data.prepare": "data.prepare"}
PROGRAMS |= {"data.convert": "data.convert.__main__"}
PROGRAMS |= {f"barrel_jax.{name}": MODULES.get(name, f"barrel_jax.{name}.__main__") for name in COMMANDS}
MEANT = {"FORMAT": "csv"}  # what stands for one of several
# Words that start something else, or end a command; what they are followed by is not this project's.
ENDS = ("&&", "&", ";", "|", "done")


def commands():
    """(page, words of a command of this project)."""
    for page in DOCUMENTS:
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                text = line.replace("--command=", "").replace('"cd', "cd").replace('..."', "...")
                parts = [[]]
                for word in shlex.split(text, comments=True):
                    if word.rstrip(";") in ENDS:
                        parts.append([])
                    else:
                        parts[-1].append(word.rstrip(";"))
                for words in parts:
                    if "barrel-jax" in words[:1]:
                        yield page.name, [f"barrel_jax.{words[1]}", *words[2:]]
                    elif "python" in words:
                        rest = words[words.index("python") + 1 :]
                        yield page.name, rest[1:] if rest[0] == "-m" else rest


FOUND = [(page, words) for page, words in commands() if words[0] in PROGRAMS]


class Taken(Exception):
    """The arguments were taken; the work is left out."""


@pytest.mark.parametrize(("page", "words"), FOUND, ids=lambda value: value if isinstance(value, str) else value[0])
def test_the_arguments_are_taken(page, words, monkeypatch):
    monkeypatch.chdir(ROOT)

    def run(self, given, work):
        if getattr(given, "config", None) and hasattr(given, "overrides"):
            read_config(given)
        raise Taken

    monkeypatch.setattr(Parser, "run", run)
    program, *arguments = words
    with pytest.raises(Taken):
        importlib.import_module(PROGRAMS[program]).main([MEANT.get(word, word) for word in arguments if word != "..."])


def test_there_are_commands_and_they_are_of_programs_that_are_known():
    assert {words[0] for _, words in FOUND} >= {"train.py", "evaluate.py", "data.prepare", "data.convert"}
    others = {words[0] for _, words in commands()} - PROGRAMS.keys()
    strange = {
        name
        for name in others - {"venv", "pytest", "pip", "http.server", "run_onnx.py"}
        if not (ROOT / f"{name.replace('.', '/')}.py").exists()
    }
    assert strange == set()
    assert len(FOUND) > 30
