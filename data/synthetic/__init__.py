# SPDX-License-Identifier: Apache-2.0
"""Procedural faces.

One 3-D head with random identity, expression, pose, light and looks, with the points of WFLW, 300W and COFW.
"""
