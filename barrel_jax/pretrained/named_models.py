# SPDX-License-Identifier: Apache-2.0
"""Trained models by name: files of `models.packed`, in the package or fetched once and checked by their SHA-256.

To add one: pack a run (`python -m barrel_jax.export RUN --formats packed`), put the file where it can be fetched, and
add its address, its SHA-256 and a model card in docs/models to `NAMED`.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from barrel_jax import files
from barrel_jax.command_line import meant
from barrel_jax.fetching import fetch
from barrel_jax.models.packed import SUFFIX


@dataclass(frozen=True)
class NamedModel:
    """Where a model is."""

    address: str  # https://..., or the name of a file in this package
    sha256: str
    card: str  # what it was trained on, its scores and limits


NAMED = {
    "small": NamedModel(
        "small.npz", "422de348d1a73027a2ce7d02eb9828b1915c00476c7f002717f992cc89b7884c", "docs/models/small.md"
    )
}


def is_name(model: str) -> bool:
    """Whether a text is the name of a model here. A folder so called is meant where it holds a run, and else is in the
    way by chance, such as what an export of that model wrote.

    Args:
        model: what a user gave.
    """
    return model in NAMED and not any((Path(model) / file).exists() for file in ("config.json", "run.json"))


def find_model(name: str) -> Path:
    """The file of a named model; fetched to $BARREL_JAX_DATA/models (~/.cache/barrel_jax/models) if need be.

    Raises:
        FileNotFoundError: there is no model of that name, or it cannot be fetched.
        ValueError: the file's SHA-256 is another.
    """
    if name not in NAMED:
        raise FileNotFoundError(
            f"{name}: no run there, no packed model (*{SUFFIX}), and no model has that name ({', '.join(NAMED)})"
            f"{meant(name, dict(zip(NAMED, NAMED, strict=True)))}; train first, or give what train.py was given"
        )
    model = NAMED[name]
    if "://" not in model.address:
        return Path(str(resources.files("barrel_jax.pretrained") / model.address))
    return fetch(model.address, files.cache_home() / "models" / f"{name}-{model.sha256[:12]}.npz", model.sha256)
