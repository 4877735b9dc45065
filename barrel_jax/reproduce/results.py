# SPDX-License-Identifier: Apache-2.0
"""Scores of a grid's runs, mean and standard deviation over seeds, beside the paper's: Markdown, CSV, JSON, figure."""

import csv
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.benchmark.rows import Row as Measurement
from barrel_jax.evaluation.score_table import warnings
from barrel_jax.evaluation.scores import Scores, read_scores
from barrel_jax.markdown import table
from barrel_jax.paper import Row, paper_nmes
from barrel_jax.provenance import describe
from barrel_jax.reproduce.figure5 import draw_figure5, speed_columns
from barrel_jax.reproduce.record import Record

HEAD = (
    "model",
    "set",
    "backbone",
    "stride",
    "encoders",
    "decoders",
    "subset",
    "paper's NME %",
    "NME in the crop %",
    "std in the crop",
    "NME %",
    "std",
    "seeds",
)


def collect(
    scored: Sequence[tuple[Row, int, Path | None]], measured: Sequence[Measurement] | None = None
) -> list[Record]:
    """One record for each row of the grid and each of its subsets, from the metrics.json of the runs that are done,
    None of one that is not.

    A mean is None where no run is done, a deviation where less than two are. With `measured`, rows of a result of
    `barrel_jax.benchmark infer`, `speed` has the columns of frames per second.
    """
    rows: dict[tuple[str, str], tuple[Row, dict[int, Scores]]] = {}
    for row, seed, path in scored:
        found = rows.setdefault((row.title, f"{row.slug}/{row.scored_on}"), (row, {}))[1]
        if path and path.exists():
            found[seed] = read_scores(path)
    records = []
    for row, found in rows.values():
        for subset in row.paper or ("",):
            # A set of one's own has not the subsets of the paper's.
            scores = [it.subsets.get(subset) if subset else it for it in found.values()]
            # A part of a set may have no face of a subset.
            nmes = [it.nme for it in scores if it is not None and math.isfinite(it.nme)]
            in_crop = [it.nme_crop for it in scores if it is not None and math.isfinite(it.nme_crop)]
            records.append(
                Record(
                    model=row.title,
                    label=row.label,
                    dataset=next((it.dataset for it in found.values()), row.scored_on or row.config),
                    network=row.model,
                    subset=subset,
                    paper=row.paper.get(subset),
                    nme=statistics.fmean(nmes) if nmes else None,
                    nme_crop=statistics.fmean(in_crop) if in_crop else None,
                    std=statistics.stdev(nmes) if len(nmes) > 1 else None,
                    std_crop=statistics.stdev(in_crop) if len(in_crop) > 1 else None,
                    seeds=sorted(found),
                    partial="; ".join(dict.fromkeys(it.partial for it in found.values() if it.partial)),
                    clamped=any(it.clamped for it in found.values()),
                    speed={} if measured is None else speed_columns(row, measured),
                )
            )
    return records


def markdown(records: Sequence[Record]) -> str:
    """The records as a table, below the `cautions`."""
    head = head_of(records)
    rows = table(head, [cells_of(record, head) for record in records])
    return "\n\n".join([*cautions(records), rows])


def cautions(records: Sequence[Record]) -> list[str]:
    """What makes scores other than the published sets', a line each that names the set."""
    return list(dict.fromkeys(
        f"{record.dataset}: {line}"
        for record in records
        for line in warnings(record.partial, clamped=record.clamped, mapped="")
    ))  # fmt: skip


def head_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Heads of the columns."""
    return (*HEAD, *dict.fromkeys(name for record in records for name in record.speed))


def cells_of(record: Record, head: Sequence[str]) -> tuple[str, ...]:
    """A record under a head, as texts."""

    def number(value: float | None, digits: int = 2) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return (
        record.model, record.dataset,
        *(str(record.network[name]) for name in ("backbone", "stride", "encoder_layers", "decoder_layers")),
        record.subset or "all", number(record.paper), number(record.nme_crop), number(record.std_crop),
        number(record.nme) if record.seeds else "not run", number(record.std), str(len(record.seeds)),
        *(number(record.speed.get(name), 1) for name in head[len(HEAD) :]),
    )  # fmt: skip


def write_results(
    grid: str,
    scored: Sequence[tuple[Row, int, Path | None]],
    folder: Path,
    measured: Sequence[Measurement] | None = None,
    arguments: Sequence[str] = (),
) -> str:
    """Writes `folder/GRID.{md,csv,json}`, and for figures `GRID.png`; returns the table to print.

    Where there is nothing to draw a GRID.png of before is removed.

    `arguments` are the command's, and stand in the JSON with the machine, the versions and the commit.
    """
    records = collect(scored, measured)
    text = markdown(records)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    head = head_of(records)
    writer.writerows([head, *(cells_of(record, head) for record in records)])
    files.write(folder / f"{grid}.md", lambda path: path.write_text(text + "\n"))
    files.write(folder / f"{grid}.csv", lambda path: path.write_text(table.getvalue()))
    made = describe(f"reproduce {grid}", "barrel_jax.reproduce", arguments)
    about = {"grid": grid, "warnings": cautions(records), "rows": [record.to_json() for record in records]}
    files.write_json(folder / f"{grid}.json", made | about)
    drawn = folder / f"{grid}.png"
    if grid in ("fig4", "fig5") and any(record.nme_crop is not None for record in records):
        from barrel_jax.plotting import write_picture

        picture = draw_figure4(records) if grid == "fig4" else draw_figure5(records)
        files.write(drawn, lambda path: write_picture(path, picture))
    else:
        drawn.unlink(missing_ok=True)  # of an earlier call, and not of this table
    return text


def draw_figure4(records: Sequence[Record]) -> Any:
    """Figure 4: NME by the number of decoders and by the stride, RGB uint8 [H, W, 3]; the paper's numbers in grey.

    NME is that in the crop, as PIPNet measures, whose frame the paper's numbers are most likely in.
    """
    from barrel_jax.plotting import MUTED, SUBSETS, new_figure, pixels

    figure = new_figure(1100, 480)
    panels = (("decoder_layers", "decoder layers", lambda r: r.network["stride"] == 32),
              ("stride", "stride of the memory", lambda r: r.network["decoder_layers"] == 1))  # fmt: skip
    records = [record for record in records if not record.subset]  # others would be further points of the same lines
    names = list(dict.fromkeys(record.model for record in records))
    for place, (key, label, belongs) in enumerate(panels):
        axes = figure.add_axes((0.07 + 0.48 * place, 0.13, 0.42, 0.75))
        for name, colour in zip(names, SUBSETS * len(names), strict=False):
            line = sorted((r for r in records if r.model == name and belongs(r)), key=lambda r: r.network[key])
            done = [r for r in line if r.nme_crop is not None]
            spread = [r.std_crop or 0 for r in done]
            at, nmes = [r.network[key] for r in done], [r.nme_crop for r in done if r.nme_crop is not None]
            axes.errorbar(at, nmes, spread, color=colour, marker="o", ms=4, capsize=3, lw=1.4, label=name)
            published = {r.network[key]: theirs[""] for r in line if (theirs := paper_nmes("wflw", r.network))}
            axes.scatter(list(published), list(published.values()), color=MUTED, marker="x", s=24)
        axes.set_xlabel(label)
        axes.set_ylabel("NME in the crop, % (grey crosses: the paper's, on WFLW)")
        axes.grid(color="#DDDDDD", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=9, frameon=False)
    return pixels(figure)
