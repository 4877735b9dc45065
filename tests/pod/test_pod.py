# SPDX-License-Identifier: Apache-2.0
"""The pod report: facts of programs and predictions by hand; real programs on virtual CPU devices and for a TPU."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from barrel_jax.pod import hlo, report, step_cost
from barrel_jax.pod.__main__ import common_batch, main, slices
from barrel_jax.pod.chips import CHIPS, Target, make_target, sides_of
from barrel_jax.pod.hlo import Collective
from barrel_jax.pod.program import Program, compile_step, read_program
from barrel_jax.pod.roofline import HOP_S, exchange_seconds
from barrel_jax.pod.step_cost import Exchanged, StepCost
from tests.kit import small
from tests.kit.processes import ROOT

PROGRAM = """HloModule jit_update

%region_0 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%body (p: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p = (f32[8]{0}, s32[]) parameter(0)
  %x = f32[8]{0} get-tuple-element(%p), index=0
  %permute = f32[8]{0} collective-permute(%x), channel_id=4, source_target_pairs={{0,1},{1,0}}
  %i = s32[] get-tuple-element(%p), index=1
  ROOT %t = (f32[8]{0}, s32[]) tuple(%permute, %i)
}

%started (q: bf16[4,2]) -> bf16[16,2] {
  %q = bf16[4,2]{1,0} parameter(0)
  ROOT %gather = bf16[16,2]{1,0} all-gather(%q), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}
}

%ended (q: bf16[4,2]) -> bf16[16,2] {
  %q = bf16[4,2]{1,0} parameter(0)
  ROOT %gather.1 = bf16[16,2]{1,0} all-gather(%q), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}
}

