# SPDX-License-Identifier: Apache-2.0
"""What a training step costs on devices that are not here: compiled for them, read off the program, predicted."""
