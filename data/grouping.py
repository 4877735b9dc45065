# SPDX-License-Identifier: Apache-2.0
"""Grouping of sentences on one fault: a line with a count, the first three, the remedy once."""

import re
from collections.abc import Iterable

SHOWN = 3
# What differs between two sentences on one fault: names in brackets or quotes, paths and numbers.
DIFFERING = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|'[^']*'|\"[^\"]*\"|\S*[/\\]\S*|[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


def grouped(sentences: Iterable[str]) -> list[str]:
    """The sentences, `PLACE: what is wrong; the remedy`, in the order in which each fault came first.

    Those that differ in places, names and numbers only, and have one remedy, become one line.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for sentence in (sentence.replace("\n", "\\n") for sentence in sentences):  # of a file's name
        what, remedy = _parted(sentence)
        groups.setdefault((" ".join(DIFFERING.sub("", _after_place(what)).split()), remedy), []).append(sentence)
    return [_line(remedy, group) for (_, remedy), group in groups.items()]


def _parted(sentence: str) -> tuple[str, str]:
    """What is wrong, and the remedy, which is '' where there is none."""
    what, semicolon, remedy = sentence.rpartition("; ")
    return (what, DIFFERING.sub("", remedy)) if semicolon else (sentence, "")


def _after_place(what: str) -> str:
    return what.partition(": ")[2] or what


def _line(remedy: str, group: list[str]) -> str:
    if len(group) == 1:
        return group[0]
    first = [sentence.rpartition("; ")[0] if remedy else sentence for sentence in group[:SHOWN]]
    place = first[0].partition(": ")[0]
    # The folder that all have is said once.
    folder = place[: place.rfind("/") + 1]
    shown = [first[0], *(sentence.removeprefix(f"{place}: ").removeprefix(folder) for sentence in first[1:])]
    more = f" | and {len(group) - SHOWN:,} more" if len(group) > SHOWN else ""
    end = f"; {group[0].rpartition('; ')[2]}" if remedy else ""
    return f"{' | '.join(shown)}{more} ({len(group):,} of a kind){end}"


def printable(text: str) -> str:
    """The text with what a stream cannot show, such as names on disk that are not UTF-8, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
