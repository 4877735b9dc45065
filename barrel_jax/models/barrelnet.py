# SPDX-License-Identifier: Apache-2.0
"""BarrelNet (Figure 1): backbone, projection, a decoder with DQInit and QAMem, and a head."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from barrel_jax.arrays import AnyArray
from barrel_jax.config import ModelConfig
from barrel_jax.config_checks import rank_fault
from barrel_jax.models.attention import layer_norm
from barrel_jax.models.backbone import make_backbone
from barrel_jax.models.decoder import DecoderLayer
from barrel_jax.models.dqinit import DQInit
from barrel_jax.models.encoder import EncoderLayer
from barrel_jax.models.head import Head, torch_uniform
from barrel_jax.models.norms import NORMS
from barrel_jax.models.positions import QueryPositions, sine_positions
from barrel_jax.models.qamem import STARTS
from barrel_jax.models.reference import ReferencePositions
from barrel_jax.models.uncertainty import LogScale

# ImageNet's, RGB in 0..1, as torchvision's weights were trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class BarrelNet(nn.Module):
    """K landmarks of a face crop. Attributes are config.ModelConfig's, with its defaults, K and the compute type."""

    num_landmarks: int
    backbone: str = ModelConfig.backbone
    stride: int = ModelConfig.stride
    norm: str = ModelConfig.norm
    norm_group: int = ModelConfig.norm_group
    encoder_layers: int = ModelConfig.encoder_layers
    decoder_layers: int = ModelConfig.decoder_layers
    dqinit: bool = ModelConfig.dqinit
    dqinit_rank: int = ModelConfig.dqinit_rank
    reference_points: bool = ModelConfig.reference_points
    qamem_layers: int = ModelConfig.qamem_layers
    qamem_init: str = ModelConfig.qamem_init
    qamem_rank: int = ModelConfig.qamem_rank
    uncertainty: bool = ModelConfig.uncertainty
    width: int = ModelConfig.width
    heads: int = ModelConfig.heads
    feedforward: int = ModelConfig.feedforward
    dropout: float = ModelConfig.dropout
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Shaped[AnyArray, "..."], *, train: bool) -> Float[Array, "L B K 2"]:
        """Images [B, H, W, 3], RGB in 0..1, to points [L, B, K, 2] in crop units, float32.

        L is the number of decoder layers, the last one is the prediction; with no decoder L = 1.

        Flax's collection of intermediates holds, where they exist: `coarse`, the points [B, K, 2] that the head reads
        from DQInit's queries, and `log_scale`, the logarithm [B, K] of the error's scale (models/uncertainty.py).

        Raises:
            ValueError: images of another shape or of an integer type, a backbone, stride, width, norm or start of QAMem
              that there is not, options without what they need. Asked here too since users' own loops call this.
        """
        _check(self, images)
        images = (images - jnp.array(MEAN)[None, None, None]) / jnp.array(STD)[None, None, None]
        backbone = make_backbone(self.backbone, self.stride, self.norm, self.dtype, self.norm_group, name="backbone")
        features = backbone(images, train=train)
        if self.decoder_layers == 0:
            pooled = features.mean(axis=(1, 2)).astype(jnp.float32)
            # In full precision for the reason of the head's last layer.
            regression = nn.Dense(
                self.num_landmarks * 2, kernel_init=torch_uniform, precision="highest", name="regression"
            )
            return regression(pooled).reshape(1, -1, self.num_landmarks, 2)

        memory = nn.Conv(self.width, (1, 1), kernel_init=torch_uniform, dtype=self.dtype, name="projection")(features)
        batch, height, width, _ = memory.shape
        memory = memory.reshape(batch, height * width, self.width)
        memory_positions = sine_positions(height, width, self.width).astype(self.dtype)
        shared: dict[str, Any] = {
            "heads": self.heads,
            "feedforward": self.feedforward,
            "dropout": self.dropout,
            "dtype": self.dtype,
        }
        for index in range(self.encoder_layers):
            memory = EncoderLayer(**shared, name=f"encoder{index}")(memory, memory_positions, train=train)

        query_positions = QueryPositions(self.num_landmarks, self.width, name="query_positions")().astype(self.dtype)
        norm = layer_norm("decoder_norm", self.dtype)
        head = Head(self.width, self.dtype, name="head")
        if self.dqinit:
            queries = DQInit(self.num_landmarks, self.dqinit_rank, self.dtype, name="dqinit")(memory)
        else:
            queries = jnp.zeros((batch, self.num_landmarks, self.width), self.dtype)
        if self.dqinit and (self.reference_points or self.is_mutable_collection("intermediates")):
            origin = head(norm(queries))
            self.sow("intermediates", "coarse", nn.sigmoid(origin))
        reference = None
        if self.reference_points:
            locate = ReferencePositions(self.width, self.dtype, name="reference")
            reference = locate(nn.sigmoid(origin), (height, width))
            # Zero at the start: training begins with the coarse points.
            offset = Head(self.width, self.dtype, nn.initializers.zeros, name="offset_head")
        qamem: dict[str, Any] = {
            "qamem_layers": self.qamem_layers,
            "qamem_init": self.qamem_init,
            "qamem_rank": self.qamem_rank,
        }
        points = []
        for index in range(self.decoder_layers):
            layer = DecoderLayer(**qamem, **shared, name=f"decoder{index}")
            queries = layer(queries, memory, query_positions, memory_positions, reference, train=train)
            found = norm(queries)
            points.append(nn.sigmoid(origin + offset(found) if self.reference_points else head(found)))
        if self.uncertainty:
            self.sow("intermediates", "log_scale", LogScale(self.width, self.dtype, name="scale")(norm(queries)))
        return jnp.stack(points)


def _check(model: BarrelNet, images: AnyArray) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or not jnp.issubdtype(images.dtype, jnp.floating):
        seen = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"images are floating numbers [B, H, W, 3] in 0..1, these are {seen}; divide uint8 by 255")
    if model.width % 4 or model.width % model.heads:
        raise ValueError(f"width={model.width} does not divide by 4 and by heads={model.heads}")
    if model.norm not in NORMS:
        raise ValueError(f"norm={model.norm!r} is none of {', '.join(NORMS)}")
    if model.qamem_init not in STARTS:
        raise ValueError(f"qamem_init={model.qamem_init!r} is none of {', '.join(STARTS)}")
    if model.reference_points and not (model.dqinit and model.decoder_layers):
        raise ValueError("reference_points=True reads coarse points from DQInit's queries, for a decoder to refine")
    if fault := rank_fault(model):
        raise ValueError(fault)
    if model.encoder_layers and not model.decoder_layers:
        raise ValueError(f"encoder_layers={model.encoder_layers} makes memory, and no decoder reads it")
    if model.uncertainty and not model.decoder_layers:
        raise ValueError("uncertainty=True reads a scale from the decoder's queries, and decoder_layers is 0")