ENTRY %main (g: f32[100], h: bf16[4,2], w: (f32[8], s32[])) -> f32[100] {
  %g = f32[100]{0} parameter(0)
  %h = bf16[4,2]{1,0} parameter(1)
  %w = (f32[8]{0}, s32[]) parameter(2)
  %sum = (f32[100]{0}, f32[]) all-reduce(%g, %c), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%region_0
  %part = f32[25]{0} reduce-scatter(%g), channel_id=2, replica_groups=mesh['a'=2,'b'=4] {'b'}, to_apply=%region_0
  %one = bf16[16,2]{1,0} fusion(%h), kind=kCustom, calls=%started
  %two = bf16[16,2]{1,0} fusion(%h), kind=kCustom, calls=%ended
  %loop = (f32[8]{0}, s32[]) while(%w), condition=%c0, body=%body, backend_config={"known_trip_count":{"n":"7"}}
  %fast = f32[100]{0:T(256)S(1)} negate(%g)
  ROOT %r = f32[100]{0} add(%g, %fast)
}
"""


def test_collectives_by_hand():
    found = {one.kind: one for one in hlo.collectives(PROGRAM, 8)}
    assert len(hlo.collectives(PROGRAM, 8)) == len(found) == 4
    assert (found["all-reduce"].bytes, found["all-reduce"].group, found["all-reduce"].times) == (404, 8, 1)
    assert (found["reduce-scatter"].bytes, found["reduce-scatter"].group) == (400, 4)
    # Started and ended on one channel: one exchange.
    assert (found["all-gather"].bytes, found["all-gather"].group, found["all-gather"].times) == (64, 4, 1)
    assert (found["collective-permute"].bytes, found["collective-permute"].times) == (32, 7)


STARTED = """ENTRY %main (g: f32[1024]) -> f32[256] {
  %g = f32[1024]{0} parameter(0)
  %h = f32[16]{0} parameter(1)
  %part = (f32[1024]{0:T(256)}, f32[256]{0:T(256)}) reduce-scatter-start(%g), channel_id=1, replica_groups={{0,1,2,3}}
  %all = ((f32[256]{0}, f32[128]{0}), (f32[1024]{0}, f32[512]{0})) all-gather-start(%a, %b), replica_groups={{0,1,2,3}}
  %next = (f32[16]{0}, f32[16]{0}, u32[], u32[]) collective-permute-start(%h), source_target_pairs={{0,1}}
  ROOT %done = f32[256]{0} reduce-scatter-done(%part)
}
"""


def test_what_is_started_has_the_bytes_of_what_is_waited_for():
    found = {one.kind: one.bytes for one in hlo.collectives(STARTED, 4)}
    assert found == {"reduce-scatter": 4 * 256 * 4, "all-gather": (1024 + 512) * 4, "collective-permute": 64}


def test_memory_traffic_by_hand():
    # Two fusions: 16 read, 64 written each; the loop names 2 x 36; negate reads 400, add reads 400 and writes 400.
    assert hlo.memory_traffic(PROGRAM) == 2 * (16 + 64) + 2 * 36 + 400 + 800


def test_the_time_of_a_collective_by_hand():
    v5e = CHIPS["TPU v5 lite"]
    gradient = Collective("all-reduce", 100_000_000, 256, 1, "")
    # 16 x 16 closes to rings: 2 x 255/256 of the bytes at 200 GB/s, 2 x (8 + 8) hops.
    expected = 2 * 255 / 256 * 1e8 / 200e9 + 32 * HOP_S
    assert exchange_seconds(gradient, v5e, (16, 16)) == pytest.approx(expected)
    # 4 x 4 does not: half the rate, 2 x (3 + 3) hops.
    small_slice = Collective("all-reduce", 100_000_000, 16, 1, "")
    assert exchange_seconds(small_slice, v5e, (4, 4)) == pytest.approx(2 * 15 / 16 * 1e8 / 100e9 + 12 * HOP_S)
    gather = Collective("all-gather", 100_000_000, 16, 3, "")
    assert exchange_seconds(gather, v5e, (4, 4)) == pytest.approx(3 * (15 / 16 * 1e8 / 100e9 + 6 * HOP_S))
    assert exchange_seconds(Collective("all-reduce", 5, 1, 1, ""), v5e, (4, 4)) == 0


def test_slices_grow_fourfold_to_the_one_asked_for():
    assert slices((16, 16)) == [(2, 2), (4, 4), (8, 8), (16, 16)]
    assert slices((4, 4, 4)) == [(2, 2, 2), (4, 4, 4)]
    assert slices((2, 1)) == [(2, 1)]


def test_efficiency_is_the_share_of_the_smallest_slices_speed_per_chip():
    (kept, *_) = results("pod-v5e")["weak"]
    small_slice, large_slice = (
        step_cost.from_json(kept | {"faces_per_s": speed, "chips": chips}) for speed, chips in ((100.0, 4), (360.0, 16))
    )
    assert report.efficiencies([small_slice, large_slice]) == [1.0, pytest.approx(0.9)]


def results(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_a_cost_is_written_as_it_was_read():
    scaled = results("pod-v5e")
    for row in (*scaled["rows"], *scaled["weak"], *scaled["strong"]):
        assert json.dumps(step_cost.from_json(row).to_json()) == json.dumps(row)
    for row in results("pods")["rows"]:  # which have the variant's name before
        assert json.dumps({"variant": row["variant"]} | step_cost.from_json(row).to_json()) == json.dumps(row)


def test_a_cost_by_hand():
    gradient = [Collective("all-reduce", 100, 4, 2, "a"), Collective("all-reduce", 50, 4, 1, "b")]
    program = Program(
        "v5e:2x2", 4, 64, 10, 3, 4, 5, 197e12, 819e9, [*gradient, Collective("all-gather", 8, 2, 1, "")], 1.5
    )
    v5e = Target("v5e:2x2", [None] * 4, (2, 2), CHIPS["TPU v5 lite"])
    cost = step_cost.step_cost(program, v5e)
    assert cost.exchanged == [Exchanged("all-gather", 2, 1, 8), Exchanged("all-reduce", 4, 3, 250)]
    assert (cost.memory, cost.chip_memory, cost.compute_ms, cost.memory_ms) == (12, 16e9, 1e3, 1e3)
    assert cost.step_ms == pytest.approx(1e3 + cost.exchange_ms) and cost.exchange_ms > 0
    assert cost.faces_per_s == pytest.approx(64 / (1e-3 * cost.step_ms))
    # Where no rates are published there is no time.
    bare = step_cost.step_cost(program, replace(v5e, chip=None))
    assert type(bare) is StepCost and vars(bare).items() <= vars(cost).items()
    assert step_cost.from_json(bare.to_json()) == bare and step_cost.from_json(cost.to_json()) == cost


@pytest.mark.parametrize(
    ("name", "message"),
    [("v5e", "neither local, cpu:N nor a TPU slice"), ("cpu:9", "JAX has 8 CPU devices"), ("x7:2x2", "x7:2x2: ")],
)
def test_a_topology_that_does_not_exist_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        make_target(name)


def compiled(target, tmp_path, monkeypatch, **fields):
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path))
    return compile_step(small.config(**fields), target, 29)


def test_a_norm_over_groups_leaves_the_gradients_exchange_alone(tmp_path, monkeypatch):
    target = make_target("cpu:4")
    wide = {"model__backbone": "resnet10"}  # next to whose gradients statistics weigh nothing
    fields = wide | {"model__norm_group": 2, "mesh__split_moments": True}
    whole, grouped = (compiled(target, tmp_path, monkeypatch, **given) for given in (wide, fields))
    reduces = [sum(one.kind == "all-reduce" for one in program.collectives) for program in (whole, grouped)]
    assert reduces[0] >= 18 > 5 >= reduces[1]  # ResNet-10 has 12 norms, forward and backward; XLA merges some
    gradients = sum(one.bytes for one in grouped.collectives if one.kind == "all-reduce")
    assert gradients == pytest.approx(4 * grouped.parameters, rel=0.01)
    gathered = sum(one.bytes for one in grouped.collectives if one.kind == "all-gather")
    assert gathered == pytest.approx(4 * grouped.parameters, rel=0.05)
    assert grouped.arguments < 0.6 * 3 * 4 * grouped.parameters  # parameters whole, moments by quarters
    # The second time it is read from the disk.
    kept = list((tmp_path / "pod").iterdir())
    assert compiled(target, tmp_path, monkeypatch, **fields) == grouped
    assert len(kept) == 2


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"collectives": [1]}', '{"collectives": [], "chips": 4}'])
def test_a_damaged_program_on_the_disk_is_named(content, tmp_path):
    (tmp_path / "kept.json").write_text(content)
    with pytest.raises(ValueError, match=r"kept\.json: .*; delete it to have the step compiled again"):
        read_program(tmp_path / "kept.json")


@pytest.mark.parametrize(("per_chip", "batch"), [(8, 256), (16, 256), (24, 256), (32, 512), (40, 512)])
def test_the_batch_of_strong_scaling_divides_by_the_largest_slice(per_chip, batch):
    assert common_batch(per_chip, 256) == batch


def test_a_batch_or_mesh_that_does_not_fit_the_slice_is_refused():
    target = make_target("cpu:4")
    with pytest.raises(ValueError, match="batch_size=6 does not divide by the 4 devices"):
        compile_step(small.config(batch_size=6), target, 29)
    with pytest.raises(ValueError, match=r"has 4 devices, and config\.mesh is 3 x 1"):
        compile_step(small.config(mesh__data=3), target, 29)
    for fields in ({"mesh__model": 0}, {"mesh__data": 0}, {"mesh__data": -3}):
        with pytest.raises(ValueError, match=r"config\.mesh\.model=[01]: each must be at least 1, or data=-1 for all"):
            compile_step(small.config(**fields), target, 29)


def run(tmp_path, *flags):
    command = [sys.executable, "-m", "barrel_jax.pod", "--config", "configs/tiny.py", "--landmarks=29", *flags]
    environment = os.environ | {"BARREL_JAX_DATA": str(tmp_path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_the_command_tells_of_virtual_devices(tmp_path):
    done = run(tmp_path, "--topology=cpu:2", f"--out={tmp_path / 'pod.json'}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cpu:2: 2 cpu, 16 faces a step" in done.stdout and "no time is predicted" in done.stdout
    (row,) = json.loads((tmp_path / "pod.json").read_text())["rows"]
    assert row["chips"] == 2 and row["batch"] == 16 and row["memory"] > 12 * row["parameters"] / 2


@pytest.mark.processes
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu (extra pod) is not installed")
def test_the_step_compiles_for_a_tpu_slice(tmp_path):
    done = run(tmp_path, "--topology=v5e:2x2", "--config.model.norm_group=8")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "v5e:2x2: 4 TPU v5 lite, 32 faces a step" in done.stdout and "of 16 GB: fits" in done.stdout
    assert "ms a step: operations" in done.stdout and "assumed:" in done.stdout


BRANCHED = """HloModule branched

