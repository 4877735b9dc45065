# SPDX-License-Identifier: Apache-2.0
"""PIPNet's augmentation as a PyTorch user has it: OpenCV in the workers of a DataLoader, or tensors on the device.

Both do what `barrel_jax.input.augment` does, with its probabilities and amounts, but for what is not PIPNet's: changes
of size and of the box.
"""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from barrel_jax.config import AugmentConfig


def refuse_others(config: AugmentConfig) -> None:
    """Raises ValueError when a config asks for what is not done here."""
    for name in ("scale_prob", "box_prob"):
        if value := getattr(config, name):
            raise ValueError(f"augment.{name}={value}: PyTorch's augmentation here is PIPNet's alone; set it to 0")


class AugmentedFaces(Dataset):
    """Faces augmented one by one with OpenCV, as the workers of a DataLoader do it.

    Args:
        images: uint8 [n, S, S, 3].
        points: float32 [n, K, 2] in crop units.
        flip: the scheme's permutation [K].
        config: probabilities and amounts.
    """

    def __init__(self, images: np.ndarray, points: np.ndarray, flip: tuple[int, ...], config: AugmentConfig) -> None:
        """Raises ValueError as `refuse_others`."""
        refuse_others(config)
        self.images, self.points, self.flip, self.config = images, points, list(flip), config

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """An image, uint8 [S, S, 3], and its points [K, 2]."""
        config, rng = self.config, np.random.default_rng(int(torch.randint(2**31, ())))
        image, points = self.images[index], self.points[index]
        size = image.shape[0]
        shift, angle = np.zeros(2), 0.0
        if rng.random() < config.translate_prob:
            shift = rng.uniform(-config.translate, config.translate, 2)
        # Where the points are, and clamped to the edge that the shift carries them over: [2, K, 2].
        points = np.stack([points + shift, np.clip(points + shift, 0, 1) if shift.any() else points])
        if rng.random() < config.occlude_prob:
            image = image.copy()
            width, height = (rng.uniform(0, config.occlude, 2) * size).astype(int)
            left, top = (int(rng.uniform(0, max(size * (1 - config.occlude_margin) - w, 1))) for w in (width, height))
            # The patch lies where the shift has brought the face.
            left, top = np.round((left, top) - shift * size).astype(int).tolist()
            image[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = rng.integers(0, 256, 3)
        mirrored = rng.random() < config.flip_prob
        if mirrored:
            points = (points * (-1, 1) + (1, 0))[:, self.flip]
        if rng.random() < config.rotate_prob:
            angle = math.radians(rng.uniform(-config.rotate, config.rotate))
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        free, clamped = (points - 0.5) @ turn.T + 0.5
        points = np.where(((free >= 0) & (free <= 1)).all(-1, keepdims=True), free, clamped)
        # From an output pixel back to the input, in units of the crop's centre.
        back = np.diag([-1.0 if mirrored else 1.0, 1.0]) @ turn.T
        middle = (size - 1) / 2
        offset = middle - back @ np.full(2, middle) - shift * size
        matrix = np.concatenate([back, offset[:, None]], axis=1)
        image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        if rng.random() < config.blur_prob:
            image = cv2.GaussianBlur(image, (0, 0), max(rng.uniform(0, config.blur) * size, 1e-3))
        if rng.random() < config.grey_prob:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        return torch.from_numpy(image), torch.from_numpy(points.astype(np.float32))


def augment(
    images: torch.Tensor, points: torch.Tensor, flip: torch.Tensor, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch augmented on its device: uint8 [B, S, S, 3] and [B, K, 2] to float [B, 3, S, S] in 0..1 and [B, K, 2].

    Raises ValueError as `refuse_others`.
    """
    refuse_others(config)
    batch, size, device = len(images), images.shape[1], images.device

    def chance(probability: float) -> torch.Tensor:
        return torch.rand(batch, device=device) < probability

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(batch, *shape, device=device)

    shift = (2 * uniform(2) - 1) * config.translate * chance(config.translate_prob)[:, None]
    patch = uniform(2) * config.occlude * chance(config.occlude_prob)[:, None]
    corner = uniform(2) * (1 - config.occlude_margin - patch).clamp_min(0)
    mirrored = chance(config.flip_prob)
    angle = (2 * uniform() - 1) * math.radians(config.rotate) * chance(config.rotate_prob)
    sigma = uniform() * config.blur * chance(config.blur_prob)
    grey = chance(config.grey_prob)

    # Where the points are, and clamped to the edge that the shift carries them over: [2, B, K, 2].
    shifted = points + shift[:, None]
    points = torch.stack([shifted, torch.where((shift != 0).any(1)[:, None, None], shifted.clamp(0, 1), shifted)])
    sign = torch.where(mirrored, -1.0, 1.0)
    swapped = torch.where(mirrored[:, None, None], points[:, :, flip], points)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    centred = (swapped - 0.5) * torch.stack([sign, torch.ones_like(sign)], 1)[:, None]
    free, clamped = torch.einsum("bij,nbkj->nbki", turn, centred) + 0.5
    points = torch.where(((free >= 0) & (free <= 1)).all(-1, keepdim=True), free, clamped)

    # grid_sample counts from -1 to 1, twice the units of the crop's centre.
    back = turn.transpose(1, 2) * torch.stack([sign, torch.ones_like(sign)], 1)[:, :, None]
    theta = torch.cat([back, -2 * shift[:, :, None]], 2)
    grid = F.affine_grid(theta, [batch, 3, size, size], align_corners=False)
    pixels = F.grid_sample(images.permute(0, 3, 1, 2).float() / 255, grid, align_corners=False)
    place = grid / 2 + 0.5 + shift[:, None, None]  # in the frame behind the shift
    inside = ((place >= corner[:, None, None]) & (place < (corner + patch)[:, None, None])).all(-1)[:, None]
    pixels = torch.where(inside, uniform(3)[:, :, None, None], pixels)
    axis = torch.arange(size, device=device)
    away = (axis[:, None] - axis[None]) / (sigma * size).clamp_min(1e-3)[:, None, None]
    weights = torch.exp(-0.5 * away**2)
    weights = (weights / weights.sum(2, keepdim=True))[:, None]
    pixels = weights @ pixels @ weights.transpose(2, 3)
    luma = (pixels * pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return torch.where(grey[:, None, None, None], luma, pixels), points
