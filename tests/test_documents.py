# SPDX-License-Identifier: Apache-2.0
"""Citations in documents and docstrings: every file they name is here, and every section they name is in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("barrel_jax", "benchmarks", "configs", "data", "docs", "tests")
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md") and "__pycache__" not in path.parts
) + sorted([*ROOT.glob("*.py"), *ROOT.glob("*.md"), ROOT / "pyproject.toml"])
NAME = re.compile(r"(?<![\w/.{}*-])([\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml))\b", re.IGNORECASE)
SECTION = re.compile(r"(docs/\w+\.md|\bREADME)(?:,| under|: see) \"([A-Z0-9][^\"]+)\"")
OTHERS = {
    "lib/preprocess.py", "lib/preprocess_gssl.py", "lib/test.py", "lib/data_utils.py", "lib/train.py",  # PIPNet's
    "tools/split_wflw.py",  # STAR's
    "models/transformer.py",  # DETR's
    "barrel.md", "runs/paper/GRID.md",  # written by barrel_jax.reproduce
    "configs/NAME.py",  # stands for any
}  # fmt: skip


def cited(text):
    return set(NAME.findall(text))


def ships(name):
    """Whether a file of the project has this name, or this end of its path."""
    return any(str(path.relative_to(ROOT)) == name or str(path).endswith(f"/{name}") for path in FILES)


def test_every_file_that_is_cited_is_here():
    missing = {
        (str(path.relative_to(ROOT)), name)
        for path in FILES
        if path != Path(__file__)
        for name in cited(path.read_text()) - OTHERS
        if not ships(name)
    }
    assert missing == set()


def test_nothing_cites_a_folder_that_a_reader_does_not_have():
    """Where it was developed real faces lie beside the project; tests look for them there, and nobody else has them."""
    citing = [
        path
        for path in FILES
        if "tests" not in path.parts and re.search(r"shared/(faces68|samples|w300|cofw68|cases)", read(path))
    ]
    assert citing == []


def read(path):
    """A file's text without its tables, whose commands are those of the machine that made them."""
    return re.sub(r"<!-- table (\S+) -->.*?<!-- end \1 -->", "", path.read_text(), flags=re.DOTALL)


def test_every_section_that_is_cited_is_there():
    found = 0
    for path in FILES:
        # A citation may be broken over two lines, of comments too.
        text = re.sub(r"\n\s*#?\s*", " ", path.read_text())
        for document, section in SECTION.findall(text):
            whole = (ROOT / (document if document.endswith(".md") else "README.md")).read_text()
            assert re.search(rf"^#+ {re.escape(section)}$", whole, re.MULTILINE), (path, document, section)
            found += 1
    assert found > 10


def test_every_test_that_a_document_names_is_there():
    found = [
        (file, test)
        for path in ROOT.glob("docs/*.md")
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", path.read_text())
    ]
    for file, test in found:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), (file, test)
    assert len(found) > 14


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_names_of_other_projects_files_are_still_cited(name):
    assert any(name in cited(path.read_text()) for path in FILES if path != Path(__file__))


def test_what_does_not_ship_is_found():
    assert cited("as protocol.md section 4, Design.md and tests/none.py say") == {
        "protocol.md", "Design.md", "tests/none.py"
    }  # fmt: skip
    assert not ships("protocol.md") and not ships("none.py") and ships("resnet.py") and ships("docs/model.md")
