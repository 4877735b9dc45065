# SPDX-License-Identifier: Apache-2.0
"""The staves of several models as tables: heights, the figures behind them, the errors under stress, and notes."""

from typing import NamedTuple

from barrel_jax.evaluation.score_table import metric_name, warnings
from barrel_jax.markdown import table
from barrel_jax.reproduce.barrel.comparison import Figure, ModelComparison

# The staves; the figure by which models are compared, and whether less of it is better.
HEIGHTS = {
    "accuracy": ("nme", True),
    "robustness": ("nme", True),
    "efficiency": ("fps", False),
    "generalisation": ("nme", True),
    "ease of training": ("epochs", True),
}
# Further figures of each stave, in words, with the unit that they are divided by and their format.
FIGURES = (
    ("accuracy", "nme", "{NME} %", 1, ".2f"),
    ("accuracy", "fr_0.08", "FR@8% %", 1, ".2f"),
    ("accuracy", "fr_0.10", "FR@10% %", 1, ".2f"),
    ("accuracy", "auc_0.08", "AUC@8%", 1, ".4f"),
    ("accuracy", "auc_0.10", "AUC@10%", 1, ".4f"),
    ("robustness", "nme", "mean {NME} under stress, %", 1, ".2f"),
    ("robustness", "worst", "mean largest error of a face under stress, %", 1, ".2f"),
    ("efficiency", "fps", "faces per second, one at a time{device}", 1, ".1f"),
    ("efficiency", "parameters", "parameters, millions", 1e6, ".2f"),
    ("efficiency", "flops", "operations of a face, GFLOP", 1e9, ".3f"),
    ("efficiency", "memory_mb", "memory, MB", 1, ".1f"),
    ("generalisation", "nme", "{other} %", 1, ".2f"),
    ("ease of training", "epochs", "epochs to within 5 % of the final NME", 1, ".1f"),
    ("ease of training", "seconds", "seconds of training to there", 1, ".0f"),
)
NOTES = (
    "Heights are relative to the best of these models, which has 1: best NME / NME (accuracy; robustness: the mean "
    "over all kinds and strengths of stress; generalisation: on the other set), FPS / best FPS (efficiency), fewest "
    "epochs / epochs to within 5 % of the final NME (ease of training). A barrel holds water up to its shortest stave.",
    "± is the standard deviation over seeds.",
    "Seconds of training are those of the machine that trained, with compilation and without evaluations.",
    "Label-related hyperparameters are settings that change the point which is trained towards.",
)
ALONE = "One model alone has all heights 1: heights need at least two models."


def alone(comparison: ModelComparison) -> str:
    """What is to be said of the heights of one model alone; '' of several."""
    return ALONE if len(comparison.models) == 1 else ""


class Table(NamedTuple):
    """Texts under a title: the heads of the columns, and the rows."""

    title: str
    head: list[str]
    rows: list[list[str]]


def tables(comparison: ModelComparison) -> list[Table]:
    """The comparison as tables, a column for each model."""
    models, names = comparison.models, [model.name for model in comparison.models]
    heights = [[name, *(_cell(model.criteria[name].height, ".2f") for model in models)] for name in HEIGHTS]
    heights.append(["holds water up to", *(f"{model.holds:.2f} ({model.shortest})" for model in models)])
    stressed = [
        [
            f"{same[0].kind} {same[0].strength:g}",
            *(f"{_spread(one.nme, 1, '.2f')} / {_spread(one.worst, 1, '.2f')}" for one in same),
        ]
        for same in zip(*(model.stress for model in models), strict=True)
    ]
    metric = metric_name("NME", comparison.faces.normaliser)
    return [
        Table("Heights of the staves", ["stave", *names], heights),
        Table("What they are measured by", ["stave", "figure", *names], _figures(comparison)),
        Table(f"Under stress: {metric} % / largest error of a face %", ["kind and strength", *names], stressed),
    ]


def notes(comparison: ModelComparison) -> list[str]:
    """What is to be said of the tables, a sentence or more each."""
    models = comparison.models
    units = {one.kind: one.unit for one in models[0].stress if one.unit}
    found = [
        *(
            f"{faces.dataset} {faces.split}: {line}."
            for faces in (comparison.faces, comparison.other)
            if faces
            for line in warnings(faces.partial, clamped=faces.clamped, mapped="")
        ),
        *NOTES,
        _coarseness(comparison.scored_epochs),
        f"Strengths: {'; '.join(f'{kind}: {unit}' for kind, unit in units.items())}.",
    ]
    found.append(f"Large pose: {models[0].pose}.")
    for model in models:
        if model.why_no_other:
            found.append(f"Generalisation of {model.name} is not measured: {model.why_no_other}.")
    return found


def markdown(comparison: ModelComparison) -> str:
    """`tables` and `notes` as Markdown."""
    faces = comparison.faces
    parts = [f"# The barrel: {faces.dataset} {faces.split}", *filter(None, [alone(comparison)])]
    for one in tables(comparison):
        parts += [f"## {one.title}", table(one.head, one.rows)]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(comparison))])


def _coarseness(epochs: list[float]) -> str:
    if not epochs:
        return "Epochs and seconds are as coarse as each run was scored: there is no epoch at which all were."
    listed = f" ({', '.join(f'{epoch:g}' for epoch in epochs)})" if len(epochs) <= 12 else ""
    return f"Epochs and seconds are as coarse as the {len(epochs)} epochs at which all runs were scored{listed}."


def _figures(comparison: ModelComparison) -> list[list[str]]:
    models, other = comparison.models, comparison.other
    devices = {model.device for model in models}
    words = {
        "NME": metric_name("NME", comparison.faces.normaliser),
        "other": f"{metric_name('NME', other.normaliser)} on {other.dataset} {other.split}" if other else "NME",
        "device": f" ({', '.join(sorted(devices))}, float32)",
    }
    rows = [
        [
            criterion,
            text.format(**words),
            *(_spread(model.criteria[criterion].figure(number), unit, form) for model in models),
        ]
        for criterion, number, text, unit, form in FIGURES
    ]
    lists = [model.label_related for model in models]
    rows.append(
        ["ease of training", "label-related hyperparameters", *(f"{len(n)} {' '.join(n)}".strip() for n in lists)]
    )
    rows.append(["all", "seeds", *(", ".join(map(str, model.seeds)) for model in models)])
    return rows


def _spread(figure: Figure, unit: float, form: str) -> str:
    mean, std = figure.mean, figure.std
    return _cell(mean and mean / unit, form) + ("" if std is None else f" ± {std / unit:{form}}")


def _cell(value: float | None, form: str) -> str:
    return "not measured" if value is None else f"{value:{form}}"
