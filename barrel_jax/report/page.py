# SPDX-License-Identifier: Apache-2.0
"""A report's page: one file with its style and its script, under a policy that lets it fetch and run nothing else."""

import base64
import hashlib
import itertools
import re
from collections.abc import Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple

from barrel_jax import files
from barrel_jax.files import read_text
from barrel_jax.report.markup import Content, Markup, element, joined, raw

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'"


class Section(NamedTuple):
    """A part of the page with a heading."""

    title: str
    body: Markup


def page(title: str, lead: Content, sections: Sequence[Section]) -> str:
    """A whole HTML document.

    Args:
        title: heading of the page.
        lead: what stands below it.
        sections: the parts, each of which the list at the top leads to.
    """
    own = package_files("barrel_jax.report")
    style, script = (read_text(str(own.joinpath(name))) for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY.format(digest)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        raw("style", style),
    )
    anchors = _anchors([one.title for one in sections])
    links = [
        element("li", element("a", one.title, href=f"#{anchor}")) for one, anchor in zip(sections, anchors, strict=True)
    ]
    parts = [
        element(
            "section",
            element("h2", one.title, id=f"{anchor}-heading"),
            one.body,
            id=anchor,
            aria_labelledby=f"{anchor}-heading",
        )
        for one, anchor in zip(sections, anchors, strict=True)
    ]
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", element("h1", title), lead),
        element("nav", element("ul", links), aria_label="Sections"),
        element("main", parts, id="content"),
        raw("script", script),
    )
    return "<!doctype html>\n" + element("html", head, body, lang="en")


def write_page(path: Path, text: str) -> None:
    """Writes a page; what no Unicode is in the name of a face's file is written as an escape."""
    files.write_bytes(path, text.encode(errors="backslashreplace"))


def paragraphs(lines: Sequence[str], kind: str = "note") -> Markup:
    """Lines of plain words, a paragraph each."""
    return joined(element("p", line, class_=kind) for line in lines)


def fold(summary: str, body: Content) -> Markup:
    """What is shown when its summary is opened."""
    return element("details", element("summary", summary), body)


def _anchors(titles: Sequence[str]) -> list[str]:
    """An anchor for each heading; those of equal headings are numbered."""
    found: list[str] = []
    for title in titles:
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        numbered = (f"{anchor}-{number}" for number in itertools.count(2))
        found.append(anchor if anchor not in found else next(one for one in numbered if one not in found))
    return found
