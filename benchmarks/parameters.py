# SPDX-License-Identifier: Apache-2.0
"""The parameter counts of Table 1's models, part by part, for the points of each set.

python -m benchmarks.parameters
"""

from barrel_jax.command_line import Parser
from barrel_jax.config import ModelConfig
from barrel_jax.models.build import build_model, count_parameters, shapes_of
from barrel_jax.paper import GRIDS, model_of
from barrel_jax.provenance import ROOT, describe, write

POINTS = {"w300": 68, "cofw": 29, "wflw": 98}


def parts(model: ModelConfig, num_landmarks: int) -> dict[str, int]:
    """The parameters of a model: in all, and of the parts that the paper counts (section 5)."""
    network = build_model(model, num_landmarks)
    shapes = shapes_of(network, 256)["params"]
    decoder = dict(shapes["decoder0"])
    qamem = decoder.pop("qamem", {})
    return {
        "all": count_parameters(shapes),
        "backbone": count_parameters(shapes["backbone"]),
        "decoder layer": count_parameters(decoder),
        "DQInit": count_parameters(shapes.get("dqinit", {})),
        "QAMem": count_parameters(qamem),
    }


def main() -> None:
    """Counts and records."""
    labels = dict.fromkeys(row.label for row in GRIDS["table1"])
    labels |= dict.fromkeys(label.replace("BarrelNet", "BarrelNet x2") for label in labels if "BarrelNet" in label)
    rows = [
        {"model": label, "set": name, "num_landmarks": points} | parts(ModelConfig(**model_of(label)), points)
        for label in labels
        for name, points in POINTS.items()
    ]
    write(ROOT / "benchmarks" / "results" / "parameters.json", describe("parameters") | {"rows": rows})


if __name__ == "__main__":
    Parser("python -m benchmarks.parameters", __doc__).parse_args()
    main()
