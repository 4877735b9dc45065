# SPDX-License-Identifier: Apache-2.0
"""Structural robustness: a model's error on faces that are hidden, turned, blurred, cropped askew or seen from aside.

Occlusion, rotation and blur are made of the crops, on the device; for a shifted box the window moves and the crop is
cut anew. Predictions are taken back to the source image by the exact inverse, so that the truth never moves. Large pose
cannot be made of an image: the faces are ranked by how far the head is turned (head_pose.py), and the strengths are the
fifths of the unperturbed faces from the most frontal to the most turned; all five together are the unperturbed split.

What happens to a face is a function of its place in the split: it does not depend on the model or the batch, and is the
same at every strength but for its size.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from barrel_jax.evaluation.metrics import face_means, mean, point_errors
from barrel_jax.evaluation.scores import Stress, StressRecord
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.geometry import px_to_unit, unit_to_px
from barrel_jax.faces.head_pose import MEASURED, fifths, turned
from barrel_jax.faces.normalisers import distances, normaliser_words
from barrel_jax.faces.wflw_to_300w import comparable
from barrel_jax.input.augment import Draw, transform_image
from barrel_jax.input.crops import FaceCrops, MadeImages, recut

SEED = 0
# Five strengths of each kind, and their unit.
KINDS = {
    "occlusion": ((0.1, 0.2, 0.3, 0.4, 0.5), "side of the patch, of the crop's"),
    "rotation": ((10.0, 20.0, 30.0, 40.0, 50.0), "degrees, to either side"),
    "blur": ((0.005, 0.01, 0.02, 0.03, 0.04), "standard deviation, of the crop's width"),
    "box shift": ((0.05, 0.1, 0.15, 0.2, 0.25), "of the window's width and height, in any direction"),
}
UNPERTURBED, POSE = "none", "large pose"
POSE_UNIT = "fifth of the faces, from frontal to turned"
Predict = Callable[[FaceCrops], Float[np.ndarray, "n K 2"]]


def stress(
    predict: Predict,
    crops: FaceCrops,
    truth: FaceTruth,
    directory: Path,
    protocol: str,
    checkpoint_step: int | None = None,
) -> Stress:
    """Errors unperturbed (strength 0), and of each kind at its five strengths.

    Args:
        predict: crops of n faces -> the model's points [n, K, 2] in source pixels.
        crops: the faces as the model sees them.
        truth: the same faces as they are scored (`wflw_to_300w.comparable`); its scheme says what normalises errors.
        directory: of the built set, and protocol: the crop protocol, from which `crops` were cut.
        checkpoint_step: of the model.

    In a scheme whose nose is not known there is no record of large pose.

    Raises ValueError as `score.predict_all` and `input.crops.recut`.
    """
    unit = distances(truth.scheme, truth.points_px, truth.labelled)

    def errors_of(points_px: np.ndarray) -> np.ndarray:
        return point_errors(comparable(points_px, crops)[0], truth.points_px, truth.labelled, unit)

    unperturbed = errors_of(predict(crops))
    records = [_record(UNPERTURBED, 0.0, "", unperturbed)]
    for kind, (strengths, words) in KINDS.items():
        for strength in strengths:
            if kind == "box shift":
                points_px = predict(recut(directory, crops, protocol, shifts(len(crops), strength)))
            else:
                points_px = predict_perturbed(predict, crops, draws(kind, len(crops), strength))
            records.append(_record(kind, strength, words, errors_of(points_px)))
    turns = turned(truth.scheme, truth.points_px, truth.labelled)
    if turns is not None:
        turns = np.where(np.isfinite(face_means(unperturbed)), turns, np.nan)
        groups = enumerate(fifths(turns), start=1)
        records += [_record(POSE, float(number), POSE_UNIT, unperturbed[faces]) for number, faces in groups]
    return Stress(
        dataset=crops.dataset,
        split=crops.split,
        fingerprint=crops.fingerprint,
        normaliser=str(truth.scheme.normaliser),
        normalised_by=normaliser_words(truth.scheme),
        crop=protocol,
        seed=SEED,
        pose=MEASURED if turns is not None else f"not measurable: the nose of {truth.scheme.name} is not known",
        records=records,
        checkpoint_step=checkpoint_step,
        clamped=truth.clamped,
    )


def _record(kind: str, strength: float, unit: str, errors: np.ndarray) -> StressRecord:
    """One record, from errors [n, K] (fractions)."""
    nmes = face_means(errors)
    worst = np.nan_to_num(errors).max(axis=1, initial=0)[np.isfinite(nmes)]
    return StressRecord(kind, strength, unit, 100 * mean(nmes), 100 * mean(worst), len(worst))


@partial(jax.jit, static_argnums=(0, 1))
def draws(kind: str, count: int, strength: float | Real[jax.Array, ""]) -> Draw:
    """What happens to each face of a split at 'occlusion', 'rotation' or 'blur': a `Draw` of arrays [count, ...].

    `strength` is in the kind's unit (`KINDS`). Patches lie inside the crop; half of them have a random colour and half
    are grey. Rotations go to either side.
    """

    def one(key: jax.Array) -> Draw:
        place, colour, grey, side = jax.random.split(key, 4)
        size = jnp.where(kind == "occlusion", strength, 0.0)
        corner = jax.random.uniform(place, (2,)) * (1 - size)
        angle = jnp.deg2rad(strength) * jnp.where(jax.random.bernoulli(side), 1.0, -1.0)
        return Draw(
            shift=jnp.zeros(2),
            patch=jnp.concatenate([corner, corner + size]),
            colour=jnp.where(jax.random.bernoulli(grey), 0.5, jax.random.uniform(colour, (3,))),
            flip=jnp.array(False),
            angle=jnp.where(kind == "rotation", angle, 0.0),
            zoom=jnp.array(1.0),
            sigma=jnp.where(kind == "blur", strength, 0.0),
            grey=jnp.array(False),
        )

    return jax.vmap(one)(_keys(kind, count))


def shifts(count: int, strength: float) -> Float[np.ndarray, "count 2"]:
    """Where each face's window moves, in shares of its width and height: float64 [count, 2] of length `strength`."""
    direction = jax.vmap(lambda key: jax.random.uniform(key, maxval=2 * math.pi))(_keys("box shift", count))
    return strength * np.stack([np.cos(direction), np.sin(direction)], axis=1).astype(np.float64)


