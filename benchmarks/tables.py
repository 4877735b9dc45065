# SPDX-License-Identifier: Apache-2.0
"""Writes the documents' tables from benchmarks/results/*.json and the config: python -m benchmarks.tables

A table stands between `<!-- table NAME -->` and `<!-- end NAME -->`; what is not measured yet says so. A test checks
that the documents are what this writes.
"""

import json
import re
import statistics
from collections.abc import Callable
from typing import Any

from barrel_jax.benchmark import report
from barrel_jax.benchmark.rows import Failed, from_json
from barrel_jax.command_line import Parser
from barrel_jax.config_arguments import list_fields
from barrel_jax.markdown import table
from barrel_jax.pod import report as pod_report
from barrel_jax.pod import step_cost
from barrel_jax.provenance import ROOT
from barrel_jax.reproduce.barrel.comparison import ModelComparison
from barrel_jax.reproduce.barrel.tables import tables as barrel_tables
from benchmarks import openings, w300_tables

Result = dict[str, Any]
RESULTS = ROOT / "benchmarks" / "results"
MISSING = "*not measured yet*"


def _load(name: str) -> Result | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _source(name: str, result: Result, results: str) -> str:
    machine, versions = result["machine"], result["versions"]
    device = "".join(f"{gpu.split(',')[0]}, " for gpu in machine.get("gpus", ()))
    return (
        f"[{name}.json]({results}/{name}.json): {device}{machine['cores']} cores of {machine['processor']}, "
        f"jax {versions['jax']}; `{result['command']}`"
    )


def timed(result: Result) -> str:
    """One training run and its scores."""
    rows = [
        [
            row["dataset"],
            str(row["num_images"]),
            f"{row['nme']:.2f}",
            f"{row['fr_0.10']:.2f}",
            f"{row['auc_0.10']:.3f}",
            f"{row['seconds'] / 60:.1f}",
            f"{row['peak_memory_gb']:.2f}",
        ]
        for row in result["rows"]
    ]
    head = ["scored on", "faces", "NME %", "FR@10 %", "AUC@10 %", "minutes", "peak memory, GB"]
    return table(head, rows)


def curves(result: Result) -> str:
    """Scores of runs by epoch."""
    epochs = sorted({score["epoch"] for row in result["rows"] for score in row["scores"]})
    rows = []
    for row in result["rows"]:
        at = {score["epoch"]: score["nme"] for score in row["scores"]}
        train = "" if row["train_nme"] is None else f"{row['train_nme']:.2f}"
        rows.append([row["name"], *(f"{at[epoch]:.2f}" if epoch in at else "" for epoch in epochs), train])
    head = ["NME % on the faces kept for it", *(f"epoch {epoch}" for epoch in epochs), "its training faces, at the end"]
    return table(head, rows)


def coarse_doubt(result: Result) -> str:
    """Signs of doubt of several models, and how they rank with the errors."""
    rows = [[row["model"], row["doubt"], f"{row['of_points']:.2f}", f"{row['of_faces']:.2f}"] for row in result["rows"]]
    first = result["rows"][0]
    where = f"rank correlation with the error, {first['faces']} faces of {first['dataset']} {first['split']}"
    return table(["model", "sign of doubt", f"{where}: points", "faces"], rows)


def _trained_on(result: Result) -> str:
    """Which part of a published set trained the runs, and that no ImageNet weights did; empty where all of it did."""
    started = any(row.get("imagenet") for row in result.get("rows", ()))
    return result["partial"] and f"{result['partial']}; {'from' if started else 'no'} ImageNet weights."


def scored(result: Result) -> str:
    """Finished runs on one split, beside the first."""
    rows, in_crop = [], "nme_crop" in result["rows"][0]  # which earlier results do not hold
    for row in result["rows"]:
        nme, seeds = f"{row['nme']:.2f}", row.get("seeds", ())
        if seeds:
            nme += f" ± {statistics.stdev(seeds):.2f} ({len(seeds)} seeds)"
        cells = [row["name"], str(row["image_size"]), str(row["epochs"]), nme]
        cells += [f"{row[name]:.2f}" for name in ["nme_crop"] * in_crop + ["fr_0.08"]]
        beside = ["", ""]
        if row["difference"]:
            low, high = row["difference"]["interval"]
            beside = [f"{row['difference']['nme']:+.3f} ({low:+.3f}..{high:+.3f})", f"{row['difference']['p']:.4f}"]
        rows.append([*cells, *beside])
    where = f"{result['faces']} faces of {result['dataset']} {result['split']}"
    head = [
        "run",
        "px",
        "epochs",
        f"NME % on {where}",
        *["crop frame"] * in_crop,
        "FR@8 %",
        "difference from the first (95 %)",
        "p, paired by face",
    ]
    return "\n\n".join(filter(None, [_trained_on(result), table(head, rows)]))


