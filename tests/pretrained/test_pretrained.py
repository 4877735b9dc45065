# SPDX-License-Identifier: Apache-2.0
"""Weights files: PyTorch's numbers once loaded, both ways without loss, found and fetched, refused with their fault."""

import hashlib
import os
import pickle
import re
import sys
import threading
import zipfile
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.kit.needs_torch import torch

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from torch import nn

from barrel_jax.backbones import BACKBONES
from barrel_jax.config import MeshConfig, load_run_config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.models.backbone import make_backbone
from barrel_jax.models.build import build_model
from barrel_jax.pretrained import backbone as pretrained
from barrel_jax.pretrained import imagenet, state_dicts
from barrel_jax.pytorch import hrnet as torch_hrnet
from barrel_jax.pytorch import weights as torch_weights
from barrel_jax.pytorch.resnet import ResNet
from barrel_jax.training import loop, steps
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.dispatch import Resident
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract
from data.prepare import prepare_config
from tests.kit import hrnet_reference, in_use, small
from tests.kit import torch_reference as reference


@cache
def resnet18():
    return reference.randomise(ResNet("resnet18", 32), seed=1)


def with_classifier(model, features=512):
    """The state dict as torchvision publishes it."""
    fc = nn.Linear(features, 1000)
    return dict(model.state_dict()) | {"fc.weight": fc.weight, "fc.bias": fc.bias}


def saved(path, weights):
    (save_file if path.suffix == ".safetensors" else torch.save)(weights, path)
    return path


@pytest.mark.parametrize(
    ("layout", "published"),
    [
        ("resnet10_w16", 438_456),
        ("resnet10", 5_418_792),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
    ],
)
def test_torchvisions_state_dicts_fit(tmp_path, layout, published):
    """Names, shapes and counts as published; the numbers where the PyTorch model's own conversion puts them."""
    model = ResNet(layout, 32)
    weights = with_classifier(model, model.channels)
    counted = [tensor for name, tensor in weights.items() if not re.search("running|num_batches", name)]
    assert sum(tensor.numel() for tensor in counted) == published
    read = pretrained.read_backbone(saved(tmp_path / "weights.pth", weights), layout)
    chex.assert_trees_all_equal(read, torch_weights.to_flax(model))


def test_timms_state_dict_fits(tmp_path):
    model, classifier = torch_hrnet.HRNet(), hrnet_reference.Classifier()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_var.uniform_()
    path = saved(tmp_path / "model.safetensors", dict(model.state_dict()) | dict(classifier.state_dict()))
    read = pretrained.read_backbone(path, "hrnet_w18")
    for ours, name in (
        (read["params"]["stem2"]["conv"]["kernel"], "conv2.weight"),
        (read["params"]["layer1_0"]["downsample"]["conv"]["kernel"], "layer1.0.downsample.0.weight"),
        (read["batch_stats"]["transition1_1_0"]["norm"]["var"], "transition1.1.0.1.running_var"),
        (read["params"]["stage3_2"]["branch1_3"]["conv2"]["conv"]["kernel"], "stage3.2.branches.1.3.conv2.weight"),
        (read["params"]["stage4_0"]["fuse0_3"]["conv"]["kernel"], "stage4.0.fuse_layers.0.3.0.weight"),
        (read["batch_stats"]["stage4_1"]["fuse3_0_2"]["norm"]["var"], "stage4.1.fuse_layers.3.0.2.1.running_var"),
    ):
        theirs = model.state_dict()[name]
        np.testing.assert_array_equal(ours, theirs.permute(2, 3, 1, 0) if theirs.ndim == 4 else theirs)


