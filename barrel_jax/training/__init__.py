# SPDX-License-Identifier: Apache-2.0
"""A run: state, step, loop, checkpoints, log."""
