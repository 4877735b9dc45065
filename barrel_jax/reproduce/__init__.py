# SPDX-License-Identifier: Apache-2.0
"""The paper's tables and figures as grids of runs."""
