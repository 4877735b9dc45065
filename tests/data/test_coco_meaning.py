# SPDX-License-Identifier: Apache-2.0
"""Statements of own faces beside their numbers: names of points, categories, placeholders, boxes that are not there."""

import numpy as np
import pytest

from data.coco.source import read_source
from tests.kit.own_faces import NAMES, each_face, write_faces
from tests.kit.shared import SHARED, needs_shared

pytestmark = pytest.mark.quick
ORDER = [3, 0, 4, 2, 1]


def same_faces(source, truth):
    for face, other in zip(source.faces(), truth.faces(), strict=True):
        np.testing.assert_array_equal(face.points, other.points)


def test_points_in_another_order_are_put_into_the_first_one_by_their_names(tmp_path):
    def edit(documents):
        document = documents["val"]
        document["categories"][0]["keypoints"] = [NAMES[place].replace("_", " ").title() for place in ORDER]
        for face in document["annotations"]:
            face["keypoints"] = np.array(face["keypoints"]).reshape(-1, 3)[ORDER].ravel().tolist()

    source = read_source(write_faces(tmp_path / "source", edit))
    same_faces(source, read_source(write_faces(tmp_path / "sound")))
    (note,) = source.findings.notes
    assert "val.json: category 'face' names the points in another order than category 'face' of train.json" in note
    assert source.findings.counts["faces_reordered_by_point_names"] == 4
    assert not source.findings.faults + source.findings.doubts


def test_other_names_are_refused(tmp_path):
    def edit(documents):
        documents["train"]["categories"].append({"id": 2, "name": "dog", "keypoints": ["left_ear", *NAMES[1:]]})
        for face in documents["train"]["annotations"][:3]:
            face["category_id"] = 2

    (fault,) = read_source(write_faces(tmp_path / "source", edit)).findings.faults
    assert "category 'dog' has other points than category 'face' of train.json: point 0 is 'left_ear' here" in fault
    assert "'left_eye' there (3 faces); give both the same names, or keep one category" in fault


def test_names_that_are_not_as_many_as_the_points_are_a_doubt(tmp_path):
    def edit(documents):
        documents["val"]["categories"][0]["keypoints"].pop()

    (doubt,) = read_source(write_faces(tmp_path / "source", edit)).findings.doubts
    assert "val.json: category 'face' names 4 points, and its 4 annotations have 5" in doubt


@pytest.mark.parametrize("keypoints", [None, [], "absent"])
def test_what_has_no_keypoints_is_left_out_and_counted(tmp_path, keypoints):
    def edit(documents):
        person = {"id": 77, "image_id": 0, "category_id": 2, "bbox": [0, 0, 90, 90]}
        documents["train"]["annotations"].append(person | ({} if keypoints == "absent" else {"keypoints": keypoints}))
        documents["train"]["categories"].append({"id": 2, "name": "person"})

    source = read_source(write_faces(tmp_path / "source", edit))
    assert source.findings.counts["annotations_without_keypoints"] == 1 and len(source.splits["train"]) == 8
    assert source.findings.notes == [f"{tmp_path}/source/train.json: 1 annotations have no keypoints and were left out"]


def placeholders(documents, *values):
    """Writes the values in the place of points 2, 3, ... of every second training face."""
    for face in documents["train"]["annotations"][::2]:
        for point, value in enumerate(values, 2):
            face["keypoints"][3 * point : 3 * point + 3] = [*value, 1]


@pytest.mark.parametrize("value", [(0, 0), (-1, -1)])
def test_placeholders_far_from_their_face_are_not_labelled(tmp_path, value):
    def edit(documents):
        for face in documents["train"]["annotations"]:
            points = np.array(face["keypoints"]).reshape(-1, 3)
            points[:, :2] += (30, 20)
            face.update(keypoints=points.ravel().tolist(), bbox=[face["bbox"][0] + 30, face["bbox"][1] + 20, 40, 40])
        placeholders(documents, value)

    folder = write_faces(tmp_path / "source", edit)
    source = read_source(folder)
    assert [face.visible.tolist() for face in source.splits["train"][:2]] == [[2, 2, 0, 2, 2], [2] * 5]
    assert source.findings.counts["placeholder_points"] == 4
    (note,) = source.findings.notes
    assert (
        f"4 points of 4 faces lie at ({value[0]}, {value[1]}) with v = 1 or 2, such as annotation 0 (train_0.png)"
        in note
    )
    kept = read_source(folder, {"placeholders": "keep"})
    assert kept.splits["train"][0].visible.tolist() == [2, 2, 1, 2, 2]
    assert any("they were taken as true" in doubt for doubt in kept.findings.doubts)


