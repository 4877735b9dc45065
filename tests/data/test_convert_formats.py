# SPDX-License-Identifier: Apache-2.0
"""Each annotation format, on files written here, with points calculated by hand."""

import json
import time

import numpy as np
import pytest

from data.convert import pts_files
from data.convert.pictures import Pictures
from data.convert.record import Options
from data.source import Findings
from tests.kit.annotated import converted, draw, refused

pytestmark = pytest.mark.quick
# Two points of each face: at (10, 12) and (20.5, 6).
PAIR = [[10, 12, 2], [20.5, 6, 2]]


@pytest.fixture
def source(tmp_path):
    """A folder with two pictures of 40 x 30, one for each split."""
    folder = tmp_path / "source"
    draw(folder / "images" / "a.png")
    draw(folder / "images" / "b.png")
    return folder


def check_pair(splits, names=("0", "1")):
    """The two faces of `source`, as every format has them."""
    assert list(splits) == ["train", "val"]
    for split, file in (("train", "a.png"), ("val", "b.png")):
        (face,) = splits[split]
        assert (face["file"], face["size"], tuple(face["names"])) == (file, (40, 30), tuple(names))
        np.testing.assert_allclose(face["points"], PAIR, atol=1e-9)
    return splits["train"][0], splits["val"][0]


def table(folder, header, row, encoding="utf-8", name="{}.csv"):
    for split, file in (("train", "a.png"), ("val", "b.png")):
        (folder / name.format(split)).write_text(f"{header}\n{row.format(file)}\n", encoding=encoding)


@pytest.mark.parametrize(
    ("header", "row", "box"),
    [
        ("image,x,y,w,h,x0,y0,x1,y1", "{},8,4,15,11,10,12,20.5,6", [8, 4, 15, 11]),
        ("file_name,x0,y0,x1,y1", "{},10,12,20.5,6", [10.5, 6.5, 10.5, 6]),  # the tight box, in edge coordinates
        ("x0,y0,x1,y1,xmin,ymin,xmax,ymax,Path", "10,12,20.5,6,8,4,23,15,{}", [8, 4, 15, 11]),
        ("Image;left;top;width;height;x_0;y_0;x_1;y_1", "{};8;4;15;11;10;12;20,5;6", [8, 4, 15, 11]),
        ("image\tbbox_x\tbbox_y\tbbox_w\tbbox_h\tx0\ty0\tx1\ty1", "{}\t8\t4\t15\t11\t10\t12\t20.5\t6", [8, 4, 15, 11]),
        ("image,x0,y0,v0,x1,y1,v1", "{},10,12,2\x1d,20.5,6, 2.0", [10.5, 6.5, 10.5, 6]),  # strange blanks
        ("image,x1,y1,x2,y2,0_x,0_y,1_x,1_y", "images/{},8,4,23,15,10,12,20.5,6", [8, 4, 15, 11]),
        ("image,width,height,left,top,right,bottom,x0,y0,x1,y1", "{},40,30,8,4,23,15,10,12,20.5,6", [8, 4, 15, 11]),
        ("image,x,y,w,h,x0,y0,x1,y1", "{},8,4,0,0,10,12,20.5,6", [10.5, 6.5, 10.5, 6]),  # a box without area
        ("image,landmarks", '{},"[[10, 12], [20.5, 6]]"', [10.5, 6.5, 10.5, 6]),
        ("image,x,y,w,h,points", '{},8,4,15,11,"[(10, 12), (20.5, 6)]"', [8, 4, 15, 11]),
    ],
)
def test_columns_are_recognised(source, header, row, box):
    table(source, header, row)
    for face in check_pair(converted("csv", source)):
        np.testing.assert_allclose(face["box"], box)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_a_table_in_another_encoding(source, encoding, capsys):
    table(source, "image,größe,x0,y0,x1,y1", "{},ü,10,12,20.5,6", encoding)
    check_pair(converted("csv", source))
    assert ("read as Windows-1252" in capsys.readouterr().out) == (encoding == "latin-1")


