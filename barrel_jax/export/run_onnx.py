# SPDX-License-Identifier: Apache-2.0
"""Points of faces by model-image.onnx beside this file: python run_onnx.py PICTURE X Y W H [X Y W H ...]

It needs numpy and onnxruntime, and Pillow to read a picture. manifest.json says what a box and the points are.
"""

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

LARGEST = 2**28  # pixels of a picture


def content(path: Path) -> bytes:
    """The bytes of a file of an export. Raises ValueError: manifest.json beside it tells of others, or is damaged."""
    stored, manifest = path.read_bytes(), path.with_name("manifest.json")
    try:
        files = json.loads(manifest.read_text()).get("files") if manifest.exists() else None  # a page's names none
    except ValueError:
        raise ValueError(f"{manifest}: this is no JSON, perhaps a part of it; copy it anew") from None
    if files is not None and files.get(path.name, {}).get("sha256") != hashlib.sha256(stored).hexdigest():
        raise ValueError(f"{path}: not the file that manifest.json tells of, perhaps a part of it; copy both anew")
    return stored


def load(folder: Any) -> Any:
    """A function of an image uint8 [H, W, 3], RGB, and boxes [n, 4]: [points [n, K, 2]], and sigma if there is one.

    Raises FileNotFoundError, ValueError: the model is not there, not manifest.json's, or that is damaged.
    """
    import numpy as np
    import onnxruntime

    model = content(Path(folder) / "model-image.onnx")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda image, boxes: session.run(None, {"image": image, "boxes": np.float32(boxes).reshape(-1, 4)})


def read(path: Any) -> Any:
    """A picture, upright: uint8 [H, W, 3], RGB. Grey of 16 bits keeps its upper eight; Pillow would cut off at 255.

    Raises OSError, SyntaxError, ValueError: there is none that can be read.
    """
    import numpy as np
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit is lower
    with Image.open(path) as stored:
        if stored.width * stored.height > LARGEST:
            raise ValueError(f"{stored.width}x{stored.height} pixels are more than {LARGEST:,}")
        if stored.mode == "F":
            raise ValueError("its grey levels are no whole numbers")
        picture = ImageOps.exif_transpose(stored)
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))


def main(words: Any) -> None:
    """The command: the points [n, K, 2] as JSON; else a line on standard error, and status 1."""
    if len(words) < 5 or len(words) % 4 != 1:
        sys.exit(__doc__)
    try:
        picture = read(words[0])
    except (OSError, SyntaxError, ValueError) as error:  # the second is Pillow's, of a damaged PNG
        sys.exit(f"{words[0]}: no picture can be read there ({error}); name a PNG or JPEG file")
    try:
        boxes = [tuple(map(float, words[at : at + 4])) for at in range(1, len(words), 4)]
    except ValueError as error:
        sys.exit(f"{error}; a box is four numbers, x y w h")
    for x, y, w, h in boxes:
        finite = all(map(math.isfinite, (x, y, w, h)))
        if not (finite and w >= 1 and h >= 1 and -w < x < picture.shape[1] and -h < y < picture.shape[0]):
            sys.exit(f"{x:g} {y:g} {w:g} {h:g}: no box x y w h in a picture of {picture.shape[1]}x{picture.shape[0]}")
    try:
        predict = load(Path(__file__).parent)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: no model is there; keep this program beside the files of its export")
    except ValueError as error:
        sys.exit(str(error))
    print(json.dumps(predict(picture, boxes)[0].tolist()))


if __name__ == "__main__":
    main(sys.argv[1:])
