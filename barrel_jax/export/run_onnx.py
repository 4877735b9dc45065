# SPDX-License-Identifier: Apache-2.0
"""Points of faces by model-image.onnx beside this file: python run_onnx.py PICTURE X Y W H [X Y W H ...]

It needs numpy and onnxruntime, and Pillow to read a picture. manifest.json says what a box and the points are.
"""

import json
import sys
from pathlib import Path
from typing import Any


def load(folder: Any) -> Any:
    """A function of an image uint8 [H, W, 3], RGB, and boxes [n, 4]: [points [n, K, 2]], and sigma if there is one."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(Path(folder) / "model-image.onnx", providers=["CPUExecutionProvider"])
    return lambda image, boxes: session.run(None, {"image": image, "boxes": np.float32(boxes).reshape(-1, 4)})


if __name__ == "__main__":
    import numpy as np
    from PIL import Image, ImageOps

    picture = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB"))
    print(json.dumps(load(Path(__file__).parent)(picture, sys.argv[2:])[0].tolist()))