def test_named_columns_and_landmarks_keep_their_names(source):
    table(source, "which,x,y,w,h,eye_x,eye_y,eye_v,nose x,nose y", "{},8,4,15,11,10,12,1,,")
    splits = converted("csv", source, "--image-column", "which")
    assert splits["train"][0]["names"] == ["eye", "nose"]
    assert splits["val"][0]["points"].tolist() == [[10, 12, 1], [0, 0, 0]]


def test_columns_by_flags_in_a_table_without_a_header(source):
    for split, file in (("train", "a.png"), ("val", "b.png")):
        (source / f"{split}.csv").write_text(f"10,12,8,4,23,15,20.5,6,{file}\n")
    flags = ["--point-columns", "1,2,7,8", "--box-columns", "3,4,5,6", "--corners"]
    for face in check_pair(converted("csv", source, *flags)):
        assert face["box"] == [8, 4, 15, 11]


def test_a_table_without_a_header_is_read_by_its_numbers(source):
    # Five points inside the box of x 8 to 23 and y 4 to 15.
    points = "10,12,20.5,6,9,5,22,14,15,10"
    for split, file in (("train", "a.png"), ("val", "b.png")):
        (source / f"{split}.csv").write_text(f"{file},8,4,15,11,{points}\n")
    (face,) = converted("csv", source)["train"]
    assert face["box"] == [8, 4, 15, 11]
    assert face["points"][:, :2].ravel().tolist() == [10, 12, 20.5, 6, 9, 5, 22, 14, 15, 10]


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("image,x0,y0", "{},nan,inf", r"train.csv:2: 'a.png': column 'x0' is 'nan', which is not a number"),
        ("image,x0,y0", "{},1e9,3", r"column 'x0' is '1e9', which is not a number of pixels; correct it"),
        ("image,x0,y0,x1,y1", "{},1,2", r"train.csv:2: 3 cells where the table has 5 columns; complete the row"),
        ("image,x0,y0,v0", "{},1,2,7", r"a visibility '7'; 0 is not labelled"),
        ("image,x0,y0,v0", "{},1,,2", r"train.csv:2: 'a.png': column 'y0' is '', which is not a number"),
        (
            "image,a,b",
            "{},1,2",
            r"no landmark's columns are recognised .*--point-columns; its columns are 'image', 'a'",
        ),
        ("image,x_a,y_a,a_x,a_y", "{},1,2,3,4", r"two columns for x of 'a'; name the right ones"),
        ("image,x0,x0,y0", "{},1,2,3", r"two columns named 'x0'; name each once"),
        ("image,x0,y0,x1,y1", "{},0.25,0.4,0.5,0.2", r"these are fractions of the pictures; add --unit fraction"),
    ],
)
def test_a_table_that_is_refused(source, capsys, header, row, said):
    table(source, header, row)
    (source / "val.csv").unlink()
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(refused(capsys, "csv", source))


def test_fractions_and_per_cent(source, capsys):
    table(source, "image,x0,y0,x1,y1", "{},30000,0.4,0.5125,0.2")
    assert "a.png': a point beyond 1,000,000 pixels" in refused(capsys, "csv", source, "--unit", "fraction")
    table(source, "image,x0,y0,x1,y1", "{},0.25,0.4,0.5125,0.2")
    check_pair(converted("csv", source, "--unit", "fraction"))


IMGLAB = """<?xml version='1.0' encoding='ISO-8859-1'?>
<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>
<dataset><name>faces</name><images>
  <image file='images/{}'><box top='4' left='8' width='15' height='11'>
    <part name='01' x='20.5' y='6'/><part name='00' x='10' y='12'/></box>
  <box top='1' left='1' width='5' height='5' ignore='1'/><box top='1' left='1' width='5' height='5'/></image>
</images></dataset>"""


def test_imglab(source, capsys):
    for split, file in (("train", "a.png"), ("val", "b.png")):
        (source / f"{split}.xml").write_text(IMGLAB.format(file))
    assert check_pair(converted("dlib", source), ("00", "01"))[0]["box"] == [8, 4, 15, 11]
    said = capsys.readouterr().out
    assert "boxes marked ignore left out: 2" in said and "faces without points left out: 2" in said


