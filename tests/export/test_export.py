# SPDX-License-Identifier: Apache-2.0
"""A run in every format: the same points as Flax, and nothing is read that is not what was exported."""

import hashlib
import json
import math
import pickle
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from barrel_jax.config import MeshConfig, ModelConfig, load_run_config, save_run_config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.export import executable, manifest, stablehlo
from barrel_jax.export.__main__ import main
from barrel_jax.export.load import load_executable, load_onnx, load_stablehlo
from barrel_jax.export.write import export
from barrel_jax.models.build import build_model, shapes_of
from barrel_jax.models.inference import make_inference
from barrel_jax.onnx import runtime
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract
from barrel_jax.training.trained import TrainedRun
from tests.kit import plans
from tests.kit.small import config as small
from tests.kit.toy import written

K, SIZE = 5, 64
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def load_program(directory, *, batch=1, **more):
    """The executable by its own manifest's digest: what is wrong with it is found behind that."""
    name = f"model-{batch}.executable"
    entry = json.loads((directory / "manifest.json").read_text())["files"].get(name, {"sha256": "0" * 64})
    return load_executable(directory, sha256=entry["sha256"], batch=batch, **more)


LOADERS = {"model.stablehlo": load_stablehlo, "model-1.executable": load_program, "model.onnx": load_onnx}


