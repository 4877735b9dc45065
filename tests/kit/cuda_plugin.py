# SPDX-License-Identifier: Apache-2.0
"""A machine with CUDA as far as a CPU can play it: what the plugin does not say, what is not there, what fails."""

import os
from importlib.metadata import PackageNotFoundError, version

import jax

from barrel_jax import provenance
from barrel_jax.benchmark import frameworks, sides


def simulate(monkeypatch, tmp_path):
    """No count before compiling, no git, the package run from its folder, and nvidia-smi that knows one GPU."""
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda self: None)

    def installed(name):
        if name == "barrel-jax":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(provenance, "version", installed)
    tools = tmp_path / "tools"
    tools.mkdir()
    smi = tools / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "NVIDIA H100 80GB HBM3, 580.65.06, 81559 MiB"\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))


def fail(monkeypatch, at_once, out_of_memory, after):
    """Implementations of PyTorch's names that compute as JAX does; one fails at once, one after `after` sides."""
    made = []

    def side(impl, work):
        if impl == at_once:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with …")
        if impl == out_of_memory:
            made.append(work)
            if len(made) > after:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 34359738368 bytes.")
        return sides._jax_side(impl, work)

    monkeypatch.setattr(sides, "_torch_side", side)
    monkeypatch.setattr(frameworks, "set_torch", lambda precision: {"set_for": precision})


def path_without_git():
    """Whether the machine that is played has git."""
    return not any(os.access(os.path.join(folder, "git"), os.X_OK) for folder in os.environ["PATH"].split(os.pathsep))
