# SPDX-License-Identifier: Apache-2.0
"""Numbers of annotation files: plain decimals and nothing that only Python takes for a number."""

import numpy as np
import pytest

from data.numbers import read_decimals


def test_plain_decimals():
    read = read_decimals(["12", "-0.5", "+3.25", ".5", "7.", "1e2", "2.5E-1"], str)
    np.testing.assert_array_equal(read, [12, -0.5, 3.25, 0.5, 7, 100, 0.25])
    assert read.dtype == np.float64
    assert read_decimals([], str).shape == (0,)


@pytest.mark.parametrize(
    "token",
    ["nan", "inf", "-inf", "1_000", "٣", "1,5", "0x10", "1e", "--1", "", ".", "1e400", "1000001", "12\n", "1 2"],
)
def test_anything_else_is_refused_with_its_place(token):
    with pytest.raises(ValueError, match=r"token 1: .* is not a number of pixels"):
        read_decimals(["5", token, "nan"], lambda i: f"token {i}")


def test_a_long_run_of_digits_takes_no_time():
    with pytest.raises(ValueError, match=r"'1{40}' is not a number"):
        read_decimals(["1" * 1_000_000 + "x"], str)
