# SPDX-License-Identifier: Apache-2.0
"""One strict session: eight virtual CPU devices, warnings are errors (pyproject)."""

import gc
import os
import signal
import sys
from importlib import metadata

# What a shell runs in the background ignores Ctrl-C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "1"  # of the programs that tests start and that ask for no more
# The tests run on all cores (pytest-xdist): PyTorch's threads would wait for cores that other tests have.
os.environ["OMP_NUM_THREADS"] = "1"
# Tests compile many small programs and run each once or twice: XLA's passes are as in use, but machine code is written
# the quick way: without LLVM's passes, a program in one piece, as the workers have the cores, and by the older emitters
# where jaxlib still has them. A gradient of BarrelNet-10 compiles in 0.9 s of a processor in place of 9.4, and runs as
# fast.
# Said once, as workers inherit it: what was compiled under other words is not found in the cache below.
EFFORT = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if metadata.version("jaxlib").startswith("0.10."):
    EFFORT += " --xla_cpu_use_fusion_emitters=false"
if EFFORT not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {EFFORT}".strip()
# The programs of one run of the tests are there for the next one, also of another clone and also the smallest: single
# operations, thousands of which tests run one by one. They lie beside those of the programs; the sets that tests build
# lie in folders of their own.
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.expanduser("~/.cache/barrel_jax/tests")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax

jax.config.update("jax_num_cpu_devices", 8)

import jaxtyping
import pytest
from absl import flags

# Shapes in the signatures are checked at every call, the axes of one call against each other.
# `training.steps` and `training.trained` name chex.ArrayTree, of whose old typing words beartype warns.
CHECKED = ("evaluation", "faces", "input", "models", "predict", "training.losses", "training.order", "training.streams")
jaxtyping.install_import_hook([f"barrel_jax.{name}" for name in CHECKED], "beartype.beartype")

from barrel_jax.devices.xla import tune_cpu

# The collector of cycles would look at what is imported, and at what traces leave, for an eighth of the time.
gc.freeze()
gc.set_threshold(20_000, 20, 50)
tune_cpu()
jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()


def pytest_runtest_setup(item):
    """Notes the test, its fixtures included, that is about to run."""
    global running
    running = item


def refuse_processes(event, arguments):
    """`pytest -m "not processes"` is for daily work: what starts a Python of its own says so by that marker."""
    if event != "subprocess.Popen" or arguments[0] != sys.executable or running is None:  # pytest's own workers
        return
    if not running.get_closest_marker("processes"):
        raise RuntimeError(f"{running.nodeid} starts a process: mark it with @pytest.mark.processes")


running = None
sys.addaudithook(refuse_processes)


@pytest.fixture(autouse=True)
def _data_dir(tmp_path_factory, monkeypatch):
    """Built sets of the session lie together, away from the user's."""
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path_factory.getbasetemp() / "sets"))
