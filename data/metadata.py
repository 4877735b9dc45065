# SPDX-License-Identifier: Apache-2.0
"""The metadata of a built set. Does without TFDS, which takes seconds to import."""

from collections.abc import Mapping, Sequence
from typing import Any

from barrel_jax.faces.landmarks import LandmarkScheme


def face_metadata(
    dataset: str,
    scheme: LandmarkScheme,
    found: str,
    source_digest: str,
    flag_names: Sequence[str] = (),
    counts: Mapping[str, int] = {},
    partial: str = "",
    doubts: Sequence[str] = (),
) -> dict[str, Any]:
    """What `metadata.json` of a built set holds.

    Args:
        dataset: 'coco', 'synthetic', ...
        scheme: landmarks of the set. An empty `flip`, or a `normaliser` without points, was not found: the config must
            give it.
        found: sentences for people on how the scheme is known.
        source_digest: SHA-256 in hex that changes when the source changes.
        flag_names: names of the F flags.
        counts: what was counted in the source, such as 'nan_points'.
        partial: what is missing of the published set; '' when nothing is.
        doubts: what is probably wrong with it, one line each.
    """
    return {
        "dataset": dataset,
        "scheme": scheme.name,
        "num_points": scheme.num_points,
        "flip": list(scheme.flip),
        "normaliser": list(scheme.normaliser.points),
        "normaliser_name": str(scheme.normaliser),
        "flag_names": list(flag_names),
        "found": found,
        "counts": dict(counts),
        "partial": partial,
        "doubts": list(doubts),
        "source_digest": source_digest,
    }
