# SPDX-License-Identifier: Apache-2.0
"""Runs on machines that fail."""
