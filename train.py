# SPDX-License-Identifier: Apache-2.0
"""Trains BarrelNet: python train.py --config configs/wflw.py [--workdir runs/wflw] [--config.data.source=DIR]

The run's folder is runs/<name of the config file> by default, and the raw download is looked for in
`config.data.data_dir`/downloads/<set> (~/.cache/barrel_jax/downloads/wflw). Builds the set if it is not built, goes on
from the last checkpoint if the folder has one. On SIGTERM and on Ctrl-C it saves and leaves with status 0. On several
hosts, or as several processes, the same command is started in each (docs/devices.md).
"""

import argparse
import sys
from pathlib import Path

from barrel_jax.config_arguments import ConfigParser, read_config
from barrel_jax.devices import distributed
from barrel_jax.devices.preemption import Notice
from barrel_jax.devices.xla import keep_compiled, tune_cpu
from barrel_jax.extras import require_train
from data.face_sets import find_set


def train(args: argparse.Namespace) -> None:
    """Builds the set if need be and trains."""
    require_train()
    notice = Notice()
    tune_cpu()
    keep_compiled()
    config = read_config(args)
    # Before anything is fetched, or other processes wait for this one.
    find_set(config.data.dataset).locate(config.data.source, config.data.data_dir)
    distributed.start(config)
    notice.hand_over()
    # Seconds of imports, in which a scheduler's signal is heard already.
    from barrel_jax.training import loop
    from data.prepare import prepare_config

    loop.train(config, args.workdir or Path("runs") / Path(args.config).stem, prepare_config, notice.reached)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = ConfigParser("train.py", __doc__)
    parser.add_argument("--workdir", type=Path, help="folder of the run (default: runs/, then the config file's name)")
    args = parser.parse_args(arguments)
    return parser.run(args, lambda: train(args))


if __name__ == "__main__":
    sys.exit(main())
