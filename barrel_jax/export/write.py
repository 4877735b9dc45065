# SPDX-License-Identifier: Apache-2.0
"""The export of a run's model in the formats asked for, each checked against Flax before it is kept."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from barrel_jax import files
from barrel_jax.export import executable, manifest, stablehlo
from barrel_jax.faces.crop_windows import protocol_of, windows_around
from barrel_jax.models.inference import folded_model, make_inference
from barrel_jax.models.packed import Packed
from barrel_jax.onnx import runtime
from barrel_jax.training.trained import TrainedRun

FORMATS = ("stablehlo", "executable", "onnx")
PACKED = "packed"  # a file for Predictor.load alone, not among those that are written when none is named
TOLERANCE = 1e-4  # crop units


def export(
    trained: TrainedRun | Packed, out: Path, formats: Sequence[str] = FORMATS, batches: Sequence[int] = (1,)
) -> dict[str, Any]:
    """Writes the files and their manifest, which it returns, in place of what an earlier export left in `out`.

    All compute in float32, in full on every device, whatever the run's compute type.

    Args:
        trained: what to export.
        out: folder.
        formats: some of `FORMATS`.
        batches: of the executables, one file for each.

    Raises:
        ValueError: an unknown format; a package that a format needs is not installed; a file's points differ from
          Flax's by more than `TOLERANCE`. Nothing is written then.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"formats {','.join(formats)!r}: choose from {', '.join(FORMATS)}")
    contents, differences = {}, {}
    with jax.default_matmul_precision("highest"):
        config = dataclasses.replace(trained.config.model, dtype="float32")
        predict, weights = make_inference(config, trained.num_landmarks, trained.variables)
        images = _edge_cases(trained.config.data.image_size)
        points = np.asarray(jax.jit(predict)(weights, images))
        for name, content, run, batch in _serialised(trained, predict, weights, formats, batches):
            found = np.concatenate([run(part) for part in _parts(images, batch)])[: len(images)]
            difference = _checked(Path(out) / name, np.abs(found - points))
            contents[name], differences[name] = content, difference
        for name, content, difference in _image_forms(trained, weights, formats, Path(out)):
            contents[name], differences[name] = content, difference
            script = f"run_{name.rpartition('.')[2]}.py"
            contents[script] = files.read_bytes(Path(__file__).with_name(script))
    _keep(Path(out), contents, manifest.describe(trained, contents, differences))
    return manifest.read(out)


def _serialised(
    trained: TrainedRun | Packed, predict: Callable, weights: PyTree, formats: Sequence[str], batches: Sequence[int]
) -> Iterator[tuple[str, bytes, Callable, int | None]]:
    # Name and content of each file, the function read back from that content, and its batch unless it takes any.
    size = trained.config.data.image_size
    if "stablehlo" in formats:
        content = stablehlo.serialise(predict, weights, size)
        yield stablehlo.NAME, content, stablehlo.deserialise(content), None
    for batch in batches if "executable" in formats else ():
        content = executable.serialise(predict, weights, size, batch)
        yield executable.name(batch), content, executable.deserialise(content), batch
    if "onnx" in formats:
        facts = {"scheme": trained.scheme, "crop": trained.config.data.crop, "step": str(trained.step)}
        content = runtime.serialise(trained.config.model, trained.num_landmarks, size, weights, facts)
        yield runtime.NAME, content, runtime.deserialise(content), None


def _image_forms(
    trained: TrainedRun | Packed, weights: PyTree, formats: Sequence[str], out: Path
) -> Iterator[tuple[str, bytes, float]]:
    # Name and content of each file that takes an image and boxes, and its difference in shares of the windows.
    wanted = [name for name in (stablehlo.IMAGE_NAME, runtime.IMAGE_NAME) if name.rpartition(".")[2] in formats]
    if not wanted:
        return
    config, count, size = trained.config, trained.num_landmarks, trained.config.data.image_size
    protocol = protocol_of(config.data.crop, config.data.dataset)
    model = folded_model(dataclasses.replace(config.model, dtype="float32"), count)
    program = stablehlo.image_program(model, weights, protocol, size)
    # Noise of coarse grain: one face shrunk and over an edge, one enlarged.
    noise = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    image = np.ascontiguousarray(np.kron(noise, np.ones((size // 4, size // 4, 1), np.uint8)))
    boxes = np.array([[-9.3, 5.2, 1.63 * size, 1.41 * size], [7.3, 20.6, 0.83 * size, 0.57 * size]], np.float32)
    expected = np.asarray(jax.jit(program)(image, boxes)[0])
    sides = windows_around(protocol, boxes, np.array([image.shape[1], image.shape[0]], np.float32))[:, None, 2:]
    for name in wanted:
        if name == stablehlo.IMAGE_NAME:
            content = stablehlo.serialise_image(program)
            found = stablehlo.deserialise(content)(image, boxes)[0]
        else:
            facts = {"scheme": trained.scheme, "crop": config.data.crop, "step": str(trained.step)}
            content = runtime.serialise(config.model, count, size, weights, facts, protocol)
            found = runtime.open_network(content)(image, boxes)[0]
        yield name, content, _checked(out / name, np.abs(np.asarray(found) - expected) / sides)


def _checked(path: Path, differences: Float[np.ndarray, "B K 2"]) -> float:
    difference = float(differences.max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{path}: its points differ from Flax's by {difference:.1e} of the crop, more than "
            f"the {TOLERANCE:.0e} of rounding; nothing is written. Try another checkpoint, and report this"
        )
    return difference


def _edge_cases(size: int) -> UInt8[np.ndarray, "3 {size} {size} 3"]:
    # Noise, a black image and a white one.
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    return np.stack([noise, np.zeros_like(noise), np.full_like(noise, 255)])


def _parts(images: UInt8[np.ndarray, "n S S 3"], batch: int | None) -> list[UInt8[np.ndarray, "B S S 3"]]:
    # In batches of one size, the last filled up from the start; at once where any size will do.
    batch = batch or len(images)
    whole = -(-len(images) // batch) * batch
    return np.split(np.resize(images, (whole, *images.shape[1:])), whole // batch)


def _keep(out: Path, contents: dict[str, bytes], about: dict[str, Any]) -> None:
    # The manifest last: with an old one beside new files, or none, nothing is read.
    before = manifest.written_before(out)
    for name, content in contents.items():
        files.write_bytes(out / name, content)
    files.write_json(out / manifest.NAME, about)
    for name in before - contents.keys():
        (out / name).unlink(missing_ok=True)
