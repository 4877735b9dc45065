# SPDX-License-Identifier: Apache-2.0
"""Files of boxes: every text that systems make of them is read, a bad record is told and costs no other."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest

from barrel_jax.predict.box_doubts import doubt
from barrel_jax.predict.boxes import BoxFile, PictureBoxes, read_boxes
from tests.kit.shared import SHARED, needs_shared
from tests.kit.toy import written

TWO = [[1, 2, 3, 4], [5, 6, 7, 8.5]]


def boxes_of(file, name):
    return np.array(read_boxes(file).of(Path(name))[1].boxes).tolist()


def test_four_kinds_of_files_give_the_same_boxes(tmp_path):
    plain = written(tmp_path / "plain.json", {"a b.png": TWO, "none.png": []})
    images = [{"id": 7, "file_name": "faces/a b.png", "width": 20, "height": 30}, {"id": 9, "file_name": "none.png"}]
    annotations = [{"id": 40 - n, "image_id": 7, "bbox": box} for n, box in enumerate(TWO)]
    coco = written(tmp_path / "coco.json", {"images": images, "annotations": annotations})
    points = written(
        tmp_path / "points.json", [{"file": "a b.png", "face": n, "box": box} for n, box in enumerate(TWO)]
    )
    for heading in ("", "file,x,y,w,h\n"):
        (tmp_path / "boxes.csv").write_text(heading + "a b.png,1,2,3,4\n\na b.png,5,6,7,8.5\n")
        for file in (plain, coco, points, tmp_path / "boxes.csv"):
            assert boxes_of(file, "a b.png") == TWO and read_boxes(file).faults == []
    known = read_boxes(coco).of(Path("a b.png"))[1]
    assert known.faces == [40, 39] and known.size == (20, 30)
    assert read_boxes(coco).of(Path("none.png"))[1].boxes == []


HEADED = "File;X;Y;W;H\r\né.png;1,5;2;3;4\r\n"


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        (HEADED.encode("utf-8-sig"), "é.png"),
        (HEADED.encode("utf-16"), "é.png"),
        (HEADED.encode("utf-16-le"), "é.png"),
        (HEADED.encode("utf-16-be"), "é.png"),
        (HEADED.encode("latin-1"), "é.png"),
        ("é.png\t1.5\t2\t3\t4".encode(), "é.png"),
        (b"file\tx\ty\tw\th\nb.png\t1,5\t2\t3,0\t4", "b.png"),
        (b"b.png\t1,5\t2,0\t3,0\t4,0", "b.png"),
        (b"b.png;1,5;2,0;3,0;4,0", "b.png"),
        (b"x1,y1,x2,y2,filename\n1.5,2,4.5,6,c:\\faces\\b.png", "b.png"),
        (b"image,label,left,top,width,height\n/data/b.png,face,1.5,2,3,4", "b.png"),
        ("e\N{COMBINING ACUTE ACCENT}.png,1.5,2,3,4".encode(), "é.png"),
        (b"image,width,height,left,top,right,bottom\nb.png,64,48,1.5,2,4.5,6", "b.png"),
    ],
)
def test_a_table_of_any_system_is_read(tmp_path, encoded, name):
    (tmp_path / "boxes.csv").write_bytes(encoded)
    assert boxes_of(tmp_path / "boxes.csv", name) == [[1.5, 2, 3, 4]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_json_of_any_system_is_read(tmp_path, encoding):
    (tmp_path / "boxes.json").write_bytes(json.dumps({"é.png": TWO}, ensure_ascii=False).encode(encoding))
    assert boxes_of(tmp_path / "boxes.json", "é.png") == TWO


def test_the_table_of_predictions_is_a_table_of_boxes(tmp_path):
    with (tmp_path / "points.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "frame", "face", "box_x", "box_y", "box_w", "box_h", "x0", "y0"])
        table.writerow(["a.png", None, 12, 1, 2, 3, 4, 9, 9])
    known = read_boxes(tmp_path / "points.csv").of(Path("a.png"))[1]
    assert known.faces == [12] and known.boxes[0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        ("b.csv", "a.png,1,2,3,4\na.png,1,2,3\n", [r"line 2: [1.0, 2.0, 3.0] is no box"]),
        ("b.csv", "a.png,1,2,x,4\na.png,1,2,3,4\na.png,1,2,3,nan", ["line 1: [1.0, 2.0, 'x', 4.0] is", "line 3: "]),
        ("b.csv", "a.png,1,2,3,4\na.png,1,2,0.5,4\n", ["line 2: [1.0, 2.0, 0.5, 4.0] is a box below a pixel"]),
        ("b.csv", 'a.png,1,2,3,4\na.png,"12,5",2,3,4\n', ["line 2: ['12,5', 2.0, 3.0, 4.0] is no box"]),
        ("b.csv", "a.png,1,2,3,4\n,1,2,5,4\n", ["line 2: no name of a picture"]),
        ("b.json", '{"a.png": [[1, 2, 3, 4], [1, 2], [1, 2, 3, 1e999]]}', ["'a.png', box 1: ", "'a.png', box 2: "]),
        ("b.json", '{"a.png": [[1, 2, 3, 4]], "b.png": 3}', ["'b.png': '3' is no list of boxes"]),
        ("b.json", '{"a.png": [[1, 2, 3, 4], null]}', ["'a.png', box 1: null is no box: give x, y, w, h"]),
        (
            "b.json",
            '[{"file": "a.png", "box": [1, 2, 3, 4]}, {"file": "a.png", "box": null}]',
            ["record 1 (from 0): null is no box"],
        ),
        (
            "b.json",
            '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": ['
            '{"image_id": 1, "bbox": [1, 2, 3, 4]}, {"id": 6, "image_id": 1, "bbox": null}]}',
            ["annotation 6: null is no box"],
        ),
        (
            "b.json",
            '{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2}], "annotations": ['
            '{"image_id": 1, "bbox": [1, 2, 3, 4]}, {"id": 5}, {"id": 6, "image_id": 1, "bbox": []}, 7]}',
            ["images: number 1", "annotation 5: its image_id", "annotations: number 3", "annotation 6: [] is no box"],
        ),
    ],
)
def test_a_bad_record_is_told_and_the_others_are_kept(tmp_path, name, content, faults):
    (tmp_path / name).write_text(content)
    found = read_boxes(tmp_path / name)
    assert np.array(found.of(Path("a.png"))[1].boxes).tolist() == [[1, 2, 3, 4]]
    assert len(found.faults) == len(faults)
    for said, expected in zip(found.faults, faults, strict=True):
        assert said.startswith(f"{tmp_path / name}, {expected}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "b.csv",
            "a.png,1,2,0,4\na.png,x",
            r"line 1: .* above 0, or leave it out \(and 1 more such records; none is a box\)",
        ),
        ("b.csv", 'a.png,"1,5","2,5","3,5","4,5"', r"line 1: \['1,5', '2,5', '3,5', '4,5'\] is no box"),
        ("b.csv", "a.png,0.1,0.2,0.5,0.5", "a box below a pixel; are these fractions of the picture's sides"),
        ("b.csv", "name,label\na.png,face", "line 1: columns named name, label tell no file and no box; name them"),
        ("b.csv", "name,x1,y1,x2,y2,x3,y3\na.png,1,2,3,4,5,6", "line 1: columns named .* tell no file and no box"),
        ("b.csv", "a.png\0\0\0\0\n", "line 1: this is no text: it holds zero bytes"),
        pytest.param("b.csv", "a" * 200_000 + ",1,2,3,4", "line .*: no table of values: field larger", id="long"),
        ("b.json", "{", "not JSON: .*; correct it, or write it anew"),
        ("b.json", "[" * 100_000, "not JSON"),
        ("b.json", f'{{"a.png": [[1, 2, 3, 1{"0" * 5000}]]}}', "not JSON"),
        ("b.json", "[3]", "neither an object of boxes"),
        ("b.json", '{"a.png": [[1, 2]]}', "'a.png', box 0: .* is no box"),
        ("b.json", '{"images": 3, "annotations": []}', "are not lists"),
        ("b.txt", "", r"boxes come in a \.json, \.csv or \.tsv file"),
    ],
)
def test_a_file_without_a_box_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_boxes(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file of boxes"):
        read_boxes(tmp_path / "none.csv")


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path):
    content = {"x/a.png": TWO[:1], "y\\a.png": TWO[1:], "B.JPG": TWO}
    boxes = read_boxes(written(tmp_path / "b.json", content))
    assert boxes.of(Path("/data/x/a.png"))[1].boxes[0].tolist() == TWO[0]
    assert boxes.of(Path("y/a.png"))[1].boxes[0].tolist() == TWO[1]
    with pytest.raises(ValueError, match=r"a\.png: .* has boxes of x/a\.png and y\\a\.png; predict them apart"):
        boxes.of(Path("/z/a.png"))
    with pytest.raises(ValueError, match=r"^b\.jpg: no boxes for it in .*; it has B\.JPG: give one the other's name"):
        boxes.of(Path("b.jpg"))
    assert boxes.unused([Path("a.png")]) == ["B.JPG"]


def test_a_near_name_is_offered_unless_another_picture_has_it(tmp_path):
    """A picture without boxes is not one whose name was misspelt, where the near name is its neighbour's."""
    boxes_file = written(tmp_path / "b.json", {"x/left.png": TWO, "x/rigth.png": TWO})
    for name in ("left.png", "leff.png", "right.png"):
        (tmp_path / name).write_bytes(b"")
    boxes = read_boxes(boxes_file)
    assert not boxes.mentions(tmp_path / "leff.png") and boxes.mentions(tmp_path / "right.png")
    with pytest.raises(ValueError, match=r"leff\.png: no boxes for it in \S*b\.json$"):
        boxes.of(tmp_path / "leff.png")
    with pytest.raises(ValueError, match=r"right\.png: .*; it has x/rigth\.png: give one the other's name"):
        boxes.of(tmp_path / "right.png")
    (tmp_path / "left.png").unlink()
    with pytest.raises(ValueError, match=r"leff\.png: .*; it has x/left\.png: give one the other's name"):
        read_boxes(boxes_file).of(tmp_path / "leff.png")


