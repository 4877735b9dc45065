# SPDX-License-Identifier: Apache-2.0
"""Options of XLA for tests in which last bits count: machine code as programs write it (conftest.py: a quicker way)."""

import os


def emitters() -> dict[str, bool]:
    """The emitters of fusions that programs have, where the tests ask for the older ones."""
    name = "xla_cpu_use_fusion_emitters"
    return {name: True} if name in os.environ["XLA_FLAGS"] else {}