def barrel(result: Result) -> str:
    """The five staves of several models: their heights, and the figures behind them."""
    heights, figures, _ = barrel_tables(ModelComparison.from_json(result))
    parts = [_trained_on(result), *(table(one.head, one.rows) for one in (heights, figures))]
    return "\n\n".join(filter(None, parts))


def input_costs(result: Result) -> str:
    """Augmentation, reading, drawing."""
    augmentation, reading, drawing = result["augmentation"], result["reading"], result["drawing"]
    rows = [
        ["augmentation in the training step at 128 px", f"{100 * augmentation['share']:.1f} % of it"],
        [f"{reading['faces']} faces of faces68 to crops, first time", f"{reading['first_s']:.1f} s"],
        ["the same from the cache, imports included", f"{reading['cached_s']:.2f} s"],
        ["drawing synthetic faces on one core", f"{drawing['faces_per_s_and_core']:.0f} faces/s"],
    ]
    return table(["what", "measured"], rows)


def cpu_step(result: Result) -> str:
    """Formulations of the training step on CPU."""
    rows = [
        [row["variant"], report.digits(row["median_ms"]), f"{row['faces_per_s']:.1f}", f"{row['ratio']:.2f}x"]
        for row in result["rows"]
    ]
    head = ["ResNet-18 training step, batch 16, 128 px", "ms", "faces/s", "speed"]
    return table(head, rows)


def preparing(result: Result) -> str:
    """Building, starting, killing."""
    rows = []
    for row in result["rows"]:
        first = row["seconds"] if "seconds" in row else row["seconds_to_crops"]
        memory = f"{row['peak_memory_gb']:.2f}" if "peak_memory_gb" in row else ""
        note = ""
        if "faces_per_s_per_core" in row:
            note = f"{row['faces_per_s_per_core']:.0f} faces/s a core; {row['stored_gb']:.2f} GB stored"
        elif "seconds_to_first_step" in row:
            note = f"{row['seconds_to_first_step']:.1f} s until the first step (16 faces of 256 px) is done"
        until = "" if "seconds" in row else ": until the crops are there"
        rows.append([row["what"] + until, f"{first:.1f}", memory, note])
    stored = [
        [row["format"], f"{row['ms']:.1f}", f"{row['kb']:.0f}", f"{row['error']:.2f}"] for row in result["stored"]
    ]
    return (
        table(["what", "seconds", "peak memory, GB", ""], rows)
        + "\n\n"
        + table(["a region stored as", "ms to encode", "kB", "mean error, grey levels"], stored)
    )


def parameters(result: Result) -> str:
    """Numbers of the models of Table 1, in millions."""
    models: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        models.setdefault(row["model"], {})[row["set"]] = row

    def millions(count: int) -> str:
        return f"{count / 1e6:.2f}"

    counts = ("backbone", "decoder layer", "DQInit", "QAMem")
    rows = [
        [model, *(millions(by["w300"][count]) for count in counts), *(millions(row["all"]) for row in by.values())]
        for model, by in models.items()
    ]
    rows.append(["the paper, section 5", "", "1.6", "4.4", "9", "", "", ""])
    sets = [f"all, {row['set']}, {row['num_landmarks']} points" for row in next(iter(models.values())).values()]
    head = ["millions of parameters", *(f"{count}, 68 points" for count in counts), *sets]
    return table(head, rows)


def speeds(result: Result) -> str:
    """A result of `barrel_jax.benchmark`."""
    return report.markdown(result)


def seeds(result: Result) -> str:
    """A step of several seeds, both ways."""
    rows = [[row["how"], report.digits(row["median_ms"]), f"{row['images_per_s']:.1f}"] for row in result["rows"]]
    first = result["rows"][0]
    head = [f"a step of {first['seeds']} seeds, {first['image_size']} px, batch {first['batch']}", "ms", "faces/s"]
    return table(head, rows)


def paths(result: Result) -> str:
    """The same weights on every path."""
    models = list(dict.fromkeys(row["model"] for row in result["rows"]))
    by_path: dict[str, dict[str, float]] = {}
    for row in result["rows"]:
        by_path.setdefault(row["path"], {})[row["model"]] = row["largest_px"]
    rows = [[path, *(f"{by[model]:.5f}" for model in models)] for path, by in by_path.items()]
    return table(["largest difference from Flax, px of 256", *models], rows)