def test_of_several_pictures_of_one_name_the_one_whose_folders_agree_furthest_is_meant(tmp_path):
    content = {"a/1/f.png": TWO[:1], "b/1/f.png": TWO[1:], "c:\\b\\2\\f.png": TWO, "f.png": []}
    boxes = read_boxes(written(tmp_path / "b.json", content))
    for path, key in (("/x/a/1/f.png", "a/1/f.png"), ("/b/1/f.png", "b/1/f.png"), ("/b/2/f.png", "c:\\b\\2\\f.png")):
        assert boxes.of(Path(path))[0] == key
    with pytest.raises(ValueError, match=r"has boxes of a/1/f\.png and b/1/f\.png; predict them apart"):
        boxes.of(Path("/x/1/f.png"))
    names = [f"{number:04}/f.png" for number in range(2000)]
    boxes, began = BoxFile(Path("b.json"), {name: PictureBoxes() for name in names}, []), time.process_time()
    assert [boxes.of(Path("/x", name))[0] for name in names] == names
    assert time.process_time() - began < 2  # 0.1 s, and ten if every picture were compared with every other one


class Walked(dict):
    """Counts how often it is gone through."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


def test_a_files_names_are_gone_through_once_however_many_pictures_are_looked_up():
    names = [f"{number:03}.png" for number in range(100)]
    boxes = BoxFile(Path("b.json"), Walked({name: PictureBoxes() for name in names}), [])
    boxes.pictures.walks = 0  # the check of its type has looked
    assert [boxes.of(Path(name))[0] for name in names] == names
    said = []
    for number in (*range(10), 0):
        with pytest.raises(ValueError, match=r"^x0\d\d\.png: no boxes for it in b\.json") as caught:
            boxes.of(Path(f"x{number:03}.png"))
        said.append(str(caught.value))
    # Nobody reads the near names of ten thousand misses, each of which takes a look at all names.
    assert ["; it has" in sentence for sentence in said] == [True] * 3 + [False] * 7 + [True]
    assert boxes.pictures.walks == 1


def test_boxes_in_another_unit_are_doubted_with_the_cause():
    rng = np.random.default_rng(0)
    sizes = np.tile([640, 480], (20, 1))
    boxes = np.concatenate([rng.uniform(100, 300, (20, 2)), rng.uniform(80, 120, (20, 2))], axis=1)
    assert doubt(boxes, sizes) == "" and doubt(boxes[:0], sizes[:0]) == ""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    assert "as corners x1, y1, x2, y2" in doubt(corners, sizes)
    assert "per cent of the sides" in doubt(100 * boxes / np.tile(sizes, 2), sizes)
    assert "pictures of another size" in doubt(boxes * 4, sizes)
    assert doubt(boxes * 4, sizes, "percent").endswith(
        "of the boxes reach out of their pictures; leave out --unit percent"
    )
    assert doubt(boxes / 100, sizes, "fraction") == ""
    percent, outside = 100 * boxes / np.tile(sizes, 2), np.array([[500.0, 300, 400, 100]])
    assert doubt(outside, sizes[:1], few=True) and doubt(percent[:1], sizes[:1], few=True) == ""
    # Faces that were cut out, with room for half a face around each, of 60 to 200 pixels.
    sizes = np.tile(rng.uniform(60, 200, (20, 1)), 2)
    boxes = np.concatenate([sizes / 4, sizes / 2], axis=1) * rng.uniform(0.95, 1.05, (20, 4))
    assert doubt(boxes, sizes) == ""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    assert "as corners x1, y1, x2, y2" in doubt(corners, sizes)
    assert "per cent of the sides" in doubt(100 * boxes / np.tile(sizes, 2), sizes)


@needs_shared
def test_the_handed_boxes_are_doubted_and_the_sound_ones_are_not():
    def of(file):
        document = json.loads(file.read_text())
        sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
        faces = document["annotations"]
        return np.array([f["bbox"] for f in faces], float), np.array([sizes[f["image_id"]] for f in faces])

    assert "as corners" in doubt(*of(SHARED / "cases" / "03_xyxy" / "val.json"))
    boxes, sizes = of(SHARED / "faces68" / "val.json")
    assert doubt(boxes, sizes) == ""
    assert "per cent" in doubt(100 * boxes / np.tile(sizes, 2), sizes)


def coco_of(categories, *of_boxes):
    images = [{"id": 1, "file_name": "a.png"}]
    boxes = [{"id": n, "image_id": 1, "category_id": c, "bbox": [n, 2, 3, 4]} for n, c in enumerate(of_boxes, 1)]
    return {"images": images, "annotations": boxes, "categories": [{"id": n, "name": m} for n, m in categories.items()]}


def test_of_several_categories_the_faces_are_taken(tmp_path):
    file = written(tmp_path / "val.json", coco_of({1: "person", 2: "Face", 3: "car"}, 2, 1, 2, 1))
    found = read_boxes(file)
    assert [box[0] for box in found.of(Path("a.png"))[1].boxes] == [1, 3] and found.left_out == 2
    found = read_boxes(file, category="person")
    assert [box[0] for box in found.of(Path("a.png"))[1].boxes] == [2, 4] and found.left_out == 2
    with pytest.raises(ValueError, match=r"no box is of category 'car' \(Face, person\); name the faces' with"):
        read_boxes(file, category="car")
    for other in ({"a.png": [[1, 2, 3, 4]]}, [{"file": "a.png", "box": [1, 2, 3, 4]}]):
        with pytest.raises(ValueError, match=r"COCO's annotations alone have categories; leave out --category car"):
            read_boxes(written(tmp_path / "other.json", other), category="car")
    (tmp_path / "boxes.csv").write_text("a.png,1,2,3,4\n")
    with pytest.raises(ValueError, match=r"boxes\.csv: .* leave out --category car"):
        read_boxes(tmp_path / "boxes.csv", category="car")
    written(file, coco_of({1: "person", 3: "car"}, 1, 3))
    with pytest.raises(ValueError, match=r"boxes of several categories \(car, person\); name the faces' with"):
        read_boxes(file)
    written(file, coco_of({1: "head", 2: "face"}, 1, 1))  # of one alone, whatever it is called
    assert len(read_boxes(file).of(Path("a.png"))[1].boxes) == 2 and read_boxes(file).left_out == 0
    written(file, coco_of({}, 1, 2))  # nobody says what they are
    assert len(read_boxes(file).of(Path("a.png"))[1].boxes) == 2


def test_a_namesake_in_another_folder_gives_no_boxes_where_the_file_knows_the_pictures_own(tmp_path):
    file = written(tmp_path / "boxes.json", {"train/1.jpg": [[1, 2, 3, 4]], "val/2.jpg": [[5, 6, 7, 8]]})
    found, own = read_boxes(file), tmp_path / "val"
    with pytest.raises(ValueError, match=r"val/1\.jpg: no boxes for it"):
        found.of(own / "1.jpg")
    assert found.of(own / "2.jpg")[0] == "val/2.jpg" and found.of(tmp_path / "pictures" / "1.jpg")[0] == "train/1.jpg"
    assert found.unused([own / "1.jpg", own / "2.jpg"]) == ["train/1.jpg"]
    plain = read_boxes(written(file, {"1.jpg": [[1, 2, 3, 4]], "val/2.jpg": [[5, 6, 7, 8]]}))
    assert plain.of(own / "1.jpg")[0] == "1.jpg"  # without a folder it is of any
