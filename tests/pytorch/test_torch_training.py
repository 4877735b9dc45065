# SPDX-License-Identifier: Apache-2.0
"""The opponent of the training benchmark: its augmentation keeps points on pixels, its step learns, both are timed."""

import dataclasses
import functools
import json
from dataclasses import replace

from tests.kit.needs_torch import torch

import cv2
import numpy as np
import pytest

from barrel_jax.benchmark.__main__ import main
from barrel_jax.benchmark.infer import random_variables
from barrel_jax.benchmark.train import Training, compare_losses, make_steps
from barrel_jax.config import AugmentConfig, Config, ModelConfig, OptimConfig
from barrel_jax.pytorch import training as torch_training
from barrel_jax.pytorch.augment import AugmentedFaces, augment
from barrel_jax.pytorch.barrelnet import build_model
from barrel_jax.pytorch.training import make_loader, make_step, parameter_groups

SIZE, N = 64, 24
GEOMETRY = AugmentConfig(translate_prob=0.9, flip_prob=0.5, rotate_prob=0.9, occlude_prob=0.0, blur_prob=0.0,
                         grey_prob=0.0)  # fmt: skip
TURNS = replace(GEOMETRY, translate=0.25, translate_prob=1.0, flip_prob=0.0, rotate_prob=1.0)


def dots(low=0.35, high=0.65, count=N):
    """A soft white dot in each black image, and where it is in crop units [n, 1, 2]."""
    points = np.random.default_rng(0).uniform(low, high, (count, 1, 2)).astype(np.float32)
    grid = np.stack(np.meshgrid(*[(np.arange(SIZE) + 0.5) / SIZE] * 2), -1)
    distance = np.linalg.norm(grid[None] - points[:, :, None], axis=-1) * SIZE
    return np.repeat((255 * np.exp(-((distance / 2) ** 2)))[..., None], 3, -1).astype(np.uint8), points


def centre(pixels):
    """Centres of brightness of [n, S, S] in crop units, [n, 2]."""
    axis = (np.arange(SIZE) + 0.5) / SIZE
    total = pixels.sum((1, 2))
    return np.stack([(pixels.sum(1) * axis).sum(1) / total, (pixels.sum(2) * axis).sum(1) / total], -1)


def test_points_stay_on_their_pixels_on_the_device():
    torch.manual_seed(0)
    images, points = map(torch.from_numpy, dots())
    moved, where = augment(images, points, torch.tensor([0]), GEOMETRY)
    assert (where - points).abs().max() > 0.05
    np.testing.assert_allclose(centre(moved[:, 0].numpy()), where[:, 0].numpy(), atol=0.5 / SIZE)


def test_points_stay_on_their_pixels_in_the_workers():
    torch.manual_seed(0)
    images, points = dots()
    faces = AugmentedFaces(images, points, (0,), GEOMETRY)
    moved, where = map(np.stack, zip(*(map(np.asarray, faces[index]) for index in range(N)), strict=True))
    assert np.abs(where - points).max() > 0.05
    np.testing.assert_allclose(centre(moved[..., 0].astype(float)), where[:, 0], atol=0.5 / SIZE)


@pytest.mark.parametrize("where", ["on the device", "in the workers"])
def test_points_that_come_back_into_view_are_where_they_are_seen(where):
    """As in the JAX step: what a shift carries over the edge, a turn may bring back."""
    torch.manual_seed(0)
    images, points = dots(0.88, 0.95, 200)
    if where == "on the device":
        moved, labels = (
            part.numpy() for part in augment(*map(torch.from_numpy, (images, points)), torch.tensor([0]), TURNS)
        )
        moved = moved[:, 0]
    else:
        faces = AugmentedFaces(images, points, (0,), TURNS)
        moved, labels = map(np.stack, zip(*(map(np.asarray, faces[index]) for index in range(200)), strict=True))
        moved = moved[..., 0] / 255
    inside = (np.abs(labels[:, 0] - 0.5) < 0.5 - 4 / SIZE).all(-1) & (moved.sum((1, 2)) > 10)
    assert inside.sum() > 20
    np.testing.assert_allclose(centre(moved[inside].astype(float)), labels[inside, 0], atol=0.5 / SIZE)


