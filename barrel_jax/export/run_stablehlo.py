# SPDX-License-Identifier: Apache-2.0
"""Points of faces by model-image.stablehlo beside this file: python run_stablehlo.py PICTURE X Y W H [X Y W H ...]

It needs jax and the flatbuffers with which JAX reads such files, and Pillow to read a picture. manifest.json says what
a box and the points are. The program is compiled once for each size of picture and number of faces.
"""

import json
import sys
from pathlib import Path
from typing import Any


def load(folder: Any) -> Any:
    """A function of an image uint8 [H, W, 3], RGB, and boxes [n, 4]: [points [n, K, 2]], and sigma if there is one."""
    import jax
    import numpy as np
    from jax import export

    program = export.deserialize(bytearray((Path(folder) / "model-image.stablehlo").read_bytes()))
    run = jax.jit(program.call)

    def points(image: Any, boxes: Any) -> list[Any]:
        boxes = np.float32(boxes).reshape(-1, 4)
        # The program is of one face or more.
        found = run(image, boxes if len(boxes) else np.ones((1, 4), np.float32))
        return [np.asarray(part)[: len(boxes)] for part in found]

    return points


if __name__ == "__main__":
    import numpy as np
    from PIL import Image, ImageOps

    picture = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB"))
    print(json.dumps(load(Path(__file__).parent)(picture, sys.argv[2:])[0].tolist()))