def start_up(result: Result) -> str:
    """Seconds to the first result."""
    rows = [
        [row["model"], row["way"], f"{row['median_s']:.2f}", "" if row["file_mb"] is None else f"{row['file_mb']:.0f}"]
        for row in result["rows"]
    ]
    return table(["model", "from", "seconds to the first result", "MB"], rows)


def growth(result: Result) -> str:
    """Milliseconds as work grows."""
    axes = list(dict.fromkeys(row["axis"] for row in result["rows"]))
    rows = [
        [
            axis.replace("_", " "),
            ", ".join(f"{r['value']}: {report.digits(r['median_ms'])}" for r in result["rows"] if r["axis"] == axis),
        ]
        for axis in axes
    ]
    equations = [
        [row["what"], str(row["tokens"]), report.digits(row["median_ms"]), f"{row['memory_mb']:.1f}"]
        for row in result.get("equations", ())
    ]
    parts = [table(["BarrelNet-18, along", "milliseconds"], rows)] if rows else []
    if equations:
        parts.append(table(["QAMem by", "tokens of the memory", "ms", "MB of values between"], equations))
    return "\n\n".join(parts)


def devices(result: Result) -> str:
    """The sharded program beside the plain one."""
    rows = [[row["layout"], report.digits(row["median_ms"]), f"{row['ratio']:.2f}x"] for row in result["rows"]]
    first = result["rows"][0]
    head = [f"a step of {first['batch']} faces, {first['image_size']} px", "ms", "time to one device's"]
    return table(head, rows)


def pods(result: Result) -> str:
    """Variants of the step on slices that are not here."""

    def cell(row: dict[str, Any], kind: str) -> str:
        count = sum(one["count"] for one in row["exchanged"] if one["kind"] == kind)
        size = sum(one["bytes"] for one in row["exchanged"] if one["kind"] == kind)
        return f"{count} ({size / 1e6:.1f} MB)"

    rows = [
        [
            row["topology"],
            row["variant"],
            f"{row['memory'] / 1e9:.2f} of {row['chip_memory'] / 1e9:.0f}",
            cell(row, "all-reduce"),
            cell(row, "all-gather"),
            f"{row['compute_ms']:.2f} / {row['memory_ms']:.2f} / {row['exchange_ms']:.2f}",
            f"{row['step_ms']:.2f}",
        ]
        for row in result["rows"]
    ]
    head = ["slice", "16 faces a chip", "GB a chip", "all-reduces", "all-gathers", "operations / memory / exchange, ms"]
    return table([*head, "step, ms (predicted)"], rows)


def scaling(result: Result) -> str:
    """Weak and strong scaling, predicted."""
    costs = {kind: [step_cost.from_json(row) for row in result[kind]] for kind in ("weak", "strong")}
    return "\n\n".join(pod_report.table(of_kind, weak=kind == "weak") for kind, of_kind in costs.items())


def faults(result: Result) -> str:
    """Runs on machines that fail, by what was done to them."""
    ends = list(result["rows"][0]["ends"])
    rows = [
        [
            row["kind"],
            str(row["cases"]),
            str(row["after_the_first_step"]) if "after_the_first_step" in row else "",
            *(str(row["ends"][end]) for end in ends),
            str(row["steps_lost"]),
            str(row["most_steps_lost"]),
        ]
        for row in result["rows"]
    ]
    total = [sum(int(row[k] or 0) for row in rows) for k in range(1, 8)]
    rows.append(["all", *map(str, total), str(max(row["most_steps_lost"] for row in result["rows"]))])
    head = ["what was done", "cases", "of these after the first step", *ends, "steps done again", "at most in a case"]
    return table(head, rows)


def digests(result: Result) -> str:
    """What checksums cost."""
    rows = [
        [
            row["what"],
            report.digits(1e3 * row["wall_s"]),
            report.digits(1e3 * row["wall_without_s"]),
            f"{100 * row['share_of_wall']:+.1f} %",
            f"{100 * row['share_of_cores']:+.1f} %",
        ]
        for row in result["rows"]
    ]
    head = [
        f"a state of {result['bytes'] / 1e6:.0f} MB",
        "ms with checksums",
        "without",
        "by the clock",
        "of the cores",
    ]
    return table(head, rows)


