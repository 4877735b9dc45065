# SPDX-License-Identifier: Apache-2.0
"""The documents against the results: their tables, files, links and the training loop of the front page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tables
from tests.kit.documented import DOCUMENTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", tables.DOCUMENTS)
def test_the_tables_are_what_the_results_say(document):
    assert tables.filled(document) == (ROOT / document).read_text(), "run python -m benchmarks.tables"


def test_a_changed_result_changes_its_table(monkeypatch, tmp_path):
    for path in tables.RESULTS.glob("*.json"):
        content = json.loads(path.read_text())
        for row in content.get("rows", []):
            row["nme"] = 99.0
        (tmp_path / path.name).write_text(json.dumps(content))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert "99.00" in tables.fill((ROOT / "docs" / "index.md").read_text())


def test_a_table_that_nobody_makes_is_an_error():
    with pytest.raises(ValueError, match="no table 'speed'"):
        tables.fill("<!-- table speed -->\n<!-- end speed -->")


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_links_of_the_documents_exist(document):
    text = document.read_text()
    named = set(re.findall(r"(?<![\w/~.-])((?:barrel_jax|configs|data|tests|benchmarks)/[\w/.-]*\w)", text))
    assert {name for name in named if not (ROOT / name).exists()} == set()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert {link for link in links if not (document.parent / link).exists()} == set()
    assert len(links) > 10 or document.name != "README.md"


def test_the_training_loop_trains(capsys):
    code = re.search(r"<!-- loop -->\n```python\n(.*?)```\n<!-- end -->", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line and not re.match("import|from", line)]) <= 12
    rng = np.random.default_rng(0)
    images = rng.random((2, 32, 32, 3), np.float32)
    batches = [(images, rng.random((1, 68, 2), np.float32).repeat(2, axis=0))] * 8
    errors = []

    def followed():
        for batch in batches:
            yield batch
            errors.append(float(scope["error"]))

    scope = {"images": images, "batches": followed()}
    exec(code, scope)
    assert len(errors) == 8 and errors[-1] < 0.8 * errors[0]


def test_every_result_says_how_it_came_about():
    for path in tables.RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        assert {"benchmark", "machine", "versions", "commit", "command"} <= set(result), path.name