@pytest.mark.parametrize("where", ["on the device", "in the workers"])
def test_no_patch_reaches_the_strip_at_the_right_and_bottom(where):
    """It lies where the shift has brought the face, as in the JAX step."""
    torch.manual_seed(0)
    images, points = np.zeros((400, SIZE, SIZE, 3), np.uint8), np.full((400, 1, 2), 0.5, np.float32)
    patches = AugmentConfig(
        translate_prob=1.0, occlude_prob=1.0, occlude_margin=0.25, flip_prob=0, rotate_prob=0, blur_prob=0, grey_prob=0
    )
    if where == "on the device":
        seen = augment(*map(torch.from_numpy, (images, points)), torch.tensor([0]), patches)[0].amax(1).numpy()
    else:
        faces = AugmentedFaces(images, points, (0,), patches)
        seen = np.stack([faces[index][0].numpy().max(-1) for index in range(400)])
    for axis in (1, 2):
        reached = np.flatnonzero((seen > 0.02).any((0, axis)))
        assert reached.max() + 1 == pytest.approx(0.75 * SIZE, abs=1.5) and reached.min() == 0


def test_what_is_not_pipnets_is_refused():
    images, points = dots()
    for fields in ({"scale_prob": 0.5, "scale": 0.1}, {"box_prob": 0.5}):
        said = f"augment.{next(iter(fields))}=0.5: PyTorch's augmentation here is PIPNet's alone"
        with pytest.raises(ValueError, match=said):
            AugmentedFaces(images, points, (0,), AugmentConfig(**fields))
        with pytest.raises(ValueError, match=said):
            augment(*map(torch.from_numpy, (images, points)), torch.tensor([0]), AugmentConfig(**fields))


def test_everything_that_changes_pixels_alone_leaves_points():
    torch.manual_seed(0)
    images, points = map(torch.from_numpy, dots())
    only = AugmentConfig(translate_prob=0.0, flip_prob=0.0, rotate_prob=0.0, occlude_prob=1.0, blur_prob=1.0)
    changed, where = augment(images, points, torch.tensor([0]), only)
    assert torch.equal(where, points)
    moved = (changed - images.permute(0, 3, 1, 2) / 255).abs().amax((1, 2, 3))
    faces = AugmentedFaces(*map(np.asarray, (images, points)), (0,), only)
    assert all(torch.equal(faces[index][1], points[index]) for index in range(N))
    by_workers = [(faces[index][0].float() / 255 - images[index] / 255).abs().amax() for index in range(N)]
    for differences in (moved, torch.stack(by_workers)):  # a patch may be small and dark, and a blur slight
        assert (differences > 0.05).sum() > 0.8 * N


# Everything that BarrelNet has, and the plain regression for where it does not matter what is trained.
SMALL = {"backbone": "resnet10_w16", "width": 32, "heads": 4, "feedforward": 48, "dropout": 0.0}
PLAIN = SMALL | {"decoder_layers": 0, "dqinit": False, "qamem_layers": 0}


def small(fields=SMALL):
    config = Config(batch_size=8, model=ModelConfig(**fields))
    config.optim.learning_rate = 1e-3
    return config, drawn(**fields)


@functools.cache
def drawn(**fields):
    """Weights of such a model, which no side writes to."""
    return random_variables(ModelConfig(**fields), 1, SIZE)


def test_its_rates_are_those_of_the_optimiser():
    config, _ = small()
    network = build_model(config.model, 3, SIZE)
    optim = OptimConfig(learning_rate=0.1, backbone_multiplier=0.5, query_multiplier=3.0)
    names = {parameter: name for name, parameter in network.named_parameters()}
    rates = {
        round(group["lr"], 4): {".".join(names[one].split(".")[:3]) for one in group["params"]}
        for group in parameter_groups(network, optim)
    }
    assert rates[0.3] == {"query_embed.weight", "dqinit.weight", "dqinit.bias", "decoder.0.qamem"}
    assert {name.split(".")[0] for name in rates[0.05]} == {"backbone"}
    assert {name.split(".")[0] for name in rates[0.1]} == {"input_proj", "decoder", "norm", "head"}
    assert sum(len(group["params"]) for group in parameter_groups(network, optim)) == len(names)


@pytest.mark.parametrize("impl", ["torch-eager", "torch-dataloader"])
def test_its_step_learns(impl, monkeypatch):
    monkeypatch.setattr(torch_training, "usable_cores", lambda: 1)  # each worker imports PyTorch for itself
    torch.manual_seed(0)
    config, variables = small(SMALL | {"backbone": "resnet10"})  # a narrow one needs more steps
    config.augment = GEOMETRY
    step = make_step(impl, config, variables, *dots(), (0,), "cpu", "float32")
    losses = [float(step()) for _ in range(24)]
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:3])


