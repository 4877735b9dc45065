# SPDX-License-Identifier: Apache-2.0
"""A run of before an option was there: its config.json has no such field, and its weights are read as they were."""

import json

import chex
import numpy as np

from barrel_jax.training.trained import TrainedRun
from tests.kit import small
from tests.kit.saved_run import save_run
from tests.kit.toy import make_crops

# Low rank, coarse to fine, the scale of errors, losses of inner layers: off, as when nobody knew them.
LATER = {
    "model": {"dqinit_rank": 0, "qamem_rank": 0, "reference_points": False, "uncertainty": False, "norm_group": 0},
    "optim": {"dqinit_loss": 0, "query_multiplier": 1, "aux_loss": False},
}


def test_a_run_without_the_later_options_is_read_and_predicts_as_it_did(tmp_path):
    config, crops = small.config(data__image_size=32), make_crops(4)
    save_run(tmp_path, config, crops)
    now = TrainedRun.open(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    for part, fields in LATER.items():
        for name, off in fields.items():
            assert written[part].pop(name) == off
    (tmp_path / "config.json").write_text(json.dumps(written))
    then = TrainedRun.open(tmp_path)
    assert then.config == now.config
    chex.assert_trees_all_equal(then.variables, now.variables)
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(then.attention(images)[0], now.attention(images)[0])
