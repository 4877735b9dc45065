# SPDX-License-Identifier: Apache-2.0
"""The log of Common's openings: how often the results have scored its faces, counted from the results themselves.

A run that is finished is scored once. The same weights were scored again at a rank, in other boxes, under stress and
for a look at their attention; no setting was chosen by any of it. `python -m benchmarks.tables` writes the table.
"""

import re
from collections.abc import Mapping
from typing import Any

from barrel_jax.markdown import table

Result = Mapping[str, Any]
SPLIT = "w300 test"
POSE = "large pose"  # a kind of stress: a part of the unperturbed faces, which needs no pass of its own
FINISHED, AT_RANKS, STRESSED, BOXES, LOOKED_AT = (
    "a finished run, once each",
    "its weights at each rank by SVD, and at full rank",
    "its faces hidden, turned, blurred, shifted and by pose",
    "its faces in other boxes",
    "its attention on the faces",
)


def passes(results: Mapping[str, Result]) -> dict[str, list[tuple[str, int]]]:
    """By kind: of each result (by its name) how many times a model went over the split's faces."""
    found: dict[str, list[tuple[str, int]]] = {kind: [] for kind in (FINISHED, AT_RANKS, STRESSED, BOXES, LOOKED_AT)}
    scored: set[str] = set()  # several tables may show a run that was scored once
    for name, result in sorted(results.items()):
        if "openings" in result:  # of a GPU's programme, which counts by itself
            counts = [count for what, count in result["openings"].items() if what.startswith(SPLIT)]
            found[FINISHED].append((name, sum(counts)))
            continue
        where = f"{result.get('dataset')} {result.get('split', 'test')}"
        rows, kind = result.get("rows", ()), re.sub(r".*\.", "", result.get("benchmark", ""))
        if where != SPLIT:
            continue
        if kind == "scored":
            kept = [file for row in rows for file in _listed(row["predictions"]) if file not in scored]
            scored.update(kept)
            found[FINISHED].append((name, len(kept)))
        elif kind == "ranks":
            found[AT_RANKS].append((name, len(rows)))
        elif kind == "stress":
            found[STRESSED].append((name, sum(row["kind"] != POSE for row in rows)))
        elif kind == "barrels":
            records = [record for model in result["models"] for record in model["staves"]["robustness"]["records"]]
            found[STRESSED].append((name, sum(record["kind"] != POSE for record in records)))
        elif kind == "boxes":
            found[BOXES].append((name, len(rows)))
        elif kind == "looks":
            found[LOOKED_AT].append((name, len(rows)))
    return found


def _listed(files: str | list[str]) -> list[str]:
    return [files] if isinstance(files, str) else files


def markdown(results: Mapping[str, Result]) -> str:
    """The log as a table: a line for each kind."""
    rows = [
        [kind, str(sum(count for _, count in of)), ", ".join(f"{name} {count}" for name, count in of if count)]
        for kind, of in passes(results).items()
    ]
    rows.append(["all", str(sum(int(row[1]) for row in rows)), ""])
    return table([f"{SPLIT}: what was predicted", "passes over the faces", "of them in"], rows)
