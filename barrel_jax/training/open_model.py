# SPDX-License-Identifier: Apache-2.0
"""A trained model from a run's folder, a packed model's file, or the name of one."""

from pathlib import Path
from typing import TYPE_CHECKING

from barrel_jax.models.packed import SUFFIX, Packed, unpack
from barrel_jax.pretrained.named_models import find_model, is_name

if TYPE_CHECKING:
    from barrel_jax.training.trained import TrainedRun


def open_model(model: str | Path, checkpoint: str = "latest") -> "Packed | TrainedRun":
    """A run's folder, a packed model's file or a name, opened: config, scheme, num_landmarks, variables, box_fit.

    A name means the model that is called so, unless a folder of that name holds a run.

    Raises:
        FileNotFoundError: no run, no file or no such checkpoint there; says which there are.
        ValueError: its files are damaged or of another version; a checkpoint is asked of a packed model, which has one.
    """
    path = Path(model)
    if path.is_dir() and not is_name(str(model)):
        from barrel_jax.training.trained import TrainedRun  # and orbax, which a packed model does without

        return TrainedRun.open(path, checkpoint)
    file = path if path.suffix == SUFFIX else find_model(str(model))
    if checkpoint != "latest":
        raise ValueError(f"{model}: a packed model is of one checkpoint; leave out --checkpoint {checkpoint}")
    return unpack(file)
