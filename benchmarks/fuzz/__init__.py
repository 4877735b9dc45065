# SPDX-License-Identifier: Apache-2.0
"""Damaged files for every reader and converter: what is read right, refused in one line, or neither."""