@pytest.mark.parametrize("impl", ["torch-compile", "torch-reduce-overhead", "torch-max-autotune"])
def test_augmentation_is_inside_the_compiled_step(impl, monkeypatch):
    graphs, modes = [], []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def compile_(function, *, mode, fullgraph):
        modes.append(mode)
        return real(function, fullgraph=fullgraph, backend=keep)

    real = torch.compile
    monkeypatch.setattr(torch, "compile", compile_)
    torch._dynamo.reset()
    torch.manual_seed(0)
    config, variables = small()
    images, points = dots()
    loss = make_step(impl, config, variables, images, points, (0,), "cpu", "float32")()
    assert torch.isfinite(loss) and modes == [{"torch-compile": "default"}.get(impl, impl.removeprefix("torch-"))]
    (graph,) = graphs  # the whole step up to its loss is one program
    called = " ".join(str(node.target) for node in graph.graph.nodes)
    assert all(name in called for name in ("grid_sampl", "affine_grid", "rand", "l1_loss"))
    # Faces and network are read in place; a step is given nothing but the indices.
    assert {tuple(node.meta["example_value"].shape) for node in graph.graph.nodes if node.op == "placeholder"} >= {(8,)}
    torch._dynamo.reset()


class Threads(torch.utils.data.Dataset):
    """Says how many threads OpenCV has where it is read."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return cv2.getNumThreads(), index


def test_the_loader_keeps_its_workers_busy():
    loader = make_loader(Threads(), 2, "cpu", workers=2)
    assert len(loader) >= 4 * 2 and loader.persistent_workers
    batches = list(loader)
    assert len(batches) == len(loader)
    assert {int(count) for threads, _ in batches for count in threads} <= {0, 1}
    assert {int(index) for _, indices in batches for index in indices} == set(range(4))


def test_a_call_takes_as_many_steps_on_every_side(monkeypatch):
    config, variables = small(PLAIN)
    images, points = dots()
    work = Training(config, variables, images, points, "cpu", "float32", steps=3)
    taken = []

    def step():
        taken.append(1)
        return torch.tensor(0.5)

    monkeypatch.setattr(torch_training, "make_step", lambda *given: step)
    assert make_steps("torch-eager", work).first_loss == 0.5 and len(taken) == 3
    together, single = (make_steps(impl, work) for impl in ("jax", "jax-single"))
    losses = np.asarray(together.run())  # of steps 4 to 6: making a side takes the first call
    assert losses.shape == (3,) and np.asarray(single.run()) == pytest.approx(losses[-1], rel=1e-3)
    first = make_steps("jax-single", dataclasses.replace(work, steps=1)).first_loss
    assert together.first_loss == pytest.approx(first, rel=1e-5)  # the first of three, not the last
    assert single.first_loss != pytest.approx(first, rel=1e-5)


def test_losses_that_differ_are_refused():
    config, variables = small()
    images, points = dots()
    work = functools.partial(Training, config, variables, images[:8], device="cpu", precision="float32", steps=1)
    given = ("jax", "torch-eager")
    assert compare_losses(work(points=points[:8]), given) < 1e-5
    with pytest.raises(ValueError, match="float32: the losses of the same batch are nan in JAX and nan in PyTorch"):
        compare_losses(work(points=np.full_like(points[:8], np.nan)), given)


def test_steps_are_timed_side_by_side(tmp_path, capsys):
    out = tmp_path / "train.json"
    small = [
        "--models",
        "Baseline-10-w16",
        "--batches",
        "2",
        "--rounds",
        "2",
        "--image_size",
        "64",
        "--landmarks",
        "3",
    ]
    impls = ["jax", "jax-single", "torch-eager"]
    assert main(["train", "--device", "cpu", *small, "--impls", ",".join(impls), "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["impl"] for row in rows] == impls and rows[0]["largest_difference"] < 1e-4
    for row in rows:
        assert row["recipe_minutes"] == pytest.approx(360 * 7500 / row["images_per_s"] / 60)
    assert "| cpu | Baseline-10-w16 | float32 | 2 | torch-eager |" in capsys.readouterr().out
