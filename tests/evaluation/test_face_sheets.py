# SPDX-License-Identifier: Apache-2.0
"""Sheets of faces: points where they are, in their colours, and nothing else in those colours."""

import inspect

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from barrel_jax import plotting
from barrel_jax.evaluation import error_curves, face_sheets
from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser
from barrel_jax.input.crops import FaceCrops
from tests.kit.toy import make_crops

SCHEME = LandmarkScheme("custom-3", 3, (1, 0, 2), Normaliser(points=(0, 1)), ())
EYES = LandmarkScheme("custom-3", 3, (1, 0, 2), Normaliser("outer_eye_corners", (0, 1)), ((0, 2, 1),))
TRUTH = np.array([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.75]]], np.float32)


def grey_faces(count):
    return np.full((count, 32, 32, 3), 128, np.uint8)


def tile(sheet, index=0, columns=3):
    """The drawn crop of one face, cut out of the sheet."""
    top = face_sheets.HEADER + index // columns * (face_sheets.TILE + face_sheets.CAPTION)
    left = face_sheets.GAP + index % columns * (face_sheets.TILE + face_sheets.GAP)
    return sheet[top : top + face_sheets.TILE, left : left + face_sheets.TILE]


@pytest.fixture
def figures(monkeypatch):
    """The figures that become pictures in a test, for what is written in them."""
    drawn = []

    def noted(figure):
        drawn.append(figure)
        return plotting.pixels(figure)

    monkeypatch.setattr(error_curves, "pixels", noted)
    return drawn


@pytest.fixture
def words(monkeypatch):
    """What is written on the sheets of a test: the places by the words."""
    said = {}

    def noted(picture, words):
        said.update((word.text, word.at) for word in words)
        return plotting.written(picture, words)

    monkeypatch.setattr(face_sheets, "written", noted)
    return said


def is_color(picture, color, tolerance=12):
    return (np.abs(picture.astype(int) - np.rint(255 * np.array(to_rgb(color)))) <= tolerance).all(-1)


def draw(predicted, truth=TRUTH, labelled=None, scheme=SCHEME, nmes=(0.05,), **options):
    labelled = np.ones(truth.shape[:2], bool) if labelled is None else labelled
    return face_sheets.draw_predictions(
        grey_faces(len(truth)), predicted, truth, labelled, scheme, np.array(nmes), **options
    )


def test_points_are_drawn_where_they_are_and_nowhere_else():
    predicted = TRUTH + np.array([0.125, 0.0], np.float32)
    picture = tile(draw(predicted))
    for points, color in ((predicted, plotting.PREDICTED), (TRUTH, plotting.TRUE)):
        found = is_color(picture, color)
        for x, y in points[0]:
            column, row = int(x * face_sheets.TILE), int(y * face_sheets.TILE)
            assert found[row - 1 : row + 2, column - 1 : column + 2].any()
            found[row - 8 : row + 9, column - 8 : column + 9] = False
        assert not found.any()


def test_true_points_of_a_split_lie_in_the_windows_of_their_crops():
    """Eyes at 10 and 30 px, mouth at (20, 30), of a window of 100 x 80 px; the set's box lies elsewhere."""
    crops = make_crops(1)
    picture = tile(face_sheets.draw_sample(crops, crops.points_px + np.float32(40), np.array([0.5]), "a face"))
    found = is_color(picture, plotting.TRUE)
    for x, y in ((10.5 / 100, 10.5 / 80), (30.5 / 100, 10.5 / 80), (20.5 / 100, 30.5 / 80)):
        column, row = int(x * face_sheets.TILE), int(y * face_sheets.TILE)
        assert found[row - 1 : row + 2, column - 1 : column + 2].any()


def test_dots_are_centred_on_their_point_to_half_a_pixel():
    picture = tile(draw(np.full((1, 3, 2), [0.31, 0.62], np.float32), labelled=np.zeros((1, 3), bool)))
    rows, columns = np.nonzero(is_color(picture, plotting.PREDICTED, tolerance=40))
    assert columns.mean() + 0.5 == pytest.approx(0.31 * face_sheets.TILE, abs=0.5)
    assert rows.mean() + 0.5 == pytest.approx(0.62 * face_sheets.TILE, abs=0.5)


