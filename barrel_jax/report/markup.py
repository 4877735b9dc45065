# SPDX-License-Identifier: Apache-2.0
"""HTML made of elements: every text is escaped unless it is `Markup`, which only this file makes of text."""

import html
import json
from collections.abc import Iterable
from typing import Any

from barrel_jax.files import plain

VOID = ("img", "input", "meta")  # elements without an end


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | None | Iterable["Content"]


def element(tag: str, *content: Content, **attributes: Any) -> Markup:
    """An element as HTML.

    Args:
        tag: its name.
        content: texts, which are escaped, elements, None for nothing, or iterables of these.
        attributes: `class_` is class, `aria_label` is aria-label; True is an attribute without a value, None and False
          are none.
    """
    words = [tag]
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words.append(f'{name}="{html.escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if tag in VOID else f"{start}{joined(*content)}</{tag}>")


def joined(*content: Content) -> Markup:
    """Contents one after another."""
    return Markup("".join(_texts(content)))


def _texts(content: Iterable[Content]) -> Iterable[str]:
    for one in content:
        if isinstance(one, Markup):
            yield one
        elif isinstance(one, str):
            yield html.escape(one)
        elif one is not None:
            yield from _texts(one)


def data(content: object) -> Markup:
    """What the page's script reads, as JSON in an element that is not shown. No text in it can end the element."""
    text = json.dumps(plain(content), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return element("script", Markup(text), type="application/json")


def raw(tag: str, text: str) -> Markup:
    """A `style` or `script` of this project's own, whose text HTML does not unescape."""
    return element(tag, Markup(text))
