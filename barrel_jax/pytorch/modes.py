# SPDX-License-Identifier: Apache-2.0
"""The ways to run a PyTorch model: eager, and the modes of torch.compile."""

# Modes of torch.compile; the last two replay CUDA graphs, max-autotune also tries kernels for minutes.
TORCH_MODES = {
    "torch-eager": None,
    "torch-compile": "default",
    "torch-reduce-overhead": "reduce-overhead",
    "torch-max-autotune": "max-autotune",
}
GRAPH_MODES = ("reduce-overhead", "max-autotune")


def mark_step(mode: str | None, device: str) -> None:
    """Tells CUDA graphs that a run begins: what the run before returned may be overwritten."""
    if mode in GRAPH_MODES and device == "cuda":
        import torch

        torch.compiler.cudagraph_mark_step_begin()
