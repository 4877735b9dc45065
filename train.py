# SPDX-License-Identifier: Apache-2.0
"""Trains BarrelNet: python train.py --config configs/synthetic.py --workdir runs/demo

Builds the dataset if it is not built, goes on from the last checkpoint if the workdir has one. On SIGTERM it saves and
leaves with status 0. On several hosts, or as several processes, the same command is started in each (README, "Many
devices").
"""

from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from barrel_jax import distributed
from barrel_jax.config import validate
from barrel_jax.preemption import Notice
from barrel_jax.xla import keep_compiled, tune_cpu

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/; --config.FIELD=VALUE changes a field.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, logs, pictures, scores.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    """Builds the set if need be and trains."""
    del argv
    notice = Notice()
    tune_cpu()
    keep_compiled()
    logging.set_verbosity(logging.WARNING)  # orbax and TFDS tell every file they touch
    config = CONFIG.value
    validate(config)  # before a set is built for it
    distributed.start(config)
    notice.hand_over()
    # Seconds of imports, in which a scheduler's signal is heard already.
    from barrel_jax import loop
    from data.of_config import prepare_config

    loop.train(config, Path(WORKDIR.value), prepare_config, notice.reached)


if __name__ == "__main__":
    app.run(main)
