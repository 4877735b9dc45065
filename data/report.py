# SPDX-License-Identifier: Apache-2.0
"""The report of a check of a source: to people in lines, to programs as JSON, and as an exit status."""

from dataclasses import dataclass, field
from typing import Any

from data.grouping import grouped

SOUND, FAULTS, DOUBTS = 0, 1, 2  # exit statuses; doubts alone count only where they are asked for (--strict)


@dataclass
class Report:
    """What was found; faults, gaps, doubts and notes are sentences that name file, record and remedy."""

    dataset: str
    about: list[str]  # lines on what the source holds
    source: str = ""
    splits: dict[str, int] = field(default_factory=dict)  # faces
    scheme: str = ""
    num_points: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)  # they forbid a build
    gaps: list[str] = field(default_factory=list)  # what is missing of a published set
    doubts: list[str] = field(default_factory=list)  # probably wrong
    notes: list[str] = field(default_factory=list)  # oddities, and what was done about them
    partial_allowed: bool = False  # gaps are no faults
    sheet: str = ""  # the contact sheet's file

    def status(self, *, strict: bool) -> int:
        """The exit status."""
        if self._faults():
            return FAULTS
        return DOUBTS if strict and self.doubts else SOUND

    def lines(self) -> list[str]:
        """The report for people; sentences on one fault are one line."""
        remarks = {
            "note": grouped(self.notes),
            "gap": self.gaps,
            "fault": grouped(self.faults),
            "doubt": grouped(self.doubts),
        }
        remarked = [f"{kind}: {line}" for kind, sentences in remarks.items() for line in sentences]
        sheet = [f"contact sheet: {self.sheet}"] if self.sheet else []
        doubts = f", {len(self.doubts):,} doubt(s)" if self.doubts else ""
        return [*filter(None, self.about), *remarked, *sheet, f"{self._faults():,} fault(s){doubts}"]

    def content(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "dataset": self.dataset,
            "source": self.source,
            "verdict": ("sound", "faults", "doubts")[self.status(strict=True)],
            "splits": self.splits,
            "scheme": self.scheme,
            "num_points": self.num_points,
            "counts": self.counts,
            "faults": self.faults,
            "gaps": self.gaps,
            "partial_allowed": self.partial_allowed,
            "doubts": self.doubts,
            "notes": self.notes,
            "sheet": self.sheet,
        }

    def _faults(self) -> int:
        return len(self.faults) + (0 if self.partial_allowed else len(self.gaps))
