# SPDX-License-Identifier: Apache-2.0
"""WFLW (98 points), from its images and its lists of points, boxes and attributes."""