BOMB = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
OUTSIDE = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("<dataset>", BOMB + "<dataset>"), r"train.xml:3: has a DOCTYPE"),
        (lambda t: t.replace("<dataset>", OUTSIDE + "<dataset>"), r"train.xml:3: has a DOCTYPE"),
        (lambda t: t[:-40], r"train.xml:6: not XML \(unclosed token\); export it again"),
        (lambda t: t.replace("<dataset>", "<dataset>" + "<a>" * 99), r"more than 32 elements in one another"),
        (lambda t: t.replace("x='10'", "x='ten'"), r"train.xml:4: a box of .*x of a <part> is 'ten'"),
        (lambda t: t.replace("x='10'", ""), r"has a <part> without x; add it"),
        (lambda t: t.replace("'01'", "'00'"), r"two parts named '00' in a box; name each once"),
        (lambda t: t.replace("ISO-8859-1", "klingon"), r"in an encoding that cannot be read"),
    ],
)
def test_imglab_that_is_refused(source, capsys, change, said):
    (source / "train.xml").write_text(change(IMGLAB).format("a.png"))
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(refused(capsys, "dlib", source))


def test_pts(tmp_path):
    for split, file in (("train", "a"), ("val", "b")):
        draw(tmp_path / "source" / split / f"{file}.png")
        (tmp_path / "source" / split / f"{file}.pts").write_text("version: 1\nn_points:  2\n{\n11 13\n21.5 7\n}\n\n")
    check_pair(converted("pts", tmp_path / "source"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nn_points: 3\n{\n11 13\n21.5 7\n}", r"a.pts: 2 points between its braces where n_points says 3"),
        ("version: 1\nn_points: 1\n{\n11 13 4\n}", r"a.pts:4: 3 numbers instead of a point's x and y"),
        ("version: 1\nn_points: 1\n{\n11 nan\n}", r"a.pts:4: 'nan' is not a number of pixels"),
        ("11 13\n", r"a.pts: not a .pts file"),
        ("version: 1\nn_points: 1\n{\n1 2\n}", r"b.pts: 2 points where most have 1|a.pts: 1 points where most have 2"),
    ],
)
def test_pts_that_is_refused(tmp_path, capsys, text, said):
    for name in "abc":
        draw(tmp_path / "source" / f"{name}.png")
        (tmp_path / "source" / f"{name}.pts").write_text("version: 1\nn_points: 2\n{\n1 2\n3 4\n}")
    (tmp_path / "source" / "a.pts").write_text(text)
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(refused(capsys, "pts", tmp_path / "source"))


@pytest.mark.parametrize("pictures", [[], ["a.png", "a.jpg"]])
def test_pts_without_a_picture_or_with_two(tmp_path, capsys, pictures):
    (tmp_path / "source").mkdir()
    for name in pictures:
        draw(tmp_path / "source" / name)
    (tmp_path / "source" / "a.pts").write_text("version: 1\nn_points: 1\n{\n1 2\n}")
    said = refused(capsys, "pts", tmp_path / "source")
    if pictures:
        assert "a.jpg and" in said and "a.png may be meant; there must be one picture of its name" in said
    else:
        assert (
            f"a.pts: no picture a.jpg or .png beside it or below {tmp_path / 'source'}; put it there (--images" in said
        )


@pytest.mark.parametrize("flags", [[], ["--images", "{}/source/images"]])
def test_pts_in_a_folder_of_their_own(tmp_path, capsys, flags):
    """Pictures of one name are told apart by the folders that both have, and those of one folder by their letters."""
    for number, name in enumerate(("train/a", "val/a", "val/b", "val/B")):
        draw(tmp_path / "source" / "images" / f"{name}.png", 40 + number)
        path = tmp_path / "source" / "points" / f"{name}.pts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"version: 1\nn_points: 2\n{{\n{number + 1} 13\n21.5 7\n}}")
    splits = converted("pts", tmp_path / "source", *(flag.format(tmp_path) for flag in flags))
    assert [(face["size"][0], face["points"][0, 0]) for face in splits["train"]] == [(40, 0)]
    assert sorted((face["size"][0], face["points"][0, 0]) for face in splits["val"]) == [(41, 1), (42, 2), (43, 3)]
    assert "found below other folders: 4" in capsys.readouterr().out


