# SPDX-License-Identifier: Apache-2.0
"""Rules for docstrings: an opening that says what a module holds."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("barrel_jax", "data", "configs", "benchmarks", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
FILES += [ROOT / "train.py", ROOT / "evaluate.py"]
QUESTIONS = {"What", "How", "Where", "Which", "Whether", "Who", "Why", "When", "That", "If"}


def fault_of_opening(source):
    """What is wrong with the first line of a module's docstring; '' where nothing is."""
    docstring = ast.get_docstring(ast.parse(source))
    if not docstring:
        return "no docstring"
    line = docstring.splitlines()[0]
    if line.split()[0].strip(",:") in QUESTIONS:
        return f"opens with a question and not with what it holds: {line}"
    return ""


def test_modules_open_with_what_they_hold():
    faults = {str(path.relative_to(ROOT)): fault_of_opening(path.read_text()) for path in FILES}
    assert {path: fault for path, fault in faults.items() if fault} == {}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('"""Where a token lies: positions."""', "opens with a question"),
        ('"""\n    How, by hand.\n    """', "opens with a question"),
        ("# A comment is none.\nx = 1", "no docstring"),
        ('"""Whatever is said after the first word."""', ""),
        ('"""Positions of tokens."""', ""),
    ],
)
def test_openings_are_told_apart(source, fault):
    assert fault_of_opening(source).startswith(fault)
    assert bool(fault_of_opening(source)) == bool(fault)
