# SPDX-License-Identifier: Apache-2.0
"""COFW (29 points and their occlusion), from its two MATLAB 7.3 files of colour images."""
