# SPDX-License-Identifier: Apache-2.0
"""Positions: DETR's sine encoding against its mask arithmetic in PyTorch and by hand; learned query positions."""

import math

import jax
import numpy as np
import pytest

from barrel_jax.models.positions import QueryPositions, sine_positions


def detrs(mask, channels):
    """DETR's PositionEmbeddingSine(channels / 2, normalize=True); mask [B, H, W], True on padding -> [B, H, W, C]."""
    from tests.kit.needs_torch import torch

    half, temperature, scale = channels // 2, 10000, 2 * math.pi
    y = (~mask).cumsum(1, dtype=torch.float32)
    x = (~mask).cumsum(2, dtype=torch.float32)
    y = y / (y[:, -1:, :] + 1e-6) * scale
    x = x / (x[:, :, -1:] + 1e-6) * scale
    index = torch.arange(half, dtype=torch.float32)
    period = temperature ** (2 * torch.div(index, 2, rounding_mode="floor") / half)

    def waves(angle):
        angle = angle[..., None] / period
        return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=4).flatten(3)

    return torch.cat((waves(y), waves(x)), dim=3)


@pytest.mark.parametrize(("height", "width", "channels"), [(8, 8, 256), (5, 9, 12), (1, 1, 4), (1, 3, 64)])
def test_sine_positions_are_detrs(height, width, channels):
    from tests.kit.needs_torch import torch

    from barrel_jax.pytorch import transformer as torch_transformer

    expected = detrs(torch.zeros(1, height, width, dtype=torch.bool), channels)[0].flatten(0, 1)
    torchs = torch_transformer.sine_positions(height, width, channels)
    torch.testing.assert_close(torchs, expected, rtol=0, atol=2e-6)
    ours = sine_positions(height, width, channels)
    assert ours.shape == (height * width, channels)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_sine_positions_by_hand():
    """Rows of a 4 x 2 grid lie at pi/2, pi, 3 pi/2, 2 pi, columns at pi, 2 pi; the second pair is 100 times slower."""
    positions = np.asarray(sine_positions(4, 2, 8)).reshape(4, 2, 8)
    slow = np.pi / 2 / 100
    of_y, of_x = [1, 0, np.sin(slow), np.cos(slow)], [0, -1, np.sin(2 * slow), np.cos(2 * slow)]
    np.testing.assert_allclose(positions[0, 0], of_y + of_x, atol=1e-5)
    np.testing.assert_allclose(positions[2, 1, [0, 1, 4, 5]], [-1, 0, 0, 1], atol=1e-5)


def test_query_positions_are_standard_normal_parameters():
    module = QueryPositions(num_landmarks=68, width=64)
    variables = module.init(jax.random.key(0))
    embedding = np.asarray(variables["params"]["embedding"])
    np.testing.assert_array_equal(module.apply(variables), embedding)
    assert embedding.shape == (68, 64)
    assert embedding.dtype == np.float32
    assert abs(embedding.mean()) < 0.05
    assert abs(embedding.std() - 1) < 0.05  # torch.nn.Embedding's draw; 4,352 numbers
