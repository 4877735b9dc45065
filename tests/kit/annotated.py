# SPDX-License-Identifier: Apache-2.0
"""Drawn pictures of a few pixels, and what a converted folder says of them."""

import json
from pathlib import Path

import cv2
import numpy as np

from data.convert.__main__ import main


def draw(path: Path, width: int = 40, height: int = 30) -> Path:
    """A picture that no other name has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(sum(path.name.encode())).integers(0, 255, (height, width, 3), np.uint8)
    suffix = path.suffix.lower()
    path.write_bytes(cv2.imencode(suffix if suffix in (".png", ".jpg") else ".png", pixels)[1].tobytes())
    return path


def converted(form: str, source: Path, *more: str, out: Path | None = None) -> dict[str, list[dict]]:
    """The faces of every split that the command writes, each with file, size, points [K, 3] and box."""
    out = out or (source if source.is_dir() else source.parent).parent / f"out-{form}"
    assert main([form, str(source), "--out", str(out), *more]) == 0
    splits = {}
    for path in sorted(out.glob("*.json")):
        document = json.loads(path.read_text())
        images = {image["id"]: image for image in document["images"]}
        splits[path.stem] = []
        for face in document["annotations"]:
            image = images[face["image_id"]]
            assert (out / "images" / image["file_name"]).is_file()
            splits[path.stem].append({
                "file": image["file_name"], "size": (image["width"], image["height"]), "box": face["bbox"],
                "points": np.reshape(face["keypoints"], (-1, 3)), "names": document["categories"][0]["keypoints"],
                "id": face["id"],
            })  # fmt: skip
    return splits


def refused(capsys, form: str, source: Path, *more: str) -> str:
    """What the command says of a source that it refuses, in its one line or list; nothing is written."""
    out = source.parent / "refused"
    assert main([form, str(source), "--out", str(out), *more]) == 1
    assert not out.exists() and not list(source.parent.glob(".refused*"))
    return capsys.readouterr().err
