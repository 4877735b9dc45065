# SPDX-License-Identifier: Apache-2.0
"""Failures in a benchmark, each of which costs its own row, and what a GPU machine lacks, which costs nothing."""

import itertools
import json

import jax
import numpy as np
import pytest

from barrel_jax import provenance
from barrel_jax.benchmark import ceilings as ceilings_file
from barrel_jax.benchmark import frameworks, infer, plot, sides, train
from barrel_jax.benchmark.__main__ import main
from barrel_jax.benchmark.clock import alternate
from barrel_jax.benchmark.infer import flops_of, gains
from barrel_jax.benchmark.refusals import reason, refusals
from barrel_jax.benchmark.report import digits, markdown
from barrel_jax.benchmark.rows import Failed, Key, Rows, from_json, to_json
from barrel_jax.config import ModelConfig
from barrel_jax.devices import xla
from barrel_jax.models.build import build_model
from barrel_jax.paper import PAIRS, PAPER_FPS
from barrel_jax.plotting import new_figure
from barrel_jax.pytorch.modes import TORCH_MODES
from tests.kit import cuda_plugin
from tests.kit.measured import make_row

TINY = ["--models", "BarrelNet-10", "--rounds", "2", "--image_size", "64", "--landmarks", "3"]
SMALL = ModelConfig(backbone="resnet10", width=32, heads=4, feedforward=48)


def test_every_other_row_of_a_simulated_gpu_machine_is_in_the_file(tmp_path, monkeypatch, capsys):
    cuda_plugin.simulate(monkeypatch, tmp_path)
    cuda_plugin.fail(monkeypatch, at_once="torch-eager", out_of_memory="torch-compile", after=2)
    out = tmp_path / "infer.json"
    seen = []
    make_side = infer.make_side
    monkeypatch.setattr(
        infer,
        "make_side",
        lambda impl, work: (
            seen.append(len(json.loads(out.read_text())["rows"]) if out.exists() else 0),
            make_side(impl, work),
        )[1],
    )
    impls = "jax,torch-eager,torch-compile"
    assert cuda_plugin.path_without_git()
    given = ["infer", "--device", "cpu", *TINY, "--batches", "1,2,3", "--impls", impls, "--out", str(out)]
    assert main(given) == 1
    assert seen == [0, 0, 1, 3, 3, 4, 6, 6, 7]  # a row is in the file before the next side is made
    result = json.loads(out.read_text())
    assert [(row["impl"], row["batch"], "error" in row) for row in result["rows"]] == [
        ("jax", 1, False), ("torch-eager", 1, True), ("torch-compile", 1, False),
        ("jax", 2, False), ("torch-eager", 2, True), ("torch-compile", 2, False),
        ("jax", 3, False), ("torch-eager", 3, True), ("torch-compile", 3, True),
    ]  # fmt: skip
    (at_once,) = {row["error"] for row in result["rows"] if row["impl"] == "torch-eager"}
    assert at_once == "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert result["rows"][-1]["error"] == (
        "out of memory: JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 34359738368 bytes. "
        "(beside BarrelNet-10 jax)"
    )
    assert result["commit"] == "unknown" and result["versions"]["barrel-jax"] == "not installed"
    assert result["machine"]["gpus"] == ["NVIDIA H100 80GB HBM3, 580.65.06, 81559 MiB"]
    assert result["rows"][0]["gflops"] > 0
    said = capsys.readouterr()
    assert "| cpu | BarrelNet-10 | float32 | 1 |" in said.out and "| failed |" in said.out
    assert f"- failed: BarrelNet-10, torch-eager, cpu, float32, 3: {at_once}" in said.out
    assert "4 of 9 rows failed" in said.err and out.with_suffix(".png").stat().st_size > 1000


def test_operations_are_counted_where_the_plugin_counts_none(monkeypatch):
    plain = flops_of(SMALL, 5, 64)
    asked = []

    def plugin(backend):  # true of CUDA's and TPU's, which do not count before they compile
        asked.append(jax.config.jax_default_device)
        return asked[-1] is None

    with monkeypatch.context() as patch:
        patch.setattr("jax._src.xla_bridge.using_pjrt_c_api", plugin)
        assert flops_of(SMALL, 5, 64) == plain and asked[0] == jax.devices("cpu")[0]
        assert jax.jit(lambda x: x @ x).lower(np.ones((4, 4))).cost_analysis() is None
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda self: None)
    assert flops_of(SMALL, 5, 64) == pytest.approx(plain, rel=0.1)  # of the compiled program
    monkeypatch.setattr(jax.stages.Compiled, "cost_analysis", lambda self: None)
    assert flops_of(SMALL, 5, 64) is None