%there (a: f32[8]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  ROOT %sum = f32[8]{0} all-reduce(%a), channel_id=1, replica_groups={{0,1}}, to_apply=%add
}

%not_there (b: f32[8]) -> f32[8] {
  ROOT %b = f32[8]{0} parameter(0)
}

ENTRY %main (p: pred[], x: f32[8]) -> f32[8] {
  %p = pred[] parameter(0)
  %x = f32[8]{0} parameter(1)
  ROOT %c = f32[8]{0} conditional(%p, %x, %x), BRANCHES
}
"""


@pytest.mark.parametrize(
    "branches", ["true_computation=%there, false_computation=%not_there", "branch_computations={%not_there, %there}"]
)
def test_what_is_exchanged_in_a_branch_counts(branches):
    (found,) = hlo.collectives(BRANCHED.replace("BRANCHES", branches), 2)
    assert (found.kind, found.bytes, found.times) == ("all-reduce", 32, 1)


def test_numbers_of_less_than_a_byte_have_bytes():
    assert hlo.shape_bytes("s4[1024]{0}") == 512 and hlo.shape_bytes("(u2[3]{0}, pred[5], bf16[2,2])") == 1 + 5 + 8


def test_a_slice_that_is_here_has_the_sides_of_its_places():
    def chip(*place):
        return SimpleNamespace(platform="tpu", coords=place)

    assert sides_of([chip(x, y, 0) for x in range(2, 6) for y in range(2)]) == (4, 2, 1)
    assert sides_of([SimpleNamespace(platform="gpu", coords=None)] * 8) == (8,)


def test_the_command_line_refuses_no_devices(capsys):
    with pytest.raises(SystemExit):
        main(["--config", "configs/tiny.py", "--topology", "cpu:0"])
    assert "--topology cpu:0: there is at least 1 device" in capsys.readouterr().err


def test_a_picture_is_no_place_for_the_json(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--config", "configs/tiny.py", "--topology", "cpu:1", "--out", str(tmp_path / "a.png")])
    assert f"a.png: the curve is written there; name the JSON file, {tmp_path / 'a.json'}" in capsys.readouterr().err


def test_scaling_takes_a_tpus_slices(monkeypatch, capsys):
    """Of CPUs no rates are published: there was no table, and no word."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # to which the command adds
    monkeypatch.setattr("jax.config.update", lambda *_: None)
    monkeypatch.setattr("barrel_jax.pod.program.compile_step", lambda *_: pytest.fail("nothing is to be compiled"))
    for topology in ("cpu:1", "local"):
        assert main(["--config", "configs/tiny.py", "--topology", topology, "--scaling"]) == 1
        said = capsys.readouterr().err
        assert f"pod: --scaling: {topology} has no slices with published rates; name a TPU's, such as" in said


