# SPDX-License-Identifier: Apache-2.0
"""Every n-th face to train on, and all to validate with: own faces for grids that have to be quick.

python -m benchmarks.thin_faces ../shared/faces68 runs/faces-thin --every 4
"""

import argparse
import json
from pathlib import Path


def thin(source: Path, target: Path, every: int) -> int:
    """Writes a COCO source with every `every`-th training annotation, its images linked; returns how many are left."""
    target.mkdir(parents=True, exist_ok=True)
    train = json.loads((source / "train.json").read_text())
    train["annotations"] = train["annotations"][::every]
    shown = {annotation["image_id"] for annotation in train["annotations"]}
    train["images"] = [image for image in train["images"] if image["id"] in shown]
    (target / "train.json").write_text(json.dumps(train))
    (target / "val.json").write_text((source / "val.json").read_text())
    if not (target / "images").exists():
        (target / "images").symlink_to((source / "images").resolve())
    return len(train["annotations"])


def main() -> None:
    """Thins a source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--every", type=int, required=True)
    args = parser.parse_args()
    print(f"{thin(args.source, args.target, args.every)} faces to train on in {args.target}")


if __name__ == "__main__":
    main()