@pytest.mark.parametrize(
    ("layout", "stride", "norm"),
    [("resnet18", 32, "batch"), ("resnet18", 16, "frozen"), ("resnet18", 8, "batch"), ("resnet50", 16, "frozen")],
)
def test_features_with_loaded_weights_are_pytorchs(tmp_path, layout, stride, norm):
    model = reference.randomise(ResNet(layout, stride), seed=stride)
    variables = pretrained.read_backbone(saved(tmp_path / "weights.pth", with_classifier(model)), layout)
    x = np.random.default_rng(0).standard_normal((1, 64, 96, 3)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    network = make_backbone(layout, stride, norm, jnp.float32)
    features = jax.jit(network.apply, static_argnames="train")(variables, x, train=False)
    assert features.shape[1:3] == (-(-64 // stride), -(-96 // stride)) and expected.std() > 0.3
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_there_and_back_again_is_the_same_and_pytorch_takes_it(tmp_path, suffix):
    variables = torch_weights.to_flax(resnet18())
    pretrained.write_backbone(tmp_path / f"export{suffix}", jax.tree.map(jnp.asarray, variables))
    chex.assert_trees_all_equal(pretrained.read_backbone(tmp_path / f"export{suffix}", "resnet18"), variables)
    load = load_file if suffix == ".safetensors" else partial(torch.load, weights_only=True)
    model = ResNet("resnet18", 32)
    model.load_state_dict(load(tmp_path / f"export{suffix}"), strict=True)
    for name, tensor in resnet18().state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(model.state_dict()[name], tensor), name


def test_hrnet_there_and_back_again(tmp_path):
    shapes = pretrained._abstract("hrnet_w18")
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.standard_normal(leaf.shape, np.float32), shapes)
    pretrained.write_backbone(tmp_path / "export.pth", variables)
    chex.assert_trees_all_equal(pretrained.read_backbone(tmp_path / "export.pth", "hrnet_w18"), variables)
    torch_hrnet.HRNet().load_state_dict(torch.load(tmp_path / "export.pth", weights_only=True), strict=True)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_float_types_become_float32(tmp_path, kind, suffix):
    weights = {
        name: tensor.to(kind) if tensor.is_floating_point() else tensor
        for name, tensor in resnet18().state_dict().items()
    }
    read = pretrained.read_backbone(saved(tmp_path / f"weights{suffix}", weights), "resnet18")
    stem = read["params"]["stem"]["conv"]["kernel"]
    assert {leaf.dtype for leaf in jax.tree.leaves(read)} == {np.dtype("float32")}
    np.testing.assert_array_equal(stem, weights["conv1.weight"].float().permute(2, 3, 1, 0))


def test_every_fault_of_names_is_listed(tmp_path):
    weights = with_classifier(resnet18())
    weights["bn1.running_mean"] = weights["bn1.running_mean"][:3]
    weights["layer1.0.conv1.weight"] = weights["layer1.0.conv1.weight"].int()
    del weights["layer2.0.bn1.bias"], weights["layer4.1.conv2.weight"]
    weights |= {"head.weight": torch.ones(1), "fc.scale": torch.ones(1), "bn9.num_batches_tracked": torch.ones(1)}
    with pytest.raises(ValueError, match="not the weights of resnet18") as caught:
        pretrained.read_backbone(saved(tmp_path / "weights.pth", weights), "resnet18")
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/weights.pth: these are not the weights of resnet18: 2 missing, 3 extra, 2 of another shape",
        "missing: layer2.0.bn1.bias, layer4.1.conv2.weight",
        "extra: head.weight, fc.scale, bn9.num_batches_tracked",
        "of another shape: bn1.running_mean (3,) float32 for (64,), "
        "layer1.0.conv1.weight (64, 64, 3, 3) int32 for (64, 64, 3, 3)",
    ]


@pytest.mark.parametrize("expected", ["resnet10", "resnet34", "resnet101", "hrnet_w18"])
def test_another_architecture_is_named(tmp_path, expected):
    path = saved(tmp_path / "weights.pth", with_classifier(resnet18()))
    with pytest.raises(ValueError, match=f"weights of resnet18, and config.model.backbone is '{expected}'; set") as e:
        pretrained.read_backbone(path, expected)
    assert "\n" not in str(e.value)


def test_hrnets_are_told_from_resnets(tmp_path):
    path = saved(tmp_path / "weights.safetensors", dict(torch_hrnet.HRNet().state_dict()))
    with pytest.raises(ValueError, match=r"weights of hrnet_w18, and config\.model\.backbone is 'resnet18'"):
        pretrained.read_backbone(path, "resnet18")


class Code:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("written", ["zipped", "legacy", "pickled"])
def test_a_pickle_that_wants_to_run_code_does_not(tmp_path, written, protocol):
    path, marker = tmp_path / "weights.pth", tmp_path / "ran"
    weights = {"conv1.weight": torch.ones(64, 3, 7, 7), "extra": Code(str(marker))}
    if written == "pickled":
        path.write_bytes(pickle.dumps({"extra": weights["extra"]}, protocol))
    else:
        torch.save(weights, path, pickle_protocol=protocol, _use_new_zipfile_serialization=written == "zipped")
    with pytest.raises(ValueError, match=r"weights.pth: refused, its pickle wants to run code \(posix.mkdir\)") as e:
        pretrained.read_backbone(path, "resnet18")
    assert "\n" not in str(e.value) and not marker.exists()


def test_a_pickled_module_is_not_a_state_dict(tmp_path):
    path = saved(tmp_path / "weights.pth", nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match=r"wants to run code \(torch.nn.modules.conv.Conv2d\)"):
        pretrained.read_backbone(path, "resnet18")


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_numbers_that_are_not_finite(tmp_path, number, suffix):
    weights = {name: tensor.clone() for name, tensor in resnet18().state_dict().items()}
    weights["layer3.0.bn2.running_var"][7] = number
    path = saved(tmp_path / f"weights{suffix}", weights)
    with pytest.raises(ValueError, match=r"layer3.0.bn2.running_var holds NaN or infinite numbers") as e:
        pretrained.read_backbone(path, "resnet18")
    assert "\n" not in str(e.value)
    weights["bn1.bias"][0] = number
    with pytest.raises(ValueError, match=r"bn1.bias and 1 more holds|running_var and 1 more holds"):
        pretrained.read_backbone(saved(path, weights), "resnet18")


def repacked(path, change):
    """The archive of a .pth with `change(name, content)` -> (content, compression) for each part."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            content, packing = change(name, content)
            archive.writestr(name, content, packing)
    return path


def test_what_unpacks_to_more_than_its_file_is_refused(tmp_path):
    path = saved(tmp_path / "weights.pth", {"weight": torch.zeros(10_000_000)})
    repacked(path, lambda name, content: (content, zipfile.ZIP_DEFLATED if "/data/" in name else zipfile.ZIP_STORED))
    assert path.stat().st_size < 100_000 and len(torch.load(path)["weight"]) == 10_000_000  # PyTorch unpacks it
    with pytest.raises(ValueError, match=r"it unpacks to 40,\d+,\d+ bytes, as no file of PyTorch does"):
        state_dicts.read_state_dict(path)


@pytest.mark.parametrize("weight", [torch.zeros(1, dtype=torch.half).expand(90_000, 90_000), torch.eye(9).to_sparse()])
def test_a_tensor_that_is_more_than_its_file_is_refused(tmp_path, weight):
    path = saved(tmp_path / "weights.pth", {"weight": weight})
    with pytest.raises(
        ValueError, match=r"weights\.pth: its tensors claim [\d,]+ bytes, and the file has [\d,]+; save them dense"
    ):
        state_dicts.read_state_dict(path)


def test_bfloat16_is_read_and_numbers_that_numpy_does_not_have_are_named(tmp_path):
    path = saved(tmp_path / "weights.safetensors", {"weight": torch.ones(3).to(torch.bfloat16)})
    assert state_dicts.read_state_dict(path)["weight"].dtype == np.float32
    saved(path, {"weight": torch.ones(3).to(torch.float8_e4m3fn)})
    with pytest.raises(ValueError, match=r"weights\.safetensors: .* plain numbers, such as float32 \(.*float8_e4m3fn"):
        state_dicts.read_state_dict(path)


def test_a_head_that_claims_more_than_the_file_has_is_refused(tmp_path):
    head = b'{"w": {"dtype": "F32", "shape": [60000, 60000], "data_offsets": [0, 14400000000]}}'
    for length in (len(head), 1 << 40):
        (tmp_path / "w.safetensors").write_bytes(length.to_bytes(8, "little") + head)
        with pytest.raises(ValueError, match=r"w\.safetensors: cut short, or not a safetensors file"):
            state_dicts.read_state_dict(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".legacy.pth", ".safetensors"])
def test_files_that_are_cut_short_or_something_else(tmp_path, suffix):
    path, weights = tmp_path / f"weights{suffix}", {"conv1.weight": torch.ones(64, 3, 7, 7)}
    if suffix == ".legacy.pth":
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    else:
        saved(path, weights)
    whole = path.read_bytes()
    contents = [whole[: len(whole) * part // 10] for part in range(10)] + [whole[:-1], b"<html>404</html>", b"\x80\x02"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(f"{path}: cut short, or not a")) as e:
            state_dicts.read_state_dict(path)
        assert "\n" not in str(e.value) and str(e.value).endswith("; copy or fetch it anew")


def test_what_is_no_state_dict(tmp_path):
    for content in ({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, [torch.ones(1)], torch.ones(1)):
        path = saved(tmp_path / "weights.pth", content)
        with pytest.raises(ValueError, match=r"that is no state dict .*; save what the model's state_dict\(\) gives"):
            pretrained.read_backbone(path, "resnet18")
    for call in (pretrained.read_backbone, lambda path, _: pretrained.write_backbone(path, {})):
        with pytest.raises(ValueError, match=r"weights.npz: weights are"):
            (tmp_path / "weights.npz").touch()
            call(tmp_path / "weights.npz", "resnet18")
    (tmp_path / "w.json").write_text("{}")
    with pytest.raises(ValueError, match=r"w\.json: weights are read from .*; give one, or a run's folder"):
        pretrained.load(str(tmp_path / "w.json"), "resnet18")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth: there is no such weights file"):
        pretrained.load(str(tmp_path / "nowhere.pth"), "resnet18")


def test_safetensors_need_no_pytorch(tmp_path, monkeypatch):
    path = saved(tmp_path / "weights.safetensors", dict(resnet18().state_dict()))
    expected = torch_weights.to_flax(resnet18())
    (tmp_path / "weights.pth").touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    chex.assert_trees_all_equal(pretrained.read_backbone(path, "resnet18"), expected)
    with pytest.raises(ValueError, match=r".pth files need PyTorch; pip install"):
        pretrained.read_backbone(tmp_path / "weights.pth", "resnet18")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and below /half/ the first half of each of its files."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        if not self.path.startswith("/half/"):
            return super().do_GET()
        content = (Path(self.directory) / self.path.removeprefix("/half/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return self.wfile.write(content[: len(content) // 2])


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Addresses on this machine in the place of the public ones, and an empty cache; gives (address, cache)."""
    folder = tmp_path / "server"
    folder.mkdir()
    # Before PyTorch 1.6, as timm's was, files were no zip archives.
    torch.save(with_classifier(resnet18()), folder / "weights.pth", _use_new_zipfile_serialization=False)
    name = f"resnet18-{hashlib.sha256((folder / 'weights.pth').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "weights.pth").rename(folder / name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/{name}"
    monkeypatch.setitem(imagenet.ADDRESSES, "resnet18", address)
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path / "cache"))
    yield address, tmp_path / "cache" / "weights"
    server.shutdown()
    server.server_close()
    thread.join()


