# SPDX-License-Identifier: Apache-2.0
"""Frames per second of a grid's models on this machine, timed by `python -m barrel_jax.benchmark` and kept."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from barrel_jax.benchmark.rows import Failed, Row, from_json
from barrel_jax.config import load_run_config
from barrel_jax.facts import read_facts
from barrel_jax.files import read_json
from barrel_jax.reproduce.programs import run_program
from barrel_jax.reproduce.runs import GridRequest, Run

AGAIN = "delete it to have the models timed again"


@dataclass(frozen=True)
class Timed:
    """A result of `barrel_jax.benchmark infer`, as far as a grid makes use of it."""

    finished: bool  # it came to its end
    rows: list[Row]

    def has(self, labels: Sequence[str]) -> bool:
        """Whether it came to its end, has rows of all these models, and none of theirs failed."""
        of_each = [[row for row in self.rows if row.key.model == label] for label in labels]
        return self.finished and all(rows and not any(isinstance(row, Failed) for row in rows) for rows in of_each)


def read_timed(path: Path) -> Timed:
    """Reads what `barrel_jax.benchmark` wrote.

    Raises:
        OSError: it is not there.
        ValueError: it is damaged; names the file and the remedy.
    """
    content = read_json(path, AGAIN)
    try:
        return Timed(content.get("finished", True), [from_json(row) for row in content["rows"]])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not what barrel_jax.benchmark writes ({error}); {AGAIN}") from error


def measure_speed(runs: Sequence[Run], request: GridRequest) -> tuple[Path, str]:
    """Times the models of the runs, unless each was timed: the file of the result, and an error's last line or ''.

    Raises:
        ValueError: a run's run.json or config.json, or an earlier result, is damaged; names the file and the remedy.
    """
    labels = list(dict.fromkeys(run.row.label for run in runs))
    begun = [run.workdir for run in runs if (run.workdir / "run.json").exists()]
    landmarks = read_facts(begun[0])["num_landmarks"] if begun else 98
    # That of the crops they were trained on; where no run has begun there is no score to stand beside a speed either.
    size = load_run_config(begun[0]).data.image_size if begun else request.image_size or 256
    impls = "jax,torch-eager" if importlib.util.find_spec("torch") else "jax"
    out = runs[0].workdir.parent / f"speed-{request.grid}-{landmarks}-points-{size}-px.json"
    if out.exists() and read_timed(out).has(labels):
        return out, ""
    words = ["-m", "barrel_jax.benchmark", "infer", "--models", ",".join(labels), "--batches", "1"]
    words += ["--impls", impls, "--image-size", str(size), "--landmarks", str(landmarks), "--out", str(out)]
    return out, run_program(words, out.with_suffix(".log"), anew=True)