def fuzz(result: Result) -> str:
    """Damaged files by parser, and what earlier campaigns had found, which is mended."""
    found: dict[str, int] = {}
    for row in result["earlier"]:
        found[row["parser"]] = found.get(row["parser"], 0) + sum(row["wrong"].values())
    rows = [
        [
            row["parser"],
            f"{row['inputs']:,}",
            f"{row['read']:,}",
            f"{row['refused']:,}",
            str(sum(row["wrong"].values())),
            f"{found.get(row['parser'], 0):,}",
        ]
        for row in result["rows"]
    ]
    total = ["all", *(f"{sum(int(row[k].replace(',', '')) for row in rows):,}" for k in range(1, 6))]
    head = ["reader or converter", "inputs", "read", "refused in a line", "neither", "neither, in earlier campaigns"]
    return table(head, [*rows, total])


def mutations(result: Result) -> str:
    """Lines broken on purpose by module; the tests that were added where none had failed."""
    rows = []
    for module in dict.fromkeys(row["module"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["module"] == module]
        green = [row for row in own if row["at_first"] == "green"]
        added = dict.fromkeys(re.sub(r".*::|\[.*", "", row["by"]) or "not tried again" for row in green)
        rows.append(
            [
                f"`{module}`",
                str(len(own)),
                str(len(own) - len(green)),
                str(len(green)),
                ", ".join(added).replace("_", " "),
            ]
        )
    total = [str(sum(int(row[k]) for row in rows)) for k in (1, 2, 3)]
    head = ["module", "lines broken", "red", "green", "red since then by"]
    return table(head, [*rows, ["all", *total, ""]])


def parity(result: Result) -> str:
    """How far each precision moves the points."""
    rows = [
        [row["model"], row["impl"], row["precision"]]
        + ([row["error"], ""] if "error" in row else [f"{row['largest_px']:.4f}", f"{row['mean_px']:.4f}"])
        for row in result["rows"]
    ]
    head = ["model", "impl", "precision", "largest distance from float32 on the CPU, px of 256", "mean"]
    return table(head, rows)


def xla(result: Result) -> str:
    """One face under several flags of XLA: milliseconds, and the speed beside that without flags."""
    impls = [impl for impl in ("jax", "jax-frozen") if any(row["impl"] == impl for row in result["rows"])]
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        by_name.setdefault(row["xla"], {})[row["impl"]] = row
    plain = {impl: row.get("median_ms") for impl, row in by_name.get("as it is", {}).items()}

    def cell(row: dict[str, Any] | None, impl: str) -> str:
        if row is None:
            return ""
        if "error" in row:
            return "failed"
        ratio = f" ({plain[impl] / row['median_ms']:.2f}x)" if plain.get(impl) else ""
        return f"{report.digits(row['median_ms'])}{ratio}"

    rows, failed = [], []
    for name, by_impl in by_name.items():
        cells = [cell(by_impl.get(impl), impl) for impl in impls]
        if not any(cells):  # an opponent
            cells[-1] = cell(next(iter(by_impl.values())), impls[-1])
        compiled = [row["cold_s"] for row in by_impl.values() if "cold_s" in row]
        rows.append([name, *cells, f"{compiled[0]:.1f}" if compiled else ""])
        failed += [f"- failed: {name}, {impl}: {row['error']}" for impl, row in by_impl.items() if "error" in row]
    first = result["rows"][0]
    head = [f"XLA; {first['model']}, {first['precision']}, batch {first['batch']}"]
    head += [f"{impl}, ms (speed)" for impl in impls]
    return "\n\n".join(filter(None, [table([*head, "s to compile, first"], rows), "\n".join(failed)]))


def _dearest(row: Result, call: str = "call") -> str:
    """The most expensive kernels of a row."""
    kernels = [
        [
            f"`{kernel['kernel'].replace('|', '/')}`",
            f"{1e3 * kernel['ms']:.1f}",
            f"{100 * kernel['share']:.1f} %",
            f"{kernel['count'] / row['calls']:.1f}",
        ]
        for kernel in row["dearest"]
    ]
    return table([f"{row['how']}: kernel", f"µs a {call}", "of all kernels' time", f"times a {call}"], kernels)


def profile(result: Result) -> str:
    """What a call consists of on the device, and its most expensive kernels."""
    rows, dearest, failed = [], [], []
    for row in result["rows"]:
        if "error" in row:
            failed.append(f"- failed: {row['how']}: {row['error']}")
            continue
        rows.append(
            [
                row["how"],
                *(report.digits(row[name]) for name in ("median_ms", "traced_ms", "busy_ms", "idle_ms")),
                *(f"{row[name]:.0f}" for name in ("kernels", "copies")),
                f"{row['median_gap_us']:.1f}",
            ]
        )
        dearest.append(_dearest(row))
    first = result["rows"][0]
    head = [f"{first['model']}, {first['precision']}, batch {first['batch']}", "ms a call", "ms while profiled"]
    head += ["ms in which a kernel runs", "ms in which none does", "kernels", "copies", "median gap, µs"]
    shown = [table(head, rows), dearest[0]] if rows else []
    return "\n\n".join(filter(None, [*shown, "\n".join(failed)]))


def batch_flags(result: Result) -> str:
    """A large batch under several flags of XLA, beside PyTorch."""
    timed = [row for row in result["rows"] if "median_ms" in row]
    theirs = min((row["median_ms"] for row in timed if row["impl"].startswith("torch")), default=None)
    rows = [
        [
            row["impl"],
            row["xla"] if row["impl"].startswith("jax") else "",
            report.digits(row["median_ms"]),
            f"{theirs / row['median_ms']:.2f}x" if theirs else "",
            f"{1e3 * row['batch'] / row['median_ms']:.0f}",
        ]
        for row in timed
    ]
    first = result["rows"][0]
    failed = [f"- failed: {row['xla']}: {row['error']}" for row in result["rows"] if "error" in row]
    head = [f"{first['model']}, {first['precision']}, batch {first['batch']}", "XLA", "ms", "speed to PyTorch's"]
    return "\n\n".join(filter(None, [table([*head, "faces/s"], rows), "\n".join(failed)]))


def training_flags(result: Result) -> str:
    """Training steps under several flags of XLA beside PyTorch, and what a step of each consists of.

    A graph that holds nearly all of a step is one thing to JAX's profiler: where it saw less than half of the kernels
    that another side has, nothing is said of them.
    """
    timed = [row for row in result["rows"] if "error" not in row]
    theirs = min((row["median_ms"] for row in timed if row["impl"] != "jax"), default=None)
    most = max((row.get("kernels", 0) for row in timed if row["impl"] == "jax"), default=0)
    rows, seen = [], []
    for row in timed:
        if row["impl"] == "jax" and row.get("kernels", 0) > most / 2:
            seen.append(row)
        told = row["impl"] != "jax" or row in seen
        cells = [report.digits(row[name]) if told and name in row else "" for name in ("busy_ms", "idle_ms")]
        cells += [f"{row[name]:.0f}" if told and name in row else "" for name in ("kernels", "graph_launches")]
        ratio = f"{theirs / row['median_ms']:.2f}x" if theirs else ""
        rows.append([row["how"].replace("as it is", "XLA's default"), report.digits(row["median_ms"]), ratio, *cells])
    first = result["rows"][0]
    head = [f"a training step, {first['model']}, {first['precision']}, batch {first['batch']}", "ms"]
    head += ["speed to PyTorch's", "ms in which a kernel runs", "ms in which none does", "kernels", "graphs started"]
    shown = [table(head, rows)]
    if seen:
        shown.append(_dearest(min(seen, key=lambda row: row["median_ms"]), "step"))
    failed = [f"- failed: {row['how']}: {row['error']}" for row in result["rows"] if "error" in row]
    failed += [f"- {row['how']}: {row['not_seen']}" for row in timed if "not_seen" in row]
    return "\n\n".join(filter(None, [*shown, "\n".join(failed)]))


def boxes(result: Result) -> str:
    """NME by how the box lies, for each number of crops around the points, and its ratio to the tight box's."""
    names = list(dict.fromkeys(row["box"] for row in result["rows"]))
    refines = list(dict.fromkeys(row["refine"] for row in result["rows"]))
    by_case = {(row["box"], row["refine"]): row for row in result["rows"]}
    every, rows = result["rows"][0]["faces"], []
    for name in names:
        cells = [by_case[name, refine] for refine in refines]
        what = name if cells[0]["faces"] == every else f"{name}, {cells[0]['faces']} faces"
        rows.append([what, *(f"{row['nme']:.2f} ({row['ratio']:.2f}x)" for row in cells)])
    head = [f"NME % on {every} faces of {result['dataset']} {result['split']}; the box"]
    return table([*head, *(f"refine={refine}" for refine in refines)], rows)


def doubt(result: Result) -> str:
    """Calibration, occlusion, faces against walls."""
    covered = zip(result["nominal"], result["coverage"], strict=True)
    errors = list(zip(result["expected_px"], result["observed_px"], strict=True))
    face, wall = result["relative_sigma"]
    rows = [
        [
            "share of the errors inside intervals of nominal coverage",
            ", ".join(f"{a:.0%}: {b:.0%}" for a, b in covered),
        ],
        ["mean error, px, where it is expected to be", ", ".join(f"{a:.2f}: {b:.2f}" for a, b in errors)],
        ["rank correlation of sigma and error, by coordinate", f"{result['rank_correlation']:.2f}"],
        [
            "sigma of points under a grey patch, and of the others",
            f"{result['sigma_under_a_patch']:.2f}x, {result['sigma_beside_it']:.2f}x",
        ],
        ["sigma in sides of the face: faces, walls (medians)", f"{face:.3f}, {wall:.3f}"],
        [
            f"{result['faces']} faces against {result['walls']} windows without one, by score: AUC",
            f"{result['auc']:.4f}",
        ],
    ]
    return table(["what", "measured"], rows)


def looks(result: Result) -> str:
    """Where queries look, and QAMem's transforms."""
    rows, parts = [], []
    for row in result["rows"]:
        names = ("from_its_point", "from_the_crops_middle", "spread", "spread_if_even")
        moves = [f"{row[name]:.3f}" for name in ("moves_with_the_face", "points_move_with_the_face")]
        rows.append([row["run"], *(f"{row[name]:.2f}" for name in names), *moves])
        if about := row.get("transforms"):
            shares = ", ".join(f"{rank}: {share:.0%}" for rank, share in about["ranks"].items())
            cells = [f"{about['change']:.2f}", f"{about['shared_by_all']:.0%}", shares]
            parts.append([row["run"], *cells])
    first = result["rows"][0]
    head = [f"attention over {first['cells']} cells, {first['faces']} faces, in crops", "its middle from its point"]
    head += [
        "the point from the crop's middle",
        "spread",
        "spread if even",
        "moves from face to face",
        "so do the points",
    ]
    second = ["QAMem's transforms", "size of T - 1 to that of 1", "of it shared by all queries", "of it in ranks"]
    return "\n\n".join(filter(None, [table(head, rows), table(second, parts) if parts else ""]))


def ranks(result: Result) -> str:
    """A trained run at each rank, by SVD."""
    full = result["rows"][0]
    rows = [
        [
            "full" if not row["rank"] else f"rank {row['rank']}: {row['modules']}",
            f"{row['nme']:.3f} ({100 * (row['nme'] / full['nme'] - 1):+.1f} %)",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['adam_bytes'] / 1e6:.0f}",
            f"{row['onnx_bytes'] / 1e6:.1f}",
            report.digits(row["ms_1"]),
            report.digits(row["ms_64"]),
        ]
        for row in result["rows"]
    ]
    head = [f"weights, by SVD, {result['faces']} faces", "NME %", "parameters, millions", "Adam's state, MB"]
    head += ["ONNX file, MB", "ms, batch 1", "ms, batch 64"]
    return "\n\n".join(filter(None, [_trained_on(result), table(head, rows)]))


