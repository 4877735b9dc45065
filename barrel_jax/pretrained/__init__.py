# SPDX-License-Identifier: Apache-2.0
"""Backbone weights that others trained, and their PyTorch files in both directions."""
