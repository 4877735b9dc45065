# SPDX-License-Identifier: Apache-2.0
"""Brings the results in a folder of the programme to benchmarks/results: python -m benchmarks.gpu report DIR

DIR may be the folder or the file of --archive. Writes a result for everything that was measured, also in part, its
picture, the predictions of finished runs, and the documents' tables anew. Nothing is filled in that was not measured.
"""

import argparse
import json
import shutil
import statistics
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from barrel_jax import files, provenance
from barrel_jax.benchmark import plot
from barrel_jax.evaluation.significance import bootstrap_intervals, sign_flip_p
from benchmarks import growth, tables
from benchmarks.gpu import learning_curves
from benchmarks.gpu.step import read

Result = dict[str, Any]
BENCHMARKS = {"infer-gpu": "infer", "train-gpu": "train", "table4-gpu": "table4", "growth-gpu": "growth"}
CASE = ("device", "model", "precision", "batch")
OWN = ("complete", "rows", "seconds", "processor_s", "xla_flags", "rehearsal")  # of a step alone


def merge(steps: Sequence[Result]) -> Result:
    """One result of the files of its steps, in their order."""
    result: Result = {}
    for step in steps:
        result |= {name: value for name, value in step.items() if name not in OWN}
    result["benchmark"] = BENCHMARKS.get(result["benchmark"], result["benchmark"])
    return result | {"rows": _rows(steps) if result["benchmark"] == "infer" else [r for s in steps for r in s["rows"]]}


def _rows(steps: Sequence[Result]) -> list[dict[str, Any]]:
    """The rows by case, each case from the step that measured most of it, so that its ratios are of one run."""
    best: dict[tuple, list[dict[str, Any]]] = {}
    for step in steps:
        cases: dict[tuple, list[dict[str, Any]]] = {}
        for row in step["rows"]:
            cases.setdefault(tuple(row[name] for name in CASE), []).append(row)
        for case, rows in cases.items():
            if _measured(rows) >= _measured(best.get(case, [])):
                best[case] = rows
    return [row for rows in best.values() for row in rows]


def _measured(rows: Sequence[dict[str, Any]]) -> int:
    """How many rows have numbers."""
    return sum("error" not in row for row in rows)


def _per_face(folder: Path, names: Sequence[str]) -> np.ndarray:
    """The faces' errors in percent, means over the runs: float64 [n]."""
    errors = []
    for name in names:
        with np.load(folder / f"{name}.npz") as predictions:
            errors.append(100 * predictions["nme"])
    return np.mean(errors, axis=0)


def paired(change: np.ndarray) -> dict[str, Any]:
    """What differences [n] by face say: their mean, its interval and p."""
    interval = bootstrap_intervals(change[:, None])[0].tolist()
    return {"difference": float(change.mean()), "interval": interval, "p": sign_flip_p(change)}


def summary(rows: Sequence[dict[str, Any]], predictions: Path) -> list[dict[str, Any]]:
    """Each model of each kind, faces and schedule over its seeds, and beside what it is compared with: paired by face.

    That is the baseline of the same seeds; of `size` and `coarse`, which change BarrelNet, the one that is not changed.
    """
    groups: dict[tuple[str, str, str, str], dict[int, dict[str, Any]]] = {}
    for row in rows:
        key = (row["kind"], row["model"], " + ".join(row["faces"]), row.get("schedule", ""))
        groups.setdefault(key, {})[row["seed"]] = row
    found = []
    for (kind, model, faces, schedule), by_seed in groups.items():
        scores = [row["nme"] for row in by_seed.values()]
        line = {
            "kind": kind,
            "model": model,
            "faces": faces,
            "schedule": schedule,
            "seeds": sorted(by_seed),
            "nme": statistics.mean(scores),
            "spread": statistics.stdev(scores) if len(scores) > 1 else None,
            "held_out": statistics.mean(row["held_out"][-1]["nme"] for row in by_seed.values()),
        }
        changed = kind in ("size", "coarse")
        plain = "BarrelNet-18" if changed else "Baseline-18"
        baseline = groups.get(("ablation" if changed and not schedule else kind, plain, faces, schedule), {})
        shared = sorted(by_seed.keys() & baseline.keys())
        if shared and model != plain:
            ours, theirs = (_per_face(predictions, [of[seed]["run"] for seed in shared]) for of in (by_seed, baseline))
            line |= {"paired_seeds": shared} | paired(ours - theirs)
        found.append(line)
    return found