def test_scaling_is_of_slices_from_four_chips_up(tmp_path, monkeypatch, capsys):
    device = SimpleNamespace(device_kind="TPU v5 lite", platform="tpu")

    def made(name):
        sides = tuple(map(int, name.partition(":")[2].split("x")))
        return Target(name, [device] * math.prod(sides), sides, CHIPS[device.device_kind])

    def compiled(config, target, num_landmarks):
        return Program(target.name, len(target.devices), config.batch_size, 10, 3, 4, 5, 1e9, 1e9, [], 1.5)

    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # to which the command adds
    monkeypatch.setattr("barrel_jax.pod.chips.make_target", made)
    monkeypatch.setattr("barrel_jax.pod.program.compile_step", compiled)
    given = ["--config", "configs/tiny.py", "--topology", "v5e:4x4", "--config.batch_size=32", "--scaling"]
    assert main([*given, "--out", str(tmp_path / "pod.json")]) == 0
    said = json.loads((tmp_path / "pod.json").read_text())
    cases = {kind: [(row["topology"], row["chips"], row["batch"]) for row in said[kind]] for kind in ("weak", "strong")}
    assert cases["weak"] == [("v5e:2x2", 4, 128), ("v5e:4x4", 16, 512)]
    assert cases["strong"] == [("v5e:2x2", 4, 32), ("v5e:4x4", 16, 32)]
    assert said["rows"] == said["weak"][1:] and (tmp_path / "pod.png").exists()
    assert "| v5e:4x4 | 16 | 32 | " in capsys.readouterr().out  # both tables: 32 faces a chip, and 32 a step
