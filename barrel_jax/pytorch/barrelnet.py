# SPDX-License-Identifier: Apache-2.0
"""BarrelNet once more, in PyTorch: the oracle of the parity tests and the opponent of the speed tables.

Convolutions are quickest channels-last: `model.to(memory_format=torch.channels_last)` once, and images that lie in
memory as [B, H, W, 3], `images.permute(0, 3, 1, 2)` of an array made for the Flax model; the memory [B, S, D] is then a
view of the features. `torch.compile(model, fullgraph=True)` finds no graph break. For bfloat16 the model runs under
`torch.autocast`, or is cast, and the images with it, by `.to(torch.bfloat16)`; points are float32 either way.
"""

import torch
import torch.nn.functional as F
from torch import nn

from barrel_jax.backbones import BACKBONES, HRNetPlan
from barrel_jax.config import ModelConfig
from barrel_jax.pytorch.hrnet import HRNet
from barrel_jax.pytorch.resnet import ResNet
from barrel_jax.pytorch.transformer import DecoderLayer, EncoderLayer, sine_positions, xavier_linear

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


class QAMem(nn.Module):
    """Query-aware memory (section 3.3, equation 3): the transforms T^i behind the attention, with ReLUs between."""

    def __init__(self, num_queries: int, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PerQueryLinear(num_queries, width) for _ in range(layers))

    def forward(self, extracted: torch.Tensor) -> torch.Tensor:
        """Extracted values [B, K, D] -> [B, K, D]."""
        for index, layer in enumerate(self.layers):
            extracted = layer(F.relu(extracted) if index else extracted)
        return extracted


class Head(nn.Module):
    """DETR's three-layer perceptron, shared by all queries and all decoder layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3 = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 2)
        for layer in (self.layer1, self.layer2, self.layer3):
            nn.init.zeros_(layer.bias)

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        """Query embeddings [..., K, D] -> points [..., K, 2] in crop units, float32."""
        return self.layer3(F.relu(self.layer2(F.relu(self.layer1(queries))))).float().sigmoid()


class BarrelNet(nn.Module):
    """K landmarks of a face crop (Figure 1 of the paper).

    Args:
      backbone: from normalised images to features [B, backbone.channels, *grid].
      num_landmarks: K.
      grid: height and width of the features, which the positions are worked out for, once.
      encoder_layers: 0 in the paper's models.
      decoder_layers: 0 is the plain baseline: pooled features and one dense layer.
      dqinit: whether the queries start from the memory (equation 1) or from zeros.
      qamem_layers: per-query layers of the query-aware memory; 0 for none.
      width: D.
      heads: N.
      feedforward: hidden width of the transformer's feed-forward parts.
      dropout: in the transformer.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_landmarks: int,
        grid: tuple[int, int],
        *,
        encoder_layers: int,
        decoder_layers: int,
        dqinit: bool,
        qamem_layers: int,
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
        nn.init.zeros_(self.input_proj.bias)
        self.register_buffer("positions", sine_positions(*grid, width), persistent=False)
        self.query_embed = nn.Embedding(num_landmarks, width)
        self.dqinit = xavier_linear(width, num_landmarks * width) if dqinit else None
        shape = (width, heads, feedforward, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in range(encoder_layers))
        memories = (QAMem(num_landmarks, width, qamem_layers) if qamem_layers else None for _ in range(decoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*shape, qamem) for qamem in memories)
        self.norm = nn.LayerNorm(width)
        self.head = Head(width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, 3, H, W], RGB in 0..1, to points [L, B, K, 2] in crop units, float32.

        L is the number of decoder layers, the last one is the prediction; with no decoder L = 1.

        Raises:
          ValueError: when the images are of another size than the model was made for.
        """
        features = self.backbone((images - self.mean) / self.std)
        if self.regression is not None:
            return self.regression(features.mean((2, 3))).float().reshape(1, -1, self.num_landmarks, 2)
        return self.head(self.norm(torch.stack(self._decode(features))))

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """The prediction alone, [B, 3, H, W] -> [B, K, 2], without the points of earlier decoder layers."""
        if self.regression is not None:
            return self(images)[0]
        features = self.backbone((images - self.mean) / self.std)
        return self.head(self.norm(self._decode(features)[-1]))

    def _decode(self, features: torch.Tensor) -> list[torch.Tensor]:
        # Features [B, C, *grid] -> query embeddings [B, K, D] behind every decoder layer.
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
        embeddings = []
        for layer in self.decoder:
            queries = layer(queries, memory, query_pos, self.positions)
            embeddings.append(queries)
        return embeddings


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
    backbone = HRNet(norm, plan) if isinstance(plan, HRNetPlan) else ResNet(layout, stride, norm)
    return BarrelNet(backbone, num_landmarks, (-(-image_size // stride),) * 2, **fields)