def test_true_points_without_label_are_not_drawn_their_predictions_are():
    predicted = TRUTH + np.array([0.125, 0.0], np.float32)
    picture = tile(draw(predicted, labelled=np.array([[True, True, False]])))
    column, row = (TRUTH[0, 2] * face_sheets.TILE).astype(int)
    assert not is_color(picture, plotting.TRUE)[row - 8 : row + 9, column - 8 : column + 9].any()
    assert is_color(picture, plotting.TRUE).any()
    picture = tile(draw(predicted, np.full_like(TRUTH, np.nan), labelled=np.zeros((1, 3), bool), nmes=(np.nan,)))
    assert not is_color(picture, plotting.TRUE).any()
    assert is_color(picture, plotting.PREDICTED).any()


def test_contours_join_the_points_of_the_scheme():
    middle = (
        int(0.5 * face_sheets.TILE),
        int(0.375 * face_sheets.TILE),
    )  # row, column: halfway from point 0 to point 2
    around = np.s_[middle[0] - 3 : middle[0] + 4, middle[1] - 3 : middle[1] + 4]
    assert (tile(draw(TRUTH))[around] == 128).all()
    assert (tile(draw(TRUTH, scheme=EYES))[around] != 128).any()


def test_points_outside_a_crop_do_not_reach_the_neighbour():
    images = np.repeat(TRUTH, 2, 0)
    predicted = images.copy()
    predicted[0] = [1.5, 0.9]  # would lie in the second tile
    labelled = np.zeros((2, 3), bool)
    second = tile(draw(predicted, images, labelled, nmes=(0.1, 0.2)), 1)
    assert is_color(second, plotting.PREDICTED)[: int(0.85 * face_sheets.TILE)].any()
    assert not is_color(second, plotting.PREDICTED)[int(0.85 * face_sheets.TILE) :].any()


def test_the_error_is_written_under_each_face():
    first, second, third = draw(TRUTH, nmes=(0.05,)), draw(TRUTH, nmes=(0.25,)), draw(TRUTH, nmes=(np.nan,))
    below = np.s_[face_sheets.HEADER + face_sheets.TILE :]
    assert (first[: below.start] == second[: below.start]).all()
    assert (first[below] != second[below]).any() and (third[below] != first[below]).any()
    assert (first[below] < 128).any()


def test_a_sheet_says_what_its_colours_and_numbers_are(words):
    name = "folder/" * 6 + "1.png · face 7"
    sheet = draw(TRUTH, nmes=(0.0525,), names=(name,), scheme=EYES)
    (cut,) = (word for word in words if word.startswith("…"))
    assert "NME 5.25 %" in words and name.endswith(cut[1:]) and len(cut) >= 42
    assert any("as a share of the distance of the outer eye corners (points 0 and 1)" in text for text in words)
    for label, color in (("predicted", plotting.PREDICTED), ("true (annotated)", plotting.TRUE)):
        left, middle = words[label]
        assert is_color(sheet[middle, left - 12], color)
    left, middle = words["error: from true to predicted"]
    assert (sheet[middle, left - 16 : left - 8] > 250).all() and (sheet[middle - 2, left - 16 : left - 8] < 200).all()


def test_words_stand_where_they_are_said_to():
    """Left end and middle, a number of pixels high, in their colour; the picture itself stays what it was."""
    blank = np.full((60, 200, 3), 255, np.uint8)
    picture = plotting.written(blank, [plotting.Words("HHH", (20, 30), 20, "#E69F00", bold=True)])
    rows, columns = np.nonzero(is_color(picture, plotting.PREDICTED))
    assert 20 <= columns.min() <= 23 and columns.max() < 80
    assert (rows.min() + rows.max()) / 2 == pytest.approx(30, abs=2) and 13 <= np.ptp(rows) <= 16  # DejaVu's H: 0.73
    assert (blank == 255).all()
    thin = plotting.written(blank, [plotting.Words("HHH", (20, 30), 20)])
    assert (thin < 100).sum() < 0.8 * (picture[..., 2] < 100).sum() * 3


