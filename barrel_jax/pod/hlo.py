# SPDX-License-Identifier: Apache-2.0
"""Facts read off a compiled program's text (HLO): its collectives, and the bytes to and from device memory."""

import re
from collections import Counter
from dataclasses import dataclass

BITS = {"pred": 8, "bf16": 16}
SHAPE = re.compile(r"\b(pred|bf16|[fsu]\d+(?:e\d+m\d+\w*)?|c\d+)\[([\d,]*)\](\{[^{}]*\})?")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# Instructions that name a buffer and move nothing.
NAMES = {"parameter", "tuple", "get-tuple-element", "bitcast", "constant", "after-all", "opt-barrier"}


@dataclass(frozen=True)
class Collective:
    """One exchange between devices, as often as the program runs it."""

    kind: str  # one of COLLECTIVES
    bytes: int  # of its whole result on one device; of a reduce-scatter, of what it sums there
    group: int  # devices that exchange
    times: int  # runs of it in a step; more than one in a loop
    of: str  # where in the model it comes from


def shape_bytes(text: str, *, fast: bool = True) -> int:
    """Bytes of all array shapes in a text; without `fast` those in on-chip memory, S(1), do not count."""
    total = 0
    for kind, sides, layout in SHAPE.findall(text):
        if not fast and "S(1)" in layout:
            continue
        bits = BITS.get(kind) or int(re.findall(r"\d+", kind)[0])
        for side in filter(None, sides.split(",")):
            bits *= int(side)
        total += -(-bits // 8)
    return total


def elements(text: str) -> list[str]:
    """The elements of a tuple's type, '(a, (b, c[2,3]), d)'."""
    found, depth = [""], 0
    for character in text.strip()[1:-1]:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return found


def computations(text: str) -> dict[str, list[str]]:
    """The lines of each computation by its name; the entry's name is ''."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        start = re.match(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*)?.*\{$", line)
        if start and not line.startswith(" "):
            lines = found.setdefault("" if start[1] else start[2], [])
        else:
            lines.append(line)
    return found


def runs(found: dict[str, list[str]]) -> Counter[str]:
    """How often a step runs each computation; the body of a loop as often as the loop goes round, and every branch."""
    times: Counter[str] = Counter()

    def visit(name: str, count: int) -> None:
        times[name] += count
        for line in found[name]:
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
            for role, callee in re.findall(r"\b(body|calls|to_apply)=%?([\w.\-]+)", line):
                if callee in found:
                    visit(callee, count * (int(trips[1]) if trips and role == "body" else 1))
            listed = re.search(r"\bbranch_computations=\{([^}]*)\}", line)
            branches = re.findall(r"\b(?:true|false)_computation=%?([\w.\-]+)", line)
            branches += re.findall(r"[\w.\-]+", listed[1]) if listed else []
            for branch in branches:
                if branch in found:
                    visit(branch, count)

    visit("", 1)
    return times


def collectives(text: str, devices: int) -> list[Collective]:
    """All collectives of a program that runs on `devices` devices."""
    found = computations(text)
    times = runs(found)
    by_channel: dict[str, Collective] = {}
    for name, lines in found.items():
        for line in lines:
            match = INSTRUCTION.match(line)
            kind = match and match[3].removesuffix("-start")
            if not match or kind not in COLLECTIVES or not times[name]:
                continue
            # An asynchronous collective is written once for its start, its middle and its end, on one channel.
            channel = re.search(r"channel_id=(\d+)", line)
            origin = re.search(r'op_name="([^"]*)"', line)
            result = match[2]
            if match[3].endswith("-start") and kind != "all-reduce":
                result = elements(result)[1]  # of operands, results and what else it needs
            size = shape_bytes(result)
            group = _group(line, devices)
            if kind == "reduce-scatter":
                size *= group
            by_channel[f"{kind}{channel[1] if channel else match[1]}"] = Collective(
                kind, size, group, times[name], origin[1] if origin else ""
            )
    return list(by_channel.values())


def _group(line: str, devices: int) -> int:
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if listed:
        return len(listed[1].split(","))
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]", line)
    if iota:
        return int(iota[2])
    named = re.search(r"replica_groups=mesh\[([^\]]*)\] ?\{([^}]*)\}", line)
    if named:
        sides = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        size = 1
        for axis in re.findall(r"'(\w+)'", named[2]):
            size *= int(sides[axis])
        return size
    return devices


def memory_traffic(text: str) -> int:
    """Bytes that one step moves to and from a TPU's device memory.

    Each instruction of the entry reads its operands and writes its result once, but for what lies in on-chip memory;
    an asynchronous copy or slice moves what it copies. A lower bound where a loop is inside an instruction.
    """
    shapes: dict[str, str] = {}
    total = 0
    for line in computations(text)[""]:
        match = INSTRUCTION.match(line)
        if not match:
            continue
        name, result, kind, rest = match.groups()
        shapes[name] = result
        if kind in NAMES or kind.endswith("-done") or kind.removesuffix("-start") in COLLECTIVES:
            continue
        if kind in ("copy-start", "slice-start"):
            # ((operand), result, ...): read from one memory, written to the other.
            parts = [part[0] for part in SHAPE.finditer(result)]
            moved = parts[-2] if kind == "slice-start" else parts[0]
            sides = [fast for fast in (parts[0], parts[-2]) if "S(1)" not in fast]
            total += shape_bytes(moved) * max(len(sides), 1)
            continue
        operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
        total += shape_bytes(result, fast=False)
        total += sum(shape_bytes(shapes.get(operand, ""), fast=False) for operand in operands)
    return total