def test_a_point_at_zero_near_its_face_is_kept_and_doubted(tmp_path):
    def edit(documents):
        for face in documents["train"]["annotations"][:1]:
            points = np.array(face["keypoints"]).reshape(-1, 3)
            points[:, :2] -= points[0, :2]  # the face lies in the corner: its left eye is at (0, 0)
            face.update(keypoints=points.ravel().tolist(), bbox=[0, 0, 40, 40])

    folder = write_faces(tmp_path / "source", edit)
    source = read_source(folder)
    assert source.splits["train"][0].labelled.all()
    assert "1 points of 1 faces lie at (0, 0)" in source.findings.doubts[0]
    dropped = read_source(folder, {"placeholders": "drop"})
    assert not dropped.splits["train"][0].labelled[0] and dropped.splits["train"][1].labelled.all()


def test_several_points_of_a_face_in_one_place_are_placeholders_and_the_box_around_them_is_none(tmp_path):
    def edit(documents):
        placeholders(documents, (0, 0), (0, 0))
        for face in documents["train"]["annotations"][::2]:
            face["bbox"] = [0, 0, 60, 60]

    source = read_source(write_faces(tmp_path / "source", edit))
    first = source.splits["train"][0]
    assert first.visible.tolist() == [2, 2, 0, 0, 2]
    np.testing.assert_allclose(first.box[:2], first.points[[0, 1, 4]].min(axis=0) + 0.5)
    assert source.findings.counts["boxes_around_placeholders"] == 4


@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0], [3, 4, 0, 9], "absent"])
def test_faces_without_boxes_get_the_tight_box_of_their_points(tmp_path, box):
    change = (lambda face: face.pop("bbox")) if box == "absent" else (lambda face: face.update(bbox=box))
    source = read_source(write_faces(tmp_path / "source", each_face(change)))
    face = source.splits["train"][0]
    np.testing.assert_allclose(face.box[:2], face.points.min(axis=0) + 0.5, atol=1e-4)
    np.testing.assert_allclose(face.box[2:], np.ptp(face.points, axis=0), atol=1e-4)
    assert [note.partition("; ")[0] for note in source.findings.notes] == [
        f"{tmp_path}/source/{split}.json: {n} of {n} faces have no box, or one of zero width or height"
        for split, n in (("train", 8), ("val", 4))
    ]
    assert not source.findings.faults + source.findings.doubts


@needs_shared
@pytest.mark.parametrize(
    ("case", "count", "number"),
    [
        ("02_kp_order", "faces_reordered_by_point_names", 6),
        ("04_zero_points", "placeholder_points", 264),
        ("11_other_category", "annotations_without_keypoints", 2),
        ("14_no_bbox", "faces_without_box", 22),
        ("36_empty_keypoints", "annotations_without_keypoints", 1),
    ],
)
def test_cases_of_real_faces(case, count, number):
    source = read_source(SHARED / "cases" / case)
    assert source.findings.counts[count] == number and source.scheme.name == "300w-68"
    assert not source.findings.faults + source.findings.doubts
    assert len(source.faces()) == 22


@needs_shared
def test_two_faces_of_a_picture_keep_their_ids_in_the_order_of_the_annotations():
    source = read_source(SHARED / "cases" / "30_two_faces_order")
    assert [face.face for face in source.splits["val"]] == [1, 0] and not source.findings.doubts


def test_the_keypoints_of_a_body_of_which_none_is_labelled_are_none(tmp_path):
    def edit(documents):
        person = {"id": 77, "image_id": 0, "category_id": 2, "bbox": [0, 0, 90, 90], "keypoints": [0] * 51}
        documents["train"]["annotations"].append(person)

    findings = read_source(write_faces(tmp_path / "source", edit)).findings
    assert findings.counts["annotations_without_keypoints"] == 1 and not findings.faults


@pytest.mark.parametrize("value", [(1, 1), (0.5, 0.5), (99999, 99999), (0, 3)])
def test_far_points_in_one_place_of_several_pictures_are_a_doubt(tmp_path, value):
    folder = write_faces(tmp_path / "source", lambda documents: placeholders(documents, value, value))
    findings = read_source(folder).findings
    doubt = findings.doubts[0]
    count = f"8 points of 4 faces lie at ({value[0]:g}, {value[1]:g}), far from their faces, such as annotation"
    assert count in doubt and "--placeholders drop" in doubt
    kept = read_source(folder, {"placeholders": "keep"}).findings.doubts
    assert not any("far from their faces" in doubt for doubt in kept)
    dropped = read_source(folder, {"placeholders": "drop"})
    assert dropped.findings.counts["placeholder_points"] == 8 and not dropped.findings.doubts
    assert [int(face.labelled.sum()) for face in dropped.splits["train"]] == [3, 5] * 4


def test_names_in_an_order_that_is_not_that_of_the_points_are_a_doubt(tmp_path):
    def edit(documents):
        documents["val"]["categories"][0]["keypoints"] = [NAMES[place] for place in (0, 1, 3, 2, 4)]

    findings = read_source(write_faces(tmp_path / "source", edit)).findings
    (doubt,) = findings.doubts
    assert "val.json: the mean face is unlike that of train.json: the points are in another order there" in doubt
    assert findings.doubted == {"val"}
