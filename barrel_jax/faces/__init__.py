# SPDX-License-Identifier: Apache-2.0
"""Faces as numbers: landmark schemes, frames of points, crop windows, normalising distances. No pixels, no JAX."""
