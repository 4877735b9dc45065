# SPDX-License-Identifier: Apache-2.0
"""The commands in the blocks of the documents: each is taken by its program, and is run small or says why it is not."""

import importlib

import pytest

from barrel_jax.command_line import Parser
from barrel_jax.config_arguments import read_config
from tests.kit.documented import PROGRAMS, ROOT, commands
from tests.kit.reader import Reader, Small, furnish, multiply_runs, write_backbone_of_pretrain

FOUND = list(commands())
# The words of each command by its text; two pages may have the same.
WORDS = {" ".join(words): words for _, words in FOUND}
MEANT = {"FORMAT": "csv"}  # what stands for one of several

DEMO = "train.py --config configs/synthetic.py --workdir runs/demo"
FACES = "train.py --config configs/coco.py --workdir runs/faces --config.data.source=DIR"
MORE_FACES = "train.py --config configs/coco.py --workdir runs/b --config.data.source=DIR"
SEVERAL = (
    "train.py --config configs/w300.py --workdir runs/c --config.data.source=DIR "
    "--config.data.also=(('coco','OWN',0.3),('synthetic','',0.2)) --config.data.holdout=0.1"
)
PRETRAIN = "train.py --config configs/pretrain.py --config.data.also=(('coco','DIR',0.3),)"
FROM_BACKBONE = (
    "train.py --config configs/w300_scratch.py --config.pretrained=runs/pretrain.safetensors --config.data.source=W300"
)
PREDICT_OWN = "barrel_jax.predict DIR/images --boxes DIR/val.json --out runs/val"
POINTS, DRAWING = ("runs/predict/points.json", "runs/predict/points.csv"), "runs/predict/photo.png"
# Run in this process: the config files are those of configs/ with a small model, DIR holds a dozen drawn faces, and
# `runs/faces`, which FACES trains, stands for the other runs as well.
RUN = {
    DEMO: Small(("runs/demo/eval/synthetic-test/metrics.json",)),
    FACES: Small(("runs/faces/eval/coco-val/metrics.json",), then=multiply_runs),
    f"{MORE_FACES} --config.init_from=runs/a": Small(
        ("runs/started/eval/coco-val/metrics.json",), "  taken: ", instead=(("runs/b", "runs/started"),), after=FACES
    ),
    f"{MORE_FACES} --config.init_from=runs/a --config.optim.epochs=60": Small(
        says="lengthened from 1 to 2 epochs",
        instead=(("runs/b", "runs/started"), ("epochs=60", "epochs=2")),
        after=f"{MORE_FACES} --config.init_from=runs/a",
    ),
    "train.py --config configs/coco_small.py --workdir runs/faces --config.data.source=DIR": Small(
        ("runs/small/eval/coco-val/metrics.json",),
        "from small (packed: ",
        instead=(("runs/faces", "runs/small"),),
        more=("--config.model.backbone=resnet10",),
    ),
    PRETRAIN: Small(("runs/pretrain/eval/synthetic-test/metrics.json",), then=write_backbone_of_pretrain),
    FROM_BACKBONE: Small(
        ("runs/w300_scratch/eval/w300-holdout/metrics.json",),
        "backbone from runs/pretrain.safetensors",
        instead=(("W300", "300W"),),
        more=("--config.data.holdout=0.4",),
        after=PRETRAIN,
    ),
    "evaluate.py --workdir runs/w300_scratch --split test": Small(
        ("runs/w300_scratch/eval/w300-test/metrics.json",), after=FROM_BACKBONE
    ),
    SEVERAL: Small(
        ("runs/c/eval/w300-holdout/metrics.json",), instead=(("DIR", "300W"), ("holdout=0.1", "holdout=0.4"))
    ),
    "data.prepare coco --source DIR --check": Small(says="faces"),
    "data.convert FORMAT SOURCE --out DIR": Small(
        ("converted/train.json",), instead=(("FORMAT", "csv"), ("DIR", "converted"))
    ),
    "data.convert csv SOURCE --out DIR --val 0.2 --group person": Small(
        ("grouped/val.json",), instead=(("DIR", "grouped"),)
    ),
    "data.convert coco DIR --out BACK --to cvat": Small(("BACK/train.xml",)),
    "evaluate.py --workdir runs/faces": Small(("runs/faces/eval/coco-val/predictions.npz",), after=FACES),
    "evaluate.py --workdir runs/faces --report": Small(("runs/faces/eval/coco-val/report.html",), after=FACES),
    "evaluate.py --workdir runs/wflw": Small(("runs/wflw/eval/coco-val/metrics.json",), after=FACES),
    "evaluate.py --workdir runs/wflw --normaliser pupils": Small(
        ("runs/wflw/eval/coco-val/metrics.json",), "NME(pupils) %", after=FACES
    ),
    "evaluate.py --workdir runs/c --split holdout": Small(("runs/c/eval/w300-holdout/metrics.json",), after=SEVERAL),
    "evaluate.py --predictions FILE --dataset cofw68 --source DIR": Small(
        says="nothing is written", instead=(("FILE", "cofw68.npz"), ("DIR", "COFW68")), more=("--allow-partial",)
    ),
    "evaluate.py --predictions FILE --dataset coco --source DIR --workdir OUT --report": Small(
        ("OUT/eval/coco-val/report.html",), instead=(("FILE", "own.npz"),)
    ),
    "barrel_jax.compare runs/a/eval/wflw-test runs/b/eval/wflw-test --out runs/a-b": Small(
        ("runs/a-b/compare.json", "runs/a-b/compare.png"), after=FACES
    ),
    "barrel_jax.compare runs/a/eval/wflw-test runs/b/eval/wflw-test --report a-b.html": Small(
        ("a-b.html",), after=FACES
    ),
    "barrel_jax.predict photo.jpg --workdir runs/faces": Small((*POINTS, DRAWING), after=FACES),
    "barrel_jax.predict IMAGE": Small((*POINTS, DRAWING), "faces: 1", instead=(("IMAGE", "photo.jpg"),)),
    "barrel_jax.predict IMAGE --workdir runs/faces": Small(
        (*POINTS, DRAWING), instead=(("IMAGE", "photo.jpg"),), after=FACES
    ),
    PREDICT_OWN: Small(("runs/val/points.json",), "which are left out"),
    "evaluate.py --predictions runs/val/points.json --dataset coco --source DIR": Small(says="NME(", after=PREDICT_OWN),
    "barrel_jax.predict clip.mp4 --workdir runs/faces": Small((*POINTS, "runs/predict/clip.mp4"), after=FACES),
    "barrel_jax.export runs/faces": Small(
        ("runs/faces/export/manifest.json", "runs/faces/export/model.onnx"), after=FACES
    ),
    # Of the grids the runs are there, and the tables are made of their scores.
    "barrel_jax.reproduce table1 --sources wflw=DIR w300=DIR cofw=DIR": Small(
        ("runs/paper/table1.csv", "runs/paper/table1.json"), scored=True, after=FACES
    ),
    "barrel_jax.reproduce table1 --sources wflw=DIR w300=DIR --report": Small(
        ("runs/paper/table1.html",), scored=True, after=FACES
    ),
    "barrel_jax.reproduce fig4 --dataset coco --source DIR --epochs 60 --image-size 128 --backbone resnet18": Small(
        ("runs/paper/fig4.csv", "runs/paper/fig4.png"), scored=True, after=FACES
    ),
    "barrel_jax.reproduce ablation --dataset w300 --source DIR --epochs 60 --image-size 128 --backbone resnet18": Small(
        ("runs/paper/ablation.csv",), scored=True, after=FACES
    ),
    "barrel_jax.reproduce table2 --list": Small(says="python train.py --config configs/wflw.py"),
    "barrel_jax.reproduce barrel --workdirs runs/a runs/b --out runs/barrel": Small(
        ("runs/barrel/barrel.png",), after=FACES
    ),
    "barrel_jax.reproduce barrel --workdirs runs/a runs/b --report": Small(("runs/barrel/barrel.html",), after=FACES),
}
# Why a command is only parsed, or, where it is of another program, only known.
PARSED = {
    "train.py --config configs/wflw.py --workdir /shared/wflw ...": "for several hosts; tests/devices runs processes",
    "train.py --config configs/w300_scratch.py --config.data.source=W300 --config.init_from=runs/faces "
    "--config.model.stride=16 --config.model.dqinit_rank=8 --config.model.qamem_rank=8 --config.optim.epochs=60": (
        "its config and a start from a run are run above; its model is tests/models'"
    ),
    "train.py --config configs/w300_scratch.py --config.data.source=W300 --config.init_from=small "
    "--config.model.backbone=resnet10 --config.model.stride=16 --config.optim.query_multiplier=10 "
    "--config.data.holdout=0.01": "as from runs/pretrain; configs/coco_small.py starts from the small model",
    "train.py --config configs/w300_scratch.py --config.data.source=W300 --config.init_from=runs/w300_scratch "
    "--config.model.backbone=resnet10 --config.optim.query_multiplier=10 --config.data.holdout=0.01 "
    "--config.data.image_size=256 --config.optim.epochs=48 --workdir runs/w300_256": (
        "starts from the run before it; starts are run above"
    ),
    "evaluate.py --workdir runs/w300_256 --split test": "as of runs/w300_scratch, of the run before it",
    "train.py --config configs/w300_scratch.py --config.data.source=W300 "
    "--config.pretrained=runs/faces-backbone.safetensors --config.data.image_size=64 --config.model.stride=16 "
    "--config.optim.epochs=24 --config.loop.eval_epochs=8 --workdir runs/barrelnet": "as from runs/pretrain",
    "train.py --config configs/coco_small.py --workdir runs/faces10 --config.data.source=DIR "
    "--config.data.image_size=64 --config.model.stride=16 --config.model.backbone=resnet10 "
    "--config.optim.epochs=12": "as runs/faces, with another backbone",
    "train.py --config configs/w300_scratch.py --workdir runs/r10 --config.data.source=W300 "
    "--config.data.image_size=64 --config.model.stride=16 --config.model.backbone=resnet10 --config.optim.epochs=12 "
    "--config.pretrained=runs/faces10-backbone.safetensors --config.loop.eval_epochs=2": "as from runs/pretrain",
    "benchmarks.gpu start runs/faces10 --out runs/faces10-backbone.safetensors": "as for runs/pretrain",
    "benchmarks.gpu start runs/pretrain --out runs/pretrain.safetensors": "is run after the training that it names",
    "benchmarks.gpu start runs/faces --out runs/faces-backbone.safetensors": "as for runs/pretrain",
    "train.py --config configs/tiny.py --workdir runs/two --config.distributed=127.0.0.1:8476,2,$i": (
        "two processes at once; tests/devices/test_distributed.py"
    ),
    "barrel_jax.export runs/faces --web page": "fetches ONNX Runtime Web; tests/export/test_outside.py, if it is there",
    "barrel_jax.benchmark table4": "minutes, large models; tests/benchmark runs small ones",
    "barrel_jax.benchmark infer --impls jax,torch-eager,torch-compile,onnxruntime": (
        "minutes, and PyTorch's compiler; tests/benchmark/test_benchmark.py runs a small model"
    ),
    "run_onnx.py photo.jpg 120 80 200 220": "is written by the export; tests/export/test_outside.py",
    "http.server -d page": "is Python's, and serves until it is stopped",
    "benchmarks.tables": "rewrites the documents; tests/test_readme.py holds them to what it would write",
    "venv .venv": "is Python's, and fetches packages; .ci/run",
    "pytest": "these tests",
    "pytest -m not processes": "these tests",
}


