# SPDX-License-Identifier: Apache-2.0
"""Times a first prediction from nothing, where this is run: python benchmarks/first_prediction.py [MODEL]

Prints seconds as JSON: of the import, of reading the model, of the first prediction, which compiles, of the second.
"""

import json
import sys
import time

start = time.perf_counter()  # before the imports, which are measured too: hence E402
import numpy as np  # noqa: E402

import barrel_jax  # noqa: E402

predictor_class = barrel_jax.Predictor  # what it needs is imported here
imported = time.perf_counter()
predictor = predictor_class.load(sys.argv[1] if len(sys.argv) > 1 else "small")
read = time.perf_counter()
image, box = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), np.array([[200.0, 100, 160, 160]])
points = [predictor.predict(image, box)]
first = time.perf_counter()
points += [predictor.predict(image, box)]
second = time.perf_counter()
assert points[0].shape == (1, predictor.num_landmarks, 2) and np.isfinite(points[0]).all()
assert np.array_equal(*points)
print(
    json.dumps(
        {
            "import_s": imported - start,
            "read_s": read - imported,
            "first_s": first - read,
            "second_s": second - first,
            "package": barrel_jax.__file__,
            "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        }
    )
)
