# SPDX-License-Identifier: Apache-2.0
"""Measurements on a GPU, in order of worth, by one command that nobody needs to watch."""