def test_two_pts_are_not_of_one_picture_in_another_folder(tmp_path, capsys):
    draw(tmp_path / "source" / "helen" / "1.png")
    for folder in ("afw", "helen"):
        (tmp_path / "source" / folder).mkdir(exist_ok=True)
        (tmp_path / "source" / folder / "1.pts").write_text("version: 1\nn_points: 1\n{\n1 2\n}")
    said = refused(capsys, "pts", tmp_path / "source")
    assert (
        f"'afw/1' and 'helen/1' both lead to {tmp_path}/source/helen/1.png; put there the one that is missing" in said
    )


def test_a_folder_of_pts_is_not_listed_anew_for_every_file(tmp_path):
    for number in range(2000):
        (tmp_path / f"{number}.jpg").touch()
    pictures, began = Pictures(tmp_path), time.process_time()
    for number in range(2000):
        path = tmp_path / f"{number}.pts"
        path.write_text("version: 1\nn_points: 1\n{\n1 2\n}")
        (record,) = pts_files.read(path, Options(), Findings())
        assert pictures.find(record.picture, tmp_path, "")[0] == tmp_path / f"{number}.jpg"
    assert time.process_time() - began < 3  # 0.4 s, and eight if every file were compared with every other one


def cvat(folder, shapes, **more):
    for split, file in (("train", "a.png"), ("val", "b.png")):
        image = f'<image id="0" name="{file}" width="40" height="30">{shapes}</image>'
        (folder / f"{split}.xml").write_text(f"<annotations><version>1.1</version><meta/>{image}</annotations>")


def test_cvat_points_and_their_box(source):
    cvat(source, '<box label="face" xtl="8" ytl="4" xbr="23" ybr="15"/><points label="face" points="10,12;20.5,6"/>')
    assert check_pair(converted("cvat", source))[1]["box"] == [8, 4, 15, 11]


def test_cvat_skeletons(source):
    point = '<points label="{}" outside="{}" occluded="{}" points="{}"/>'
    one = point.format("nose", 0, 1, "10,12") + point.format("eye", 1, 0, "0,0") + point.format("ear", 0, 0, "5,6")
    two = point.format("nose", 0, 0, "20,22") + point.format("eye", 0, 0, "20.5,6")
    cvat(source, f'<skeleton label="face">{one}</skeleton><skeleton label="face">{two}</skeleton>')
    first, second = converted("cvat", source)["train"]
    assert first["names"] == ["nose", "eye", "ear"]
    assert first["points"].tolist() == [[10, 12, 1], [0, 0, 0], [5, 6, 2]]
    assert second["points"].tolist() == [[20, 22, 2], [20.5, 6, 2], [0, 0, 0]]


def test_cvat_skeletons_of_other_things_are_left_out_or_refused(source, capsys):
    face = '<points label="nose" points="10,12"/><points label="eye" points="20.5,6"/>'
    hand = '<points label="thumb" points="1,2"/><points label="index" points="3,4"/>'
    cvat(source, f'<skeleton label="face">{face}</skeleton><skeleton label="hand">{hand}</skeleton>')
    said = refused(capsys, "cvat", source)
    assert "skeletons with unlike points (face, hand)" in said and "; name the face's with --category" in said
    said = refused(capsys, "cvat", source, "--category", "foot")
    assert "no skeleton is labelled 'foot'" in said and "; give --category one of face, hand" in said
    check_pair(converted("cvat", source, "--category", "face"), ("nose", "eye"))
    assert "skeletons of other labels left out: 2" in capsys.readouterr().out
    cvat(source, '<points label="face" points="10,12;20.5,6"/>')
    said = refused(capsys, "cvat", source, "--category", "face")
    assert "--category is the label of skeletons, and no face in it is one" in said and "; leave it out" in said


