# SPDX-License-Identifier: Apache-2.0
"""The benchmark's order of calls, its arithmetic, its refusals, and one real run of both sides."""

import json

import jax
import numpy as np
import pytest

from barrel_jax.benchmark.__main__ import main
from barrel_jax.benchmark.clock import Timing, alternate, summary
from barrel_jax.benchmark.cost import cost_of
from barrel_jax.benchmark.infer import gains
from barrel_jax.benchmark.report import table4, train
from barrel_jax.benchmark.rows import Failed, Key, Trained
from barrel_jax.benchmark.sides import Side, Work, compare, make_side
from barrel_jax.config import ModelConfig
from barrel_jax.paper import PAIRS, PAPER_FPS
from tests.kit.measured import make_row


def test_sides_take_turns():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "AB"}
    seconds = alternate(sides, rounds=2, warm_up=1, settle=1)
    assert "".join(calls) == "AB" + "AABB" * 2
    assert {name: len(times) for name, times in seconds.items()} == {"A": 2, "B": 2}


def test_summary_by_hand():
    found = summary([0.1, 0.2, 0.3], images=4)
    assert found.median_ms == pytest.approx(200) and found.images_per_s == pytest.approx(20)
    assert found.p95_ms == pytest.approx(290) and found.p99_ms == pytest.approx(298)


def side(value):
    return Side(lambda: None, np.full((1, 2, 2), value, np.float32), 0.0)


def test_sides_that_do_not_agree_are_not_timed():
    assert compare({"jax": side(0.5), "torch-eager": side(0.50005)}, "M", "float32") == pytest.approx(5e-5, rel=1e-2)
    with pytest.raises(
        ValueError, match=r"M, jax, torch-eager: their points differ by 1.00e-03 of the crop at float32"
    ):
        compare({"jax": side(0.5), "torch-eager": side(0.501)}, "M", "float32")
    with pytest.raises(ValueError, match="differ by nan"):
        compare({"jax": side(0.5), "torch-eager": side(np.nan)}, "M", "bfloat16")


def test_the_papers_own_speeds_give_its_percentages():
    rows = [
        make_row(Key(model, "torch-eager", device, "float32", 1), fps[place])
        for place, device in enumerate(("cuda", "cpu"))
        for model, fps in PAPER_FPS.items()
    ]
    found = {(g["device"], g["baseline"]): round(g["gain_percent"], 1) for g in gains(rows, PAIRS)}
    names = [baseline for baseline, _ in PAIRS]
    assert [found["cuda", name] for name in names] == [88.5, 73.4, 6.5, 159.6]
    assert [found["cpu", name] for name in names] == [28.7, 25.0, 218.2, 109.5]
    text = table4(rows, gains(rows, PAIRS))
    assert "| BarrelNet-50 | 90.5 (+6.5 %) | 90.5 (+6.5 %) | 14.0 (+218.2 %) | 14.0 (+218.2 %) |" in text


def test_both_sides_run_and_are_recorded(tmp_path, capsys):
    from tests.kit.needs_torch import torch

    out = tmp_path / "infer.json"
    small = ["--models", "BarrelNet-10", "--batches", "2", "--rounds", "3", "--image_size", "96", "--landmarks", "5"]
    assert main(["infer", "--device", "cpu", *small, "--impls", "jax,torch-eager,onnxruntime", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    said = capsys.readouterr().out
    assert "| cpu | BarrelNet-10 | float32 | 2 |" in said
    assert "- float32, torch-eager: `cuda.matmul.allow_tf32=False`, `cudnn.allow_tf32=False`" in said
    sides = [("jax", 2), ("torch-eager", 2), ("onnxruntime", 2)]
    assert [(row["impl"], row["batch"]) for row in result["rows"]] == sides
    for row in result["rows"]:
        assert row["images_per_s"] == pytest.approx(2e3 / row["median_ms"]) and row["largest_difference"] < 1e-4
        assert not [name for name in row if "memory" in name]  # the two sides do not count it alike
    flags = [row["flags"] for row in result["rows"]]
    assert flags[0] == {"jax_default_matmul_precision": "highest"} and flags[2] == {}
    assert flags[1]["cuda.matmul.allow_tf32"] is flags[1]["cudnn.allow_tf32"] is False
    (ceiling,) = result["ceilings"]
    assert ceiling["matmul_gflops"] > 0 and ceiling["copy_gb_per_s"] > 0 and result["rows"][0]["gflops"] > 0
    assert result["versions"]["torch"] == torch.__version__ and result["commit"] and "--rounds 3" in result["command"]


def test_a_step_is_timed_on_the_default_device_alone(monkeypatch, capsys):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # as on a machine with one
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--device", "cpu"])
    assert "--device cpu: the step runs on JAX's default device: set JAX_PLATFORMS=cpu" in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "device"), [("bfloat16", "cpu"), ("float32", "cuda")])
