# SPDX-License-Identifier: Apache-2.0
"""The paper's recipe (section 4.1): 256 px, Adam 1e-4, x0.1 at epoch 240 of 360, backbone x0.1 from ImageNet, batch 16.

The other files return this config with their differences; those that train from scratch say so (`pretrained = ""`).
"""

from barrel_jax.config import Config


def get_config() -> Config:
    """The config."""
    return Config(pretrained="imagenet")