def _w300(result: Result, folder: Path, results: Path) -> Result:
    """What the accuracy part's result says beside its rows; copies the predictions."""
    runs = [row for row in result["rows"] if "kind" in row]
    kept = results / "predictions"
    kept.mkdir(exist_ok=True)
    for row in runs:
        for file in (folder / "predictions").glob(f"{row['run']}*.npz"):
            _, _, other = file.stem.partition("-on-")  # another set than 300W
            shutil.copyfile(file, kept / f"{other or 'common'}-{row['run']}.npz")
    opened = [json.loads(line) for line in (folder / "openings.jsonl").read_text().splitlines()]
    openings = [f"{one['dataset']} {one['split']}: {one['run']}" for one in opened]
    return result | {
        "rows": runs,
        "openings": {name: openings.count(name) for name in openings},
        "summary": summary(runs, folder / "predictions"),
    }


def _draw(name: str, result: Result, results: Path) -> None:
    picture = results / f"{name}.png"
    if result["benchmark"] in ("infer", "train", "table4") and _measured(result["rows"]):
        plot.draw(result, picture)
    elif name == "w300-gpu":
        for file, choose in ((name, learning_curves.ablation), ("w300-coarse", learning_curves.coarse)):
            if shown := choose(result["rows"]):
                drawn = learning_curves.draw(shown)
                files.write(results / f"{file}.png", lambda path, drawn=drawn: growth.write_picture(path, drawn))
    elif name == "growth-gpu" and result.get("equations"):
        files.write(picture, lambda path: growth.write_picture(path, growth.draw(result)))


def report(folder: Path, results: Path, say: Callable[[str], None] = print, commit: str = "") -> list[str]:
    """Writes the results of a folder; their names. `commit` is what was measured, where it is not as the steps say.

    Raises:
        FileNotFoundError: there is no programme in it.
        ValueError: its steps were measured on different machines; a file is damaged.
    """
    programme = folder / "programme.json"
    if not programme.exists():
        raise FileNotFoundError(f"{folder}: no programme.json there; give the --out of python -m benchmarks.gpu")
    states: Mapping[str, Any] = files.read_json(programme, "give another folder")["steps"]
    there = [name for name in states if (folder / "steps" / f"{name}.json").exists()]
    steps = {name: read(folder / "steps" / f"{name}.json") for name in there}
    for step in steps.values():
        step["commit"] = commit or step["commit"]
    machines = {json.dumps(step["machine"], sort_keys=True) for step in steps.values()}
    if len(machines) > 1:
        raise ValueError(
            f"{folder}: its steps were measured on {len(machines)} machines, whose times are not of one run: "
            f"{'; '.join(sorted(machines))}; keep each machine's steps in a folder of its own"
        )
    names = []
    for name in dict.fromkeys(step["benchmark"] for step in steps.values()):
        result = merge([step for step in steps.values() if step["benchmark"] == name])
        if name == "w300-gpu" and any("kind" in row for row in result["rows"]):
            result = _w300(result, folder, results)
        elif name == "w300-gpu" or not (result["rows"] or {"ceilings", "equations"} & result.keys()):
            continue  # preparations, or steps that ended before their first row
        provenance.write(results / f"{name}.json", result)
        _draw(name, result, results)
        names.append(name)
    if steps:
        head = {name: next(iter(steps.values()))[name] for name in ("machine", "versions", "commit", "command")}
        path = results / "gpu-programme.json"
        before = files.read_json(path, "delete it") if path.exists() else {}
        kept = before["steps"] if before.get("machine") == head["machine"] else {}  # its other part
        provenance.write(path, {"benchmark": "gpu-programme"} | head | {"steps": kept | states})
    for name, state in states.items():
        if state["state"] != "done":
            say(f"{state['state']}: {name}: {state['reason']}")
    return names


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--commit", default="", help="that was carried to the machine, where its files went without their repository"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="--out of the programme, or its --archive")
    args = parser.parse_args(arguments)
    try:
        with TemporaryDirectory() as temporary:
            folder = args.folder
            if zipfile.is_zipfile(folder):
                zipfile.ZipFile(folder).extractall(temporary)
                folder = Path(temporary)
            elif folder.is_file():
                raise ValueError(
                    f"{folder}: this file is no zip archive, or a part of one; copy it anew, or give the folder"
                )
            if any(read(path)["rehearsal"] for path in (folder / "steps").glob("*.json")):
                raise ValueError(f"{args.folder}: a rehearsal, whose numbers are no results")
            names = report(folder, tables.RESULTS, commit=args.commit)
    except (ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    tables.main()
    print(f"{tables.RESULTS}: {', '.join(names)}, gpu-programme; the documents have their tables")
    return 0
