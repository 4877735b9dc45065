# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown, with the columns of their heads whatever stands in their cells."""

import pytest

from barrel_jax.markdown import table


@pytest.mark.quick
def test_a_bar_in_a_cell_makes_no_column():
    assert table(["a"], [["b|c"]]) == "| a |\n| --- |\n| b\\|c |"
    with pytest.raises(ValueError, match="a row of 2 cells under 1 columns"):
        table(["a"], [["b", "c"]])
