# SPDX-License-Identifier: Apache-2.0
"""BarrelNet in PyTorch: the oracle of the parity tests and the opponent of the speed tables.

Convolutions are quickest channels-last: `model.to(memory_format=torch.channels_last)` once, and images that lie in
memory as [B, H, W, 3], `images.permute(0, 3, 1, 2)` of an array made for the Flax model; the memory [B, S, D] is then a
view of the features. `torch.compile(model, fullgraph=True)` finds no graph break. For bfloat16 the model runs under
`torch.autocast`, or is cast, and the images with it, by `.to(torch.bfloat16)`; points are float32 either way.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from barrel_jax.backbones import BACKBONES, Backbone, HRNetPlan, ResNetPlan
from barrel_jax.config import ModelConfig
from barrel_jax.pytorch.hrnet import HRNet
from barrel_jax.pytorch.resnet import ResNet
from barrel_jax.pytorch.transformer import DecoderLayer, EncoderLayer, sine_positions, sines, xavier_linear

# Of the scales' logarithm: what it starts from, and its bounds.
START, LEAST, MOST = -3.5, -9.0, 1.0
# ImageNet's, RGB in 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class PerQueryLinear(nn.Module):
    """A dense layer of its own for every query: the paper's 1x1 convolution with K groups, as a batched product."""

    def __init__(self, num_queries: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(width).repeat(num_queries, 1, 1))
        self.bias = nn.Parameter(torch.zeros(num_queries, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, K, D] -> [B, K, D], row i through weight[i], whose rows are inputs."""
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight).transpose(0, 1)


class PerQueryLowRank(nn.Module):
    """The same with transforms 1 + U V^T of a rank; U is zero at the start."""

    def __init__(self, num_queries: int, width: int, rank: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.zeros(num_queries, width, rank))
        self.v = nn.Parameter(torch.randn(num_queries, width, rank) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(num_queries, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, K, D] -> [B, K, D]."""
        moved = torch.bmm(torch.bmm(x.transpose(0, 1), self.u), self.v.transpose(1, 2))
        return x + moved.transpose(0, 1) + self.bias


class QAMem(nn.Module):
    """Query-aware memory (section 3.3, equation 3): the transforms T^i behind the attention, with ReLUs between."""

    def __init__(self, num_queries: int, width: int, layers: int, rank: int = 0) -> None:
        super().__init__()
        kind = (PerQueryLowRank, num_queries, width, rank) if rank else (PerQueryLinear, num_queries, width)
        self.layers = nn.ModuleList(kind[0](*kind[1:]) for _ in range(layers))

    def forward(self, extracted: torch.Tensor) -> torch.Tensor:
        """Extracted values [B, K, D] -> [B, K, D]."""
        for index, layer in enumerate(self.layers):
            extracted = layer(F.relu(extracted) if index else extracted)
        return extracted


class Perceptron(nn.Module):
    """Two dense layers with a ReLU between them: of reference positions, and of the points' scales."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layer1, self.layer2 = xavier_linear(width, width), xavier_linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., outputs]."""
        return self.layer2(F.relu(self.layer1(x)))


class Head(nn.Module):
    """DETR's three-layer perceptron, shared by all queries and all decoder layers; a sigmoid of it is a point."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3 = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 2)
        for layer in (self.layer1, self.layer2, self.layer3):
            nn.init.zeros_(layer.bias)

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        """Query embeddings [..., K, D] -> [..., K, 2], whose sigmoids are points in crop units, float32."""
        return self.layer3(F.relu(self.layer2(F.relu(self.layer1(queries))))).float()


class Outputs(NamedTuple):
    """What the model says of images, all of it in crop units and float32."""

    points: torch.Tensor  # [L, B, K, 2], of every decoder layer
    coarse: torch.Tensor | None  # [B, K, 2], read from DQInit's queries
    log_scale: torch.Tensor | None  # [B, K], logarithm of the scale of the points' errors


class BarrelNet(nn.Module):
    """K landmarks of a face crop (Figure 1 of the paper).

    Args:
        backbone: from normalised images to features [B, backbone.channels, *grid].
        num_landmarks: K.
        grid: height and width of the features, which the positions are worked out for, once.
        encoder_layers: 0 in the paper's models.
        decoder_layers: 0 is the plain regression: pooled features and one dense layer.
        dqinit: whether the queries start from the memory (equation 1) or from zeros.
        dqinit_rank: of the weights that do it; 0 for all.
        reference_points: whether coarse points, read from these queries, say where to look.
        qamem_layers: per-query layers of the query-aware memory; 0 for none.
        qamem_rank: of what these layers change; 0 for full ones.
        uncertainty: whether points have a scale of their error.
        width: D.
        heads: N.
        feedforward: hidden width of the transformer's feed-forward parts.
        dropout: in the transformer.
    """

    # Buffers; PyTorch's annotation of what is registered is `Tensor | Module`.
    mean: torch.Tensor
    std: torch.Tensor
    positions: torch.Tensor

    def __init__(
        self,
        backbone: HRNet | ResNet,
        num_landmarks: int,
        grid: tuple[int, int],
        *,
        encoder_layers: int,
        decoder_layers: int,
        dqinit: bool,
        dqinit_rank: int,
        reference_points: bool,
        qamem_layers: int,
        qamem_rank: int,
        uncertainty: bool,
        width: int,
        heads: int,
        feedforward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.backbone, self.num_landmarks, self.grid = backbone, num_landmarks, tuple(grid)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)
        self.regression = nn.Linear(backbone.channels, num_landmarks * 2) if decoder_layers == 0 else None
        if self.regression is not None:
            nn.init.zeros_(self.regression.bias)
            return
        self.input_proj = nn.Conv2d(backbone.channels, width, 1)
        nn.init.zeros_(self.input_proj.get_parameter("bias"))
        self.register_buffer("positions", sine_positions(*grid, width), persistent=False)
        self.query_embed = nn.Embedding(num_landmarks, width)
        self.dqinit: nn.Module | None = None
        if dqinit:
            self.dqinit = dense = xavier_linear(dqinit_rank or width, num_landmarks * width)
            if dqinit_rank:
                reduce = nn.Linear(width, dqinit_rank, bias=False)
                nn.init.xavier_uniform_(reduce.weight)
                self.dqinit = nn.Sequential(reduce, dense)
        shape = (width, heads, feedforward, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in range(encoder_layers))
        memory = (num_landmarks, width, qamem_layers, qamem_rank)
        memories = (QAMem(*memory) if qamem_layers else None for _ in range(decoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*shape, qamem) for qamem in memories)
        self.norm = nn.LayerNorm(width)
        self.head = Head(width)
        self.reference = Perceptron(width, width) if reference_points else None
        self.offset_head = Head(width) if reference_points else None
        if self.offset_head is not None:
            nn.init.zeros_(self.offset_head.layer3.weight)
        self.scale = Perceptron(width, 1) if uncertainty else None
        if self.scale is not None:
            nn.init.kaiming_uniform_(self.scale.layer1.weight, a=5**0.5)  # as PyTorch draws a dense layer
            nn.init.zeros_(self.scale.layer2.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, 3, H, W], RGB in 0..1, to points [L, B, K, 2] in crop units, float32.

        L is the number of decoder layers, the last one is the prediction; with no decoder L = 1.

        Raises:
            ValueError: when the images are of another size than the model was made for.
        """
        return self.outputs(images).points

    def outputs(self, images: torch.Tensor) -> Outputs:
        """All that the model says of images [B, 3, H, W]; raises as `forward`."""
        features = self.backbone((images - self.mean) / self.std)
        if self.regression is not None:
            found = self.regression(features.mean((2, 3))).float().reshape(1, -1, self.num_landmarks, 2)
            return Outputs(found, None, None)
        embeddings, origin = self._decode(features)
        found = self.norm(torch.stack(embeddings))
        log_scale = None
        if self.scale is not None:
            log_scale = (self.scale(found[-1])[..., 0].float() + START).clamp(LEAST, MOST)
        return Outputs(self._points(found, origin), None if origin is None else origin.sigmoid(), log_scale)

    def _points(self, found: torch.Tensor, origin: torch.Tensor | None) -> torch.Tensor:
        if self.offset_head is None:
            return self.head(found).sigmoid()
        return (origin + self.offset_head(found)).sigmoid()

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """The prediction alone, [B, 3, H, W] -> [B, K, 2], without the points of earlier decoder layers."""
        if self.regression is not None:
            return self(images)[0]
        features = self.backbone((images - self.mean) / self.std)
        embeddings, origin = self._decode(features)
        return self._points(self.norm(embeddings[-1]), origin)

    def _decode(self, features: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        # Features [B, C, *grid] -> query embeddings [B, K, D] behind every decoder layer, and the logits [B, K, 2] of
        # the coarse points, where they are used.
        if features.shape[2:] != self.grid:
            raise ValueError(
                f"BarrelNet: features of {tuple(features.shape[2:])}, positions of {self.grid}: "
                "make the model with the grid of these images; weights fit any grid"
            )
        memory = self.input_proj(features).flatten(2).transpose(1, 2)
        for layer in self.encoder:
            memory = layer(memory, self.positions)
        query_pos = self.query_embed.weight
        if self.dqinit is None:
            queries = memory.new_zeros(len(memory), *query_pos.shape)
        else:
            queries = self.dqinit(memory.mean(1)).unflatten(1, query_pos.shape)
        origin, reference = None, None
        if self.reference is not None:
            origin = self.head(self.norm(queries))
            height, width = self.grid
            x, y = (origin.sigmoid().detach() + 0.5 / origin.new_tensor([width, height])).unbind(-1)
            half = query_pos.shape[1] // 2
            reference = self.reference(torch.cat([sines(y, half), sines(x, half)], -1).to(memory.dtype))
        embeddings = []
        for layer in self.decoder:
            queries = layer(queries, memory, query_pos, self.positions, reference)
            embeddings.append(queries)
        return embeddings, origin


BUILDERS: dict[type[Backbone], Callable[..., HRNet | ResNet]] = {
    ResNetPlan: lambda plan, stride, norm: ResNet(plan.name, stride, norm),
    HRNetPlan: lambda plan, _, norm: HRNet(norm, plan),
}


def build_model(config: ModelConfig, num_landmarks: int, image_size: int) -> BarrelNet:
    """The model of a config for square crops; `config.dtype` is left to the caller (see the top of this file).

    Raises:
        ValueError: when the backbone is none of those here, or batch norm is over groups of a batch.
    """
    fields = dict(vars(config))
    del fields["qamem_init"]  # weights come from Flax
    layout, stride, norm, _ = (fields.pop(name) for name in ("backbone", "stride", "norm", "dtype"))
    if fields.pop("norm_group"):
        raise ValueError(f"model.norm_group={config.norm_group}: PyTorch's batch norm is over the whole batch, 0 here")
    plan = BACKBONES[layout]
    backbone = BUILDERS[type(plan)](plan, stride, norm)
    return BarrelNet(backbone, num_landmarks, (-(-image_size // stride),) * 2, **fields)
