# SPDX-License-Identifier: Apache-2.0
"""A page that finds points in a browser: one folder of files that any server of static files may serve.

ONNX Runtime Web is Microsoft's, under the MIT licence; it is fetched once, kept, and lies in the folder.
"""

import tarfile
from pathlib import Path

from barrel_jax import files
from barrel_jax.export import manifest
from barrel_jax.fetching import fetch
from barrel_jax.onnx import runtime

VERSION = "1.30.0"
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
# The smallest of its builds: WebAssembly on the CPU.
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = ("index.html", "points.js", "style.css")
SHOWN = ("image_form", "frames", "box", "landmarks", "scheme", "num_landmarks")  # of the manifest
LICENCE = f"""ONNX Runtime Web {VERSION}, {ADDRESS}

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def find_runtime() -> Path:
    """The package of ONNX Runtime Web; fetched to $BARREL_JAX_DATA/web (~/.cache/barrel_jax/web) if need be.

    Raises:
        FileNotFoundError: it cannot be fetched.
        ValueError: it is another file.
    """
    return fetch(ADDRESS, files.cache_home() / "web" / ADDRESS.rpartition("/")[2], SHA256)


def write_page(export: Path, out: Path) -> None:
    """Writes the page of an export's model-image.onnx.

    Args:
        export: folder of the export.
        out: folder of the page; what else lies there stays.

    Raises:
        FileNotFoundError, ValueError: as `find_runtime`, and as `manifest.content` of a model that was changed.
    """
    about = manifest.read(export)
    model = manifest.content(export, runtime.IMAGE_NAME, about)
    package = find_runtime()
    library = out / "onnxruntime-web"
    library.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package) as archive:
        for name in RUNTIME:
            member = archive.extractfile(f"package/dist/{name}")
            if member is None:
                raise ValueError(f"{package}: it has no {name}")
            files.write_bytes(library / name, member.read())
    files.write_bytes(library / "LICENSE", LICENCE.encode())
    for name in PAGE:
        files.write_bytes(out / name, files.read_bytes(Path(__file__).parent / "web" / name))
    if out.resolve() != export.resolve():  # the rest, such as folders and the machine, is nothing for a page's visitors
        files.write_json(out / manifest.NAME, {name: about[name] for name in SHOWN})
    files.write_bytes(out / runtime.IMAGE_NAME, model)