def test_crops_are_upright_and_errors_are_lines_to_the_prediction():
    images = grey_faces(1)
    images[:, :16, :16] = 0  # the upper left quarter
    picture = tile(
        face_sheets.draw_predictions(
            images, TRUTH + np.float32([0.0, 0.15]), TRUTH, np.ones((1, 3), bool), SCHEME, np.array([0.1])
        )
    )
    fifth = face_sheets.TILE // 5
    assert (picture[:fifth, :fifth] < 20).all() and (picture[-fifth:, :fifth] > 100).all()
    assert (picture[:fifth, -fifth:] > 100).all()
    column, row = int(0.75 * face_sheets.TILE), int(0.325 * face_sheets.TILE)  # halfway
    assert (picture[row, column - 2 : column + 3] > 160).all(axis=-1).any()


def test_arrays_of_different_lengths_are_refused(monkeypatch):
    # Without its signature, which only tests check and which would refuse them first.
    monkeypatch.setattr(face_sheets, "draw_predictions", inspect.unwrap(face_sheets.draw_predictions))
    with pytest.raises(ValueError, match=r"equally many and at least one, got \[1, 2\]"):
        draw(TRUTH, nmes=(0.1, 0.2))
    with pytest.raises(ValueError, match=r"at least one, got \[0\]"):
        draw(TRUTH[:0], TRUTH[:0], nmes=())