def test_cvat_boxes_that_are_rotated(source, capsys):
    """A quarter turn about the middle (15, 10) of 11 x 15: the box of 15 x 11 around it."""
    box = '<box label="face" xtl="9.5" ytl="2.5" xbr="20.5" ybr="17.5" rotation="{}"/>'
    cvat(source, box.format("90.0") + '<points label="face" points="10,12;20.5,6"/>')
    np.testing.assert_allclose(check_pair(converted("cvat", source))[0]["box"], [7.5, 4.5, 15, 11])
    cvat(source, box.format("ninety") + '<points label="face" points="10,12;20.5,6"/>')
    assert "rotation is 'ninety', which is not a number of degrees (2 of a kind); correct it" in refused(
        capsys, "cvat", source
    )
    # At 30 degrees sides are w cos + h sin and w sin + h cos.
    cvat(source, box.format("30") + '<points label="face" points="10,12;20.5,6"/>')
    sides = np.array([11 * 0.75**0.5 + 15 / 2, 11 / 2 + 15 * 0.75**0.5])
    found = check_pair(converted("cvat", source, out=source.parent / "thirty"))[0]["box"]
    np.testing.assert_allclose(found, [*([15, 10] - sides / 2), *sides])


def test_cvat_single_points_of_two_groups(source):
    shapes = "".join(
        f'<points label="{label}" group_id="{group}" points="{at}"/>'
        for group, label, at in ((1, "0", "10,12"), (2, "0", "1,2"), (1, "1", "20.5,6"), (2, "1", "3,4"))
    )
    cvat(source, shapes)
    first, second = converted("cvat", source)["val"]
    assert first["points"].tolist() == PAIR
    assert second["points"].tolist() == [[1, 2, 2], [3, 4, 2]]


def parts(*shapes):
    """CVAT's points of (group, label, positions)."""
    return "".join(f'<points label="{label}" group_id="{group}" points="{at}"/>' for group, label, at in shapes)


def test_cvat_shapes_of_one_group_are_one_face(source):
    shapes = parts((1, "eye", "10,12;11,13"), (2, "mouth", "5,6"), (1, "mouth", "20.5,6"), (2, "eye", "1,2;3,4"))
    # A face of which one part alone is seen has the names of the others.
    cvat(source, shapes + parts((0, "eye", "30,20;31,21")))
    one, two, three = converted("cvat", source)["train"]
    assert one["names"] == ["eye_0", "eye_1", "mouth"]
    assert one["points"].tolist() == [[10, 12, 2], [11, 13, 2], [20.5, 6, 2]]
    assert two["points"].tolist() == [[1, 2, 2], [3, 4, 2], [5, 6, 2]]
    assert three["points"].tolist() == [[30, 20, 2], [31, 21, 2], [0, 0, 0]]


def test_cvat_one_shape_a_face_has_numbers_whatever_its_label_and_group(source):
    cvat(source, parts((1, "man", "10,12;20.5,6"), (2, "woman", "1,2;3,4")))
    first, second = converted("cvat", source)["train"]
    assert first["names"] == ["0", "1"] and first["points"].tolist() == PAIR
    assert second["points"].tolist() == [[1, 2, 2], [3, 4, 2]]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (
            parts((1, "eye", "1,2;3,4"), (1, "eye", "5,6;7,8")),
            r"train.xml:1: a second shape 'eye' in group 1 of a.png; give each face's shapes a group of their own",
        ),
        (
            parts((0, "left_eye", "1,2;3,4"), (0, "right_eye", "5,6;7,8")),
            r"train.xml:1: shapes labelled 'left_eye' and 'right_eye' in a.png; give the shapes of each face one group",
        ),
        (parts((0, "eye", "1,2;3,4"), (0, "nose", "5,6")), r"shapes labelled 'eye' and 'nose' in a.png; give the"),
        (
            parts((1, "eye", "1,2;3,4"), (1, "nose", "5,6"), (2, "eye", "1,2;3,4"), (3, "eye", "5,6;7,8;9,9")),
            r"3 points of 'eye' where most have 2, and which are missing cannot be told",
        ),
        (parts((1, "eye", "1,2;3,4"), (1, "eye_1", "5,6")), r"two points would be called 'eye_1'.*; rename a label"),
        ('<points label="f" points="10;20"/>', r"train.xml:1: point 0 is '10' instead of x,y"),
        ('<points label="f" points="10,1e999"/>', r"y of point 0 is '1e999', which is not a number"),
        (
            '<points label="f" points="1,2"/><points label="f" points="1,3"/>',
            r"a second point 'f' in a.png; give each face's shapes a group",
        ),
        ('<skeleton><points label="a" points="1,2;3,4"/></skeleton>', r"2 positions of the point 'a'"),
    ],
)
def test_cvat_that_is_refused(source, capsys, shapes, said):
    cvat(source, shapes)
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(refused(capsys, "cvat", source))