def train_front(result: Result) -> str:
    """Training at batch 16 in bfloat16: JAX beside each way of PyTorch, each ratio of one run."""
    rows, ours = [], 0.0
    for row in map(from_json, result["rows"]):
        if row.key.precision != "bfloat16" or row.key.batch != 16 or row.key.impl == "jax-single":
            continue
        if row.key.impl == "jax":  # the first of a run
            ours = 0.0 if isinstance(row, Failed) else row.timing.median_ms
        elif ours and not isinstance(row, Failed):
            rows.append(
                [
                    row.key.impl,
                    report.digits(ours),
                    report.digits(row.timing.median_ms),
                    f"{row.timing.median_ms / ours:.2f}x",
                ]
            )
    rows = list({row[0]: row for row in rows}.values())
    return table(["training step, 16 faces, beside", "JAX, ms", "PyTorch, ms", "JAX's speed to it"], rows)


def infer_front(result: Result) -> str:
    """Milliseconds of the fastest way of each framework."""
    cases: dict[tuple, dict[str, float]] = {}
    for row in map(from_json, result["rows"]):
        if not isinstance(row, Failed):
            case = (row.key.model, row.key.precision, row.key.batch)
            cases.setdefault(case, {})[row.key.impl] = row.timing.median_ms
    rows = []
    for (model, precision, batch), times in cases.items():
        ways = sorted(times, key=times.__getitem__)
        ours, best = (next((way for way in ways if way.startswith("jax") == own), "") for own in (True, False))
        if not (ours and best):
            continue  # all of a side have failed, as the table of all rows says
        cells = [f"{report.digits(times[way])} ({way})" for way in (ours, best)]
        eager = report.digits(times["torch-eager"]) if "torch-eager" in times else ""
        rows.append([model, precision, str(batch), *cells, f"{times[best] / times[ours]:.2f}x", eager])
    return table(["model", "precision", "batch", "JAX, ms", "best PyTorch, ms", "speed", "eager PyTorch, ms"], rows)


