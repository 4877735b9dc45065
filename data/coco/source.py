# SPDX-License-Identifier: Apache-2.0
"""A folder of anyone's own faces: `<split>.json` files (COCO keypoints) beside `images/`."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.coco.annotations import Face, Findings, read_faces

FORMAT = b"coco 1"  # changes when the stored records change, so that sets built before are built anew


@dataclass
class CocoSource:
    """A source folder as read: its faces by split, all with K = `num_points` points, and what was found on the way."""

    directory: Path
    splits: dict[str, list[Face]]
    num_points: int
    findings: Findings

    def faces(self) -> list[Face]:
        """The faces of all splits."""
        return [face for faces in self.splits.values() for face in faces]

    def raise_faults(self) -> None:
        """Raises ValueError with the first ten faults, if there is any."""
        faults = self.findings.faults
        if faults:
            raise ValueError(
                f"{self.directory} has {len(faults)} fault(s):\n  " + "\n  ".join(faults[:10]) + "\n"
                f"`python -m data.prepare coco --source {self.directory} --check` lists every one"
            )


def split_files(directory: Path) -> list[Path]:
    """The `<split>.json` files of a source folder, train and val first.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such folder; the source holds train.json, val.json and images/")
    files = sorted(directory.glob("*.json"), key=lambda path: (path.stem != "train", path.stem != "val", path.stem))
    if not files:
        raise FileNotFoundError(
            f"{directory}: no <split>.json here; put train.json and val.json (COCO keypoints) there"
        )
    if not (directory / "images").is_dir():
        raise FileNotFoundError(f"{directory}/images: no such folder; put the images there under their file_name")
    return files


def source_digest(directory: Path) -> str:
    """SHA-256 over the bytes of the JSON files and the names and sizes of the images, quick enough for every start.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    digest = hashlib.sha256(FORMAT)
    for path in split_files(directory):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    images = []
    for folder, _, names in os.walk(directory / "images", followlinks=True):
        images += [os.path.join(folder, name) for name in names]
    for image in sorted(images):
        size = os.stat(image).st_size if os.path.exists(image) else "dangling link"
        digest.update(f"{os.path.relpath(image, directory)}\0{size}\n".encode())
    return digest.hexdigest()


def read_source(directory: Path) -> CocoSource:
    """Reads every split of a source folder. Faults of the JSON are collected; images are not opened here.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    findings = Findings()
    documents = {path: _read_json(path, findings.faults) for path in split_files(directory)}
    documents = {path: document for path, document in documents.items() if document is not None}
    num_points = _num_points(directory, documents, findings.faults)
    source = CocoSource(directory, {}, num_points, findings)
    if num_points == 0:
        return source
    for path, document in documents.items():
        before = len(findings.faults)
        source.splits[path.stem] = read_faces(path, document, num_points, findings)
        if not source.splits[path.stem] and len(findings.faults) == before:
            findings.faults.append(f"{path}: no face with a labelled point; annotate some or remove the file")
    if not findings.faults:
        labelled = np.any([face.visible > 0 for face in source.faces()], axis=0)
        findings.faults += [
            f"{directory}: point {point} is labelled in no face; label it or take it out of every keypoints list"
            for point in np.flatnonzero(~labelled)
        ]
    return source


def _read_json(path: Path, faults: list[str]) -> dict[str, Any] | None:
    """The document, or None with a fault noted when it is no COCO keypoints JSON."""
    if not path.stem.isidentifier() or path.stem == "all":
        faults.append(f"{path}: {path.stem!r} cannot name a split; use letters, digits and _ (and not 'all')")
        return None
    try:
        document = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{path}: not JSON ({error}); export COCO keypoints again or remove the file")
        return None
    lists = ("images", "annotations", "categories")
    missing = [key for key in lists if not isinstance(document, dict) or not isinstance(document.get(key), list)]
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


def _num_points(directory: Path, documents: dict[Path, dict[str, Any]], faults: list[str]) -> int:
    """How many points most annotations have (the others are faults), or 0 with a fault noted when none has any."""
    lengths = Counter(
        len(annotation["keypoints"])
        for document in documents.values()
        for annotation in document["annotations"]
        if isinstance(annotation.get("keypoints"), list) and annotation["keypoints"]
    )
    length = lengths.most_common(1)[0][0] if lengths else 0
    if documents and length == 0:
        faults.append(f"{directory}: no annotation has keypoints; these are boxes only: export COCO keypoints")
    elif length % 3:
        faults.append(f"{directory}: keypoints lists have {length} values, which is not x, y, v for every point; add v")
        return 0
    return length // 3
