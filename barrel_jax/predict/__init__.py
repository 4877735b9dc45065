# SPDX-License-Identifier: Apache-2.0
"""Landmarks in pictures and videos, with a trained model."""
