# SPDX-License-Identifier: Apache-2.0
"""Runs on machines that fail: killed and paused processes, full disks, folders that may not be written."""