def drawn(tree, seed=1):
    """Weights and statistics that are not those of the start."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        spread = math.sqrt(2 / math.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
        return spread * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, tree)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of one checkpoint, step 7."""
    folder = tmp_path_factory.mktemp("run")
    config = small(data__image_size=SIZE, model__dtype="float32")
    save_run_config(config, folder)
    facts = {"dataset": "toy", "fingerprint": "f00d", "scheme": "custom-5", "num_landmarks": K}
    written(folder / "run.json", facts)
    model, tx = build_model(config.model, K), optimiser(config.optim, 1)
    state = abstract(model, tx, config, make_mesh(MeshConfig(data=1)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    variables = drawn({"params": state.params, "batch_stats": state.batch_stats})
    checkpoints = Checkpoints(folder)
    checkpoints.save("latest", jax.device_put(zeros.replace(step=np.int32(7), **variables)), {})
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def exported(workdir):
    """The run in all formats, as the command writes them."""
    assert main([str(workdir), "--batches", "1,3"]) == 0
    return workdir / "export"


@pytest.fixture
def copied(exported, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(exported, tmp_path / "export")


@pytest.fixture(scope="module")
def points(workdir):
    """What the Flax model says, not folded."""
    trained = TrainedRun.open(workdir)
    model = build_model(trained.config.model, K)
    found = jax.jit(lambda v, x: model.apply(v, x / 255.0, train=False)[-1])(
        trained.variables, IMAGES.astype(np.float32)
    )
    assert trained.step == 7 and np.ptp(found) > 0.1
    return np.asarray(found)


@pytest.mark.quick
def test_every_format_gives_the_points_of_flax(workdir, exported, points):
    # Rounding, magnified by the steep head: 2.4e-5 on an AMD EPYC, below 2e-5 on an Intel Xeon.
    rounding = 4e-5
    for load in (load_stablehlo, load_onnx):
        predict = load(exported, workdir=workdir)
        for count in (1, 3):
            found = predict(IMAGES[:count])
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, points[:count], atol=rounding)
    for batch in (1, 3):
        found = load_program(exported, batch=batch, workdir=workdir)(IMAGES[:batch])
        np.testing.assert_allclose(found, points[:batch], atol=rounding)


def test_jaxs_cache_on_disk_does_no_harm(tmp_path):
    settings = {"jax_compilation_cache_dir": str(tmp_path), "jax_persistent_cache_min_compile_time_secs": 0.0}
    before = {name: getattr(jax.config, name) for name in settings}
    images = np.ones((1, 4, 4, 3), np.uint8)
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        for _ in range(2):  # what the first leaves in the cache is what the second would find there
            jax.clear_caches()
            content = executable.serialise(lambda w, x: jnp.sin(w * x) / (w + x**3) - x, jnp.float32(2), 4, 1)
            np.testing.assert_allclose(executable.deserialise(content)(images), np.sin(2) / 3 - 1, rtol=1e-6)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def test_the_manifest_says_what_the_files_are(exported):
    about = manifest.read(exported)
    programs = {"model-1.executable", "model-3.executable"}
    programs |= {f"model{form}.{kind}" for form in ("", "-image") for kind in ("stablehlo", "onnx")}
    assert set(about["files"]) == {*programs, "run_stablehlo.py", "run_onnx.py"}
    assert {path.name for path in exported.iterdir()} == {*about["files"], "manifest.json"}
    assert (about["scheme"], about["crop"], about["image_size"], about["step"]) == ("custom-5", "pipnet", SIZE, 7)
    assert about["versions"]["jax"] == jax.__version__ and about["machine"]["platform"] == "cpu"
    for name, entry in about["files"].items():
        assert name not in programs or 0 <= entry["largest_difference"] < 2e-5
        assert entry["bytes"] == (exported / name).stat().st_size


def test_stablehlo_is_for_three_platforms(exported):
    program = jax.export.deserialize(bytearray((exported / stablehlo.NAME).read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert str(program.in_avals[0]) == f"uint8[B,{SIZE},{SIZE},3]" and str(program.out_avals[0]) == f"float32[B,{K},2]"


@pytest.mark.parametrize("name", LOADERS)
def test_an_altered_byte_is_refused(copied, name):
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: its SHA-256 is .*changed, or of another export; write it anew"):
        LOADERS[name](copied)


def altered(folder, change):
    about = json.loads((folder / "manifest.json").read_text())
    change(about)
    written(folder / "manifest.json", about)
    return folder


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("versions", "jax", "0.9.0", rf"jax 0\.9\.0, here {jax.__version__}"),
        ("versions", "jaxlib", "0.9.0", r"jaxlib 0\.9\.0, here "),
        ("machine", "device", "TPU v5e", "device TPU v5e, here cpu"),
        ("machine", "instructions", ["avx9"], "a processor with avx9"),
    ],
)
def test_an_executable_of_another_machine_is_refused(copied, part, name, value, said):
    altered(copied, lambda about: about[part].update({name: value}))
    with pytest.raises(ValueError, match=rf"model-1.executable: compiled for another machine \({said}.*write it anew"):
        load_program(copied)
    assert load_onnx(copied)(IMAGES).shape == (3, K, 2)  # which do not depend on it
    if part == "versions":
        assert load_stablehlo(copied)(IMAGES).shape == (3, K, 2)


def test_files_of_another_run_are_refused(workdir, copied, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "run.json"):
        shutil.copy(workdir / name, other)
    config = load_run_config(other)
    config.seed, config.loop.log_steps = 3, 99  # how often a run speaks does not make it another
    save_run_config(config, other)
    for load in LOADERS.values():
        with pytest.raises(ValueError, match=r"of another run than .*other \(seed: 0 exported, 3 there\); write it"):
            load(copied, workdir=other)
    config.seed = 0
    save_run_config(config, other)
    written(other / "run.json", json.loads((other / "run.json").read_text()) | {"fingerprint": "beef"})
    with pytest.raises(ValueError, match="fingerprint: 'f00d' exported, 'beef' there"):
        load_onnx(copied, workdir=other)


def test_an_onnx_file_of_another_run_is_refused(workdir, copied):
    trained = TrainedRun.open(workdir)
    _, weights = make_inference(trained.config.model, K, drawn(trained.variables, seed=2))
    (copied / "model.onnx").write_bytes(runtime.serialise(trained.config.model, K, SIZE, weights))
    with pytest.raises(ValueError, match=r"model\.onnx: its SHA-256 is .*of another export"):
        load_onnx(copied)


def test_what_is_not_there_is_named(copied, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: nothing is exported there; write it anew: python -m"):
        load_onnx(tmp_path)
    with pytest.raises(ValueError, match=r"model-8\.executable: not exported; there are .*model-3\.executable"):
        load_program(copied, batch=8)
    (copied / "model.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.onnx: gone since it was exported"):
        load_onnx(copied)
    (copied / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: this is no JSON"):
        load_stablehlo(copied)


def test_images_that_do_not_fit_are_named(exported):
    with pytest.raises(ValueError, match=r"images are float32 \[3, 64, 64, 3\]; this program takes uint8 \[B, 64, 64"):
        load_onnx(exported)(IMAGES.astype(np.float32))
    with pytest.raises(ValueError, match=r"images are uint8 \[2, 64, 64, 3\]; .* \[3, 64, 64, 3\]"):
        load_program(exported, batch=3)(IMAGES[:2])
    with pytest.raises(ValueError, match=r"takes uint8 \[B, 64, 64, 3\]"):
        load_stablehlo(exported)(IMAGES[:, :32])


def test_a_file_that_differs_from_flax_is_not_kept(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr("barrel_jax.onnx.network.MEAN", (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"model\.onnx: its points differ from Flax's by .* nothing is written"):
        export(TrainedRun.open(workdir), tmp_path / "out", ("onnx",))
    assert not (tmp_path / "out").exists()


def test_a_new_export_takes_the_place_of_the_old_and_of_nothing_else(workdir, copied, tmp_path):
    """Whatever the old manifest names, and if it is none."""
    kept = [tmp_path / "mine.txt", copied / "notes.executable", copied / "model-01.executable"]
    for path in kept:
        path.touch()
    names = [str(kept[0]), "../mine.txt", "notes.executable", "model-01.executable"]
    altered(copied, lambda about: about["files"].update({name: {"sha256": ""} for name in names}))
    with pytest.raises(
        ValueError, match=r"manifest\.json: it names '.*mine\.txt', which no export writes; write it anew"
    ):
        load_onnx(copied)
    trained = TrainedRun.open(workdir)
    export(trained, copied, ("onnx",))
    written_now = {"model.onnx", "model-image.onnx", "run_onnx.py", "manifest.json"}
    assert {path.name for path in copied.iterdir()} == {*written_now, kept[1].name, kept[2].name}
    assert kept[0].exists()
    (copied / "manifest.json").write_text("{")
    export(trained, copied, ("onnx",))
    assert load_onnx(copied)(IMAGES).shape == (3, K, 2)


@pytest.mark.quick
def test_no_images_give_no_points_in_every_format(exported):
    none = IMAGES[:0]
    for load in LOADERS.values():
        points = load(exported)(none)
        assert points.shape == (0, K, 2) and points.dtype == np.float32
    # And by those who have the file alone.
    assert runtime.deserialise((exported / "model.onnx").read_bytes())(none).shape == (0, K, 2)


def test_a_forged_executable_does_not_run(copied, tmp_path):
    """The forger writes the manifest too; the digest that the caller kept is of the real one."""
    kept = manifest.read(copied)["files"]["model-1.executable"]["sha256"]
    load_executable(copied, sha256=kept)

    class Forged:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    content = pickle.dumps(Forged())
    (copied / "model-1.executable").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    altered(copied, lambda about: about["files"]["model-1.executable"].update(sha256=digest))
    with pytest.raises(ValueError, match=f"its SHA-256 is {digest[:12]}, and {kept[:12]} was asked for"):
        load_executable(copied, sha256=kept)
    with pytest.raises(ValueError, match=r"trusted like code: give sha256=, the 64 digits .* not ''"):
        load_executable(copied, sha256="")
    assert not (tmp_path / "ran").exists()


def outside(model):
    """The first of the network's tensors is taken out of secret.bin in the working folder."""
    tensor = model.graph.initializer[0]
    Path("secret.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")


def outside_in_a_branch(model):
    branch = model.graph.node[0].attribute.add(name="then_branch", type=5)
    branch.g.initializer.add(name="w", data_type=1, dims=[1]).external_data.add(key="location", value="secret.bin")


def foreign(model):
    model.graph.node[0].op_type, model.graph.node[0].domain = "EPContext", "com.microsoft"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (outside, "a tensor's numbers are in another file"),
        (outside_in_a_branch, "a tensor's numbers are in another file"),
        (foreign, "it has an operator 'EPContext' of 'com.microsoft'"),
        (lambda model: setattr(model.graph.node[0], "op_type", "Nothing"), "ONNX Runtime does not take it"),
    ],
)
def test_a_forged_onnx_reads_nothing_beside_itself(copied, tmp_path, monkeypatch, change, said):
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    model = onnx.load(copied / "model.onnx")
    change(model)
    content = model.SerializeToString()
    (copied / "model.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    altered(copied, lambda about: about["files"]["model.onnx"].update(sha256=digest))
    with pytest.raises(ValueError, match=rf"model\.onnx: this is no network of an export: {said}"):
        load_onnx(copied)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[]",
        "{}",
        '{"files": []}',
        '{"files": {"model.onnx": 3}}',
        '{"files": {}, "machine": []}',
        "\udce9",
    ],
)
def test_a_manifest_that_is_none_is_named_in_one_line(copied, content):
    (copied / "manifest.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"manifest\.json: this is no (JSON|manifest).* write it anew"):
        load_onnx(copied)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"stride": 8, "decoder_layers": 2, "qamem_layers": 2}, 72),
        (
            {"backbone": "small_bottlenecks", "stride": 16, "encoder_layers": 1, "dqinit": False, "decoder_layers": 2},
            64,
        ),
        ({"backbone": "resnet10", "stride": 16}, 64),
        ({"backbone": "resnet10", "dqinit_rank": 3, "qamem_rank": 5, "qamem_layers": 2}, 64),
        (
            {"backbone": "resnet10", "stride": 16, "decoder_layers": 2, "reference_points": True, "uncertainty": True},
            64,
        ),
        ({"backbone": "small_hrnet", "stride": 4, "qamem_layers": 0}, 64),
        ({"decoder_layers": 0, "qamem_layers": 0, "dqinit": False}, 64),
    ],
)
def test_onnx_is_written_for_every_part_of_the_model(fields, size, monkeypatch):
    plans.add_small_backbones(monkeypatch)
    config = ModelConfig(**{"width": 32, "heads": 4, "feedforward": 48, "dtype": "float32", **fields})
    model = build_model(config, K)
    shapes = shapes_of(model, size)
    predict, weights = make_inference(config, K, drawn(shapes))
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    quick = {"xla_backend_optimization_level": "0"}
    expected = jax.jit(predict, compiler_options=quick)(weights, images)
    found = runtime.deserialise(runtime.serialise(config, K, size, weights))(images)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4 if config.decoder_layers else 1e-4 * np.ptp(expected))


def status(*arguments):
    try:
        return main(list(arguments))
    except SystemExit as wrong_usage:
        return wrong_usage.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--formats", "onnx,tflite"], "formats 'tflite': choose from stablehlo, executable, onnx, packed"),
        (["--batches", "0"], "positive numbers"),
        (["--checkpoint", "9"], "no checkpoint '9' in this run; --checkpoint can be: latest at step 7"),
    ],
)
def test_wrong_arguments_are_named(workdir, arguments, said, capsys):
    assert status(str(workdir), *arguments) == (2 if arguments[0] == "--batches" else 1)
    assert said in capsys.readouterr().err


def test_the_command_that_serves_a_page_can_be_pasted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("barrel_jax.export.write.export", lambda *_: {"files": {}})
    monkeypatch.setattr("barrel_jax.export.webpage.write_page", lambda *_: None)
    page = str(tmp_path / "my page")
    assert main(["small", "--out", str(tmp_path / "out"), "--web", page]) == 0
    assert f"{page}: a page; python -m http.server -d '{page}', then" in capsys.readouterr().out


def test_a_folder_without_a_run_is_named(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "config.json: no run there" in capsys.readouterr().err
