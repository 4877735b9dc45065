# SPDX-License-Identifier: Apache-2.0
"""The annotated faces of a source, without a built set and without pixels: enough to score anybody's predictions."""

import numpy as np

from barrel_jax.config import DataConfig
from barrel_jax.encodings import readable
from barrel_jax.faces.annotated import FaceTruth, clamp
from barrel_jax.faces.crop_windows import crop_window, protocol_of
from barrel_jax.faces.landmarks import make_scheme
from data.face_sets import DOWNLOADED, find_set
from data.source import Source


def truth_alone(config: DataConfig) -> FaceTruth | None:
    """The annotated faces of a config's test split, where the set's images are not there; None where they are.

    Raises:
        FileNotFoundError: the source is missing.
        ValueError: as `truth_of`.
    """
    if config.dataset not in DOWNLOADED:
        return None
    downloaded = DOWNLOADED[config.dataset]
    source = downloaded.read(downloaded.locate(config.source, config.data_dir))
    return None if source.has_images else truth_of(source, config, config.test_split)


def truth_of(source: Source, config: DataConfig, split: str) -> FaceTruth:
    """The annotated faces of a split of a source as read.

    Args:
        source: its faults are raised as in a build.
        config: says whether the source may be partial, whether points are clamped, how faces are cropped (`crop`, for
            the windows), and what is put on top of the landmarks that were found (`flip_pairs`, `normaliser`).
        split: its name.

    Raises:
        ValueError: the source has faults, or gaps that are not allowed; there is no such split, or it is empty; points
            must be clamped and no size of an image is known; overrides do not fit the set.
    """
    source.raise_faults(config.allow_partial)
    if not source.splits.get(split):
        there = ", ".join(f"{name} ({len(faces):,} faces)" for name, faces in source.splits.items())
        raise ValueError(f"{source.directory}: no faces in split {split!r}; its splits are: {there}")
    faces = source.splits[split]
    points_px = np.stack([face.points for face in faces]).astype(np.float32)
    if config.clamp_points:
        if not all(face.size for face in faces):
            raise ValueError(
                f"{source.directory}: without the images their sizes are not known, so that points cannot be clamped "
                "to them; add the images, or score with config.data.clamp_points=False (--no-clamp-points)"
            )
        points_px = clamp(points_px, np.array([face.size for face in faces]))
    num_points, found = source.scheme.num_points, find_set(source.dataset)
    rule = protocol_of(config.crop, source.dataset)
    windows = None
    if all(face.size for face in faces):
        windows = np.stack(
            [crop_window(rule, face.box, face.points, face.labelled, np.array(face.size)) for face in faces]
        )
    return FaceTruth(
        dataset=source.dataset,
        split=split,
        fingerprint=found.digest(str(source.directory), found.options(config)),
        scheme=make_scheme(num_points, config.flip_pairs, config.normaliser, source.scheme),
        flag_names=tuple(source.flag_names),
        points_px=points_px,
        visible=np.stack([face.visible for face in faces]).astype(np.uint8),
        boxes=np.stack([face.box for face in faces]).astype(np.float32),
        flags=np.array([face.flags for face in faces], bool).reshape(len(faces), len(source.flag_names)),
        files=tuple(readable(face.file) for face in faces),
        faces=np.array([face.face for face in faces], np.int64),
        partial=source.partial,
        clamped=config.clamp_points,
        windows=None if windows is None else windows.astype(np.float32),
    )
