# SPDX-License-Identifier: Apache-2.0
"""The faces of a run: those to train on, of one set or of several, and those that are scored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from barrel_jax.config import Config, DataConfig
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.mixture import join
from barrel_jax.input.splits import load_split
from barrel_jax.training.order import epoch_length

Prepared = Path | Callable[[DataConfig], Path]  # a built set's folder, or what builds a set where it is not there yet


def load_sets(config: Config, prepared: Prepared) -> tuple[FaceCrops, FaceCrops]:
    """The faces to train on, of all sets, and those that are scored, of the first.

    Args:
        config: the run's.
        prepared: the built set's folder, or what builds a set where it is not there yet.

    Raises:
        ValueError: there are fewer faces than a batch has, a further set that cannot be trained on with the first, or a
            single landmark, which cannot be scored.
    """
    data = config.data
    directory = prepared(data) if callable(prepared) else prepared
    main = load_split(config.data, directory, data.train_split, data.context)
    if not str(main.scheme.normaliser):
        raise ValueError(
            f"{data.dataset}: its faces have one landmark, and no distance that normalises errors; annotate two or more"
        )
    train_crops = join(
        main, [(_load_other(config, main, dataset, source, prepared), share) for dataset, source, share in data.also]
    )
    if (faces := epoch_length(train_crops)) < config.batch_size:
        raise ValueError(
            f"config.batch_size={config.batch_size}, but {data.train_split!r} has {faces} faces for an epoch; "
            "use a smaller batch"
        )
    return train_crops, load_split(config.data, directory, data.scored_split)


def _load_other(config: Config, main: FaceCrops, dataset: str, source: str, prepared: Prepared) -> FaceCrops:
    """The training faces of a further set, cropped as those of the first; synthetic ones get the first's points."""
    scheme = main.scheme.name
    if not callable(prepared):
        raise ValueError(f"config.data.also names {dataset}, and {prepared} is one set: give what builds them")
    if dataset == "synthetic" and scheme not in SCHEMES:
        raise ValueError(
            f"config.data.also: synthetic faces are annotated as {', '.join(SCHEMES)}, and {main.dataset}'s points are "
            f"{scheme}"
        )
    data = replace(config.data, dataset=dataset, source=source, holdout=0.0)
    if dataset == "synthetic":
        data.scheme = scheme
    return load_split(data, prepared(data), data.train_split, data.context)
