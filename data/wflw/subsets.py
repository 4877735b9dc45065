# SPDX-License-Identifier: Apache-2.0
"""The six test subsets of WFLW: the attributes of the test list tell them, optional subset lists are compared."""

from collections import Counter
from pathlib import Path

from data.source import Findings
from data.wflw.annotations import Row, parse_key, read_list

SUBSET_LISTS = "WFLW_annotations/list_98pt_test/list_98pt_test_{}.txt"
# The attributes in the order of the lists: the name in the file of the subset, and the published number of test faces.
SUBSETS = {
    "pose": ("largepose", 326),
    "expression": ("expression", 314),
    "illumination": ("illumination", 698),
    "make-up": ("makeup", 206),
    "occlusion": ("occlusion", 736),
    "blur": ("blur", 773),
}


def subset_files(directory: Path) -> dict[str, Path]:
    """Where the list of every subset lies, if it is there."""
    return {name: directory / SUBSET_LISTS.format(file) for name, (file, _) in SUBSETS.items()}


def check_subsets(directory: Path, rows: list[Row], complete: bool, findings: Findings) -> None:
    """Compares the attributes of the test rows with the subset lists, and with the published numbers.

    Args:
        directory: the source.
        rows: the test list's.
        complete: whether the test list has all its rows, so that the numbers can be compared.
        findings: gets faults of the subset lists, doubts on what differs and a note on lists that are not there.
    """
    files = subset_files(directory)
    for place, name in enumerate(SUBSETS):
        flagged = Counter(row.key for row in rows if row.flags[place])
        published = SUBSETS[name][1]
        if complete and flagged.total() != published:
            findings.doubts.append(
                f"{directory}: {flagged.total():,} test faces have attribute {name}, {published} in the published set; "
                "the subset's scores are not those of other people's tables"
            )
        if files[name].is_file():
            faults = len(findings.faults)
            listed = Counter(read_list(files[name], parse_key, findings.faults))
            only_listed, only_flagged = (listed - flagged).total(), (flagged - listed).total()
            if len(findings.faults) == faults and only_listed + only_flagged:
                findings.doubts.append(
                    f"{files[name]}: {only_listed:,} of its {listed.total():,} faces do not have attribute {name} in "
                    f"the test list, and {only_flagged:,} that have it are not here; the attributes are used"
                )
    absent = [SUBSETS[name][0] for name, path in files.items() if not path.is_file()]
    if absent:
        findings.notes.append(
            f"{directory / SUBSET_LISTS.format('*')}: no list of {', '.join(absent)} to compare; the subsets come from "
            "the attributes"
        )
