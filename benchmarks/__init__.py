# SPDX-License-Identifier: Apache-2.0
"""Measurements: scripts, not tests. Their results are in benchmarks/results and are what the documents' tables show."""
