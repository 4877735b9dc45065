# SPDX-License-Identifier: Apache-2.0
"""Files that are found by the ends of their paths, in time that grows as their number does."""

import time
from pathlib import Path

import pytest

from data.coco.file_names import FileNames
from data.convert.pictures import Pictures
from data.path_ends import PathEnds, ends

pytestmark = pytest.mark.quick


def test_files_by_the_ends_of_their_paths():
    assert list(ends(("a", "b", "c"))) == [("a", "b", "c"), ("b", "c"), ("c",)]
    files = PathEnds([(tuple(path.split("/")), path) for path in ("a/f", "b/a/f", "f")])
    assert files.at(("a", "f")) == ["a/f"] and files.at(("b", "f")) == []
    assert files.below(("a", "f")) == ["a/f", "b/a/f"] and files.below(()) == []
    assert files.within(("c", "b", "a", "f")) == ["b/a/f", "a/f", "f"] and files.within(()) == []


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder of two thousand pictures of one name, and their paths below it."""
    root = tmp_path_factory.mktemp("people") / "images"
    names = [f"train{number % 2}/{number:04}/face.jpg" for number in range(2000)]
    for name in names:
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    return root, names


def on_windows(name):
    return "C:\\set\\images\\" + name.replace("/", "\\")


def test_pictures_of_one_name_in_many_folders_are_found_at_once(people):
    root, names = people
    pictures, listing = Pictures(root), FileNames(root, [root / name for name in names])
    began = time.process_time()
    assert [pictures.find(on_windows(name), root, "")[0] for name in names] == [root / name for name in names]
    assert [listing.find(on_windows(name)) for name in names] == [root / name for name in names]
    assert time.process_time() - began < 3  # 0.2 s, and six if every picture were compared with every other one


def test_a_name_that_may_be_of_many_pictures_is_looked_at_once(people):
    root, _ = people
    pictures = Pictures(root)
    began = time.process_time()
    for _ in range(2000):
        with pytest.raises(ValueError, match=r"'face\.jpg' may be .* or .*; write the name with its folder"):
            pictures.find("face.jpg", root, "", "train")
    assert time.process_time() - began < 3  # 0.1 s, and six if the folders' splits were read at every look-up


def test_the_whole_path_of_a_file_comes_before_the_end_of_anothers(tmp_path):
    for name in ("f.jpg", "a/f.jpg", "a/b/f.jpg", "c/g.jpg", "c/d/g.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listing = FileNames(tmp_path, tmp_path.rglob("*.jpg"))
    assert listing.find("F.JPG") == tmp_path / "f.jpg" and listing.find("x\\a\\f.jpg") == tmp_path / "a/f.jpg"
    assert listing.find("x/a/b/f.jpg") == Path(tmp_path, "a/b/f.jpg")
    assert listing.find("g.jpg") is None  # either may be meant, though one lies deeper


def test_a_file_whose_name_is_a_drive_of_windows_is_no_name_at_all(tmp_path):
    (tmp_path / "c:").touch()
    assert FileNames(tmp_path, [tmp_path / "c:"]).find("..\\c:") is None
