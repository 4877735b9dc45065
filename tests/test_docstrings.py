# SPDX-License-Identifier: Apache-2.0
"""Rules for docstrings: an opening that says what a module holds, and sections whose items are indented by four."""

import ast
import itertools
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("barrel_jax", "data", "configs", "benchmarks", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
FILES += [ROOT / "train.py", ROOT / "evaluate.py"]
QUESTIONS = {"What", "How", "Where", "Which", "Whether", "Who", "Why", "When", "That", "If"}
HEADING = re.compile(r" *(Args|Returns|Raises|Attributes|Yields):")
HOLDERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def fault_of_opening(source):
    """What is wrong with the first line of a module's docstring; '' where nothing is."""
    docstring = ast.get_docstring(ast.parse(source))
    if not docstring:
        return "no docstring"
    line = docstring.splitlines()[0]
    if line.split()[0].strip(",:") in QUESTIONS:
        return f"opens with a question and not with what it holds: {line}"
    return ""


def indent_of(line):
    return len(line) - len(line.lstrip())


def faults_of_sections(source):
    """The headings of docstrings, with their lines, whose items are not indented by four."""
    for node in ast.walk(ast.parse(source)):
        docstring = ast.get_docstring(node) if isinstance(node, HOLDERS) else None
        lines = docstring.splitlines() if docstring else []
        for place, heading in enumerate(lines):
            if HEADING.fullmatch(heading):
                section = itertools.takewhile(str.strip, lines[place + 1 :])
                indents = [indent_of(line) - indent_of(heading) for line in section]
                if not indents or indents[0] != 4 or min(indents) < 4:
                    yield f"line {node.body[0].lineno + place}: {heading.strip()}"


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


def test_items_of_sections_are_indented_by_four():
    faults = {str(path.relative_to(ROOT)): list(faults_of_sections(path.read_text())) for path in FILES}
    assert {path: fault for path, fault in faults.items() if fault} == {}


@pytest.mark.parametrize(
    ("section", "is_fault"),
    [
        ("Args:\n    x: pixels.\n\nRaises:\n    ValueError: it is\n      none.", False),
        ("Args:\n  x: pixels.", True),
        ("Raises:\n        ValueError: it is none.", True),
        ("Returns:\n    pixels,\n  and points.", True),
        ("Yields:\nfaces.", True),
        ("Args:", True),
        ("Args: `x` in pixels.", False),
    ],
)
def test_other_indentations_are_found(section, is_fault):
    docstring = textwrap.indent(f'"""Does it.\n\n{section}\n"""', " " * 8)
    assert bool(list(faults_of_sections(f"class Doer:\n    def do():\n{docstring}"))) == is_fault
