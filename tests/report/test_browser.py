# SPDX-License-Identifier: Apache-2.0
"""The report in Chromium: nothing complains, and what is said to move moves, by mouse and by keyboard."""

import numpy as np
import pytest

from barrel_jax.report.markup import joined
from barrel_jax.report.page import Section, page, write_page
from barrel_jax.report.plots import Axis, Line, plot
from tests.kit.browser import Browser, needs_browser
from tests.kit.pages import EVIL, noise_page, run_page

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    window = Browser()
    yield window
    window.close()


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "noise.html"
    write_page(path, noise_page(2500))
    return path


def test_2500_faces_open_in_under_a_second_and_fit_a_narrow_window(browser, noise):
    for width in (360, 1440):
        browser.open(noise, width)
        assert browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd") < 1000
        assert browser.run("document.documentElement.scrollWidth") == width
        assert browser.run("document.querySelectorAll('.long tbody tr').length") == 50
    assert browser.complaints == []


def test_names_of_files_run_nothing(browser, noise):
    browser.open(noise)
    assert browser.run("document.querySelectorAll('[onerror], script:not([type])').length") == 1  # the page's own
    shown = browser.run("[...document.querySelectorAll('.long tbody th')].map((cell) => cell.textContent)")
    assert set(EVIL) <= set(shown)
    # Were one not escaped, the page's policy would still refuse it: the console says so.
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.evil = 1\">')")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("window.evil") is None and any("script" in text for text in browser.complaints)


def test_tables_are_sorted_found_and_lengthened(browser, noise):
    browser.open(noise)
    column = "[...document.querySelectorAll('.long tbody tr')].map((row) => Number(row.cells[2].textContent))"
    head = "document.querySelectorAll('.long thead th')[2]"
    browser.run(f"{head}.querySelector('button').focus()")
    for direction, order in (("descending", np.negative), ("ascending", np.positive)):
        browser.press("Enter", "\r")
        errors = order(browser.run(column))
        assert browser.run(f"{head}.getAttribute('aria-sort')") == direction
        assert (np.diff(errors) >= 0).all() and errors[0] == order({"descending": 15, "ascending": 0}[direction])
    browser.run("document.querySelector('.long p:last-of-type button').click()")
    assert len(browser.run(column)) == 100
    box = "document.querySelector('.long input')"
    browser.run(f"{box}.value = '0123'; {box}.dispatchEvent(new Event('input'))")
    assert browser.run("document.querySelector('.long output').textContent") == " 11 of 11 rows"
    browser.run(f"{box}.value = '15.00'; {box}.dispatchEvent(new Event('input'))")
    assert 15 in browser.run(column)
    scores = "[...document.querySelectorAll('#scores table')[0].tBodies[0].rows].map((row) => row.cells[0].textContent)"
    browser.run("document.querySelector('#scores thead button').click()")
    assert browser.run(scores) == ["all faces", "dark", "turned"]
    browser.run("document.querySelector('#scores thead button').click()")
    assert browser.run(scores) == ["turned", "dark", "all faces"]
    assert browser.complaints == []


def test_curves_are_read_off_by_mouse_and_by_keyboard(browser, noise):
    browser.open(noise)
    there = "document.querySelector('#error-curves .there').textContent"
    browser.run("window.area = document.querySelector('#error-curves .area')")
    browser.run(
        "area.scrollIntoView({behavior: 'instant', block: 'center'}); window.box = area.getBoundingClientRect()"
    )
    place = browser.run("[box.x + 0.6 * box.width, box.y + 20]")
    browser.move(*place)
    # Errors are spread evenly from 0 to 15 %; the axis ends at 12.5.
    assert float(browser.run(there).removesuffix(" %")) == pytest.approx(100 * 0.6 * 12.5 / 15, abs=0.5)
    browser.run("document.querySelector('#error-curves input[type=range]').focus()")
    browser.press("End")
    browser.send("Input.dispatchKeyEvent", type="rawKeyDown", key="End", code="End", windowsVirtualKeyCode=35)
    assert float(browser.run(there).removesuffix(" %")) == pytest.approx(100 * 12.5 / 15, abs=0.5)
    assert "all faces 83" in browser.run("document.querySelector('#error-curves input[type=range]').ariaValueText")
    browser.run("document.querySelectorAll('#error-curves input[type=checkbox]')[1].click()")
    lines = "[...document.querySelectorAll('#error-curves path[data-line]')].map((p) => getComputedStyle(p).display)"
    assert browser.run(lines) == ["inline", "none", "inline"]


