# SPDX-License-Identifier: Apache-2.0
"""The lists of lines to be broken on purpose."""

import json

import pytest

from benchmarks.mutations import LISTS, ROOT


@pytest.mark.parametrize("path", sorted(LISTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_line_to_be_broken_stands_in_its_module_once(path):
    for module, listed in json.loads(path.read_text()).items():
        sound = (ROOT / "barrel_jax" / path.stem / f"{module}.py").read_text()
        for before, after, *_ in listed["mutations"]:
            assert sound.count(before) == 1 and before != after, (module, before)
