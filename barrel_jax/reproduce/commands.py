# SPDX-License-Identifier: Apache-2.0
"""The commands that made a finished run: its scores are not those of another command with the same folder."""

import re
from pathlib import Path

from barrel_jax import files
from barrel_jax.reproduce.runs import ANOTHER, Run, read_made


def keep_command(run: Run) -> None:
    """Keeps evaluate.py's command, if there is one, beside the scores; train.py keeps its own in run.json."""
    if run.evaluate:
        files.write_json(_evaluated(run), {"command": " ".join(("evaluate.py", *run.evaluate))})


def check_command(run: Run) -> None:
    """Raises ValueError when a finished run was made by other arguments, in one line that names them, or is damaged.

    Files of before that do not say what made them are taken as they are, and so is a folder that was moved.
    """
    if not run.done:
        return
    for path, arguments in ((run.workdir / "run.json", run.train), (_evaluated(run), run.evaluate)):
        command = read_made(path).get("command", "") if arguments and path.exists() else ""
        if not command:
            continue
        there, now = _options(command), _options(" ".join(("", *arguments)))
        changed = [
            f"{name}: {there.get(name, 'not given')} there, {now.get(name, 'not given')} now"
            for name in there | now
            if there.get(name) != now.get(name)
        ]
        if changed:
            raise ValueError(
                f"{run.workdir}: this run was made by another command ({'; '.join(changed)}); its scores are not of "
                f"the one just given: {ANOTHER}"
            )


def _evaluated(run: Run) -> Path:
    return run.scores.with_name("command.json")


def _options(command: str) -> dict[str, str]:
    """The values of a command's arguments by name, but for the folder."""
    _, *words = re.split(r" (?=--)", command)
    pairs = (re.split("[= ]", word, maxsplit=1) for word in words)
    return {name: "".join(value) or "''" for name, *value in pairs if name != "--workdir"}
