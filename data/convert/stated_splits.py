# SPDX-License-Identifier: Apache-2.0
"""The splits that columns and attributes state: a word that is not understood must not make test faces train."""

from collections.abc import Sequence

from data.convert.record import Record, shown
from data.convert.split_names import named_split
from data.source import Findings


def of_known_splits(records: Sequence[Record], findings: Findings) -> list[Record]:
    """The records whose split is understood, or not stated; every other word is one fault."""
    strange: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.split and not named_split(record.split):
            strange.setdefault((record.split_by, record.split), []).append(record)
    for (by, word), those in strange.items():
        findings.counts["faces_of_unknown_splits_left_out"] += len(those)
        findings.faults.append(
            f"{those[0].where}: {by} says {shown(word)} ({len(those):,} faces) where train, val and test are known; "
            "rename it, or the column if it is of something else, or divide all anew with --divide-anew"
        )
    return [record for record in records if (record.split_by, record.split) not in strange]