def test_jax_leaves_gpu_memory_to_the_other_side_unless_the_user_says_how(monkeypatch, capsys):
    for theirs, expected in ((None, "false"), ("true", "true")):
        monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
        if theirs:
            monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", theirs)
        with pytest.raises(SystemExit):
            main(["infer", "--batches", "0"])
        assert xla.os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == expected
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")  # undone with the rest


def test_the_machine_is_asked_before_anything_is_timed(tmp_path, monkeypatch):
    order = []
    describe = provenance.describe
    monkeypatch.setattr(provenance, "describe", lambda *given: order.append("machine") or describe(*given))
    monkeypatch.setattr(infer, "measure", lambda *given, **more: order.append("rows") or [])
    monkeypatch.setattr(ceilings_file, "ceilings", lambda *given: [])
    assert main(["infer", *TINY, "--impls", "jax"]) == 0
    assert order == ["machine", "rows"]


def test_a_side_that_fails_in_its_turn_leaves_it_to_the_others():
    calls = dict.fromkeys("AB", 0)

    def run(name):
        calls[name] += 1
        if name == "B" and calls[name] == 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has …")

    sides_, dropped = {name: lambda name=name: run(name) for name in "AB"}, {}
    seconds = alternate(sides_, rounds=3, dropped=dropped)
    assert len(seconds["A"]) == 3 and "B" not in seconds
    assert dropped == {"B": "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB."}
    calls["B"] = 0
    with pytest.raises(RuntimeError, match="out of memory"):
        alternate(sides_, rounds=3)


def test_faults_of_the_program_are_not_taken_for_those_of_a_side():
    assert not issubclass(TypeError, refusals()) and not issubclass(KeyError, refusals())
    assert issubclass(jax.errors.JaxRuntimeError, refusals())
    assert len(reason(ValueError("x" * 999))) == 240 and reason(RuntimeError()) == "RuntimeError: no message"
    assert reason(MemoryError("4 GiB")) == "out of memory: MemoryError: 4 GiB"


def test_what_pytorch_raises_costs_a_row():
    from tests.kit.needs_torch import torch

    from torch._dynamo import exc
    from torch._inductor.exc import InductorError

    kinds = [torch.OutOfMemoryError, exc.BackendCompilerFailed, exc.Unsupported]
    kinds += [exc.FailOnRecompileLimitHit, InductorError, torch.AcceleratorError]
    assert all(issubclass(kind, refusals()) for kind in kinds)
    assert reason(torch.OutOfMemoryError("CUDA out of memory.")).startswith("out of memory: OutOfMemoryError: CUDA")


def side_of(points):
    return sides.Side(lambda: None, np.float32(points), 0.1)


@pytest.fixture
def no_models(monkeypatch):
    """Groups and rows alone are looked at: models are neither drawn nor counted, and PyTorch need not be there."""
    monkeypatch.setattr(frameworks, "set_torch", lambda precision: {})
    monkeypatch.setattr(infer, "random_variables", lambda *given: {"params": {"weight": np.zeros(3)}})
    monkeypatch.setattr(infer, "flops_of", lambda *given: 1e9)


def test_points_that_are_not_finite_cost_one_row_and_points_apart_those_of_their_model(no_models, monkeypatch):
    points = {"jax": 0.5, "torch-eager": np.nan, "torch-compile": 0.5}
    monkeypatch.setattr(sides, "_jax_side", lambda impl, work: side_of([[[points[impl]] * 2]]))
    monkeypatch.setattr(sides, "_torch_side", sides._jax_side)
    given = {"devices": ["cpu"], "rounds": 1, "num_landmarks": 1, "image_size": 32}
    rows = infer.measure(["BarrelNet-10"], [1], ["float32"], [*points], **given)
    assert [isinstance(row, Failed) for row in rows] == [False, True, False]
    assert rows[1].error == "ValueError: torch-eager: points that are not finite at float32; it is not timed"
    points["torch-compile"] = 0.6
    rows = infer.measure(["BarrelNet-10"], [1], ["float32"], [*points], **given)
    assert [row.error.partition(",")[0] for row in rows] == [
        "BarrelNet-10", "ValueError: torch-eager: points that are not finite at float32; it is not timed",
        "BarrelNet-10",
    ]  # fmt: skip
    assert "their points differ by 1.00e-01" in rows[0].error


def test_rows_of_before_are_not_measured_again(no_models, monkeypatch):
    made, written = [], []
    monkeypatch.setattr(sides, "_jax_side", lambda impl, work: made.append(impl) or side_of([[[0.5, 0.5]]]))
    monkeypatch.setattr(sides, "_torch_side", sides._jax_side)
    given = {"devices": ["cpu"], "rounds": 1, "num_landmarks": 1, "image_size": 32}
    asked = (["BarrelNet-10"], [1, 2], ["float32"], ["jax", "torch-eager"])
    first = infer.measure(*asked, **given, write=written.append)
    assert written == first and made == ["jax", "torch-eager"] * 2
    made.clear()
    done = [first[0], Failed(first[3].key, "no")]
    again = infer.measure(*asked, **given, write=written.append, done=done)
    assert made == ["torch-eager", "jax"] and written[4:] == [again[1], again[2]]
    assert again[0] == first[0] and again[3] == done[1] and from_json(to_json(first[0])) == first[0]