def _keys(kind: str, count: int) -> jax.Array:
    key = jax.random.fold_in(jax.random.key(SEED), list(KINDS).index(kind))
    return jax.vmap(lambda face: jax.random.fold_in(key, face))(jnp.arange(count))


@jax.jit
def _perturb(images: jax.Array, drawn: Draw) -> jax.Array:
    """Images uint8 [B, S, S, 3] after their draws, uint8 as a camera would give them."""
    return jnp.round(255 * jax.vmap(transform_image)(images, drawn)).astype(jnp.uint8)


def predict_perturbed(predict: Predict, crops: FaceCrops, drawn: Draw) -> Float[np.ndarray, "n K 2"]:
    """Points [n, K, 2] in source pixels that a model finds in crops after their draws [n, ...], taken back.

    Args as `stress`; the draws may turn, zoom, hide, blur and grey, but neither shift nor flip.
    """

    def make(index: np.ndarray) -> np.ndarray:
        return np.asarray(_perturb(crops.images[index], jax.tree.map(lambda values: values[index], drawn)))

    points_px = predict(replace(crops, images=MadeImages(len(crops), make)))
    return unit_to_px(undo(px_to_unit(points_px, crops.windows), drawn), crops.windows).astype(np.float32)


def undo(points_unit: Float[np.ndarray, "n K 2"], drawn: Draw) -> Float[np.ndarray, "n K 2"]:
    """Points [n, K, 2] in units of the perturbed crops, in those of the crops before: `augment.transform_points` back.

    `drawn` has arrays [n, ...] and neither shift nor flip, which no perturbation here has.
    """
    angle, zoom = np.asarray(drawn.angle, np.float64), np.asarray(drawn.zoom, np.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    back = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], axis=1) / zoom[:, None, None]
    return np.einsum("nij,nkj->nki", back, np.asarray(points_unit, np.float64) - 0.5) + 0.5
