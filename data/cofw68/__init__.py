# SPDX-License-Identifier: Apache-2.0
"""COFW-68 (68 points on the 507 test images of COFW), a test set only."""
