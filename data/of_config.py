# SPDX-License-Identifier: Apache-2.0
"""The set that a run's config asks for."""

from pathlib import Path

from barrel_jax.config import DataConfig
from data.prepare import prepare


def prepare_config(config: DataConfig) -> Path:
    """Builds the set of a config if it is not built, and returns its folder."""
    options = {}
    if config.dataset == "synthetic":
        options = {
            "scheme": config.scheme,
            "train": config.synthetic_train,
            "test": config.synthetic_test,
            "seed": config.synthetic_seed,
        }
    return prepare(config.dataset, config.source, config.data_dir, options, allow_partial=config.allow_partial)
