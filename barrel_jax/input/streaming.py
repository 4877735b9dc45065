# SPDX-License-Identifier: Apache-2.0
"""Batches that are brought to the devices one by one: each process reads, and holds, its own part of each.

For several processes, and for splits that do not fit on a device. The order is the one in which resident faces
(`placement`) are gathered, so that a run may go on in the other way.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from barrel_jax.devices.sharding import from_local, local_rows
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.placement import Faces, labels

# Batches read ahead; a batch of 16 faces of 256 px is 3 MB.
AHEAD = 8


def stream(
    crops: FaceCrops,
    order_of: Callable[[int], Int[np.ndarray, " n"]],
    batch_size: int,
    steps_per_epoch: int,
    first: int,
    total: int,
    mesh: Mesh,
) -> Iterator[Faces]:
    """The batches of the steps first..total-1, as global arrays split over all devices.

    Args:
        crops: the split, n faces, memory-mapped.
        order_of: the order in which an epoch visits the faces (`barrel_jax.training.order.epoch_order_of`).
        batch_size: faces of a batch over all devices.
        steps_per_epoch: whole batches of an epoch.
        first, total: steps.
        mesh: the devices.
    """
    import grain  # faces that lie on the devices do without it

    mine = local_rows(batch_size, mesh)
    points, labelled = labels(crops)
    orders: dict[int, np.ndarray] = {}

    def read(step: int) -> Faces:
        epoch, at = divmod(step, steps_per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = order_of(epoch)
        rows = orders[epoch][at * batch_size : (at + 1) * batch_size][mine]
        return Faces(crops.images[rows], points[rows], labelled[rows])

    # One thread, which owns `orders`.
    steps = grain.MapDataset.range(first, total).map(read)
    ahead = steps.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD))
    for part in ahead:
        yield from_local(part, batch_size, mesh)
