# SPDX-License-Identifier: Apache-2.0
"""Text of other systems, read as what it says."""

import pytest

from barrel_jax.encodings import decode_text, readable

TEXT = "file,x\nM\u00fcller.png,12\n" * 3


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252"]
)
def test_every_encoding_is_found(encoding):
    assert decode_text(TEXT.encode(encoding)) == (TEXT, encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_decides(encoding):
    assert decode_text(TEXT.encode(encoding)) == (TEXT, encoding)


def test_bytes_without_a_letter_in_windows_own_are_latin():
    assert decode_text(b"a\x81\xfc") == ("a\x81\u00fc", "latin-1")
    assert decode_text(b"") == ("", "utf-8")
    with pytest.raises(UnicodeError, match="utf-16"):
        decode_text(b"\xff\xfea")


def test_names_are_text():
    assert readable("M\u00fcller") == "M\u00fcller"
    assert readable(b"M\xfcller".decode("utf-8", "surrogateescape")) == "M\u00fcller"
    assert readable("a\ud800") == "a\\ud800"
