# SPDX-License-Identifier: Apache-2.0
"""Devices: meshes and layouts, processes, a scheduler's signal, XLA's settings."""
