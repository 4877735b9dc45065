# SPDX-License-Identifier: Apache-2.0
"""Scores of predicted points, their tables and pictures."""
