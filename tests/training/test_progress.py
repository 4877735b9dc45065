# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal and in a file, and the stopwatch, by clocks that are set by hand."""

import io

import pytest

from barrel_jax.progress import Bar, Lines, follow, progress
from barrel_jax.training.stopwatch import Stopwatch


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_line_every_half_minute_and_one_at_the_end(capsys):
    clock = Clock()
    lines = Lines(50, 10, "train", "face", 8, clock)
    clock.now += 90  # compiling
    lines.skip(90)
    for step in range(40):
        clock.now += 2
        lines.update(1)
        if step == 20:
            lines.set_postfix_str("loss 0.1")
    lines.close()
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "train: 200 of 400 faces (50 %), 4 faces/s, 00:30 gone, 00:50 left",
        "train: 320 of 400 faces (80 %), 4 faces/s, 01:00 gone, 00:20 left, loss 0.1",
        "train: 400 of 400 faces (100 %), 4 faces/s, 01:20 gone, 00:00 left, loss 0.1",
    ]


def test_what_is_skipped_delays_the_next_line(capsys):
    clock = Clock()
    lines = Lines(10, 0, "train", "face", 1, clock)
    for seconds, skipped, said in ((20, 0, 0), (300, 295, 0), (5, 0, 1)):
        clock.now += seconds
        lines.skip(skipped)
        lines.update()
        assert len(capsys.readouterr().err.splitlines()) == said


def test_in_a_file_there_are_no_carriage_returns_and_a_silent_process_says_nothing(capsys):
    assert list(follow(iter("abc"), 3, "read", "letter")) == ["a", "b", "c"]
    said = capsys.readouterr()
    assert said.err.startswith("read: 3 of 3 letters (100 %), ") and said.err.count("\n") == 1 and "\r" not in said.err
    bar = progress(3, "train", "face", silent=True)
    bar.write("words")
    bar.update(3)
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_it_is_a_bar_that_leaves_out_what_is_skipped(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    bar = progress(300, "train", "face", 100)
    assert isinstance(bar, Bar)
    clock = Clock()
    clock.now = bar.start_t
    bar._time = clock
    clock.now += 3600
    bar.skip(3600)
    clock.now += 10
    bar.update(100)
    facts = bar.format_dict
    assert facts["elapsed"] == pytest.approx(10) and "00:10<00:10, 10.0face/s" in str(bar)
    bar.close()


def test_each_second_counts_once_for_the_innermost_activity():
    clock = Clock()
    watch = Stopwatch("training", clock)
    clock.now += 1
    with watch.during("evaluation"):
        clock.now += 2
        with watch.during("compiling"):
            clock.now += 4
        clock.now += 8
    clock.now += 16
    with pytest.raises(KeyError), watch.during("compiling"):
        clock.now += 32
        raise KeyError
    clock.now += 64
    found = {name: watch.seconds(name) for name in ("training", "evaluation", "compiling", "sleep")}
    assert found == {"training": 81, "evaluation": 10, "compiling": 36, "sleep": 0}
