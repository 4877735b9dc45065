# SPDX-License-Identifier: Apache-2.0
"""Trains BarrelNet: python train.py --config configs/wflw.py [--workdir runs/wflw] [--config.data.source=DIR]

The run's folder is runs/<name of the config file> by default, and the raw download is looked for in
`config.data.data_dir`/downloads/<set> (~/.cache/barrel_jax/downloads/wflw). Builds the set if it is not built, goes on
from the last checkpoint if the folder has one. On SIGTERM it saves and leaves with status 0. On several hosts, or as
several processes, the same command is started in each (README, "Many devices").
"""

import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from barrel_jax.config import validate
from barrel_jax.devices import distributed
from barrel_jax.devices.preemption import Notice
from barrel_jax.devices.xla import keep_compiled, tune_cpu
from data.prepare import BUILDERS, source_folder

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/; --config.FIELD=VALUE changes a field.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; runs/<name of the config file> by default.")
flags.mark_flags_as_required(["config"])


def main(argv: list[str]) -> None:
    """Builds the set if need be and trains."""
    del argv
    notice = Notice()
    tune_cpu()
    keep_compiled()
    logging.set_verbosity(logging.WARNING)  # orbax and TFDS tell every file they touch
    config = CONFIG.value
    workdir = WORKDIR.value or f"runs/{Path(config_flags.get_config_filename(flags.FLAGS['config'])).stem}"
    try:
        validate(config)
        if config.data.dataset in BUILDERS:  # before anything is fetched, or other processes wait for this one
            source_folder(config.data.dataset, config.data.source, config.data.data_dir)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"train.py: {error}")
    distributed.start(config)
    notice.hand_over()
    # Seconds of imports, in which a scheduler's signal is heard already.
    from barrel_jax.training import loop
    from data.of_config import prepare_config

    try:
        loop.train(config, Path(workdir), prepare_config, notice.reached)
    except FileNotFoundError as error:  # of weights or of the set: nothing that a traceback explains
        sys.exit(f"train.py: {error}")


if __name__ == "__main__":
    app.run(main)