def test_a_line_is_read_off_where_it_is_drawn(browser, tmp_path):
    """Between two of its points on the straight line that is seen, on logarithmic axes too; at its end the last one."""
    steps = np.array([1.0, 100_000.0, 123_456.0])
    plain = plot("plain", [Line("a", steps, np.array([10.0, 30, 1]))], Axis("x", 0.0, 123_456.0), Axis("y", 0.0, 30.0))
    logs = Axis("x", 1.0, 123_456.0, log=True), Axis("y", 1.0, 100.0, log=True)
    rates = plot("logarithmic", [Line("a", np.array([1.0, 123_456.0]), np.array([1.0, 100.0]))], *logs)
    (tmp_path / "page.html").write_text(page("lines", "", [Section("Lines", joined(plain, rates))]))
    browser.open(tmp_path / "page.html")

    def read_off(place, share):
        chosen = f"document.querySelectorAll('.plot')[{place}]"
        browser.run(f"{{const s = {chosen}.querySelector('input[type=range]'); s.value = {share}; "
                    "s.dispatchEvent(new Event('input'))}")  # fmt: skip
        return float(browser.run(f"{chosen}.querySelector('.there').textContent"))

    at = 0.4 * 123_456
    assert read_off(0, 0.4) == pytest.approx(10 + 20 * (at - 1) / 99_999, rel=1e-3)
    assert read_off(0, 1) == 1
    assert read_off(1, 0.5) == 10


def test_points_are_switched_and_faces_enlarged(browser, noise):
    browser.open(noise)
    shown = "getComputedStyle(document.querySelector('{} .dots.{}')).display"
    browser.run("document.querySelector('.switches [value=true]').focus()")
    browser.press(" ", " ")
    assert (browser.run(shown.format(".grid", "true")), browser.run(shown.format(".grid", "predicted"))) == (
        "none", "inline",
    )  # fmt: skip
    browser.run("document.querySelectorAll('.faces .grid button')[1].focus()")
    browser.press("Enter", "\r")
    assert browser.run("document.querySelector('dialog').open") and browser.run(shown.format(".pane", "true")) == "none"
    width = "document.querySelector('.pane .face').getBoundingClientRect().width"
    before = browser.run(width)
    browser.press("+", "+")
    assert browser.run(width) == pytest.approx(2 * before, rel=0.01)
    middle = "{const p = document.querySelector('.pane'); (p.scrollTop + p.clientHeight / 2) / p.scrollHeight}"
    assert browser.run(middle) == pytest.approx(0.5, abs=0.01)
    browser.run("document.querySelector('dialog [value=next]').click()")
    assert "face 2497" in browser.run("document.querySelector('dialog output').textContent")
    browser.press("Escape")
    assert not browser.run("document.querySelector('dialog').open")
    assert browser.run("document.activeElement.ariaLabel").startswith("Enlarge") and browser.complaints == []


def test_a_runs_attention_is_that_of_the_chosen_landmark(browser, tmp_path):
    path, maps, points = run_page(tmp_path)
    browser.open(path)
    assert browser.complaints == []
    cells = ("[...document.querySelector('.attention canvas').getContext('2d').getImageData(0, 0, 2, 2).data]"
             ".filter((_, byte) => byte % 4 === 3)")  # fmt: skip
    for landmark in (8, 3):
        browser.run(f"{{const s = document.querySelector('.attention select'); s.value = {landmark}; "
                    "s.dispatchEvent(new Event('change'))}")  # fmt: skip
        expected = 0.75 * 255 * maps[landmark] / maps[landmark].max()
        np.testing.assert_allclose(browser.run(cells), expected.ravel(), atol=2)
    x, y = points[20]
    browser.run("window.view = document.querySelector('.attention .face'); window.box = view.getBoundingClientRect()")
    place = f"clientX: box.x + {x} * box.width, clientY: box.y + {y} * box.height"
    browser.run(f"view.dispatchEvent(new MouseEvent('click', {{{place}}}))")
    assert browser.run("document.querySelector('.attention select').value") == "20"