def stress(result: Result) -> str:
    """Errors by kind and strength, a line for each run."""
    runs = list(dict.fromkeys(row["run"] for row in result["rows"]))
    plain = {row["run"]: row["nme"] for row in result["rows"] if row["strength"] == 0}
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in result["rows"] if row["strength"] != 0):
        rows = [row for row in result["rows"] if row["kind"] == kind]
        strengths = list(dict.fromkeys(row["strength"] for row in rows))
        for run in runs:
            at = {row["strength"]: row["nme"] for row in rows if row["run"] == run}
            name = f"{kind} ({', '.join(f'{s:g}' for s in strengths)}: {rows[0]['unit']})"
            lines.append([name, run, f"{plain[run]:.2f}", *(f"{at[strength]:.2f}" for strength in strengths)])
    return table(["what, and its five strengths", "model", "none", "1", "2", "3", "4", "5"], lines)


def install(result: Result) -> str:
    """What an installation brings."""
    rows = [[f"`{row['install']}`", f"{row['megabytes']:.0f}", str(row["packages"])] for row in result["rows"]]
    first = result["rows"][0]
    most = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in first["largest"].items())
    about = (
        f"The wheel itself has {result['wheel_mb']:.1f} MB. The first face with its own model takes "
        f"{first['import_s']:.1f} s of imports and {first['read_s'] + first['first_s']:.1f} s to read and compile, "
        f"the second one {1000 * first['second_s']:.0f} ms. Of the {first['megabytes']:.0f} MB: {most}."
    )
    return f"{about}\n\n" + table(["pip install", "MB", "packages, pip's own too"], rows)


