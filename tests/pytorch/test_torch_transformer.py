# SPDX-License-Identifier: Apache-2.0
"""The PyTorch transformer layers against torch's own, which hold DETR's arithmetic; where dropout falls."""

from tests.kit.needs_torch import torch

import pytest

from barrel_jax.pytorch.barrelnet import QAMem
from barrel_jax.pytorch.transformer import Attention, DecoderLayer, EncoderLayer
from tests.kit import torch_reference as reference

B, K, S, D, HEADS, HIDDEN = 2, 5, 7, 16, 4, 24


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradients(output, inputs):
    return torch.autograd.grad((output * normal(9, *output.shape)).sum(), inputs)


@pytest.mark.parametrize("self_attention", [True, False])
def test_attention_is_torchs_multihead_attention(self_attention):
    """Same parameters by the same names, same numbers, same gradients of inputs and parameters."""
    ours = reference.randomise(Attention(D, HEADS, 0.0), seed=0)
    theirs = torch.nn.MultiheadAttention(D, HEADS, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, value = normal(1, B, K, D).requires_grad_(), normal(3, B, K if self_attention else S, D).requires_grad_()
    key = query if self_attention else normal(2, B, S, D).requires_grad_()
    points, expected = ours(query, key, value), theirs(query, key, value, need_weights=True)[0]
    assert expected.std() > 0.1
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-6)
    for module, output in ((ours, points), (theirs, expected)):
        module.found = gradients(output, [query, key, value, *dict(sorted(module.named_parameters())).values()])
    for gradient, wanted in zip(ours.found, theirs.found, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-5)


def test_encoder_layer_without_positions_is_torchs():
    ours = reference.randomise(EncoderLayer(D, HEADS, HIDDEN, 0.0), seed=1).train()
    theirs = torch.nn.TransformerEncoderLayer(D, HEADS, HIDDEN, 0.0, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    memory = normal(2, B, S, D)
    torch.testing.assert_close(ours(memory, torch.zeros(S, D)), theirs(memory), rtol=0, atol=1e-6)


def test_decoder_layer_without_positions_is_torchs():
    ours = reference.randomise(DecoderLayer(D, HEADS, HIDDEN, 0.0), seed=1).train()
    theirs = torch.nn.TransformerDecoderLayer(D, HEADS, HIDDEN, 0.0, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    queries, memory = normal(2, B, K, D), normal(3, B, S, D)
    points = ours(queries, memory, torch.zeros(K, D), torch.zeros(S, D))
    torch.testing.assert_close(points, theirs(queries, memory), rtol=0, atol=1e-6)


def test_positions_are_added_to_queries_and_keys_only():
    """As DETR's with_pos_embed does; torch's layers have no positions, so its attention is called by hand."""
    ours = reference.randomise(DecoderLayer(D, HEADS, HIDDEN, 0.0), seed=1)
    queries, memory, query_pos, pos = normal(2, B, K, D), normal(3, B, S, D), normal(4, K, D), normal(5, S, D)
    own, cross = (torch.nn.MultiheadAttention(D, HEADS, batch_first=True) for _ in range(2))
    own.load_state_dict(ours.self_attn.state_dict())
    cross.load_state_dict(ours.multihead_attn.state_dict())
    with torch.no_grad():
        x = ours.norm1(queries + own(queries + query_pos, queries + query_pos, queries)[0])
        x = ours.norm2(x + cross(x + query_pos, memory + pos, memory)[0])
        x = ours.norm3(x + ours.linear2(ours.linear1(x).relu()))
        torch.testing.assert_close(ours(queries, memory, query_pos, pos), x, rtol=0, atol=1e-6)
        encoder = reference.randomise(EncoderLayer(D, HEADS, HIDDEN, 0.0), seed=6)
        own.load_state_dict(encoder.self_attn.state_dict())
        y = encoder.norm1(memory + own(memory + pos, memory + pos, memory)[0])
        y = encoder.norm2(y + encoder.linear2(encoder.linear1(y).relu()))
        torch.testing.assert_close(encoder(memory, pos), y, rtol=0, atol=1e-6)


def test_dropout_falls_on_single_attention_weights():
    """One key with value 1 reads 0 or 1 / keep, drawn anew for every example, query and head; not in evaluation."""
    attention = Attention(8, 4, 0.25)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.in_proj_bias[16:] = 1
        attention.out_proj.weight.copy_(torch.eye(8))
        torch.manual_seed(0)
        query, memory = torch.zeros(8, 50, 8), torch.zeros(8, 1, 8)
        read = attention.train()(query, memory, memory).reshape(8, 50, 4, 2)
        assert (attention.eval()(query, memory, memory) == 1).all()
    torch.testing.assert_close(read[..., 0], read[..., 1])
    torch.testing.assert_close(read.unique(), torch.tensor([0, 4 / 3]))
    dropped = read[..., 0] == 0
    assert abs(dropped.float().mean() - 0.25) < 0.05  # of 1,600 draws
    for axis in range(3):
        assert dropped.any(axis).float().mean() > dropped.float().mean() + 0.1  # the draws along this axis differ


def fallen(layer, *inputs):
    """Shapes that dropout falls on, in order, when the layer runs."""
    shapes = []
    hook = layer.dropout.register_forward_hook(lambda module, args, output: shapes.append(tuple(args[0].shape)))
    first, second = layer(*inputs), layer(*inputs)
    hook.remove()
    assert ((first - second).abs().max() > 0.1) == layer.training
    return shapes[: len(shapes) // 2]


def test_dropout_falls_where_detr_and_the_flax_model_have_it():
    """On each part's output, QAMem's among them, and inside the feed-forward part (as test_decoder.py has it)."""
    decoder = DecoderLayer(D, HEADS, HIDDEN, 0.5, QAMem(K, D, 1)).train()
    inputs = normal(1, B, K, D), normal(2, B, S, D), normal(3, K, D), normal(4, S, D)
    assert fallen(decoder, *inputs) == [(B, K, D), (B, K, D), (B, K, HIDDEN), (B, K, D)]
    fallen(decoder.eval(), *inputs)
    encoder = EncoderLayer(D, HEADS, HIDDEN, 0.5).train()
    assert fallen(encoder, normal(1, B, S, D), normal(2, S, D)) == [(B, S, D), (B, S, HIDDEN), (B, S, D)]
    fallen(encoder.eval(), normal(1, B, S, D), normal(2, S, D))
