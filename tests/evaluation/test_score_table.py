# SPDX-License-Identifier: Apache-2.0
"""The table of scores: every number once, under its metric's whole name, and what the numbers are not."""

from dataclasses import asdict, replace

import numpy as np

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.rank_cost import RankCost
from barrel_jax.evaluation.scores import Summary, read_stress
from tests.kit import scores as kit
from tests.kit.scores import NMES, make_scores, make_stress


def summary(nmes, nme_crop=float("nan")):
    return Summary(**kit.summary(nmes, nme_crop=nme_crop))


def rows(text):
    """Cells by the name of their row."""
    pairs = [line.rsplit("  ", maxsplit=1) for line in text.splitlines() if "  " in line.strip()]
    return {name.strip(): cell for name, cell in pairs}


def test_every_metric_names_normaliser_and_threshold():
    text = score_table.table(make_scores(checkpoint_step=700, crop="hrnet"))
    assert text.splitlines()[0] == "wflw test, checkpoint of step 700, crop protocol hrnet, points as annotated"
    assert "points clamped to the image" in score_table.table(make_scores(clamped=True))
    assert "as a share of\nthe distance of the outer eye corners (points 60 and 72);" in text
    assert rows(text) == {
        "faces": "4",
        "NME(outer eye corners) %": "10.00",
        "95 % interval": rows(text)["95 % interval"],
        "FR@8%(outer eye corners) %": "50.00",
        "FR@10%(outer eye corners) %": "25.00",
        "AUC@8%(outer eye corners)": "0.3125",
        "AUC@10%(outer eye corners)": "0.3750",
        "NME P50(outer eye corners) %": "6.50",
        "NME P90(outer eye corners) %": "20.20",
        "NME P95(outer eye corners) %": "22.60",
        "NME P99(outer eye corners) %": "24.52",
    }
    low, high = map(float, rows(text)["95 % interval"].split(".."))
    assert 2 <= low < 10 < high <= 25
    assert all(len(line) <= 120 for line in text.splitlines())


def test_subsets_stand_beside_the_whole_set_and_regions_below():
    subsets = {"pose": summary(NMES[:2]), "blur": summary(NMES[:0])}
    lines = score_table.table(
        make_scores(normaliser="box", subsets=subsets, regions={"jaw": 12.0, "eyes": 3.456})
    ).split("\n")
    head = next(place for place, line in enumerate(lines) if "all faces" in line)
    assert lines[head].split() == ["all", "faces", "pose", "blur"]
    assert lines[head + 1].split() == ["faces", "4", "2", "0"]
    assert lines[head + 2].split() == ["NME(box)", "%", "10.00", "3.00", "nan"]
    assert {len(line) for line in lines[head : head + 12]} == {len(lines[head])}
    assert lines[-2].split() == ["jaw", "eyes"] and lines[-1].split() == ["NME(box)", "%", "12.00", "3.46"]


def test_the_papers_numbers_stand_below_those_in_the_crop():
    """BarrelNet-18 on 300W, Table 1: full 3.22, common 2.83, challenging 4.84."""
    model = {"backbone": "resnet18", "stride": 32, "encoder_layers": 0, "decoder_layers": 1, "dqinit": True}
    config = {"model": model | {"qamem_layers": 1, "width": 256}}
    subsets = {"common": summary(NMES[:2], 2.9), "challenging": summary(NMES[:0])}
    scores = make_scores(dataset="w300", nme_crop=9.5, config=config, subsets=subsets)
    cells = [line.split() for line in score_table.table(scores).splitlines()]
    assert ["in", "the", "crop", "9.50", "2.90"] in cells and ["the", "paper's", "3.22", "2.83", "4.84"] in cells
    assert "\nin the crop (pipnet): x and y as shares of its width" in score_table.table(
        replace(scores, crop_frame="pipnet")
    )
    for other in ({"split": "train"}, {"normaliser": "box"}, {"dataset": "coco"}, {"config": None}):
        assert "the paper's" not in score_table.table(replace(scores, **other))
    # Nor of a model that is not the paper's in what its tables do not say.
    whole = asdict(Config()) | config
    assert "the paper's" in score_table.table(replace(scores, config=whole))
    for name in ("model.width", "model.dqinit_rank", "model.reference_points", "model.uncertainty", "optim.aux_loss"):
        group, _, field = name.partition(".")
        of_group = whole[group] | {field: 4}
        assert "the paper's" not in score_table.table(replace(scores, config=whole | {group: of_group})), name
    unknown = score_table.table(make_scores())
    assert "\nin the crop, as PIPNet measures: not known without the images' sizes\n" in unknown
    assert "  in the crop" not in unknown


def test_many_subsets_are_wrapped():
    subsets = {f"subset {place}": summary(NMES) for place in range(9)}
    lines = score_table.table(make_scores(subsets=subsets)).split("\n")
    heads = [line.split() for line in lines if "subset" in line]
    assert heads[0][:2] == ["all", "faces"] and len(heads) == 2
    assert [word for head in heads for word in head if word.isdigit()] == [str(place) for place in range(9)]


def test_what_a_rank_costs_by_hand():
    cost = RankCost(
        rank=8,
        checkpoint_step=12,
        dataset="wflw",
        split="test",
        normaliser="outer_eye_corners",
        nme=5.0,
        nme_at_full_rank=4.0,
    )
    said = score_table.rank_cost(cost)
    assert said == "at rank 8 NME(outer eye corners) is 5.000 %, at full rank 4.000 %: +25.00 % of it"


def test_errors_under_stress_by_hand():
    content = make_stress(
        ("none", 0.0, 4.0, 9.0), ("blur", 0.01, 5.25, 11.5), ("blur", 0.02, 6.5, 13.25), pose="by eye"
    )
    assert score_table.stress_table(content).splitlines() == [
        "wflw test under stress, checkpoint of step 12",
        "worst: largest error of a face's points, mean over the faces; large pose: by eye",
        "unperturbed: NME(outer eye corners) 4.00 %, worst 9.00 %",
        "",
        "blur (of it)",
        "            0.01   0.02",
        "  NME %     5.25   6.50",
        "  worst %  11.50  13.25",
        "  faces        4      4",
    ]


def test_stress_is_read_back(tmp_path):
    content = make_stress(("none", 0.0, 4.0, 9.0), ("blur", 0.01, float("nan"), float("nan")), clamped=True)
    files.write_json(tmp_path / "stress.json", files.plain(content))
    np.testing.assert_equal(asdict(read_stress(tmp_path / "stress.json")), asdict(content))
    # Files of before do not say whether points were clamped.
    before = files.plain(content)
    del before["clamped"]
    files.write_json(tmp_path / "stress.json", before)
    assert read_stress(tmp_path / "stress.json").clamped is None


def test_what_the_scores_are_not_stands_above_them():
    assert score_table.table(make_scores()).splitlines()[1].startswith("NME: ")
    scores = make_scores(
        partial="PARTIAL SET: 4 of 2,500 test faces", clamped=True, mapped="wflw-98 truth mapped to 300w-68",
        num_unscorable=2, unscorable={"normaliser_missing": 2, "normaliser_zero": 0},
    )  # fmt: skip
    lines = score_table.table(scores).splitlines()
    assert lines[1] == "PARTIAL SET: 4 of 2,500 test faces"
    assert lines[2] == "CLAMPED: annotated points outside the image were moved to its border"
    assert lines[3].startswith("MAPPED: wflw-98 truth mapped to 300w-68; not to be laid beside")
    assert lines[-1] == "2 of 6 faces have no score and are not in the table: 2 normaliser missing"