def test_cvat_subsets_are_splits_but_for_the_default(source, capsys):
    points = '<points label="face" points="10,12;20.5,6"/>'
    images = (
        '<image id="0" name="a.png" subset="{}">{}</image><image id="1" name="b.png" subset="Validation">{}</image>'
    )
    (source / "x.xml").write_text(f"<annotations>{images.format('Default', points, points)}</annotations>")
    check_pair(converted("cvat", source))
    (source / "x.xml").write_text(f"<annotations>{images.format('holdout', points, points)}</annotations>")
    assert "a.png: subset says 'holdout' (1 faces) where" in refused(capsys, "cvat", source)


def test_cvat_for_video_is_told(source, capsys):
    (source / "a.xml").write_text('<annotations><track id="0"><points frame="0" points="1,2"/></track></annotations>')
    assert "this is CVAT for video" in refused(capsys, "cvat", source)


def key_point(label, x, y, **more):
    value = {"x": x / 0.4, "y": y / 0.3, "width": 0.5, "keypointlabels": [label]}
    return {"type": "keypointlabels", "original_width": 40, "original_height": 30, "value": value} | more


def rectangle(x, y, w, h, **more):
    return {
        "type": "rectanglelabels",
        "value": {"x": x / 0.4, "y": y / 0.3, "width": w / 0.4, "height": h / 0.3},
    } | more


FACE = [key_point("1", 20.5, 6), key_point("0", 10, 12)]


def tasks(folder, *annotations):
    for split, file in (("train", "a.png"), ("val", "b.png")):
        task = {"id": 7, "data": {"image": f"/data/upload/3/1a2b3c4d-{file}"}, "annotations": list(annotations)}
        (folder / f"{split}.json").write_text(json.dumps([task]))


def test_label_studio(source):
    tasks(source, {"result": [*FACE, rectangle(8, 4, 15, 11), {"type": "choices", "value": {"choices": ["good"]}}]})
    np.testing.assert_allclose(check_pair(converted("labelstudio", source))[0]["box"], [8, 4, 15, 11])


def test_label_studio_tells_faces_apart_by_parents_rectangles_or_order(source, tmp_path):
    other = [key_point("0", 30, 20), key_point("1", 35, 25)]
    boxes = [rectangle(8, 4, 15, 11, id="p"), rectangle(28, 18, 10, 10, id="q")]
    owned = [*({**p, "parentID": "q"} for p in other), *({**p, "parentID": "p"} for p in FACE), *boxes]
    for number, results in enumerate((owned, [FACE[0], *other, FACE[1], *boxes], [*FACE, *other])):
        tasks(source, {"result": results})
        found = converted("labelstudio", source, out=tmp_path / str(number))["train"]
        faces = sorted([face["points"].tolist() for face in found])
        np.testing.assert_allclose(faces, [PAIR, [[30, 20, 2], [35, 25, 2]]])


def test_label_studio_takes_the_rectangle_that_is_around_the_points(source, tmp_path):
    """Of several, also where no label comes twice: one face in one of two, two faces of unlike points in one each."""
    near, far = rectangle(8, 4, 15, 11, id="p"), rectangle(26, 16, 12, 12, id="q")
    tasks(source, {"result": [*FACE, near, far]})
    np.testing.assert_allclose(check_pair(converted("labelstudio", source))[0]["box"], [8, 4, 15, 11])
    tasks(source, {"result": [*FACE, key_point("2", 30, 20), key_point("3", 35, 25), near, far]})
    one, other = converted("labelstudio", source, out=tmp_path / "two")["train"]
    np.testing.assert_allclose([one["box"], other["box"]], [[8, 4, 15, 11], [26, 16, 12, 12]])
    assert [(face["points"][:, 2] > 0).sum() for face in (one, other)] == [2, 2]
    # A rectangle in another tells nothing: the face is one, around its points.
    tasks(source, {"result": [*FACE, near, rectangle(9, 5, 3, 9, id="r")]})
    np.testing.assert_allclose(
        check_pair(converted("labelstudio", source, out=tmp_path / "in"))[0]["box"], [10.5, 6.5, 10.5, 6]
    )