def test_imagenet_is_fetched_once(published, capsys):
    address, cached = published
    chex.assert_trees_all_equal(pretrained.load("imagenet", "resnet18"), torch_weights.to_flax(resnet18()))
    (file,) = cached.iterdir()
    assert file.name == address.rpartition("/")[2]
    assert f"fetching {address} to {file}" in capsys.readouterr().out
    pretrained.load("imagenet", "resnet18")
    assert "fetching" not in capsys.readouterr().out


def test_a_fetched_file_must_have_the_sha256_of_its_name(published, monkeypatch):
    address, cached = published
    name = address.rpartition("/")[2]
    monkeypatch.setitem(imagenet.ADDRESSES, "resnet18", address.replace(f"/{name}", f"/half/{name}"))
    with pytest.raises((ValueError, FileNotFoundError), match=f"{name}.*(was cut short|cannot be fetched)"):
        imagenet.find_weights("resnet18")
    assert not any(cached.iterdir())
    (cached / name).write_bytes(b"not these")
    with pytest.raises(
        ValueError, match=rf"{cached / name}: its SHA-256 begins with [0-9a-f]{{8}}, not [0-9a-f]{{8}}: delete it"
    ):
        imagenet.find_weights("resnet18")


def test_without_a_network_the_address_and_the_place_are_said(published, monkeypatch):
    address, cached = published
    for broken in (address.replace("/resnet18", "/nowhere/resnet18"), "http://127.0.0.1:1/resnet18-01234567.pth"):
        monkeypatch.setitem(imagenet.ADDRESSES, "resnet18", broken)
        place = cached / broken.rpartition("/")[2]
        with pytest.raises(FileNotFoundError, match=f"{broken} cannot be fetched .* put it at {place}, or give"):
            imagenet.find_weights("resnet18")
        assert not any(cached.iterdir())


