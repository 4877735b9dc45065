# SPDX-License-Identifier: Apache-2.0
"""One file per experiment: base.py, then only differences."""
