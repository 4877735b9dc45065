# SPDX-License-Identifier: Apache-2.0
"""A folder of anyone's own faces: `<split>.json` files (COCO keypoints) beside `images/`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.faces.symmetry import find_scheme
from data.coco.annotations import read_faces
from data.convert.recognise import convert_hint, meant_format
from data.source import Face, Findings, Source, digest_files, files_below

GET = "put train.json, val.json (COCO keypoints) and images/ of your own faces"
ABOUT = "Their licence is that of your own pictures."


class CocoSource(Source):
    """Anyone's own faces; their images lie in `images/`."""

    def image_path(self, file: str) -> Path:
        """Where the image lies."""
        return self.directory / "images" / file


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
            f"{convert_hint(directory)}"
        )
    if meant_format(files[0]) not in ("coco", ""):
        raise FileNotFoundError(f"{files[0]}: not COCO keypoints JSON{convert_hint(directory)}")
    if not (directory / "images").is_dir():
        raise FileNotFoundError(
            f"{directory}/images: no such folder; put the images there under their file_name{convert_hint(directory)}"
        )
    return files


def source_digest(directory: Path) -> str:
    """SHA-256 over the bytes of the JSON files and the names and sizes of the images, quick enough for every start.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    return digest_files(directory, split_files(directory), files_below(directory / "images"))


def read_source(directory: Path) -> Source:
    """Reads every split of a source folder. Faults of the JSON are collected; images are not opened here.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    findings = Findings()
    documents = {path: _read_json(path, findings.faults) for path in split_files(directory)}
    documents = {path: document for path, document in documents.items() if document is not None}
    num_points = _num_points(directory, documents, findings.faults)
    splits: dict[str, list[Face]] = {}
    for path, document in documents.items() if num_points else ():
        before = len(findings.faults)
        splits[path.stem] = read_faces(path, document, num_points, findings)
        if not splits[path.stem] and len(findings.faults) == before:
            findings.faults.append(f"{path}: no face with a labelled point; annotate some or remove the file")
    faces = [face for split in splits.values() for face in split]
    if not findings.faults:
        labelled = np.any([face.visible > 0 for face in faces], axis=0)
        findings.faults += [
            f"{directory}: point {point} is labelled in no face; label it or take it out of every keypoints list"
            for point in np.flatnonzero(~labelled)
        ]
    scheme, found = _scheme_of(faces, num_points)
    return CocoSource("coco", directory, scheme, found, splits, findings)


def _scheme_of(faces: list[Face], num_points: int) -> tuple[LandmarkScheme, str]:
    """The landmark scheme that the labelled points tell, and a sentence on it.

    When left and right points cannot be paired, the scheme has an empty `flip` and `normaliser` and the sentence names
    the points: the set can be built, and the config must give both (`barrel_jax.faces.landmarks.make_scheme`).
    """
    unknown = LandmarkScheme(f"custom-{num_points}", num_points, (), (), "", ())
    if not faces:
        return unknown, ""
    try:
        return find_scheme(np.stack([face.points for face in faces]), np.stack([face.visible for face in faces]))
    except ValueError as error:
        return unknown, str(error)


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
