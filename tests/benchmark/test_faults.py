# SPDX-License-Identifier: Apache-2.0
"""The campaign of failing machines: a disturbed run told from one that was left alone, and the count of its cases."""

import json

import pytest

from benchmarks import tables
from benchmarks.faults import inside, processes
from benchmarks.faults.__main__ import choose, summary
from benchmarks.faults.mounts import own_folder
from benchmarks.faults.runs import difference, losses, resumed_from

KINDS = [*processes.KINDS, *inside.KINDS]


def logged(folder, rows, scored=()):
    folder.mkdir()
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in rows]
    lines += [json.dumps({"step": step, "test/nme": 5.0}) for step in scored]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    ("rows", "exact", "why"),
    [
        ([(1, 0.5), (2, 0.25)], False, ""),
        ([(1, 0.5), (2, 0.2500001)], False, ""),
        ([(1, 0.5), (2, 0.2500001)], True, "the loss of step 2 is 0.2500001, alone 0.25"),
        ([(1, 0.5), (2, 0.251)], False, "the loss of step 2"),
        ([(2, 0.25), (1, 0.5)], False, "steps logged"),
        ([(1, 0.5), (2, 0.25), (2, 0.25)], False, "steps logged"),
        ([(1, 0.5)], False, "steps logged"),
    ],
)
def test_what_differs_is_told(tmp_path, rows, exact, why):
    alone = logged(tmp_path / "alone", [(1, 0.5), (2, 0.25)], [2])
    assert difference(logged(tmp_path / "run", rows, [2]), alone, exact=exact).startswith(why)
    assert bool(why) == bool(difference(tmp_path / "run", alone, exact=exact))


def test_half_a_line_counts_nowhere(tmp_path):
    logged(tmp_path / "run", [(1, 0.5)])
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert losses(tmp_path / "run") == [(1, 0.5)]
    assert resumed_from("12 steps\ngoing on from step 4 of 12\ngoing on from step 8 of 12") == 8
    assert resumed_from("a new run of 12 steps") == 0


def test_every_kind_has_its_turn():
    cases = []
    while len(cases) < 2 * len(KINDS) + 1:
        kind, number = choose(KINDS, cases)
        cases.append({"kind": kind, "number": number})
    assert [case["kind"] for case in cases] == [*KINDS, *KINDS, KINDS[0]]
    assert [case["number"] for case in cases] == [1] * len(KINDS) + [2] * len(KINDS) + [3]
    assert choose(KINDS[-1:], cases) == (KINDS[-1], 3)


def test_the_table_has_every_kind_and_all():
    cases = [
        {
            "kind": KINDS[0],
            "number": 1,
            "seconds": 3.0,
            "end": "the checkpoint before",
            "steps_lost": 4,
            "started": True,
        },
        {
            "kind": KINDS[0],
            "number": 2,
            "seconds": 3.0,
            "end": "as if nothing happened",
            "steps_lost": 0,
            "started": False,
        },
        {"kind": KINDS[-1], "number": 1, "seconds": 3.0, "end": "one line", "steps_lost": 2},
    ]
    shown = tables.faults({"rows": summary(KINDS, cases)}).splitlines()
    assert len(shown) == 2 + len(KINDS) + 1
    assert shown[2] == f"| {KINDS[0]} | 2 | 1 | 1 | 1 | 0 | 0 | 4 | 4 |"
    assert shown[-1] == "| all | 3 | 1 | 1 | 1 | 1 | 0 | 6 | 4 |"


def test_nothing_is_left_of_a_case():
    with own_folder() as folder:
        (folder / "run").mkdir()
        (folder / "run" / "file").touch()
    assert not folder.exists()
