# SPDX-License-Identifier: Apache-2.0
"""Numbers as annotation files write them."""

import re
from collections.abc import Callable, Sequence

import numpy as np

LIMIT = 1e6  # in pixels: no image is as large

# float() would also take 'nan', 'inf', '1_000' and the digits of other scripts.
DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
DECIMALS = re.compile(rf"(?:{DECIMAL.pattern} )*")


def read_decimals(tokens: Sequence[str], place: Callable[[int], str]) -> np.ndarray:
    """The numbers float64 [n] that n tokens without blanks write.

    Args:
        tokens: plain decimals such as '-12.5' or '3e2'.
        place: says where token i was read: file and line.

    Raises:
        ValueError: a token is no plain decimal or is beyond `LIMIT`; names the place of the first such.
    """
    if DECIMALS.fullmatch(" ".join([*tokens, ""])):
        values = np.array(tokens, np.float64)
        if (np.abs(values) <= LIMIT).all():
            return values
    wrong = next(i for i, token in enumerate(tokens) if not DECIMAL.fullmatch(token) or abs(float(token)) > LIMIT)
    raise ValueError(
        f"{place(wrong)}: {tokens[wrong][:40]!r} is not a number of pixels; correct it or unpack the file again"
    )
