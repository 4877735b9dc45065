# SPDX-License-Identifier: Apache-2.0
"""Changes of valid files: such that leave what they say, and such that do not."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

NUMBERS = (
    "0", "-0", "-1", "1e-300", "1e308", "1e999", "-1e999", "nan", "NaN", "inf", "Infinity", "1e6", "1000001", "2e19",
    "9223372036854775808", "1" + "0" * 400, "1" + "0" * 5000, "1_0", "0x10", "٣", "1,5", "", " ", "x", "+1", "1e",
    ".", "-",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "../../etc/passwd", "a\\b", "/abs/olute.png", "\ud800", "\0", "é" * 300, 0, -1, 1, 2, 3,
    10**19, -(10**19), 10**400, 1e308, -1e308, float("nan"), float("inf"), 0.5, [], {}, [[]], [None], {"a": 1},
    [0, 0, 0, 0],
)  # fmt: skip
TEXTS = (
    "\0",
    "\ud7ff",
    "\\",
    "/",
    "..",
    "&",
    "<",
    ">",
    '"',
    "'",
    ";",
    ",",
    "\t",
    "\r",
    "\n\n",
    "{",
    "}",
    "é",
    "\ufeff",
)


# Of any bytes.


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Some bits are others."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing, or the beginning, or a piece between."""
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:first], data[last:], data[:first] + data[last:]))


def doubled(rng: random.Random, data: bytes) -> bytes:
    """A piece comes twice, or in another place."""
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[first:last] + data[place:]


def overwritten(rng: random.Random, data: bytes) -> bytes:
    """A few bytes are zeros, ones, or noise: lengths and offsets of binary files."""
    place, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64))
    filling = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    return data[:place] + filling + data[place + length :]


BYTES: tuple[Mutation, ...] = (flipped, cut, doubled, overwritten)


# Of text.


def numbers_changed(rng: random.Random, data: bytes) -> bytes:
    """A number is another, extreme, or none."""
    return _replaced(rng, data, rb"[-+]?\d+(?:\.\d+)?", lambda _: rng.choice(NUMBERS))


def words_changed(rng: random.Random, data: bytes) -> bytes:
    """A word is gone, doubled, or another."""
    return _replaced(rng, data, rb"[^\s,;<>\"'=]+", lambda word: rng.choice(("", word * 2, "x", rng.choice(NUMBERS))))


def strange_text(rng: random.Random, data: bytes) -> bytes:
    """A character comes in that has a meaning somewhere."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(TEXTS).encode("utf-8", "surrogatepass") + data[place:]


def lines_changed(rng: random.Random, data: bytes) -> bytes:
    """A line is gone, doubled, or in another place."""
    lines = data.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _replaced(rng: random.Random, data: bytes, pattern: bytes, new: Callable[[str], str]) -> bytes:
    found = list(re.finditer(pattern, data))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2)))), key=lambda m: -m.start()):
        with_what = new(match[0].decode("utf-8", "replace")).encode("utf-8", "surrogatepass")
        data = data[: match.start()] + with_what + data[match.end() :]
    return data


TEXT: tuple[Mutation, ...] = (numbers_changed, words_changed, strange_text, lines_changed, *BYTES)


# Of XML.


def tags_changed(rng: random.Random, data: bytes) -> bytes:
    """A tag or an attribute is gone, doubled, or named otherwise."""
    pattern = rng.choice((rb"<[^>]*>", rb"\s[\w-]+=(?:\"[^\"]*\"|'[^']*')"))
    return _replaced(rng, data, pattern, lambda part: rng.choice(("", part * 2, part.upper(), f"{part}<a>")))


def entities(rng: random.Random, data: bytes) -> bytes:
    """Definitions that grow without end or read other files, and references to what is not defined."""
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>'
    outside = b'<!DOCTYPE a [<!ENTITY c SYSTEM "file:///etc/passwd">]>'
    head, tag, rest = data.partition(rng.choice((b"<dataset", b"<annotations")))
    return head + rng.choice((bomb, outside, b"")) + tag + rest.replace(b'="', b'="&c;', 1)


XML: tuple[Mutation, ...] = (tags_changed, entities, *TEXT)


# Of JSON.


def values_changed(rng: random.Random, data: bytes) -> bytes:
    """A value is of another type or extreme, a field or item is gone, doubled, or in another's place."""
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        document = _change(rng, document)
    return json.dumps(document).encode()


def nested(rng: random.Random, data: bytes) -> bytes:
    """Lists in one another, deeper than a parser's stack."""
    depth = rng.choice((10, 1000, 100_000))
    return _replaced(rng, data, rb"\[\]|\d+", lambda _: "[" * depth + "]" * depth)


def _change(rng: random.Random, document: Any) -> Any:
    places = list(_places(document))
    if not places:
        return rng.choice(VALUES)
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            other, its = rng.choice(places)
            holder[key], other[its] = other[its], holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        case 2:
            holder[rng.choice(("id", "x", "file_name", "image_id", "points"))] = json.loads(json.dumps(holder[key]))
        case 3:
            holder[key] = [holder[key]] if rng.random() < 0.5 else str(holder[key])[:100]
        case _:
            holder[key] = rng.choice(VALUES)
    return document


def _places(node: Any) -> Any:
    """Every holder and key; swapping may have made rings, which json.dumps refuses and this never enters."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


JSON: tuple[Mutation, ...] = (values_changed, values_changed, values_changed, nested, *TEXT)


# That leave what a file says.


def same_json(rng: random.Random, data: bytes) -> bytes:
    """Other blanks, another order of fields, a field more, another encoding."""
    document = _shuffled(rng, json.loads(data))
    text = json.dumps(document, indent=rng.choice((None, 1, "\t")), ensure_ascii=rng.random() < 0.5)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")))


def _shuffled(rng: random.Random, node: Any) -> Any:
    if isinstance(node, dict):
        items = [(key, _shuffled(rng, value)) for key, value in node.items()]
        rng.shuffle(items)
        return dict(items)
    return [_shuffled(rng, item) for item in node] if isinstance(node, list) else node


def same_lines(rng: random.Random, data: bytes) -> bytes:
    """Other ends of lines, blank lines at the end."""
    return rng.choice((data, data.replace(b"\n", b"\r\n"))) + rng.choice((b"", b"\n", b"\r\n\r\n"))


def same_table(rng: random.Random, data: bytes) -> bytes:
    """Another delimiter, quotes, blank lines, another encoding."""
    text = same_lines(rng, data).decode()
    if rng.random() < 0.5:
        text = text.replace(",", rng.choice((";", "\t")))
    if rng.random() < 0.3:
        text = re.sub(r"(\w+\.png)", r'"\1"', text)
    return text.encode(rng.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1")))


def same_xml(rng: random.Random, data: bytes) -> bytes:
    """Other blanks and ends of lines, a comment, other quotes."""
    data = rng.choice((data, data.replace(b"><", b">\n  <"), data.replace(b"><", b"><!-- note -->\r\n<")))
    return rng.choice((data, re.sub(rb'="([^"\']*)"', rb"='\1'", data)))
