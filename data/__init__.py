# SPDX-License-Identifier: Apache-2.0
"""TFDS builders of face sets, without TensorFlow, and `python -m data.prepare`, which builds them."""