def test_onnxruntime_is_timed_where_it_is_comparable(precision, device):
    with pytest.raises(ValueError, match=f"at float32, not on {device} at {precision}; leave it out there"):
        make_side("onnxruntime", Work(ModelConfig(), 5, {}, np.zeros((1, 32, 32, 3), np.uint8), precision, device))


def test_what_a_face_costs():
    small = cost_of(ModelConfig(width=32, heads=4, feedforward=48), 5, 64, rounds=2)
    large = cost_of(ModelConfig(width=32, heads=4, feedforward=48), 5, 128, rounds=2)
    assert small["parameters"] == large["parameters"] and small["fps"] > 0
    # Four times the pixels; ResNet-18 takes 1.82 G multiply-adds at 224 px (He et al. 2015, Table 1).
    assert 3.3 < large["flops"] / small["flops"] < 4.7
    assert large["flops"] == pytest.approx(2 * 1.82e9 * (128 / 224) ** 2, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["infer", "--models", "BarrelNet-19"], "'BarrelNet-19' is no model"),
        (["infer", "--impls", "tensorflow"], "--impls tensorflow: choose from jax"),
        (["infer", "--precisions", "fp8"], "choose from float32, tf32, bfloat16"),
        (["infer", "--batches", "0"], "positive numbers"),
        (["table4", "--device", "cuda"], "JAX sees no GPU here"),
        (["infer", "--out", "a/x.png"], "--out a/x.png: the picture is written there; name the JSON file, a/x.json"),
    ],
)
def test_wrong_arguments_are_named(arguments, said, capsys):
    if "--models" in arguments:
        assert main(arguments) == 1
    else:
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert said in capsys.readouterr().err


def test_ratios_of_training_are_to_the_jax_of_the_same_run():
    def row(impl, ms, batch=16):
        key = Key("BarrelNet-18", impl, "cuda", "tf32", batch)
        timing = Timing(ms, ms, ms, 1e3 * batch / ms)
        return Trained(key, timing, 1, 0.1, 0.0, {}, 1e3 / ms, 1.0, 10)

    lost = Failed(Key("BarrelNet-18", "jax", "cuda", "tf32", 16), "lost")
    first, second = [row("jax", 2.0), row("torch-eager", 6.0)], [row("jax", 4.0), row("torch-compile", 6.0)]
    said = train([*first, *second, row("torch-eager", 5.0, batch=256), lost, row("torch-eager", 9.0)])
    assert [line.split(" | ")[-1].rstrip(" |") for line in said.splitlines()[2:]] == [
        "", "3.00x", "", "1.50x", "", "", ""
    ]  # fmt: skip
    # In whatever order they were asked for; a case without JAX has none.
    said = train([row("torch-eager", 6.0), row("torch-eager", 7.0, batch=8), *second[::-1], *first])
    assert [line.split(" | ")[-1].rstrip(" |") for line in said.splitlines()[2:]] == [
        "1.50x", "", "1.50x", "", "", "3.00x"
    ]  # fmt: skip