def commits(result: Result) -> str:
    """Whether a change made the CPU slower."""
    rows = [
        [
            row["case"],
            row["model"],
            str(row["batch"]),
            f"{row['python']}, {row['jaxlib']}",
            f"{row['before_ms']:.3g}",
            f"{row['after_ms']:.3g}",
            f"{row['ratio']:.3f}",
        ]
        for row in result["rows"]
    ]
    head = ["what", "model", "batch", "Python, jaxlib", "before, ms", "after, ms", "time after to before"]
    return f"{result['before'][:7]} and {result['after'][:7]}.\n\n" + table(head, rows)


def video(result: Result) -> str:
    """Points from frame to frame: jitter, lag and speed; numbers of faces that cross; memory."""
    rows = [
        [
            row["way"],
            row["smooth"],
            f"{row['jitter_px']:.2f}",
            f"{row['lag_frames']:.2f}",
            f"{row['nmf']:.2f}",
            f"{row['frames_per_s']:.1f}",
        ]
        for row in result["rows"]
    ]
    parts = [table(["boxes", "smoothing", "jitter, px", "lag, frames", "NMF %", "frames/s"], rows)]
    kept = sum(row["kept"] for row in result["crossing"])
    if result["crossing"]:
        parts.append(f"Pairs of faces that cross and keep their numbers: {kept} of {len(result['crossing'])}.")
    memory = [
        [f"{row['minutes']:.0f}{', and all is written' if row.get('written') else ''}", f"{row['resident_mb']:.0f}"]
        for row in result.get("memory", ())
    ]
    if memory:
        parts.append(table(["minutes of video", "resident memory, MB"], memory))
    return "\n\n".join(parts)


