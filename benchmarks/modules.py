# SPDX-License-Identifier: Apache-2.0
"""What DQInit and QAMem bring on real faces: five models, the same budget, one JSON.

python -m benchmarks.modules --source ../shared/faces68 --runs runs/modules --out benchmarks/results/modules-cpu.json \
    -- --config.data.image_size=80 --config.optim.epochs=8

What stands behind `--` goes to train.py of every model, after configs/coco.py. Stopped and started again, it goes on.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from barrel_jax.config import load_run_config
from barrel_jax.evaluation.scores import read_scores
from barrel_jax.paper import MODULES
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.report.training import read_log

MODELS = {
    "decoder_layers=0": {"decoder_layers": 0, "dqinit": False, "qamem_layers": 0},
    "baseline": {"decoder_layers": 1, **MODULES["Baseline"]},
    "+DQInit": {"decoder_layers": 1, **MODULES["+DQInit"]},
    "+QAMem": {"decoder_layers": 1, **MODULES["+QAMem"]},
    "BarrelNet (both)": {"decoder_layers": 1, **MODULES["BarrelNet"]},
}


def train(name: str, source: Path, runs: Path, seed: int, extra: list[str]) -> dict[str, object]:
    """Trains one model with train.py and returns its row."""
    workdir = runs / f"{name.split()[0].strip('+').replace('=', '')}-{seed}"
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs/coco.py")]
    command += ["--workdir", str(workdir), f"--config.data.source={source}", f"--config.seed={seed}"]
    command += [f"--config.model.{field}={value}" for field, value in MODELS[name].items()]
    subprocess.run(command + extra, check=True, cwd=ROOT)
    config = load_run_config(workdir)
    scores = read_scores(workdir / "eval" / f"coco-{config.data.scored_split}" / "metrics.json")
    speeds = sorted(line["faces_per_s"] for line in read_log(workdir / "metrics.jsonl") if "faces_per_s" in line)
    return {
        "model": name,
        "seed": seed,
        "nme": scores.nme,
        "fr_0.10": scores.fr["0.10"],
        "auc_0.10": scores.auc["0.10"],
        "faces_per_s": speeds[len(speeds) // 2],
        "image_size": config.data.image_size,
        "epochs": config.optim.epochs,
        "stride": config.model.stride,
    }


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("extra", nargs="*")
    args = parser.parse_args()
    described = describe("modules")
    rows: list[dict[str, object]] = []
    for seed in range(args.seeds):
        for name in MODELS:
            rows.append(train(name, args.source.resolve(), args.runs.resolve(), seed, args.extra))
            write(args.out, described | {"rows": rows})


if __name__ == "__main__":
    main()
