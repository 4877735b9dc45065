# SPDX-License-Identifier: Apache-2.0
"""The GPU programme: its clock, what fails, what is there already, being stopped, faces, report, rehearsals."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import chex
import numpy as np
import pytest

from barrel_jax.benchmark.train import faces_of, training_of
from barrel_jax.config import DataConfig, ModelConfig
from barrel_jax.config_checks import validate
from barrel_jax.evaluation.metrics import mean
from barrel_jax.evaluation.significance import sign_flip_p
from barrel_jax.input.crops import load_crops
from barrel_jax.paper import model_of
from barrel_jax.pretrained.backbone import read_backbone
from barrel_jax.training.trained import TrainedRun
from benchmarks import tables
from benchmarks.gpu import cut_set, drawn, pack, profiled, quiet, recipes, report, speed, timing, training_flags
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.parts import select, steps_of
from benchmarks.gpu.programme import Programme
from benchmarks.gpu.quiet import Quiet
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.sizes import REHEARSAL
from benchmarks.gpu.step import Rows, read
from benchmarks.gpu.turn import Turn
from benchmarks.gpu.worker import TimeUp, Worker
from configs.pretrain import get_config as get_pretrain
from configs.w300_scratch import get_config as get_w300_scratch
from tests.kit import cuda_plugin, small
from tests.kit.saved_run import save_run
from tests.kit.shared import SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[2]


def settings(tmp_path, which, part="tests.kit.programme_steps"):
    return Settings(part, str(tmp_path / "out"), str(tmp_path / "scratch"), "", "", "", which, True, ("--rehearse",), 2)


def start(tmp_path, which, seconds, lanes=1):
    given = settings(tmp_path, which)
    archive = tmp_path / "results.zip"
    return Programme(given, steps_of(given), Clock(seconds), lanes, archive).run()


def rows_of(tmp_path, name):
    return read(tmp_path / "out" / "steps" / f"{name}.json")["rows"]


def test_the_clock_learns_how_far_estimates_are_off(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(60)
    assert clock.fits(60) and not clock.fits(61) and clock.pace == 1
    now[0] = 120.0
    clock.learn(10, 20)  # twice the estimate
    assert clock.gone == 20 and clock.left == 40 and clock.pace == 2
    assert clock.fits(20) and not clock.fits(21)
    clock.learn(1000, 10)  # nothing is taken to need less than half of its estimate
    assert clock.pace == 0.5 and clock.fits(80) and not clock.fits(81)


@pytest.mark.processes
@pytest.mark.parametrize("lanes", [1, 2])
def test_what_fails_costs_itself_and_what_is_there_is_not_done_again(tmp_path, capsys, lanes):
    states = start(tmp_path, "all", 900, lanes)
    assert {name: state["state"] for name, state in states.items()} == {
        "first": "done", "raises": "failed", "after-raises": "skipped", "aborts": "failed", "flagged": "failed",
        "too-long": "skipped", "after-too-long": "skipped", "second": "done", "third": "done",
    }  # fmt: skip
    assert states["raises"]["reason"] == "RuntimeError: the device is lost (status 1)"
    assert states["aborts"]["reason"].endswith(f"(signal {signal.SIGABRT})")
    assert "Unknown flag in XLA_FLAGS: --xla_gpu_no_such_flag=true" in states["flagged"]["reason"]
    assert states["after-raises"]["reason"] == "it needs raises, which was not done"
    assert "s left" in states["too-long"]["reason"]
    before = {name: rows_of(tmp_path, name) for name in ("first", "second", "third", "aborts")}
    assert len({row[0]["pid"] for row in before.values()}) >= 2  # a process that ended has a successor
    said = (tmp_path / "out" / "log.txt").read_text()
    assert said == capsys.readouterr().out and "skipped too-long: about" in said
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert json.loads(archive.read("steps/third.json"))["complete"]

    again = start(tmp_path, "all", 900, lanes)
    assert {name: rows_of(tmp_path, name) for name in ("first", "second", "third")} == {
        name: before[name] for name in ("first", "second", "third")
    }
    assert again["first"] | {"seconds": 0} == again["first"] and again["first"]["reason"] == "of an earlier start"
    assert again["raises"]["state"] == "failed"  # was tried again
    assert [row.get("error") for row in rows_of(tmp_path, "raises")] == ["this implementation cannot be made"]
    assert len(rows_of(tmp_path, "aborts")) == 2  # the row of the first start is kept


def test_only_the_steps_that_are_asked_for_and_what_they_need(tmp_path):
    steps = steps_of(settings(tmp_path, "all"))
    assert [step.name for step in select(steps, ["thi", "aft"])] == [
        "raises", "after-raises", "too-long", "after-too-long", "second", "third",
    ]  # fmt: skip
    assert select(steps, []) == steps
    with pytest.raises(ValueError, match="no step's name starts with 'fourth'; they are first, raises"):
        select(steps, ["third", "fourth"])


@pytest.mark.processes
def test_a_step_that_takes_too_long_leaves_what_was_measured(tmp_path):
    given = settings(tmp_path, "lingering")
    (tmp_path / "out").mkdir()
    worker = Worker(given, "", tmp_path / "out" / "output.txt")
    worker.do("first", 300)
    with pytest.raises(TimeUp, match="not done within 5 s"):
        worker.do("lingers", 5)
    (row,) = rows_of(tmp_path, "lingers")
    assert row["pid"] == rows_of(tmp_path, "first")[0]["pid"]  # one process did both
    with pytest.raises(ProcessLookupError):
        os.kill(row["pid"], 0)
    assert not read(given.step_file("lingers"))["complete"] and read(given.step_file("first"))["complete"]


@pytest.mark.processes
@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_what_was_measured_and_nothing_that_runs(tmp_path, ended):
    code = (
        "import sys, pathlib; from tests.benchmark import test_gpu_programme as t;"
        "print(t.start(pathlib.Path(sys.argv[1]), 'lingering', 600))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    lingers, deadline = tmp_path / "out" / "steps" / "lingers.json", time.monotonic() + 300
    while not lingers.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(ended)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "stopped lingers" in said and f"skipped last: {ended.name}" in said
    (row,) = rows_of(tmp_path, "lingers")
    with pytest.raises(ProcessLookupError):
        os.kill(row["pid"], 0)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert json.loads(archive.read("steps/lingers.json"))["rows"] == [row]


@pytest.mark.processes
def test_one_training_at_a_time(tmp_path):
    code = "import sys; from benchmarks.gpu.turn import Turn; from pathlib import Path\n"
    code += "t = Turn(Path(sys.argv[1]), 2, 9, sharing=1)\n"
    code += "t(2); print('ready', flush=True); t(3); print('mine', flush=True)"
    mine = Turn(tmp_path, 2, 9, sharing=1)
    assert not mine(0) and not mine(3)
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "ready\n"
    time.sleep(0.5)
    assert other.poll() is None  # it waits
    two = Turn(tmp_path, 2, 9, sharing=2)
    assert not two(3) and not two(9)  # where two share the device, there is a place
    assert not mine(9)  # the end of the run
    assert other.communicate(timeout=30)[0] == "mine\n"


def _stopped(pid, wanted):
    """Whether a process is stopped (T) or not, as soon as it is as wanted: a signal takes a moment."""
    for _ in range(50):
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if (state == "T") == wanted:
            break
        time.sleep(0.02)
    return state == "T"


def test_a_timing_waits_until_the_device_has_nothing_more_to_do(tmp_path, monkeypatch):
    said, log = tmp_path / "said", tmp_path / "log"
    said.write_text("97\n0\n")  # two devices
    asks = f"echo x >> {log}; cat {said}; [ $(wc -l < {log}) -lt 2 ] || printf '0\\n[N/A]\\n' > {said}"
    monkeypatch.setattr(quiet, "UTILISATION", ("sh", "-c", asks))
    monkeypatch.setattr(quiet, "SETTLE", 0.01)
    quiet.settle()
    assert log.read_text().count("x") == 3  # busy, busy, idle
    said.write_text("97\n")
    log.unlink()
    monkeypatch.setattr(quiet, "UTILISATION", ("sh", "-c", f"echo x >> {log}; cat {said}"))
    monkeypatch.setattr(quiet, "LONGEST", 0.3)
    quiet.settle()  # a device that others use for ever is timed all the same
    assert log.read_text().count("x") > 1
    monkeypatch.setattr(quiet, "UTILISATION", ("no-such-program",))
    quiet.settle()


@pytest.mark.processes
def test_what_is_timed_is_alone(tmp_path):
    code = "import time\nwhile True: time.sleep(0.01)"
    lanes = [subprocess.Popen([sys.executable, "-c", code], start_new_session=True) for _ in range(2)]
    lanes_of = Quiet(tmp_path)
    try:
        for lane in lanes:
            lanes_of.enter(lane.pid)
        with lanes_of.alone():
            assert all(_stopped(lane.pid, True) for lane in lanes)
        assert not any(_stopped(lane.pid, False) for lane in lanes)
        # A lane that dies while it holds the others: they go on as soon as its end is seen, and not at another's.
        (tmp_path / "holder").write_text(str(lanes[0].pid))
        os.killpg(lanes[1].pid, signal.SIGSTOP)
        lanes_of.leave(4_000_000)
        assert _stopped(lanes[1].pid, True)
        lanes[0].kill()
        lanes_of.leave(lanes[0].pid)
        assert not _stopped(lanes[1].pid, False) and not (tmp_path / "holder").exists()
        with lanes_of.alone():  # one that is gone is no error
            assert _stopped(lanes[1].pid, True)
        # A lane of a start that was killed, whose number is that of another's process now.
        (tmp_path / f"{lanes[1].pid}.lane").write_text("1")
        with lanes_of.alone():
            assert not _stopped(lanes[1].pid, False)
        assert not (tmp_path / f"{lanes[1].pid}.lane").exists()
    finally:
        for lane in lanes:
            lane.kill()
            lane.wait()


def test_what_is_started_begins_while_nothing_is_timed(tmp_path):
    lanes_of, begun = Quiet(tmp_path), threading.Event()

    def start():
        with lanes_of.entering():
            begun.set()

    thread = threading.Thread(target=start)
    with lanes_of.alone():
        thread.start()
        assert not begun.wait(0.2)
    assert begun.wait(10)
    thread.join()


def test_a_pack_brings_the_same_faces(tmp_path):
    made = tmp_path / "made"
    drawn.draw(made, {"train": 6, "test": 3}, (96,))
    splits = {split: cut_set.read_split(made, split, 96) for split in ("train", "test")}
    metadata = json.loads((made / "metadata.json").read_text())
    said = pack.write_pack(tmp_path / "pack.npz", metadata, splits, 1e6)
    assert said["quality"] == max(pack.QUALITIES) and 0 < said["error"] < 2
    pack.unpack(tmp_path / "pack.npz", tmp_path / "there", (96, 48))
    for split, count in (("train", 6), ("test", 3)):
        ours, theirs = (load_crops(DataConfig(image_size=96), folder, split) for folder in (tmp_path / "there", made))
        assert len(ours) == count and ours.files == theirs.files and ours.fingerprint == theirs.fingerprint
        for name in ("points_px", "visible", "windows", "boxes", "flags", "faces"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert np.abs(ours.images.astype(int) - theirs.images).mean() < 2
        small = load_crops(DataConfig(image_size=48), tmp_path / "there", split)
        averaged = ours.images.reshape(count, 48, 2, 48, 2, 3).mean((2, 4))
        assert np.abs(small.images - averaged).max() <= 0.51
    with pytest.raises(ValueError, match="do not fit into 0 MB at quality 50"):
        pack.write_pack(tmp_path / "none.npz", metadata, splits, 1e3)
    np.savez(tmp_path / "other.npz", points=np.zeros(3))
    with pytest.raises(ValueError, match="this is no pack; make one"):
        pack.unpack(tmp_path / "other.npz", tmp_path / "elsewhere", (96,))


def test_what_a_call_consists_of():
    """By hand: two calls of 10 us, kernels of 4 us and 2 us that overlap by 1 us, a gap of 1 us, a copy of 2 us."""
    call = [("a", 0, 4e3), ("b", 3e3, 5e3), ("Memcpy", 6e3, 8e3)]
    calls = [(name, t + start, t + end) for t in (1e6, 1.01e6) for name, start, end in call]
    launches = ["cuGraphLaunch", "cuLaunchKernelEx", "cuLaunchKernel", "cuMemcpyAsync"]
    seen = profiled.summarise(profiled.Trace(calls, launches, 2, 30e-6))
    assert seen["busy_ms"] == pytest.approx(7e-3) and seen["traced_ms"] == pytest.approx(15e-3)
    assert seen["idle_ms"] == pytest.approx((1e-3 + 2e-3 + 1e-3) / 2) and seen["median_gap_us"] == pytest.approx(1)
    counts = {name: seen[name] for name in ("kernels", "copies", "graph_launches", "kernel_launches", "gaps")}
    assert counts == {"kernels": 2, "copies": 1, "graph_launches": 0.5, "kernel_launches": 1, "gaps": 1.5}
    assert [(k["kernel"], k["count"]) for k in seen["dearest"]] == [("a", 2), ("b", 2), ("Memcpy", 2)]
    assert seen["dearest"][0]["share"] == pytest.approx(0.5) and seen["dearest"][0]["ms"] == pytest.approx(4e-3)
    with pytest.raises(ValueError, match="saw no kernel"):
        profiled.summarise(profiled.Trace([], launches, 2, 1.0))


@needs_shared
def test_a_pack_of_300w(tmp_path, capsys):
    out = tmp_path / "w300.npz"
    given = ["pack", "--source", str(SHARED / "samples" / "300W"), "--out", str(out), "--data-dir", str(tmp_path)]
    assert main(given) == 0 and "research only" in capsys.readouterr().out
    pack.unpack(out, tmp_path / "there", (256,))
    (built,) = tmp_path.glob("w300/*/w300/1.0.0")
    for split in pack.SPLITS["w300"]:
        ours, theirs = (load_crops(DataConfig(image_size=256), folder, split) for folder in (tmp_path / "there", built))
        np.testing.assert_array_equal(ours.points_unit, theirs.points_unit)
        assert ours.partial == theirs.partial != "" and ours.flag_names == ("common", "challenging")
        assert np.abs(ours.images.astype(int) - theirs.images).mean() < 3
    assert main(["pack", "--source", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_the_backbone_of_a_run_travels_in_half_precision(tmp_path, capsys):
    drawn.draw(tmp_path / "faces", {"train": 2}, (32,))
    run = save_run(tmp_path / "run", small.config(), load_crops(DataConfig(image_size=32), tmp_path / "faces", "train"))
    out = tmp_path / "start.safetensors"
    assert main(["start", str(run), "--out", str(out)]) == 0 and "0.6 MB" in capsys.readouterr().out
    there, kept = read_backbone(out, "resnet10_w16"), TrainedRun.open(run).variables
    for kind in ("params", "batch_stats"):
        chex.assert_trees_all_close(there[kind], kept[kind]["backbone"], rtol=5e-4, atol=1e-7)
    assert main(["start", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert "no run there" in capsys.readouterr().err


def test_the_runs_are_those_of_the_config_files():
    names = {"start": recipes.start(True), "ablation": recipes.runs(recipes.FULL, True)[2]}
    visits = {"start": 12_000 + 5_143, "ablation": 1_810}
    files = {"start": get_pretrain(), "ablation": get_w300_scratch()}
    for kind, config in files.items():
        ours = recipes.config_of(names[kind], recipes.FULL, "scratch", visits[kind])
        assert (ours.model, ours.augment, ours.optim) == (
            config.model, config.augment, dataclasses.replace(config.optim, decay_epoch=ours.optim.decay_epoch)
        )  # fmt: skip
        assert (ours.batch_size, ours.loop.eval_epochs) == (config.batch_size, config.loop.eval_epochs)
        assert ours.data.image_size == config.data.image_size and ours.data.holdout == config.data.holdout


def test_every_run_of_the_list_is_one_that_training_takes():
    listed = recipes.runs(recipes.FULL, True)
    assert len({run.name for run in listed}) == len(listed) > 40
    for run in listed:
        config = recipes.config_of(run, recipes.FULL, "scratch", 1_810)
        validate(config)
        assert recipes.budget_of(run, recipes.FULL).seconds < 500
    ranks = {run.name: (run.fields.get("model.dqinit_rank"), run.fields.get("model.qamem_rank")) for run in listed}
    assert ranks["size-BarrelNet-18-rank8-seed0"] == (8, 8)
    assert ranks["size-BarrelNet-18-rank8ofDQInit-seed0"] == (8, None)
    assert ranks["size-BarrelNet-18-rank8ofQAMem-seed0"] == (None, 8)
    own = next(run for run in listed if run.kind == "own")
    assert own.started and own.sets == ("coco",)
    assert recipes.config_of(own, recipes.FULL, "scratch", 1_810).data.holdout == 0


def row(impl, ms, **fields):
    names = {"model": "BarrelNet-18", "device": "cuda", "precision": "bfloat16", "batch": 1, "impl": impl}
    numbers = {"median_ms": ms, "p95_ms": ms, "p99_ms": ms, "images_per_s": 1e3 / ms, "gflops": None, "cold_s": 1.0}
    return names | (numbers | fields if "error" not in fields else fields)


def write_steps(folder, steps, states=None, machine="GPU A"):
    head = {"machine": {"cores": 1, "processor": "", "devices": [machine]}, "versions": {"jax": "0"}, "commit": "c"}
    for name, (benchmark, found, facts) in steps.items():
        path = folder / "steps" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        own = {"benchmark": benchmark, "command": "c", "complete": True, "rehearsal": False, "xla_flags": ""}
        path.write_text(json.dumps(head | own | facts | {"rows": found}))
    there = {name: {"state": "done", "reason": ""} for name in steps} | (states or {})
    (folder / "programme.json").write_text(json.dumps({"steps": there}))


def test_results_of_one_case_are_of_one_run(tmp_path):
    steps = {
        "infer-1": ("infer-gpu", [row("jax", 1.0), row("torch-eager", 5.0)], {"image_size": 256, "num_landmarks": 98}),
        "infer-256": ("infer-gpu", [row("jax", 20.0, batch=256)], {}),
        "infer-1-more": ("infer-gpu", [row("jax", 1.5), row("torch-eager", 6.0), row("torch-max", 2.0)], {}),
        "infer-1-less": ("infer-gpu", [row("jax", 9.0), row("torch-eager", 1.0, error="lost")], {}),
        "xla-plain": ("gpu-xla", [row("jax", 1.0, xla="as it is")], {}),
        "xla-off": ("gpu-xla", [row("jax", 2.0, xla="command buffers off")], {}),
        "xla": (
            "gpu-xla",
            [
                row("jax-frozen", 0.8, xla="as it is"),
                row("jax-frozen", 4.0, xla="command buffers off"),
                row("torch-max", 0.5, xla="torch-max"),
                row("jax", 1.0, xla="unknown", error="no such flag"),
            ],
            {},
        ),
    }
    skipped = {"growth-batch": {"state": "skipped", "reason": "about 45 s, and 9 s left"}}
    steps["train-16"] = ("train-gpu", [], {})
    equation = {"what": "equation 3", "tokens": 64, "median_ms": 1.0, "memory_mb": 2.0}
    steps["growth-equations"] = ("growth-gpu", [], {"equations": [equation]})
    steps["faces"] = ("w300-gpu", [], {"pack_mb": 1.0})
    write_steps(tmp_path / "a", steps, skipped)
    said = []
    results = tmp_path / "results"
    results.mkdir()
    assert report.report(tmp_path / "a", results, said.append) == ["infer-gpu", "gpu-xla", "growth-gpu"]
    assert said == ["skipped: growth-batch: about 45 s, and 9 s left"]
    infer = json.loads((results / "infer-gpu.json").read_text())
    assert [(r["impl"], r["batch"], r["median_ms"]) for r in infer["rows"]] == [
        ("jax", 1, 1.5), ("torch-eager", 1, 6.0), ("torch-max", 1, 2.0), ("jax", 256, 20.0)
    ]  # fmt: skip
    assert infer["benchmark"] == "infer" and infer["image_size"] == 256 and "complete" not in infer
    assert {path.name for path in results.glob("*.png")} == {"infer-gpu.png", "growth-gpu.png"}
    table = tables.xla(json.loads((results / "gpu-xla.json").read_text()))
    assert "| command buffers off | 2.00 (0.50x) | 4.00 (0.20x) | 1.0 |" in table
    assert "| torch-max |  | 0.500 (1.60x) | 1.0 |" in table and "| unknown | failed |  |  |" in table
    assert table.endswith("- failed: unknown, jax: no such flag")
    programme = json.loads((results / "gpu-programme.json").read_text())
    assert programme["steps"]["growth-batch"]["state"] == "skipped" and programme["machine"]["devices"] == ["GPU A"]

    write_steps(tmp_path / "b", {"seeds": ("gpu-seeds", [{"how": "vmap"}], {})})
    other = json.loads((tmp_path / "b/steps/seeds.json").read_text()) | {"machine": {"devices": ["GPU B"]}}
    (tmp_path / "a/steps/growth-batch.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="its steps were measured on 2 machines"):
        report.report(tmp_path / "a", results, said.append)


def test_runs_are_compared_face_by_face(tmp_path):
    rng = np.random.default_rng(0)
    nmes = {f"ablation-{model}-seed{seed}": rng.uniform(0.02, 0.06, 40) for model in "AB" for seed in (0, 1)}
    names = {"A": "Baseline-18", "B": "BarrelNet-18"}
    rows, folder = [], tmp_path / "predictions"
    folder.mkdir()
    for name, nme in nmes.items():
        np.savez(folder / f"{name}.npz", nme=nme)
        _, model, seed = name.split("-")
        held = [{"epoch": 1, "nme": 9.0}, {"epoch": 2, "nme": 4.0}]
        common = {"kind": "ablation", "seed": int(seed[-1]), "held_out": held, "faces": {"w300": 40}}
        rows.append(common | {"run": name, "model": names[model], "nme": 100 * mean(nme)})
    for name, kind, model, schedule in (
        ("ablation-B-seed1", "size", "BarrelNet-18, rank 8", ""),
        ("ablation-A-seed0", "coarse", "BarrelNet-18", "short"),
        ("ablation-B-seed0", "coarse", "BarrelNet-18, coarse loss", "short"),
    ):
        of = next(row for row in rows if row["run"] == name)
        rows.append(of | {"kind": kind, "model": model, "schedule": schedule})
    baseline, ours, smaller, short, coarse = report.summary(rows, folder)
    assert smaller["paired_seeds"] == [1] and smaller["difference"] == 0  # from BarrelNet-18, not from the baseline
    assert "difference" not in short and coarse["paired_seeds"] == [0]
    one = 100 * (nmes["ablation-B-seed0"] - nmes["ablation-A-seed0"])
    assert coarse["difference"] == pytest.approx(one.mean())  # from the base that is as short
    assert baseline["seeds"] == [0, 1] and "difference" not in baseline and baseline["held_out"] == 4.0
    change = 50 * sum(nmes[f"ablation-B-seed{s}"] - nmes[f"ablation-A-seed{s}"] for s in (0, 1))
    assert ours["difference"] == pytest.approx(change.mean()) == pytest.approx(ours["nme"] - baseline["nme"])
    assert ours["p"] == sign_flip_p(change) and ours["interval"][0] < ours["difference"] < ours["interval"][1]


# A type of jaxlib's that is made when a trace is first read: as an error Python 3.12's warning would end the process.
@pytest.mark.filterwarnings("ignore:builtin type event_stats has no __module__ attribute:DeprecationWarning")
def test_training_under_options_loses_the_sides_that_fail_alone(tmp_path):
    rows = Rows(tmp_path / "train.json", {"commit": "c"})
    model, faces = ModelConfig(**model_of("BarrelNet-10")), faces_of(2, 3, 32)
    work = training_of(model, 2, *faces, "cpu", "float32", dispatch_steps=2)
    variants = {"as it is": {}, "unknown": {"xla_gpu_no_such_flag": True}}
    training_flags.measure(rows, "BarrelNet-10", work, variants, [], 1)
    first, failed = read(tmp_path / "train.json")["rows"]
    assert first["median_ms"] > 0 and first["busy_ms"] > 0 and first["steps_a_call"] == 2 and first["kernels"] > 10
    said = tables.training_flags({"rows": [first, failed]})
    assert "| XLA's default |" in said and "- failed: unknown: " in said and "no_such_flag" in said


def test_a_simulated_gpu_costs_only_its_own_rows(tmp_path, monkeypatch):
    cuda_plugin.simulate(monkeypatch, tmp_path)
    cuda_plugin.fail(monkeypatch, at_once="torch-eager", out_of_memory="torch-compile", after=0)
    sizes = dataclasses.replace(REHEARSAL, landmarks=3, image_size=32)
    given = (sizes, "BarrelNet-18", 2, "float32", speed.THROUGHPUT, 2)
    rows = Rows(tmp_path / "infer.json", {"commit": "c"})
    timing.infer(rows, *given)
    kept = read(tmp_path / "infer.json")["rows"]
    assert {r["impl"]: r.get("error", "")[:13] for r in kept} == {
        "torch-eager": "RuntimeError:", "torch-compile": "out of memory", "jax": ""
    }  # fmt: skip
    cuda_plugin.fail(monkeypatch, at_once="none", out_of_memory="none", after=0)
    rows = Rows(tmp_path / "infer.json", {"commit": "c"})
    timing.infer(rows, *given)  # what failed is measured again, and nothing else
    again = read(tmp_path / "infer.json")["rows"]
    assert [r["impl"] for r in again] == ["jax", "torch-eager", "torch-compile"]
    assert again[0] == next(r for r in kept if r["impl"] == "jax")


def rehearse(tmp_path, part):
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--minutes", "30", "--part", part]
    command += ["--out", str(out), "--scratch", str(scratch), "--lanes", "2"]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    said = "\n".join(path.read_text()[-3000:] for path in out.glob("output*"))
    assert done.returncode == 0, done.stdout + done.stderr + said
    states = json.loads((out / "programme.json").read_text())["steps"]
    assert {state["state"] for state in states.values()} == {"done"}
    assert main(["report", str(out)]) == 1  # a rehearsal's numbers are no results
    results = tmp_path / "results"
    results.mkdir()
    return report.report(out, results, print), results


# Where PyTorch is not installed its rows say so, and nothing else may fail.
NO_TORCH = (
    set() if importlib.util.find_spec("torch") else {("torch-eager", "ModuleNotFoundError: No module named 'torch'")}
)


@pytest.mark.processes
def test_the_speed_part_rehearsed(tmp_path, capsys):
    names, results = rehearse(tmp_path, "speed")
    assert "a rehearsal, whose numbers are no results" in capsys.readouterr().err
    assert names == [
        "train-gpu", "gpu-train", "gpu-xla", "gpu-profile", "table4-gpu", "infer-gpu", "gpu-parity", "gpu-seeds",
        "growth-gpu",
    ]  # fmt: skip
    for name in names:
        result = json.loads((results / f"{name}.json").read_text())
        failed = {(row["impl"], row["error"]) for row in result["rows"] if "error" in row}
        assert result["rows"] and failed <= NO_TORCH, (name, failed)
        assert tables.TABLES[name](result)
    parity = json.loads((results / "gpu-parity.json").read_text())["rows"]
    assert all(row["largest_px"] < 0.05 for row in parity if row["precision"] == "float32")
    assert all(row["largest_px"] < 5 for row in parity)


@pytest.mark.processes
def test_the_accuracy_part_rehearsed(tmp_path):
    names, results = rehearse(tmp_path, "accuracy")
    assert names == ["w300-gpu"]
    result = json.loads((results / "w300-gpu.json").read_text())
    assert {row["run"]: row["start"] for row in result["rows"]} == {
        "small-BarrelNet-10-rank8-synthetic-coco-seed0": "",
        "size-BarrelNet-18-rank8-seed0": "start",
    }
    assert set(result["openings"].values()) == {1} and len(result["openings"]) == 3
    assert result["start"]["faces"] == {"synthetic": 16, "coco": 7}
    for row in result["rows"]:
        with np.load(results / "predictions" / f"common-{row['run']}.npz") as predictions:
            assert predictions["points"].shape == (8, 68, 2) and predictions["points"].dtype == np.float32
            assert 100 * mean(predictions["nme"]) == pytest.approx(row["nme"])
        assert row["held_out"][-1]["epoch"] == row["epochs"]
    with np.load(results / "predictions" / "coco-small-BarrelNet-10-rank8-synthetic-coco-seed0.npz") as predictions:
        assert 100 * mean(predictions["nme"]) == pytest.approx(result["rows"][0]["coco_nme"])
    said = tables.TABLES["w300-gpu"](result)
    assert "Test splits were opened 3 times for 2 finished runs." in said
    assert all(title in said for title in ("| Size | parameters", "| what `small`"))


def test_a_part_of_an_archive_is_told_from_a_folder(tmp_path, capsys):
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("programme.json", "{}" * 500)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[:400])
    assert main(["report", str(cut)]) == 1
    assert f"{cut}: this file is no zip archive, or a part of one; copy it anew" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path}: no programme.json there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--part", "accuracy"], "--part accuracy needs --pack FILE"),
        (["--pack", "none.npz"], "--pack none.npz: no such file"),
        (["--part", "speed", "--only", "train,none"], "--only: no step's name starts with 'none'"),
        (["--part", "speed", "--start", "none.safetensors"], "--start none.safetensors: no such file"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, capsys, given, said):
    with pytest.raises(SystemExit):
        main(["--minutes", "1", "--out", str(tmp_path / "out"), *given])
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def trained_row(impl, milliseconds, batch=16, error=""):
    path = ROOT / "benchmarks" / "results" / "train-gpu.json"
    row = next(one for one in json.loads(path.read_text())["rows"] if one["impl"] == impl)
    row |= {"precision": "bfloat16"}
    if error:
        return {name: row[name] for name in ("model", "impl", "device", "precision")} | {"batch": batch, "error": error}
    return row | {"median_ms": milliseconds, "batch": batch}


def test_the_front_pages_training_is_of_16_faces_and_each_ratio_of_one_run():
    rows = [
        trained_row("jax", 4.0), trained_row("torch-eager", 14.0), trained_row("jax", 0.0, error="out of memory"),
        trained_row("torch-reduce-overhead", 3.0), trained_row("jax", 25.0, 256), trained_row("torch-eager", 36.0, 256),
    ]  # fmt: skip
    said = tables.train_front({"rows": rows})
    assert "| torch-eager | 4.00 | 14.0 | 3.50x |" in said and len(said.splitlines()) == 3


def test_a_row_that_failed_costs_the_front_page_itself_alone():
    result = json.loads((ROOT / "benchmarks" / "results" / "infer-gpu.json").read_text())
    whole = tables.infer_front(result).splitlines()

    def without(*starts):
        kept = [row for row in result["rows"] if row["batch"] != 1 or not row["impl"].startswith(starts)]
        return tables.infer_front({"rows": kept}).splitlines()

    assert len(without("torch-eager")) == len(whole) and without("torch-eager")[2].endswith("|  |")
    assert len(without("torch")) == len(without("jax")) == len(whole) - sum("| 1 |" in line for line in whole)