def test_all_models_take_turns_where_their_ratios_count(monkeypatch):
    groups = []
    monkeypatch.setattr(infer, "measure_in_turns", lambda keys, *given: groups.append([key[0] for key in keys]))
    monkeypatch.setattr(Rows, "of", lambda self, keys: [])
    given = {"devices": ["cpu"], "rounds": 1, "num_landmarks": 1, "image_size": 32}
    for together in (False, True):
        infer.measure(["BarrelNet-10", "Baseline-10-d5"], [1], ["float32"], ["jax"], **given, models_in_turns=together)
    assert groups == [["BarrelNet-10"], ["Baseline-10-d5"], ["BarrelNet-10", "Baseline-10-d5"]]


def test_a_training_side_that_fails_costs_its_row(monkeypatch):
    monkeypatch.setattr(train, "compare_losses", lambda *given: 0.0)
    monkeypatch.setattr(frameworks, "set_torch", lambda precision: {})
    makers = []

    def steps(impl, work):
        makers.append(impl)
        if impl == "torch-compile":
            raise OSError("No space left on device: /dev/shm")
        return lambda: np.float32(1)

    monkeypatch.setattr(train, "_torch_steps", steps)
    monkeypatch.setattr(train, "_JaxSteps", steps)
    impls = ["torch-dataloader", "jax", "torch-compile", "torch-eager"]
    given = {"devices": ["cpu"], "rounds": 2, "num_landmarks": 1, "image_size": 32, "dispatch_steps": 4}
    rows = train.measure(["BarrelNet-10"], [2], ["float32"], impls, **given)
    assert [row.key.impl for row in rows] == impls and makers == [*impls[1:], impls[0]]  # the DataLoader by itself
    assert [getattr(row, "error", None) for row in rows] == [
        None,
        None,
        "OSError: No space left on device: /dev/shm",
        None,
    ]
    assert rows[1].steps_a_call == 4 and rows[1].timing.median_ms == pytest.approx(500 / rows[1].steps_per_s * 2)
    assert from_json(to_json(rows[1])) == rows[1]

    def apart(*given):
        raise train.Disagreement("float32: the losses of the same batch are 1 in JAX and 2 in PyTorch")

    monkeypatch.setattr(train, "compare_losses", apart)
    rows = train.measure(["BarrelNet-10"], [2], ["float32"], impls, **given)
    assert {row.error for row in rows} == {"float32: the losses of the same batch are 1 in JAX and 2 in PyTorch"}


def test_memory_and_programs_are_given_back_between_groups(monkeypatch):
    from tests.kit.needs_torch import torch

    given_back = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append("torch"))
    monkeypatch.setattr(torch._dynamo, "reset", lambda: given_back.append("dynamo"))
    traced = []

    @jax.jit
    def doubled(x):
        traced.append(x.shape)
        return 2 * x

    doubled(1.0)
    doubled(2.0)
    assert len(traced) == 1
    given = {"devices": ["cpu"], "rounds": 1, "num_landmarks": 1, "image_size": 32}
    before = sum(array.nbytes for array in jax.live_arrays())
    infer.measure(["BarrelNet-10"], [1, 2], ["float32"], ["jax", "torch-eager"], **given)
    # Once a side, so that the next one finds room, and once a group.
    assert given_back == ["torch", "torch", "dynamo", "torch"] * 2
    assert sum(array.nbytes for array in jax.live_arrays()) <= before + 1000
    doubled(1.0)
    assert len(traced) == 2  # it was forgotten


def test_pytorch_compiles_a_function_more_than_eight_times(monkeypatch):
    from tests.kit.needs_torch import torch

    real, modes = torch.compile, []

    def compile_(function, *, mode, fullgraph):
        modes.append(mode)
        return real(function, fullgraph=fullgraph, backend="eager")

    monkeypatch.setattr(torch, "compile", compile_)
    torch._dynamo.reset()
    images = infer.random_images(1, 32)
    for count, mode in zip(range(1, 10), itertools.cycle(list(TORCH_MODES)[1:])):
        # Models of other shapes, as Table 4 has them: of the same shapes one program would do for all.
        network, key = build_model(SMALL, count), jax.random.key(0)
        shapes = jax.eval_shape(
            lambda key, x, network=network: network.init(key, x, train=False), key, np.float32(images)
        )
        variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, np.float32), shapes)
        sides.make_side(mode, sides.Work(SMALL, count, variables, images, "float32", "cpu"))
    assert len(modes) == 9 and set(modes) == {"default", "reduce-overhead", "max-autotune"}
    torch._dynamo.reset()