def test_every_backbone_but_the_two_small_ones_has_an_address_with_a_sha256():
    assert set(imagenet.ADDRESSES) == set(BACKBONES) - {"resnet10", "resnet10_w16"}
    with pytest.raises(ValueError, match=r"none are published for resnet10, only for resnet18, .*PATH, or ''"):
        pretrained.load("imagenet", "resnet10")
    for address in imagenet.ADDRESSES.values():
        assert re.fullmatch(r"https://\S+-[0-9a-f]{8}\.pth", address)


def last_state(workdir):
    config = load_run_config(workdir)
    shape = (build_model(config.model, 29), optimiser(config.optim, 6), config, make_mesh(MeshConfig(data=1)))
    checkpoints = Checkpoints(workdir)
    state = jax.device_get(checkpoints.restore("latest", checkpoints.steps("latest")[-1], abstract(*shape)))
    checkpoints.close()
    return state


def test_a_run_starts_from_a_file_and_goes_on_without_it(tmp_path, monkeypatch, capsys):
    """Frozen and not trained, the backbone and its moving average are the file's to the end, bit for bit."""
    options = {"xla_backend_optimization_level": 1} | in_use.emitters()
    monkeypatch.setattr(steps, "graph_options", lambda platform: options)
    model, workdir = reference.randomise(ResNet("resnet10_w16", 32), seed=1), tmp_path / "run"
    path = saved(tmp_path / "weights.pth", with_classifier(model))
    config = small.config(mesh__data=1, pretrained=str(path), model__norm="frozen", optim__ema_decay=0.5)
    config.optim.backbone_multiplier, config.loop.eval_epochs, config.loop.save_steps = 0.0, 2, 6
    config.model.decoder_layers, config.model.dqinit, config.model.qamem_layers = 0, False, 0
    directory = prepare_config(config.data)
    advance = Resident.advance

    def stops_at(last):
        def stopping(trainer, state, most):
            if int(state.step) == last:
                raise KeyboardInterrupt
            return advance(trainer, state, most)

        return stopping

    for last in (0, 7):  # the first time before there is a checkpoint
        monkeypatch.setattr(Resident, "advance", stops_at(last))
        with pytest.raises(KeyboardInterrupt):
            loop.train(config, workdir, directory)
        assert f"backbone from {path}; 12 steps" in capsys.readouterr().out
    path.unlink()
    monkeypatch.setattr(Resident, "advance", advance)
    loop.train(config, workdir, directory)
    printed = capsys.readouterr().out
    assert "backbone from" not in printed and "going on from step 6 of 12" in printed
    state, expected = last_state(workdir), torch_weights.to_flax(model)
    assert int(state.step) == 12
    for trained in ({"params": state.params, "batch_stats": state.batch_stats}, state.ema):
        chex.assert_trees_all_equal({kind: tree["backbone"] for kind, tree in trained.items()}, expected)


def test_a_wrong_file_leaves_no_run_behind_and_is_said_before_a_set_is_built(tmp_path):
    config, built = small.config(mesh__data=1, pretrained=str(tmp_path / "nowhere.pth")), []
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        loop.train(config, tmp_path / "run", lambda: built.append(1))
    assert not (tmp_path / "run").exists() and not built
