# SPDX-License-Identifier: Apache-2.0
"""Reports to look at: one HTML file of a run, or of several, that needs nothing else."""
