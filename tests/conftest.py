# SPDX-License-Identifier: Apache-2.0
"""One strict session: eight virtual CPU devices, warnings are errors (pyproject)."""

import os
import signal

# What a shell runs in the background ignores Ctrl-C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
# The tests run on all cores (pytest-xdist): PyTorch's threads would wait for cores that other tests have.
os.environ["OMP_NUM_THREADS"] = "1"
# Tests compile many small programs and run each once or twice: LLVM's effort is lowered, XLA's passes are as in use.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1".strip()
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.path.dirname(__file__), ".jax_cache")

import jax
import jaxtyping
import pytest
from absl import flags

# Shapes in the signatures are checked at every call, the axes of one call against each other.
CHECKED = (
    "evaluation.metrics",
    "faces.geometry",
    "input.augment",
    "models",
    "training.losses",
)
jaxtyping.install_import_hook([f"barrel_jax.{name}" for name in CHECKED], "beartype.beartype")

from barrel_jax.devices.xla import tune_cpu

tune_cpu()
jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()


@pytest.fixture(autouse=True)
def _data_dir(tmp_path_factory, monkeypatch):
    """Built sets of the session lie together, away from the user's."""
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path_factory.getbasetemp() / "sets"))