def test_eager_and_compiled_pytorch_have_no_batch_norm_left(monkeypatch):
    from tests.kit.needs_torch import torch

    def refused(*given, **more):
        raise NotImplementedError("batch norm is folded at inference")

    variables = infer.random_variables(SMALL, 3, 32)
    work = sides.Work(SMALL, 3, variables, infer.random_images(1, 32), "float32", "cpu")
    monkeypatch.setattr(torch.nn.functional, "batch_norm", refused)
    assert np.isfinite(sides.make_side("torch-eager", work).points).all()


@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True), ("bfloat16", True)])
def test_pytorch_may_round_what_jax_may_round(precision, tf32):
    from tests.kit.needs_torch import torch

    flags = frameworks.flags("torch-compile", precision)
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is tf32
    assert flags["cuda.matmul.allow_tf32"] is flags["cudnn.allow_tf32"] is tf32
    assert (frameworks.flags("jax-single", precision)["jax_default_matmul_precision"] == "highest") is not tf32


def test_ceilings_are_of_random_numbers(monkeypatch):
    outputs = []
    monkeypatch.setattr(ceilings_file, "_best", lambda run: outputs.append(np.asarray(run())) or 1.0)
    monkeypatch.setattr(ceilings_file, "SIDES", {"cpu": 64})
    monkeypatch.setattr(ceilings_file, "BYTES", {"cpu": 4096})
    (row,) = ceilings_file.ceilings("cpu", ("float32",))
    assert row["matmul_gflops"] == pytest.approx(2e-9 * 64**3)
    assert [len(np.unique(output)) > 900 for output in outputs] == [True, True]

    def refused(run):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(ceilings_file, "_best", refused)
    assert ceilings_file.ceilings("cpu", ("float32",))[0]["error"].startswith("out of memory: JaxRuntimeError")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.5312, "0.531"), (1.27, "1.27"), (39.66, "39.7"), (239.9, "240"), (1821.4, "1821"), (9.996, "10.0")],
)
def test_three_significant_digits(value, said):
    assert digits(value) == said


def test_failed_rows_of_table4_are_said_and_their_gains_left_out():
    rows = [make_row(Key(model, "jax", "cuda", "tf32", 1), fps[0]) for model, fps in PAPER_FPS.items()]
    rows[1] = Failed(rows[1].key, "RuntimeError: no")
    found = gains(rows, PAIRS)
    assert [gain["baseline"] for gain in found] == ["Baseline-50-d6", "Baseline-50-s8", "Baseline-HRNet"]
    said = markdown({"benchmark": "table4", "rows": [to_json(row) for row in rows], "gains": found})
    assert "| BarrelNet-18 | 137.2 (+88.5 %) | failed |" in said
    assert "- failed: BarrelNet-18, jax, cuda, tf32, 1: RuntimeError: no" in said


def test_bars_have_their_numbers_and_the_fastest_is_marked():
    figure = new_figure(400, 200)
    axes = figure.add_axes((0, 0, 1, 1))
    bars = [plot.Bar("jax", 0.5312, 0.6), plot.Bar("torch-eager", 2.004, 2.2), plot.Bar("torch-compile", None)]
    plot._draw_panel(axes, bars, "ms", min)
    assert [text.get_text().strip() for text in axes.texts] == ["0.531 ms, fastest", "2.00 ms", "failed"]
    assert [text.get_weight() for text in axes.texts] == ["bold", "normal", "normal"]
    assert axes.get_xscale() == "linear" and [label.get_text() for label in axes.get_yticklabels()] == [
        "jax", "torch-eager", "torch-compile",
    ]  # fmt: skip
    axes = figure.add_axes((0, 0, 1, 1))
    plot._draw_panel(axes, [plot.Bar("BarrelNet-18", 137.0), plot.Bar("BarrelNet-50", 90.5)], "FPS", max)
    assert axes.texts[0].get_text().strip() == "137 FPS, fastest"


def test_a_device_that_is_not_there_costs_its_ceilings_alone(monkeypatch):
    """JAX_PLATFORMS=cuda has no CPU."""

    def none(device):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(ceilings_file, "device_of", none)
    (row,) = ceilings_file.ceilings("cpu", ("float32",))
    assert "Unknown backend cpu" in row["error"]


@pytest.mark.parametrize("flag", ["--rounds", "--landmarks", "--image-size"])
def test_a_measurement_of_nothing_is_refused(flag, capsys):
    with pytest.raises(SystemExit):
        main(["infer", flag, "0"])
    assert f"{flag} 0: 1 or more" in capsys.readouterr().err