def test_label_studio_of_several_annotators(source, capsys):
    poor = [key_point("0", 1, 1), key_point("1", 2, 2)]
    late, ground = {"updated_at": "2026-01-02", "completed_by": {"id": 5, "email": "b@c"}}, {"ground_truth": True}
    tasks(source, {"result": FACE} | ground, {"result": poor} | late, {"was_cancelled": True, "result": []})
    check_pair(converted("labelstudio", source))
    said = capsys.readouterr().out
    assert "tasks of several annotations of which one counts: 2" in said and "cancelled annotations left out: 2" in said
    theirs = converted("labelstudio", source, "--annotator", "b@c", out=source.parent / "theirs")["val"][0]
    np.testing.assert_allclose(theirs["points"], [[1, 1, 2], [2, 2, 2]])
    tasks(source, {"result": poor, "updated_at": "2025-12-31"}, {"result": FACE, "updated_at": "2026-01-01"})
    check_pair(converted("labelstudio", source, out=source.parent / "latest"))


def test_label_studio_rotated_tasks(source, capsys):
    """Saved in the frame of the picture as it is; in that of the screen only by those who say so."""
    tasks(source, {"result": [p | {"image_rotation": 90} for p in FACE]})
    check_pair(converted("labelstudio", source))
    assert "rotated tasks: 2" in capsys.readouterr().out
    # Turned to the right, (x, y) of 40 x 30 is shown at (30 - y, x) of 30 x 40: (10, 12) at (18, 10).
    shown = [key_point("0", 0, 0), key_point("1", 0, 0)]
    shown[0]["value"] |= {"x": 100 * 18 / 30, "y": 100 * 10 / 40}
    shown[1]["value"] |= {"x": 100 * 24 / 30, "y": 100 * 20.5 / 40}
    tasks(source, {"result": [p | {"image_rotation": 90} for p in shown]})
    check_pair(converted("labelstudio", source, "--as-shown", out=source.parent / "shown"))
    # Whoever says that the picture is 30 wide and 40 high means the turned one.
    turned = {"image_rotation": 90, "original_width": 30, "original_height": 40}
    tasks(source, {"result": [p | turned for p in shown]})
    check_pair(converted("labelstudio", source, out=source.parent / "sized"))


def test_label_studio_rotated_rectangle(source):
    # A quarter turn about its corner (20, 4) lays a rectangle of 11 x 12 down to x 8 to 20 and y 4 to 15.
    box = rectangle(20, 4, 11, 12)
    box["value"]["rotation"] = 90
    tasks(source, {"result": [*FACE, box]})
    np.testing.assert_allclose(converted("labelstudio", source)["train"][0]["box"], [8, 4, 12, 11])


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([key_point("0", float("inf"), 2)], r"task 7 \(1a2b3c4d-a.png\): x of point '0' is inf, which is not a number"),
        ([key_point("0", float("nan"), 2)], r"x of point '0' is nan, which is not a number"),
        ([key_point("0", 3e6 * 0.4, 2)], r"x of point '0' is 3000000.0"),
        ([{"type": "keypointlabels"}], r"a result without its value"),
        ([FACE[0], key_point("0", 1, 2, original_width=50)], r"pictures of several sizes"),
        ([key_point("0", 1, 2, original_width=50)], r"is 40 x 30 pixels but the annotation says 50 x 30"),
        ([key_point("0", 1, 2, image_rotation=45)], r"image_rotation \[45\]; one of 0, 90, 180, 270 is right"),
        ([*FACE, *FACE, rectangle(0, 0, 1, 1)], r"lies in 0 rectangles"),
    ],
)
def test_label_studio_that_is_refused(source, capsys, results, said):
    tasks(source, {"result": results})
    (source / "val.json").unlink()
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(refused(capsys, "labelstudio", source))


def test_label_studio_in_its_small_form_is_told(source, capsys):
    (source / "a.json").write_text(json.dumps([{"image": "a.png", "kp": [{"keypointlabels": ["0"]}]}]))
    assert "'JSON-MIN'" in refused(capsys, "labelstudio", source)
