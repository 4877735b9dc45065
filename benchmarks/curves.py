# SPDX-License-Identifier: Apache-2.0
"""The scores of runs epoch by epoch, and the settings in which they differ; a run need not have ended.

python -m benchmarks.curves coco-curves "all of PIPNet's augmentation=runs/coco" "flips, turns and shifts=runs/light"
"""

import argparse
from pathlib import Path
from typing import Any

from barrel_jax.config import Config, flatten, load_run_config
from barrel_jax.evaluation.scores import read_scores
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.reproduce.barrel.training_time import training_curve


def read_run(name: str, workdir: Path) -> dict[str, Any]:
    """The scores of a run by epoch, its NME on its training faces (`evaluate.py --split train`, else None), and the
    settings that are not the project's defaults.
    """
    config = load_run_config(workdir)
    curve = training_curve(workdir / "metrics.jsonl", config.data.scored_split, config.batch_size)
    scores = [{"epoch": round(score.epoch), "nme": score.nme} for score in curve]
    defaults = flatten(Config())
    changed = {k: v for k, v in flatten(config).items() if v != defaults[k] and not k.startswith("data.")}
    own = workdir / "eval" / f"{config.data.dataset}-{config.data.train_split}" / "metrics.json"
    train = read_scores(own).nme if own.exists() else None
    return {"name": name, "epochs": config.optim.epochs, "scores": scores, "train_nme": train, "settings": changed}


def main() -> None:
    """Reads and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the result: benchmarks/results/NAME.json")
    parser.add_argument("runs", nargs="+", metavar="NAME=WORKDIR")
    args = parser.parse_args()
    rows = [read_run(name, Path(workdir)) for name, _, workdir in (run.rpartition("=") for run in args.runs)]
    write(ROOT / "benchmarks" / "results" / f"{args.name}.json", describe("curves") | {"rows": rows})


if __name__ == "__main__":
    main()