def test_the_worst_faces_come_first_and_faces_without_score_last(words):
    count = 5
    images = grey_faces(count)
    images[:, ..., 0] = np.arange(count)[:, None, None] * 20  # the red channel tells which face is drawn
    windows = np.tile(np.array([[0, 0, 32, 32]], np.float32), (count, 1))
    points_px = np.repeat(TRUTH * 32 - 0.5, count, 0)
    crops = FaceCrops(
        dataset="toy", split="test", fingerprint="", scheme=SCHEME, flag_names=(), images=images, points_px=points_px,
        visible=np.full((count, 3), 2, np.uint8), windows=windows, boxes=windows + np.float32(9),
        flags=np.zeros((count, 0), bool),
        files=tuple(f"{face}.png" for face in range(count)), faces=np.arange(count) + 7,
    )  # fmt: skip
    sheet = face_sheets.draw_worst(crops, points_px, np.array([0.1, np.nan, 0.3, 0.0, 0.2]), count=5)
    order = [int(tile(sheet, place, columns=5)[-2, 2, 0]) // 20 for place in range(5)]
    assert order == [2, 4, 0, 3, 1]
    assert "2.png · face 9" in words
    spread = face_sheets.draw_sample(crops, points_px, np.arange(5) / 10, "some", count=3)
    assert [int(tile(spread, place)[-2, 2, 0]) // 20 for place in range(3)] == [0, 2, 4]
    assert (
        face_sheets.draw_worst(crops, points_px, np.array([0.1, np.nan, 0.3, 0.0, 0.2]), count=2).shape[1]
        < sheet.shape[1]
    )


def test_error_curve_rises_where_the_errors_are():
    def heights(errors):
        picture = error_curves.draw_error_curve({"all faces": np.array(errors)}, "the box", "toy")
        return is_color(picture, plotting.PREDICTED), picture

    low, picture = heights([0.01] * 50)
    high, _ = heights([0.11] * 50)
    left, bottom, width, height = 0.085, 0.12, 0.885, 0.745  # the axes, as fractions of the figure

    def curve_at(found, error, level):
        column = int((left + error / 0.125 * width) * picture.shape[1])
        row = int((1 - bottom - level * height) * picture.shape[0])
        return found[max(row - 3, 0) : row + 4, column - 1 : column + 2].any()

    assert curve_at(low, 0.05, 1.0) and not curve_at(low, 0.05, 0.0)
    assert curve_at(high, 0.05, 0.0) and not curve_at(high, 0.05, 1.0)


def test_a_curves_lines_and_words_by_hand(figures):
    errors = {"all faces": np.array([0.02, 0.04, 0.09, 0.25, np.nan]), "pose": np.array([0.02, np.nan, 0.04])}
    error_curves.draw_error_curve(errors, "the box", "toy")
    (axes,) = figures[0].axes
    whole, pose = "all faces: NME 10.00 %, 4 faces", "pose: NME 3.00 %, 2 faces"
    lines = {line.get_label(): line for line in axes.get_lines()}
    for label, color, at_five in ((whole, plotting.PREDICTED, 50), (pose, plotting.SUBSETS[0], 100)):
        errors_drawn, shares = lines[label].get_data()
        assert lines[label].get_color() == color and errors_drawn[-1] == pytest.approx(12.5)
        assert np.interp(5, errors_drawn, shares) == at_five
    legend = axes.get_legend()
    named = {text.get_text(): line.get_color() for text, line in zip(legend.texts, legend.get_lines(), strict=True)}
    assert named == {whole: plotting.PREDICTED, pose: plotting.SUBSETS[0]}
    # A quarter fails at 10 % and a half at 8 %; the areas are those of the step function.
    assert [note.get_text() for note in axes.texts] == [
        "threshold 8 %\nAUC 0.3125\nFR 50.00 %", "threshold 10 %\nAUC 0.3750\nFR 25.00 %",
    ]  # fmt: skip
    shaded = [area.get_paths()[0].get_extents().get_points()[:, 0] for area in axes.collections]
    np.testing.assert_allclose(shaded, [[0, 8], [0, 10]], atol=0.02)


def test_no_curve_without_a_score():
    with pytest.raises(ValueError, match=r"no face of all faces has a score.*is the box known"):
        error_curves.draw_error_curve({"all faces": np.array([np.nan])}, "the box", "toy")
    with pytest.raises(ValueError, match="no face of mine has a score"):
        error_curves.draw_error_curves({"yours": np.array([0.1]), "mine": np.array([np.nan])}, "the box", "toy")


def test_the_curves_of_many_predictors_can_be_told_apart(figures):
    error_curves.draw_error_curves({str(place): np.array([0.02, 0.09]) for place in range(15)}, "the box", "toy")
    lines = [line for line in figures[0].axes[0].get_lines() if "AUC" in line.get_label()]
    assert [line.get_linestyle() for line in lines] == ["-"] * 7 + ["--"] * 7 + [":"]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 15
    assert lines[0].get_label() == "0: NME 5.50 %, 2 faces, AUC@8% 0.3750, AUC@10% 0.4500"


def test_the_curves_of_several_predictors_have_colours_of_their_own():
    picture = error_curves.draw_error_curves(
        {"a": np.array([0.01, 0.2]), "b": np.array([0.01] + [0.2] * 3)}, "the box", "toy"
    )
    columns = slice(int(0.3 * picture.shape[1]), int(0.6 * picture.shape[1]))
    for color, level in ((plotting.PREDICTED, 0.5), (plotting.SUBSETS[0], 0.25)):
        row = int((1 - 0.12 - level * 0.745) * picture.shape[0])
        assert is_color(picture, color)[row - 3 : row + 4, columns].any(axis=0).all()
        assert not is_color(picture, color)[row + 20 :, columns].any()


def test_names_of_predictors_are_written_as_they_are(figures):
    """A $ begins no formula, and a name that begins with _ is in the legend too."""
    names = ["a$_$b", r"$\frac$", "_base"]
    error_curves.draw_error_curves({name: np.array([0.02]) for name in names}, "the box", "$toy$ $set")
    legend = figures[0].axes[0].get_legend()
    assert [text.get_text().split(":")[0] for text in legend.texts] == names
    assert not any(text.get_parse_math() for text in (*legend.texts, figures[0].texts[0]))


def test_a_long_name_stays_within_its_tile():
    """It is the end that tells files apart, and W is five times as wide as i."""
    for letter in "Wi":
        name = letter * 300 + "7.jpg · face 12"
        sheet = draw(TRUTH, nmes=(0.0525,), names=(name,), scheme=EYES)
        at = plotting.Words(name, (0, 0), 10.5)
        kept = plotting.shortened(at, face_sheets.TILE).text
        assert kept.startswith("…" + letter) and kept.endswith("7.jpg · face 12")
        beside = sheet[face_sheets.HEADER + face_sheets.TILE :, face_sheets.GAP + face_sheets.TILE + 2 :]
        assert (beside > 240).all()
    assert plotting.shortened(plotting.Words("a.jpg", (0, 0), 10.5), face_sheets.TILE).text == "a.jpg"
