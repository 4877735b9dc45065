# SPDX-License-Identifier: Apache-2.0
"""The split of a file or folder, by its name."""

import re
from pathlib import Path

TRAIN, VAL, TEST = "train", "val", "test"
WORDS = {
    TRAIN: ("train", "training", "trainset", "traindata"),
    VAL: ("val", "valid", "validation", "dev", "valset", "validset", "devset", "valdata"),
    TEST: ("test", "testing", "testset", "testdata"),
}


def named_split(text: str) -> str:
    """The split that a file's or folder's name tells, '' for none: val of person_keypoints_val2017."""
    found = {split for word in re.split("[^a-z]+", text.lower()) for split, words in WORDS.items() if word in words}
    return found.pop() if len(found) == 1 else ""


def own_split(path: Path, root: Path, by_folder: bool) -> str:
    """The split of an annotation file by its name, or that of the folders that it lies in below `root`."""
    names = [*reversed(path.relative_to(root).parts[:-1])]
    return next((split for name in ([] if by_folder else [path.stem]) + names if (split := named_split(name))), "")
