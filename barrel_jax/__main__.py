# SPDX-License-Identifier: Apache-2.0
"""The package's commands under one name.

barrel-jax predict photo.jpg --workdir runs/faces     # or python -m barrel_jax predict ...

Training and scoring read other people's files and are programs of the repository: train.py and evaluate.py.
"""

import importlib
import sys

from barrel_jax.command_line import meant

COMMANDS = {
    "predict": "points of the faces in pictures, videos and cameras",
    "export": "a run as StableHLO, a compiled executable and ONNX",
    "compare": "evaluations of one test split beside each other",
    "benchmark": "speed, JAX beside PyTorch and ONNX Runtime",
    "pod": "what a training step takes on a TPU slice that is not here",
    "reproduce": "the paper's tables and figures; in a clone of the repository",
}
MODULES = {"compare": "barrel_jax.compare"}  # the others are folders


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that is named first and returns its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
        print("\n".join(["usage: barrel-jax COMMAND ...", "", *lines, "", "barrel-jax COMMAND --help tells more."]))
        return 0
    name, *rest = words
    if name not in COMMANDS:
        near = meant(name, dict(zip(COMMANDS, COMMANDS, strict=True)))
        print(
            f"barrel-jax: there is no command {name!r}{near or '; there are ' + ', '.join(COMMANDS)}", file=sys.stderr
        )
        return 2
    return importlib.import_module(MODULES.get(name, f"barrel_jax.{name}.__main__")).main(rest)


if __name__ == "__main__":
    sys.exit(main())
