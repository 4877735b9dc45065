# SPDX-License-Identifier: Apache-2.0
"""The data settings of an evaluation: a run's own, with those that a command line names in their place."""

import dataclasses
from typing import Any

from barrel_jax.config import DataConfig
from barrel_jax.faces.landmarks import SCHEMES

OWN_FACES = ("boxes", "points", "exif", "placeholders")  # fields that say how own faces (coco) are read


def data_to_score(
    own: DataConfig, scheme: str, *, dataset: str | None = None, source: str | None = None, **overrides: Any
) -> DataConfig:
    """The data settings `own` of a run (or the defaults) with what the command line names in their place.

    Args:
        own: settings to start from.
        scheme: of the run's model; synthetic faces are annotated alike, so that its model can be scored on them.
        dataset: another set, None for their own.
        source: folder of the set's download, None for that of the settings.
        overrides: other fields of the settings, None for those that are not named.

    Returns:
        the settings; the split to score is their `test_split`.

    Raises:
        ValueError: a source is given for the synthetic set, which has none, or a way to read own faces for another set.
    """
    data = dataclasses.replace(own)
    if dataset is not None and dataset != own.dataset:
        data.dataset, data.source = dataset, ""
        data.flip_pairs, data.normaliser = (), ()  # they belong to the points of the run's own set
        data.holdout = 0.0  # of the run's own set too
        data.test_split = "val" if dataset == "coco" else "test"
        data.scheme = scheme if scheme in SCHEMES else own.scheme
    if source is not None:
        if data.dataset == "synthetic" and source:
            raise ValueError(f"--source={source}: the synthetic set has no source; name the set too: --dataset=coco")
        data.source = source
    for name in OWN_FACES:
        if overrides.get(name) is not None and data.dataset != "coco":
            raise ValueError(
                f"--{name} says how own faces are read (coco); {data.dataset} has one way alone: leave it out"
            )
    return dataclasses.replace(data, **{name: value for name, value in overrides.items() if value is not None})
