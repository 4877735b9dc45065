# SPDX-License-Identifier: Apache-2.0
"""The fuzz campaign: outcomes judged and kept, inputs drawn from seeds, and every reader's own valid file."""

import json
import warnings

import numpy as np
import pytest

from benchmarks import tables
from benchmarks.fuzz import mutations, worker
from benchmarks.fuzz.__main__ import _keep, attack
from benchmarks.fuzz.parsers import PARSERS, Parser, Refused
from benchmarks.fuzz.worker import Input, draw, judge, run

TRUTH = np.array([[[1.25, 2.5], [3.75, 4.0]]])


def parser(read, **more):
    def write(folder):
        (folder / "f.json").write_text(json.dumps(TRUTH.tolist()))

    return Parser("planted", write, "f.json", read, mutations.JSON, truth=TRUTH, **more)


def raising(error):
    def read(folder):
        raise error

    return read


def waiting(folder):
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "expected", "outcome"),
    [
        (lambda folder: TRUTH, TRUTH, "read"),
        (lambda folder: TRUTH + 0.02, TRUTH, "misread"),
        (lambda folder: TRUTH[:, :1], TRUTH, "misread"),
        (lambda folder: np.full_like(TRUTH, np.nan), TRUTH, "misread"),
        (lambda folder: TRUTH + 0.02, None, "read"),  # nobody knows what a damaged file says
        (raising(KeyError("x")), None, "KeyError in test_fuzz.py:read"),
        (raising(RecursionError()), None, "RecursionError in test_fuzz.py:read"),
        (raising(ValueError("no such number")), None, "an error that names no file"),
        (lambda folder: raising(ValueError(f"{folder}/f.json:3: no number"))(folder), None, "refused"),
        (lambda folder: raising(ValueError(f"{folder}/f.json:3: no number"))(folder), TRUTH, "refused a valid file"),
        (
            lambda folder: raising(Refused([f"{folder}/f.json: one", "two"]))(folder),
            None,
            "an error that names no file",
        ),
        (
            lambda folder: raising(Refused([f"{folder}/a", f"{folder}/b\n"]))(folder),
            None,
            "an error of more than a line",
        ),
        (waiting, None, "hang"),
    ],
)
def test_outcomes_are_judged(tmp_path, monkeypatch, read, expected, outcome):
    monkeypatch.setattr(worker, "PATIENCE", 0.1)
    assert judge(parser(read), tmp_path, Input(b"", expected))[0] == outcome


def test_a_seed_draws_the_same_input_again_and_others_others():
    own, valid = PARSERS["convert csv"], b"image,x0,y0\na.png,1.5,2.5\n"
    drawn = [draw(own, valid, seed) for seed in range(200)]
    assert [given.content for given in drawn] == [draw(own, valid, seed).content for seed in range(200)]
    assert len({given.content for given in drawn}) > 100


def test_a_known_number_is_another(tmp_path):
    own = PARSERS["convert csv"]
    (tmp_path / "s").mkdir()
    own.write(tmp_path / "s")
    valid = (tmp_path / "s" / own.target).read_bytes()
    changed = [given for seed in range(99) if (given := draw(own, valid, seed)).expected is not None]
    moved = [given for given in changed if (given.expected != own.truth).sum() == 1]
    assert 5 < len(moved) < len(changed)  # the others say what the valid file says


def test_wrong_outcomes_are_kept_with_their_inputs(tmp_path):
    def read(folder):
        return json.loads((folder / "f.json").read_text())[0][0][0] and TRUTH

    tally = run(parser(read), tmp_path / "w", tmp_path / "cases", first=0, seconds=0.2, least=50)
    assert tally.inputs >= 50 and sum(tally.wrong.values()) > 5
    for case in (tmp_path / "cases").glob("*.json"):
        if case.name != "tally.json":
            assert case.with_suffix(".trace").read_text()
    assert json.loads((tmp_path / "cases" / "tally.json").read_text())["inputs"] == tally.inputs


@pytest.mark.parametrize("name", PARSERS)
def test_every_reader_reads_its_valid_file(name, tmp_path):
    own = PARSERS[name]
    (tmp_path / "source").mkdir()
    own.write(tmp_path / "source")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert judge(own, tmp_path / "source", Input(b"", own.truth)) == ("read", "")


@pytest.mark.processes
def test_a_parser_in_its_own_process(tmp_path):
    row = attack("boxes boxes.csv", tmp_path, first=5, seconds=1, least=20)
    assert row["inputs"] >= 20 and row["read"] + row["refused"] + sum(row["wrong"].values()) == row["inputs"]


def test_a_parsers_row_takes_the_place_of_its_earlier_one(tmp_path):
    names, path = list(PARSERS), tmp_path / "fuzz.json"
    for name, count in ((names[1], 3), (names[0], 2), (names[1], 0)):
        _keep(path, {"commit": "c"}, {"parser": name, "inputs": 5, "read": 4, "refused": 1, "wrong": {"hang": count}})
    kept = json.loads(path.read_text())
    assert [(row["parser"], row["wrong"]["hang"]) for row in kept["rows"]] == [(names[0], 2), (names[1], 0)]
    assert [(row["parser"], row["wrong"]["hang"]) for row in kept["earlier"]] == [(names[1], 3)]
    assert f"| {names[1]} | 5 | 4 | 1 | 0 | 3 |" in tables.fuzz(kept)
