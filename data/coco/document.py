# SPDX-License-Identifier: Apache-2.0
"""One JSON file of a source: its text in any encoding, and whether it is COCO keypoints at all."""

import json
from pathlib import Path
from typing import Any

from barrel_jax.encodings import GUESSED, decode_text
from barrel_jax.files import read_bytes
from barrel_jax.pictures import unreadable_kind
from data.source import Findings

LISTS = ("images", "annotations", "categories")
LARGEST = 2**63 - 1  # of an annotation's id, which is stored as a 64-bit number


def read_document(path: Path, findings: Findings) -> dict[str, Any] | None:
    """The document, or None with a fault noted when it is no COCO keypoints JSON."""
    faults = findings.faults
    if not path.stem.isidentifier() or path.stem == "all":
        faults.append(f"{path}: {path.stem!r} cannot name a split; use letters, digits and _ (and not 'all')")
        return None
    if not path.is_file():
        faults.append(f"{path}: no file but a folder, a pipe or a device; remove it or put the annotations there")
        return None
    encoded = read_bytes(path)
    try:
        document = json.loads(_text(path, encoded, findings))
    except (ValueError, RecursionError) as error:
        reason = "its lists are nested too deep" if isinstance(error, RecursionError) else _reason(error)
        faults.append(f"{path}: not JSON ({reason}){_looks_like(encoded)}; export COCO keypoints again or remove it")
        return None
    missing = [key for key in LISTS if not isinstance(document, dict) or not isinstance(document.get(key), list)]
    if missing:
        faults.append(f"{path}: not COCO keypoints JSON: no list {', '.join(missing)}; export it again or remove it")
        return None
    for key in ("images", "annotations"):
        if not all(isinstance(item, dict) and isinstance(item.get("id"), int) for item in document[key]):
            faults.append(f"{path}: not COCO keypoints JSON: an item of {key} has no whole-number id; add it")
            return None
    if not document["annotations"]:
        faults.append(f"{path}: no annotations at all; annotate some faces or remove the file")
        return None
    return document


def _text(path: Path, encoded: bytes, findings: Findings) -> str:
    """The text of a file in whatever encoding, which is noted where it is not UTF-8.

    Raises ValueError as `decode_text`, and when it is no text.
    """
    text, encoding = decode_text(encoded)
    if encoding in GUESSED:
        if not text.lstrip().startswith(("{", "[")):
            raise ValueError("no text in UTF-8")
        findings.notes.append(f"{path}: is not UTF-8 and was read as Latin-1 ({encoding}); save it as UTF-8")
    elif encoding != "utf-8":
        findings.notes.append(f"{path}: was read as {encoding.upper()}")
    return text


def _reason(error: ValueError) -> str:
    if "integer string conversion" in str(error):  # what Python refuses to read
        return "it has a number of thousands of digits"
    return str(error)


def _looks_like(encoded: bytes) -> str:
    """', it looks like ...' for what people take for JSON."""
    start = encoded.lstrip()[:200]
    if not start:
        return ", the file is empty"
    if kind := unreadable_kind(encoded):
        return f", it looks like {kind}"
    lines = encoded.splitlines()
    if start.startswith(b"{") and len(lines) > 1 and lines[0].rstrip().endswith(b"}"):
        return ", it looks like JSON lines, one object a line"
    if start.startswith((b"{", b"[")) and not encoded.rstrip().endswith((b"}", b"]")):
        return ", it looks cut off"
    if not start.startswith((b"{", b"[")) and (lines[0].count(b",") > 1 or lines[0].count(b";") > 1):
        return ", it looks like CSV"
    return ""
