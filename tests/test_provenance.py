# SPDX-License-Identifier: Apache-2.0
"""The facts of a machine beside a result: the cores that a process may use."""

import os

import pytest

from barrel_jax.provenance import usable_cores


@pytest.mark.quick
def test_the_cores_that_a_process_may_use(monkeypatch):
    """Those of a pinned process; where a system does not tell (macOS), all."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()
