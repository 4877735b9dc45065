# SPDX-License-Identifier: Apache-2.0
"""Profiles of a program's call on the device: kernels, what launches them, and the time in which none runs.

JAX's trace is read from its file (`jax.profiler.ProfileData`), PyTorch's from `torch.profiler`. A profiler slows down
what it looks at: milliseconds of a call are measured without it, and the same side's traced ones stand beside them.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from barrel_jax.benchmark.clock import alternate
from barrel_jax.benchmark.refusals import reason, refusals
from barrel_jax.benchmark.sides import Side, Work, make_side
from benchmarks.gpu.step import Rows

SHOWN = 10  # kernels, the most expensive first
LONGEST = 120  # letters of a kernel's name
COPIES = ("memcpy", "memset")


@dataclass(frozen=True)
class Trace:
    """What was seen of some calls."""

    kernels: Sequence[tuple[str, float, float]]  # name, start and end in ns; copies too
    launches: Sequence[str]  # what the host asked the driver for, by name
    calls: int
    seconds: float  # of all calls, while they were traced


def summarise(trace: Trace) -> dict[str, Any]:
    """Of one call: milliseconds in which something runs and in which nothing does, counts, the dearest kernels.

    `idle_ms` is between the first kernel of all and the last: gaps inside a call and between two.

    Raises:
        ValueError: no kernel was seen.
    """
    if not trace.kernels:
        raise ValueError("the profiler saw no kernel")
    spans = sorted((start, end) for _, start, end in trace.kernels)
    busy, gaps, last = 0.0, [], spans[0][0]
    for start, end in spans:
        if start > last:
            gaps.append(start - last)
        busy += max(end - max(start, last), 0.0)
        last = max(last, end)
    by_name: dict[str, list[float]] = {}
    for name, start, end in trace.kernels:
        by_name.setdefault(name[:LONGEST], []).append(end - start)
    total = sum(map(sum, by_name.values()))
    dearest = sorted(by_name.items(), key=lambda item: -sum(item[1]))[:SHOWN]
    copies = sum(name.lower().startswith(COPIES) for name, _, _ in trace.kernels)
    return {
        "calls": trace.calls,
        "traced_ms": 1e3 * trace.seconds / trace.calls,
        "busy_ms": busy / trace.calls / 1e6,
        "idle_ms": sum(gaps) / trace.calls / 1e6,
        "median_gap_us": statistics.median(gaps) / 1e3 if gaps else 0.0,
        "gaps": len(gaps) / trace.calls,
        "kernels": (len(trace.kernels) - copies) / trace.calls,
        "copies": copies / trace.calls,
        "graph_launches": sum("GraphLaunch" in name for name in trace.launches) / trace.calls,
        "kernel_launches": sum("LaunchKernel" in name for name in trace.launches) / trace.calls,
        "dearest": [
            {"kernel": name, "ms": sum(took) / trace.calls / 1e6, "share": sum(took) / total, "count": len(took)}
            for name, took in dearest
        ],
    }


def _traced(run: Callable[[], object], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - begin


def trace_jax(run: Callable[[], object], calls: int, device: str) -> Trace:
    """Of a JAX program; on a GPU the lines of its streams, on a CPU the operations of its threads."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            seconds = _traced(run, calls)
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = jax.profiler.ProfileData.from_file(str(file)).planes
        on_device, on_host, launches = _read(planes)
    kernels = on_host if device == "cpu" else on_device
    return Trace(kernels, launches, calls, seconds)


def _read(
    planes: Iterable[Any],
) -> tuple[list[tuple[str, float, float]], list[tuple[str, float, float]], list[str]]:
    """Kernels of a GPU, operations of a CPU, and calls of the driver."""
    kernels: list[tuple[str, float, float]] = []
    on_cpu: list[tuple[str, float, float]] = []
    launches: list[str] = []
    for plane in planes:
        for line in plane.lines:
            for event in line.events:
                if plane.name.startswith("/device:GPU"):
                    if line.name.startswith("Stream"):  # other lines say the same again, by operation
                        kernels.append((event.name, event.start_ns, event.start_ns + event.duration_ns))
                elif event.name.startswith("cu"):  # which says of what operation it is, too
                    launches.append(event.name)
                elif event.duration_ns and any(name == "hlo_op" for name, _ in event.stats):
                    on_cpu.append((event.name, event.start_ns, event.start_ns + event.duration_ns))
    return kernels, on_cpu, launches


def trace_torch(run: Callable[[], object], calls: int, device: str) -> Trace:
    """Of a PyTorch program, on a GPU."""
    if device == "cpu":
        raise ValueError("PyTorch's kernels are told from its operations on a GPU alone")
    from torch.autograd import DeviceType  # an opponent, not a dependency
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        seconds = _traced(run, calls)
    events = profiler.events()
    kernels = [
        (event.name, 1e3 * event.time_range.start, 1e3 * event.time_range.end)
        for event in events
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation  # a range, gaps included
    ]
    return Trace(kernels, [event.name for event in events if event.name.startswith("cu")], calls, seconds)


def measure(rows: Rows, label: str, work: Work, sides: dict[str, tuple[str, dict[str, Any]]], rounds: int) -> None:
    """A row for each side, by name: an implementation and what XLA is told."""
    rows.clear()
    common = {"model": label, "device": work.device, "precision": work.precision, "batch": len(work.images)}
    made: dict[str, Side] = {}
    refused: dict[str, str] = {}
    for name, (impl, xla) in sides.items():
        try:
            made[name] = make_side(impl, dataclasses.replace(work, xla=xla))
        except refusals() as error:
            refused[name] = reason(error)
    with rows.alone():
        seconds = alternate({name: side.run for name, side in made.items()}, rounds, dropped=refused)
        for name, (impl, xla) in sides.items():
            row = common | {"impl": impl, "how": name, "options": xla}
            if name not in refused:
                try:
                    trace = trace_torch if impl.startswith("torch") else trace_jax
                    seen = summarise(trace(made[name].run, rounds, work.device))
                except refusals() as error:
                    refused[name] = reason(error)
            if name in refused:
                rows.add(row | {"error": refused[name]})
            else:
                rows.add(row | {"median_ms": 1e3 * statistics.median(seconds[name])} | seen)
