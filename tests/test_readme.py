# SPDX-License-Identifier: Apache-2.0
import json
import re
from pathlib import Path

import pytest

from benchmarks import tables

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
    assert "99.00" in tables.fill(README)


def test_a_table_that_nobody_makes_is_an_error():
    with pytest.raises(ValueError, match="no table 'speed'"):
        tables.fill("<!-- table speed -->\n<!-- end speed -->")


def test_files_and_folders_named_in_the_readme_exist():
    named = set(re.findall(r"\b((?:barrel_jax|configs|data|tests|benchmarks)/[\w/.-]*\w)", README))
    assert len(named) > 5
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_result_says_how_it_came_about():
    for path in tables.RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        assert {"benchmark", "machine", "versions", "commit", "command"} <= set(result), path.name