class Taken(Exception):
    """The arguments were taken; the work is left out."""


@pytest.mark.parametrize(
    "command",
    [text for text, words in WORDS.items() if words[0] in PROGRAMS],
    ids=lambda text: f"{text[:60]}, {'run below' if text in RUN else 'only parsed'}",
)
def test_the_arguments_are_taken(command, monkeypatch):
    monkeypatch.chdir(ROOT)

    def run(self, given, work):
        if getattr(given, "config", None) and hasattr(given, "overrides"):
            read_config(given)
        raise Taken

    monkeypatch.setattr(Parser, "run", run)
    program, *arguments = WORDS[command]
    with pytest.raises(Taken):
        importlib.import_module(PROGRAMS[program]).main([MEANT.get(word, word) for word in arguments if word != "..."])


def test_every_command_is_run_or_says_why_not():
    assert RUN.keys() & PARSED.keys() == set()
    assert RUN.keys() | PARSED.keys() == WORDS.keys()
    assert all(WORDS[command][0] in PROGRAMS for command in RUN)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """With all that the commands name."""
    folder = tmp_path_factory.mktemp("reader")
    furnish(folder)
    return Reader(folder, RUN)


@pytest.mark.parametrize("command", RUN, ids=lambda text: text[:60])
def test_the_command_runs(command, reader):
    reader.perform(command, WORDS)
