# SPDX-License-Identifier: Apache-2.0
"""The paper's grids: their sizes, and numbers read from its pages."""

import pytest

from barrel_jax.paper import GRIDS, MODULES, PAIRS, PAPER_FPS, model_of, paper_nmes


def only(grid, **wanted):
    """The one row of a grid with these fields."""
    rows = [
        row
        for row in GRIDS[grid]
        if all((row.model | {"name": row.name, "config": row.config})[name] == value for name, value in wanted.items())
    ]
    assert len(rows) == 1
    return rows[0]


def test_table1():
    assert len(GRIDS["table1"]) == 2 * 3 * 3
    best = only("table1", name="BarrelNet", config="w300", backbone="resnet101")
    assert best.paper == {"": 3.09, "common": 2.73, "challenging": 4.60}
    assert only("table1", name="Baseline", config="cofw", backbone="resnet18").paper == {"": 3.34}


def test_table2_has_no_fewer_decoders_than_encoders():
    rows = GRIDS["table2"]
    assert len(rows) == 14
    assert all(row.model["decoder_layers"] >= row.model["encoder_layers"] for row in rows)
    assert only("table2", encoder_layers=7).paper == {"": 4.29}
    assert only("table2", encoder_layers=1, decoder_layers=1).paper == {"": 4.35}
    assert {row.name for row in rows} == {"Baseline"} and {row.model["backbone"] for row in rows} == {"resnet50"}


def test_table3_is_scored_on_cofw68_after_300w():
    assert [(row.config, row.scored_on, row.paper[""]) for row in GRIDS["table3"]] == [
        ("cofw68", "cofw68", 4.41),
        ("cofw68", "cofw68", 4.27),
    ]


def test_figure4_has_the_four_corners_and_both_readings_of_qamem():
    corners = {row.name: row.paper.get("") for row in GRIDS["fig4"] if row.model["stride"] == 32
               and row.model["decoder_layers"] == 1}  # fmt: skip
    assert corners == {
        "Baseline": 4.31, "+DQInit": 4.26, "+QAMem": 4.27, "+QAMem x2": None, "BarrelNet": 4.24, "BarrelNet x2": None
    }  # fmt: skip
    assert {row.model["stride"] for row in GRIDS["fig4"]} == {32, 16, 8, 4}
    assert {row.model["decoder_layers"] for row in GRIDS["fig4"]} == set(range(1, 8))
    assert only("fig4", name="Baseline", decoder_layers=6).paper == {"": 4.23}
    assert only("fig4", name="Baseline", backbone="hrnet_w18").model["stride"] == 4


def test_the_ablation_has_a_row_for_losses_on_inner_layers():
    rows = {(row.title, row.model["decoder_layers"]): row for row in GRIDS["ablation"]}
    assert list(rows) == [
        ("Baseline", 0), ("Baseline", 1), ("Baseline", 3), ("Baseline", 6), ("Baseline, aux loss", 3),
        ("Baseline, aux loss", 6), ("+DQInit", 1), ("+QAMem", 1), ("+QAMem x2", 1), ("BarrelNet", 1),
        ("BarrelNet x2", 1),
    ]  # fmt: skip
    with_loss, without = rows["Baseline, aux loss", 3], rows["Baseline", 3]
    assert with_loss.model == without.model and with_loss.slug == without.slug + "-aux"
    assert (with_loss.paper, without.paper) == ({}, {"": 4.27})  # the paper's are of no stated loss but L1
    assert rows["Baseline", 6].slug == only("fig4", name="Baseline", decoder_layers=6).slug


def test_the_papers_numbers_of_a_model_on_a_set():
    model = model_of("BarrelNet-50")
    assert paper_nmes("w300", model | {"width": 256}) == {"": 3.14, "common": 2.75, "challenging": 4.71}
    assert paper_nmes("wflw", model) == {"": 4.24} and paper_nmes("wflw", model_of("Baseline-50-d7")) == {"": 4.24}
    assert paper_nmes("cofw68", model_of("BarrelNet-101")) == {"": 4.27}
    assert paper_nmes("cofw68", model) == paper_nmes("coco", model) == paper_nmes("wflw", model | {"stride": 16}) == {}


def test_rows_that_are_the_same_model_share_their_runs():
    table, figure = only("table2", encoder_layers=0, decoder_layers=3), only("fig4", name="Baseline", decoder_layers=3)
    assert table.slug == figure.slug
    assert len({row.slug for row in GRIDS["fig4"]}) == len(GRIDS["fig4"])
    assert {(m["dqinit"], m["qamem_layers"]) for m in MODULES.values()} == {(d, q) for d in (0, 1) for q in (0, 1, 2)}


def test_labels_name_models_and_are_read_back():
    for rows in GRIDS.values():
        for row in rows:
            assert model_of(row.label) == row.model, row.label
    assert [row.label for row in GRIDS["table4"]] == list(PAPER_FPS)
    assert only("table4", name="Baseline", stride=8).paper == {"": 4.26}
    assert {name for pair in PAIRS for name in pair} == set(PAPER_FPS)
    assert {row.label for row in GRIDS["fig5"]} >= {"Baseline-101", "BarrelNet-101", "Baseline-HRNet", "Baseline-50-s8"}
    for wrong in ("BarrelNet", "BarrelNet-19", "Barrel-50", "Baseline-HRNet-s8", "Baseline-50-d8"):
        with pytest.raises(ValueError, match="is no model: NAME-BACKBONE"):
            model_of(wrong)
