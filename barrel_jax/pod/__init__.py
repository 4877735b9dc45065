# SPDX-License-Identifier: Apache-2.0
"""The cost of a training step on devices that are not here: compiled for them, read off the program, predicted."""
