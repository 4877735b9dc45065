# SPDX-License-Identifier: Apache-2.0
"""Predictions find their faces, and whatever a file holds, it is read rightly or refused by name."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barrel_jax.landmarks import W300_68, WFLW_98
from barrel_jax.predictions import read_predictions
from tests.toy import make_crops, make_truth, shifted, written


def records(crops, points_px):
    return [
        {"file": file, "face": int(face), "points": points.tolist()}
        for file, face, points in zip(crops.files, crops.faces, points_px, strict=True)
    ]


def test_predictions_are_matched_by_file_and_face_else_by_order(tmp_path):
    crops = make_crops(4)
    points_px = shifted(crops, [1, 2, 3, 4])
    back = [3, 1, 0, 2]
    np.savez(
        tmp_path / "columns.npz", points=points_px[back], files=np.array(crops.files)[back], faces=crops.faces[back]
    )
    np.savez(tmp_path / "faces.npz", points=points_px[back], faces=crops.faces[back])
    np.savez(tmp_path / "order.npz", points=points_px)
    written(tmp_path / "records.json", [records(crops, points_px)[row] for row in back])
    written(tmp_path / "order.json", {"points": points_px.tolist()})
    for name in ("columns.npz", "faces.npz", "order.npz", "records.json", "order.json"):
        got = read_predictions(tmp_path / name, crops)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, points_px, atol=1e-4, err_msg=name)


def test_predictions_that_do_not_fit_are_refused(tmp_path):
    crops = make_crops(3)
    good = records(crops, crops.points_px)
    file = tmp_path / "p.json"

    def refused(content, match):
        with pytest.raises(ValueError, match=match) as caught:
            read_predictions(written(file, content), crops)
        assert str(file) in str(caught.value)

    refused({"points": crops.points_px[:2].tolist()}, "2 faces, but toy test has 3")
    refused({"points": crops.points_px[:, :2].tolist()}, r"2 points a face, but toy test has 3 \(custom-3\)")
    refused({"points": crops.points_px[0].tolist()}, r"points must be \[n, K, 2\], got \[3, 2\]")
    refused({"points": [[[1, 2], [3, "x"]]]}, "must make one array of numbers")
    refused({"points": crops.points_px.tolist(), "faces": [100, 101]}, "2 faces for 3 faces with points")
    refused({"points": crops.points_px.tolist(), "faces": ["a", "b", "c"]}, "faces must be whole numbers")
    refused({"keypoints": []}, "no 'points'")
    refused(3, "no 'points'")
    refused(good[:2], r"1 faces of toy test are missing, first: 1.png face 102")
    refused([*good[:2], good[2] | {"face": 999}], r"1 faces that toy test does not have, first: 1.png face 999")
    refused([*good, good[0]], r"0.png face 100 is more than once in .*p.json")
    refused(
        [{"file": r["file"], "points": r["points"]} for r in good], r"0.png is more than once in toy test; give both"
    )
    refused([*good[:2], {"file": "1.png", "points": good[2]["points"]}], "record 2 .* the same of 'file' and 'face'")
    refused([good[0], {"face": 101}], "record 1 .* has no 'points'")
    refused([good[0], good[1] | {"points": [[0, 0]]}], "record 1 .* has 1 points, record 0 has 3")
    refused(
        [*good[:2], good[2] | {"points": [[0, 0], [0, float("nan")], [0, 0]]}], "not finite for 1 faces, first: 1.png"
    )


def test_files_that_are_no_predictions_are_refused(tmp_path):
    crops = make_crops(2)
    array = io.BytesIO()
    np.save(array, crops.points_px)
    with pytest.raises(FileNotFoundError, match="no such predictions file"):
        read_predictions(tmp_path / "none.npz", crops)
    for name, content, match in (
        ("text.npz", b"not a zip", "not a readable"),
        ("array.npz", array.getvalue(), "one array without a name"),
        ("cut.npz", b"PK\x03\x04", "not a readable"),
        ("broken.json", b"[{", "not JSON"),
        ("latin.json", b'["\xe9"]', "not JSON"),
        ("points.txt", b"1 2", r"read from \.npz or \.json, not \.txt"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            read_predictions(tmp_path / name, crops)
    np.savez(tmp_path / "objects.npz", points=np.array([[1], [1, 2]], object))
    with pytest.raises(ValueError, match=r"not a readable \.npz of plain arrays"):
        read_predictions(tmp_path / "objects.npz", crops)
