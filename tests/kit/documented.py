# SPDX-License-Identifier: Apache-2.0
"""The commands in the documents' blocks."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from barrel_jax.__main__ import COMMANDS, MODULES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The modules whose `main` takes a command's arguments.
PROGRAMS = {"train.py": "train", "evaluate.py": "evaluate", "data.prepare": "data.prepare"}
PROGRAMS |= {"data.convert": "data.convert.__main__"}
PROGRAMS |= {f"barrel_jax.{name}": MODULES.get(name, f"barrel_jax.{name}.__main__") for name in COMMANDS}
# Words that start something else, or end a command; what they are followed by is not this project's.
ENDS = ("&&", "&", ";", "|", "done")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every command of Python's or of this project's, the program first."""
    for page in DOCUMENTS:
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                text = line.replace("--command=", "").replace('"cd', "cd").replace('..."', "...")
                parts: list[list[str]] = [[]]
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