TABLES: dict[str, Callable[[Result], str]] = {
    "demo": timed,
    "coco": timed,
    "coco-curves": curves,
    "own-small-curves": curves,
    "w300-256": curves,
    "common-stride16-curves": curves,
    "common-stride16": scored,
    "common-resnet10": scored,
    "barrel": barrel,
    "common-barrel": scored,
    "query-rate-curves": curves,
    "query-rate": scored,
    "rank-seeds": scored,
    "short-rate": scored,
    "short-rate-curves": curves,
    "rank-sizes": scored,
    "labels-seen": scored,
    "coarse-seeds": scored,
    "coarse-curves": curves,
    "coarse-long": scored,
    "coarse-middle": scored,
    "coarse-middle-curves": curves,
    "coarse-long-curves": curves,
    "rank-modules": scored,
    "rank-middle": scored,
    "faster": scored,
    "faster-seeds": scored,
    "ablation-middle": scored,
    "ablation-seeds": scored,
    "ablation-qamem": scored,
    "ablation-plain": scored,
    "faster-curves": curves,
    "coarse-doubt": coarse_doubt,
    "ranks-short": ranks,
    "qamem-layers": scored,
    "own-boxes": scored,
    "own-small": scored,
    "synthetic68": timed,
    "input": input_costs,
    "cpu-step": cpu_step,
    "prepare": preparing,
    "parameters": parameters,
    "table4-cpu": speeds,
    "table4-gpu": speeds,
    "seeds": seeds,
    "paths": paths,
    "start-up": start_up,
    "infer-cpu": speeds,
    "infer-gpu": speeds,
    "infer-h200": speeds,
    "boxes-common": boxes,
    "boxes-common-before": boxes,
    "boxes-faces68-before": boxes,
    "boxes-faces68": boxes,
    "doubt": doubt,
    "looks": looks,
    "ranks-common": ranks,
    "infer-front": infer_front,
    "train-front": train_front,
    "train-cpu": speeds,
    "train-cpu-256": speeds,
    "train-gpu": speeds,
    "train-gpu-256": speeds,
    "commits": commits,
    "stress-common": stress,
    "stress-resnet10": stress,
    "video": video,
    "growth": growth,
    "gpu-parity": parity,
    "gpu-xla": xla,
    "gpu-profile": profile,
    "gpu-train": training_flags,
    "gpu-batch": batch_flags,
    "gpu-seeds": seeds,
    "growth-gpu": growth,
    "w300-gpu": w300_tables.markdown,
    "w300-h200": w300_tables.markdown,
    "w300-third": w300_tables.markdown,
    "w300-trainings": w300_tables.trainings,
    "w300-front": w300_tables.front,
    "devices": devices,
    "pods": pods,
    "pod-v5e": scaling,
    "faults": faults,
    "digests": digests,
    "fuzz": fuzz,
    "mutations-models": mutations,
    "mutations-training": mutations,
    "mutations-evaluation": mutations,
    "mutations-faces": mutations,
    "install": install,
}


# Short tables of a longer result, for the front page.
OF = {"infer-front": "infer-gpu", "w300-front": "w300-trainings", "train-front": "train-gpu"}
PAGES = ("index", "datasets", "devices", "models/small", "results", "tested", "settings", "speed", "video")
DOCUMENTS = ("README.md", *(f"docs/{page}.md" for page in PAGES))


def settings() -> str:
    """Every field of the config, from config.py."""
    blocks = []
    for title, fields in list_fields().items():
        first, _, rest = title.partition("\n")
        rows = [[f"`{name}`", f"`{value!r}`", comment] for name, value, comment in fields]
        blocks += [f"## {first.rstrip('.')}", rest.strip(), table(["field", "default", "what"], rows)]
    return "\n\n".join(filter(None, blocks))


def openings_log() -> str:
    """How often Common was opened, over all results."""
    return openings.markdown({path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")})


# Tables that are made of more than one result, or of none.
WITHOUT_RESULT = {"settings": settings, "openings": openings_log}


def _content(table: str, results: str) -> str:
    if table in WITHOUT_RESULT:
        return WITHOUT_RESULT[table]()
    name = OF.get(table, table)
    result = _load(name)
    if result is None:
        return MISSING
    picture = [f"![{name}]({results}/{name}.png)"] if (RESULTS / f"{name}.png").exists() and table == name else []
    return "\n\n".join([TABLES[table](result), *picture, _source(name, result, results)])


def fill(text: str, results: str = "benchmarks/results") -> str:
    """The text with every table written anew; `results` is where the results' folder is, seen from it.

    Raises:
        ValueError: a table that nobody makes.
    """

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in (*TABLES, *WITHOUT_RESULT):
            raise ValueError(f"no table {name!r}; there are {', '.join(TABLES)}")
        return f"<!-- table {name} -->\n{_content(name, results)}\n<!-- end {name} -->"

    return re.sub(r"<!-- table (\S+) -->\n.*?<!-- end \1 -->", one, text, flags=re.DOTALL)


def filled(document: str) -> str:
    """What a document of `DOCUMENTS` should be."""
    up = "../" * document.count("/")
    return fill((ROOT / document).read_text(), f"{up}benchmarks/results")


def main() -> None:
    """Rewrites the documents."""
    for document in DOCUMENTS:
        (ROOT / document).write_text(filled(document))


if __name__ == "__main__":
    Parser("python -m benchmarks.tables", __doc__).parse_args()
    main()
