# SPDX-License-Identifier: Apache-2.0
"""Several processes as one run: how they find each other, and what they agree on before anything is written.

JAX's distributed service does the work. A process that dies is missed after `config.heartbeat_seconds`: the service
then ends the others with an error that names it ("Task 1 heartbeat timeout"); one that fails with an error of its own
ends them as soon as it has left, at most `heartbeat_seconds` later.
"""

import glob
import importlib.util
import json
import os
import re
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from barrel_jax.config import Config, settings
from barrel_jax.devices.meeting import meet

T = TypeVar("T")
# Of each launcher, the variables that JAX reads of it, all of which are there when it started this process.
LAUNCHERS = {
    "Slurm": ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    "Open MPI": ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    "Kubernetes": ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"),
}
# What processes may differ in: where the data lie on a host, and who they are.
OWN = ("distributed", "data.source", "data.data_dir")


def is_first() -> bool:
    """Whether this process is the one that speaks, draws and writes what is not a checkpoint."""
    return jax.process_index() == 0


def _launcher() -> str:
    """The launcher that JAX knows and that started this process, as one of several; '' when none did."""
    if os.environ.get("SLURM_NTASKS") == "1":
        return ""
    for launcher, names in LAUNCHERS.items():
        if all(name in os.environ for name in names):
            return launcher
    # A TPU host has its chips as devices of the system; libtpu alone is also here to compile for TPUs elsewhere.
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    return "a TPU slice" if chips and importlib.util.find_spec("libtpu") is not None else ""


def start(config: Config) -> None:
    """Joins the other processes; the first thing that a program does, before JAX looks for devices.

    Raises:
        ValueError: `config.distributed` is none of auto, off and HOST:PORT,N,I, its port is taken, the processes were
          started as of different numbers, or JAX does not find them by their launcher.
        TimeoutError: nobody listens at the coordinator's address, or not all processes have come there.
    """
    setting = f"config.distributed={config.distributed!r}"
    limits: dict[str, Any] = {
        "initialization_timeout": config.join_seconds,
        "heartbeat_timeout_seconds": config.heartbeat_seconds,
        "shutdown_timeout_seconds": config.heartbeat_seconds,
    }
    if config.distributed == "off" or (config.distributed == "auto" and not _launcher()):
        return
    if config.distributed == "auto":
        try:
            jax.distributed.initialize(**limits)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{setting} takes this process for one of several of {_launcher()} and does not find the others "
                f"({error}); --config.distributed=off trains in this one alone, HOST:PORT,N,I says who they are"
            ) from error
        return
    match = re.fullmatch(r"(.+):(\d+),(\d+),(\d+)", config.distributed)
    if not match:
        raise ValueError(
            f"{setting} is none of auto, off and HOST:PORT,N,I: the address of process 0, the number of processes, and "
            "which of them this is, such as 10.0.0.1:8476,2,0"
        )
    host, port, count, index = match[1], int(match[2]), int(match[3]), int(match[4])
    if not index < count:
        raise ValueError(f"{setting}: process {index} of {count}; with {count} processes they are 0..{count - 1}")
    meet(host, port, count, index, config.join_seconds, setting)
    jax.distributed.initialize(f"{host}:{port}", count, index, **limits)


def gather(text: str) -> list[str]:
    """The texts of all processes, in their order, in each of them."""
    if jax.process_count() == 1:
        return [text]
    mine = np.frombuffer(text.encode(errors="backslashreplace"), np.uint8)
    lengths = np.ravel(multihost_utils.process_allgather(np.array([len(mine)], np.int32)))
    padded = np.pad(mine, (0, int(lengths.max()) + 1 - len(mine)))
    rows = multihost_utils.process_allgather(padded).reshape(len(lengths), -1)
    return [bytes(row[:length]).decode() for row, length in zip(rows, lengths.tolist(), strict=True)]


def together(action: Callable[[], T]) -> T:
    """What an action gives in this process; where it fails in one process it fails in all, with that one's words.

    Raises:
        ValueError: names the process and the error (in one process: the error itself).
    """
    if jax.process_count() == 1:
        return action()
    failed = None
    try:
        result = action()
    except (ValueError, OSError) as error:
        failed = error
    for process, failure in enumerate(gather(f"{socket.gethostname()}: {failed}" if failed else "")):
        if failure:
            raise ValueError(f"process {process} of {jax.process_count()} on {failure}") from failed
    return result


def from_first(tree: T) -> T:
    """The arrays of process 0 in every process, for what each computes and rounds its own way."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


def in_turns(action: Callable[[], T]) -> T:
    """Lets process 0 act, then one process of each other host, then the rest.

    Where hosts share a disk the later ones find what process 0 has built; where they do not, each builds it once.
    """
    hosts = gather(socket.gethostname())
    mine = jax.process_index()
    turn = min(mine, 1) if hosts.index(hosts[mine]) == mine else 2
    results = [together(action) if turn == now else together(lambda: None) for now in range(3)]
    return results[turn]  # type: ignore[return-value]  # the other two are None


def check_alike(config: Config, fingerprints: dict[str, str]) -> None:
    """Compares the config and the data of all processes.

    Raises:
        ValueError: they are not those of process 0; names the process and what differs.
    """
    if jax.process_count() == 1:
        return
    facts = {name: repr(value) for name, value in settings(config).items() if name not in OWN} | fingerprints
    everyone = [json.loads(text) for text in gather(json.dumps(facts))]
    different = [
        f"{name}: {everyone[0].get(name)} in process 0, {theirs.get(name)} in process {process}"
        for process, theirs in enumerate(everyone)
        for name in sorted(everyone[0].keys() | theirs.keys())
        if theirs.get(name) != everyone[0].get(name)
    ]
    if different:
        raise ValueError(f"the processes are not of one run ({'; '.join(different)}); start all with one command")
