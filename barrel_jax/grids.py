# SPDX-License-Identifier: Apache-2.0
"""The experiments behind the paper's tables and figures as grids of runs, with the numbers that the paper gives.

NME in percent by the outer eye corners, means of three runs (paper, section 4).
"""

from dataclasses import dataclass, field

MODULES = {
    "Baseline": {"dqinit": False, "qamem_layers": 0},
    "+DQInit": {"dqinit": True, "qamem_layers": 0},
    "+QAMem": {"dqinit": False, "qamem_layers": 1},
    "+QAMem x2": {"dqinit": False, "qamem_layers": 2},
    "BarrelNet": {"dqinit": True, "qamem_layers": 1},
    "BarrelNet x2": {"dqinit": True, "qamem_layers": 2},
}


@dataclass(frozen=True)
class Row:
    """One line of a table, or one point of a figure: a model trained on a set, once a seed."""

    name: str  # of the model
    config: str  # which file of configs/ it starts from
    model: dict[str, object]  # fields of config.model
    scored_on: str = ""  # another set than its own, by name; '' for its own test split
    paper: dict[str, float] = field(default_factory=dict)  # NME by subset, '' being the whole test set

    @property
    def slug(self) -> str:
        """Names the folder of its runs: tables share the runs that are the same."""
        model = self.model
        parts = [
            self.config,
            f"{model['backbone']}-s{model['stride']}",
            f"e{model['encoder_layers']}d{model['decoder_layers']}",
            f"{'dqinit' if model['dqinit'] else 'zeros'}-qamem{model['qamem_layers']}",
        ]
        return "-".join(parts)


def row(
    modules: str,
    config: str,
    backbone: str,
    paper: float | dict[str, float] | None = None,
    *,
    stride: int = 32,
    encoders: int = 0,
    decoders: int = 1,
    scored_on: str = "",
) -> Row:
    """A line with one of the `MODULES`; `paper` is its NME, or its NMEs by subset."""
    numbers = paper if isinstance(paper, dict) else {} if paper is None else {"": paper}
    model = {"backbone": backbone, "stride": stride, "encoder_layers": encoders, "decoder_layers": decoders}
    return Row(modules, config, model | MODULES[modules], scored_on, numbers)


def _table1() -> list[Row]:
    numbers = {  # 300W full, common, challenging; COFW; WFLW
        ("Baseline", "resnet18"): (3.34, 2.95, 4.93, 3.34, 4.47),
        ("Baseline", "resnet50"): (3.22, 2.83, 4.79, 3.22, 4.31),
        ("Baseline", "resnet101"): (3.18, 2.81, 4.68, 3.19, 4.25),
        ("BarrelNet", "resnet18"): (3.22, 2.83, 4.84, 3.24, 4.42),
        ("BarrelNet", "resnet50"): (3.14, 2.75, 4.71, 3.13, 4.24),
        ("BarrelNet", "resnet101"): (3.09, 2.73, 4.60, 3.10, 4.20),
    }
    rows = []
    for (name, backbone), (full, common, challenging, cofw, wflw) in numbers.items():
        w300 = {"": full, "common": common, "challenging": challenging}
        rows += [
            row(name, config, backbone, paper) for config, paper in (("w300", w300), ("cofw", cofw), ("wflw", wflw))
        ]
    return rows


def _table2() -> list[Row]:
    numbers = {
        0: {1: 4.31, 3: 4.27, 5: 4.24, 7: 4.24},
        1: {1: 4.35, 3: 4.27, 5: 4.27, 7: 4.24},
        3: {3: 4.28, 5: 4.27, 7: 4.26},
        5: {5: 4.28, 7: 4.26},
        7: {7: 4.29},
    }
    return [
        row("Baseline", "wflw", "resnet50", nme, encoders=encoders, decoders=decoders)
        for encoders, line in numbers.items()
        for decoders, nme in line.items()
    ]


def _table3() -> list[Row]:
    numbers = {"resnet18": 4.41, "resnet101": 4.27}
    return [row("BarrelNet", "cofw68", backbone, nme, scored_on="cofw68") for backbone, nme in numbers.items()]


def _fig4() -> list[Row]:
    # Of the curves only what the text and Tables 2 and 4 say is given in numbers.
    by_decoders = {"Baseline": {1: 4.31, 3: 4.27, 5: 4.24, 6: 4.23, 7: 4.24}, "+DQInit": {1: 4.26}, "+QAMem": {1: 4.27}}
    by_decoders["BarrelNet"] = {1: 4.24}
    by_stride = {"Baseline": {8: 4.26}, "+DQInit": {}, "+QAMem": {}, "BarrelNet": {}}
    rows = [
        row(name, "wflw", "resnet50", by_decoders.get(name, {}).get(decoders), decoders=decoders)
        for decoders in range(1, 8)
        for name in ([*MODULES] if decoders == 1 else [*by_decoders])
    ]
    rows += [
        row(name, "wflw", "resnet50", numbers.get(stride), stride=stride)
        for stride in (16, 8)
        for name, numbers in by_stride.items()
    ]
    hrnet = {"Baseline": 4.22}
    return rows + [row(name, "wflw", "hrnet_w18", hrnet.get(name), stride=4) for name in by_stride]


GRIDS = {"table1": _table1(), "table2": _table2(), "table3": _table3(), "fig4": _fig4()}
