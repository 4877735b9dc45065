# SPDX-License-Identifier: Apache-2.0
"""Pages of reports: HTML in which no name of a file becomes an element, with the numbers of the scores."""

import json
import math
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from barrel_jax.evaluation.comparison import Evaluation, compare
from barrel_jax.evaluation.score import crop_errors, face_errors, score
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.report.attention import chosen_faces, pooled
from barrel_jax.report.markup import Markup, data, element
from barrel_jax.report.mean_shape import mean_shape
from barrel_jax.report.page import Section, page
from barrel_jax.report.plots import Axis, Line, fitting, plot, thinned
from barrel_jax.report.run import run_report
from barrel_jax.report.scores import explained
from barrel_jax.report.several import comparison_report
from barrel_jax.report.stress import under_stress
from barrel_jax.report.training import read_log, training_curves
from tests.kit.pages import EVIL, noise_page
from tests.kit.scores import make_stress
from tests.kit.toy import SHAPE, make_crops, make_truth, shifted

ROOT = Path(__file__).resolve().parents[2]
VOID = {"img", "input", "meta"}


class Reader(HTMLParser):
    """Elements must be closed in order, ids be told apart, and what is labelled or linked to be there."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.elements, self.shown, self.data = [], [], [], []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, text):
        if self.stack[-1:] == ["script"]:
            self.data.append(text)
        elif self.stack[-1:] != ["style"]:
            self.shown.append(text)

    def having(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def noise():
    return noise_page(40)


def test_texts_are_escaped_and_elements_are_not():
    built = element("p", "a < b & c", element("b", '"quoted"'), None, ["x", Markup("<i></i>")], class_='"><script>')
    assert built == (
        '<p class="&quot;&gt;&lt;script&gt;">a &lt; b &amp; c<b>&quot;quoted&quot;</b>x<i></i></p>'
    )  # fmt: skip
    assert element("input", disabled=True, hidden=False, aria_label=0) == '<input disabled aria-label="0">'


def test_equal_headings_have_anchors_of_their_own():
    sections = [Section(title, element("p", title)) for title in ("A b", "a-b", "A b 2", "A b")]
    text = page("Page", None, sections)
    ids = re.findall('<section id="([^"]+)" aria-labelledby="([^"]+)"', text)
    assert ids == [(one, f"{one}-heading") for one in ("a-b", "a-b-2", "a-b-2-2", "a-b-3")]
    assert re.findall('href="#(a[^"]*)"', text) == [one for one, _ in ids]


def test_data_cannot_end_its_element_and_is_read_back():
    block = data({"name": "</script><!--", "missing": float("nan")})
    assert "</script>" not in block.removesuffix("</script>")
    content = json.loads(re.fullmatch("<script [^>]*>(.*)</script>", block)[1])
    assert content == {"name": "</script><!--", "missing": None}


def test_a_report_is_whole_and_names_of_files_stay_texts(noise):
    page = Reader(noise)
    assert {tag for tag, attributes in page.elements if any(name.startswith("on") for name in attributes)} == set()
    assert {a.get("src", "")[:22] for tag, a in page.elements if tag == "img"} == {"data:image/jpeg;base64"}
    assert not [a for tag, a in page.elements if tag in ("link", "iframe") or "http" in str(a.get("href", ""))]
    for name in EVIL:
        assert any(name in text for text in page.shown) and any(name in label for label in page.having("aria-label"))
        assert any(row[0] == name for row in json.loads(page.data[1])["rows"])
    ids = page.having("id")
    assert len(set(ids)) == len(ids) and {link[1:] for link in page.having("href")} <= set(ids)
    assert set(page.having("aria-labelledby")) <= set(ids)


def test_what_a_report_shows_of_predictions_from_elsewhere(noise):
    text = " ".join(Reader(noise).shown)
    assert "These predictions come from elsewhere" in text and "Worst faces" in text and "AUC@8%" in text
    assert "NME 7.50 %" in text  # 3 of 40 px


def test_a_report_of_faces_without_pixels_or_scores_says_so():
    faces = make_truth(COFW_29, np.zeros((2, 29, 2)))
    text = run_report(score(faces.points_px, faces), faces.points_px, faces, "zeros")
    assert "The images of the set are not here" in text and "No landmark has a score" in text
    assert "No face has a score" in text and "2 of 2 faces have no score" in text
    assert "nan" not in "".join(Reader(text).shown).lower()


def evaluation(name, faces, pixels):
    points, names = shifted(faces, pixels), list(zip(faces.files, faces.faces.tolist(), strict=True))
    errors = face_errors(points, faces), crop_errors(points, faces)
    return Evaluation(name, Path(name), score(points, faces), names, *errors, faces.flags, faces.flag_names)


def test_a_comparison_has_the_differences_of_compare():
    faces = make_crops(3, [[True], [False], [True]], ["dark"])
    evaluations = [evaluation("a", faces, [1, 2, 3]), evaluation("b", faces, [2, 2, 2])]
    page = Reader(comparison_report(evaluations, compare(evaluations)))
    text = " ".join(page.shown)
    assert "Scores on dark" in text and "the first" in text
    # NMEs 10 and 10 % over all faces; 10 and 10 over the dark ones: means of 5, 15 and 10, 10.
    assert text.count("+0.000") == 2
    rows = json.loads(page.data[1])["rows"]
    assert rows[0] == ["1.png", 102, 15.0, 10.0, "dark"]


def test_the_mean_shape_does_not_depend_on_place_and_size():
    points = np.stack([SHAPE, 3 * SHAPE + 50, SHAPE - 7])
    faces = make_crops(3)
    shape = mean_shape(make_truth(faces.scheme, points))
    np.testing.assert_allclose(shape, (SHAPE - [20, 20]) / 20, atol=1e-6)
    visible = np.full((3, 3), 2, np.uint8)
    visible[:, 1] = 0
    assert np.isnan(mean_shape(make_truth(faces.scheme, points, visible=visible))[1]).all()


def test_axes_have_round_numbers():
    assert Axis("", 0, 12.5).ticks() == pytest.approx([0, 5, 10])
    assert Axis("", 0, 100).ticks() == pytest.approx([0, 20, 40, 60, 80, 100])
    line = Line("loss", np.arange(3.0), np.array([0.01, 0.1, 10.0]))
    axis = fitting("loss", [line])
    assert axis.log and axis.share(np.array([0.01, 10.0])) == pytest.approx([0, 1])
    assert axis.ticks() == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10])
    flat = [fitting("", [line._replace(y=np.full(3, height))]) for height in (0.0, -2.0)]
    assert [(axis.low, axis.high) for axis in flat] == [(0, 1), (-2, pytest.approx(0.1))]


def test_lines_are_drawn_from_the_lower_left():
    line = Line("<b>", np.array([0.0, 5.0, 10.0]), np.array([0.0, 100.0, 50.0]))
    text = plot("Two", [line], Axis("x", 0, 10), Axis("y", 0, 100))
    assert 'd="M0.00 100.00L50.00 0.00L100.00 50.00"' in text and "<b>" not in text
    long = Line("long", np.arange(6000.0), np.tile([0.0, 1.0], 3000))
    assert len(thinned(long).x) == 300 and thinned(long).y == pytest.approx(0.5) and thinned(long).x[-1] == 5999


def test_stress_starts_from_the_unperturbed_faces():
    blurred = ("blur", 0.1, 5.0, 10.0), ("blur", 0.2, 8.0, 16.0), ("blur", 0.3, math.nan, math.nan)
    text = under_stress(make_stress(("none", 0.0, 4.0, 9.0), *blurred))
    assert '"name":"mean error","x":[0.0,0.1,0.2],"y":[4.0,5.0,8.0]' in text and "unperturbed" in text


def test_training_curves_are_those_of_the_log(tmp_path):
    lines = [{"step": 10, "loss": 4.0, "learning_rate": 1e-3}, {"step": 20, "loss": 1.0, "test/nme_points_0_1": 7.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = training_curves(tmp_path)
    assert "Loss" in text and "test/nme points 0 1" in text and '"x":[10.0,20.0],"y":[4.0,1.0]' in text
    assert "no curves" in training_curves(tmp_path / "nowhere")
    (tmp_path / "metrics.jsonl").write_text('{"step": 10}\n{"loss": 1}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: no step in .* delete the line"):
        read_log(tmp_path / "metrics.jsonl")


def test_faces_for_attention_are_the_worst_and_those_in_the_middle():
    nmes = np.array([np.nan, *np.arange(20.0)])
    chosen = chosen_faces(nmes)
    assert [face for face, kind in chosen.items() if kind == "among the worst"] == [20, 19, 18, 17]
    assert sorted(nmes[face] for face, kind in chosen.items() if kind == "typical") == [8, 9, 10, 11]
    assert chosen_faces(np.array([0.1, 0.2])) == {1: "among the worst", 0: "among the worst"}
    maps = np.random.default_rng(0).random((2, 3, 64, 64))
    for side in (64, 37, 29):  # no whole number of cells covers one, and of a prime number none but all
        of_face = pooled(maps[..., :side, :side])
        assert of_face.shape == (2, 3, 24, 24)
        np.testing.assert_allclose(of_face.sum((2, 3)), maps[..., :side, :side].sum((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(pooled(np.eye(48)[None, None])[0, 0], 2 * np.eye(24), atol=1e-6)
    assert pooled(maps[..., :12, :12]) is not None and pooled(maps[..., :12, :12]).shape[-1] == 12


def test_the_wheel_takes_all_that_is_no_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["barrel_jax"]
    package = ROOT / "barrel_jax"
    taken = {path for pattern in patterns for path in package.glob(pattern)}
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == taken and {path.name for path in taken} >= {"report.css", "report.js"}


def test_columns_are_explained_whatever_evaluations_are_called():
    words = "difference: of centercrop to base"
    assert words in explained("the box", "", words) and "NME in the crop" not in explained("the box", "", words)
    assert "NME in the crop (pipnet)" in explained("the box", "pipnet")
