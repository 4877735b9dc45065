# SPDX-License-Identifier: Apache-2.0
"""BarrelNet in JAX: facial landmark detection with one decoder, DQInit and QAMem."""

__version__ = "0.1.0"
