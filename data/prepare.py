# SPDX-License-Identifier: Apache-2.0
"""Builds a set of faces once: python -m data.prepare SET [--source DIR] [--data-dir DIR]; --check inspects the source.

Without --source the download is looked for in DATA_DIR/downloads/SET. --check writes a contact sheet of 24 faces,
doubtful ones first, and of the mean shape; it ends with status 0 when the source is sound, 1 when it has faults, and
with --strict 2 when it has doubts alone.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.command_line import Parser, in_one_line
from barrel_jax.config import DataConfig
from barrel_jax.files import cache_home
from barrel_jax.picture_heads import max_pixels
from data.face_sets import FACE_SETS, READING, find_set
from data.grouping import printable
from data.report import Report


def prepare(
    dataset: str,
    source: str,
    data_dir: str,
    options: Mapping[str, Any] = {},
    *,
    allow_partial: bool = False,
    rebuild: bool = False,
) -> Path:
    """Builds a set unless it is built from the same source, and returns its folder for `tfds.builder_from_directory`.

    A built set lies in `data_dir/<dataset>/<key>/`, where the key changes with the source's digest, which tells the set
    to runs and results, and with the time stamps of its files, so that a changed source is built anew and two sources
    never mix. A build that is killed leaves nothing that counts as built, and the next one
    takes up where it stopped.

    Args:
        dataset: one of `FACE_SETS`.
        source: folder of the source, '' for its place below `data_dir`; '' for synthetic.
        data_dir: where built sets go; '' for `barrel_jax.files.cache_home()`.
        options: of the set beside its source (`FaceSet.options`).
        allow_partial: builds what is there of a published set; every table made from it says so.
        rebuild: builds anew what is built.

    Raises:
        ValueError: the set is unknown, or its source has faults, or gaps that are not allowed.
        FileNotFoundError: the source is missing.
        OSError: the disk is full.
    """
    faces = find_set(dataset)
    source = faces.locate(source, data_dir)
    digest, stamp = faces.digest(source, options), faces.stamp(source)
    key = hashlib.sha256((digest + stamp).encode()).hexdigest() if stamp else digest
    # What lies there is taken for this project's own by every later start.
    folder = files.private_folder(Path(data_dir or cache_home())) / dataset / key[:12]
    if not rebuild and (built := built_set(folder, allow_partial=allow_partial)):
        return built
    folder.mkdir(parents=True, exist_ok=True)
    # Runs that start together wait for one build. A lock ends with its process, so leftovers are of killed builds.
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for old in [path for path in folder.iterdir() if path.is_dir()] if rebuild else ():
            shutil.rmtree(old)
        if built := built_set(folder, allow_partial=allow_partial):
            return built
        for leftover in folder.glob("*/incomplete.*"):
            shutil.rmtree(leftover)
        built = faces.build(source, options, folder, digest, allow_partial=allow_partial)
        shutil.rmtree(folder / "parts", ignore_errors=True)
        return built


def prepare_config(config: DataConfig) -> Path:
    """Builds the set of a config if it is not built, and returns its folder. Raises as `prepare`."""
    options = find_set(config.dataset).options(config)
    with max_pixels(config.max_pixels):
        return prepare(config.dataset, config.source, config.data_dir, options, allow_partial=config.allow_partial)


def built_set(folder: Path, *, allow_partial: bool) -> Path | None:
    """The complete set below `folder` (TFDS renames a set into place when it is complete), or None.

    What was doubtful when it was built is said again, whenever it is used.

    Raises:
        ValueError: it was built from a part of the published set, and that is not allowed here.
    """
    for info in sorted(folder.glob("*/[0-9]*/dataset_info.json")):
        path = info.parent / "metadata.json"
        remedy = "build the set anew: data.prepare SET --rebuild"
        metadata = files.read_json(path, remedy)
        partial = metadata.get("partial") if isinstance(metadata, dict) else None
        if not isinstance(partial, str):
            raise ValueError(f"{path}: 'partial' is missing; {remedy}")
        if partial and not allow_partial:
            raise ValueError(
                f"{info.parent}: {partial}; complete the download, or take it as it is (--allow-partial, "
                "config.data.allow_partial=True)"
            )
        for doubt in metadata.get("doubts", ()):  # sets of earlier versions have none
            print(f"doubt: {doubt}")
        return info.parent
    return None


def prepare_or_check(args: argparse.Namespace) -> int:
    """Does what the command line says; returns the exit status (data.report)."""
    config = DataConfig(**{name: getattr(args, name) for name in ("scheme", *READING)})
    config.synthetic_train, config.synthetic_test, config.synthetic_seed = args.train, args.test, args.seed
    faces = find_set(args.set)
    options = faces.options(config)
    for name in READING:
        if name not in options and getattr(config, name) != getattr(DataConfig(), name):
            raise ValueError(f"--{name} says how own faces are read (coco); {args.set} has one way alone: leave it out")
    drawn = {"scheme": "scheme", "train": "synthetic_train", "test": "synthetic_test", "seed": "synthetic_seed"}
    for name, field in drawn.items():
        if args.set != "synthetic" and getattr(args, name) != getattr(DataConfig(), field):
            raise ValueError(f"--{name} says how synthetic faces are drawn, and {args.set} has its own: leave it out")
    if args.set == "synthetic" and args.source:
        raise ValueError("--source names a download, and synthetic faces are drawn: leave it out")
    if not args.check:
        if unread := [f"--{name}" for name in ("strict", "json", "sheet") if getattr(args, name)]:
            raise ValueError(f"{', '.join(unread)}: of --check, which is not given; add it, or leave them out")
        built = prepare(
            args.set, args.source, args.data_dir, options, allow_partial=args.allow_partial, rebuild=args.rebuild
        )
        print(printable(str(built)))
        return 0
    if args.rebuild:
        raise ValueError("--check looks at the source and builds nothing: leave out --rebuild, or --check")
    try:
        source = faces.locate(args.source, args.data_dir)
        report = faces.check(source, options, allow_partial=args.allow_partial, sheet=_sheet(args, source))
    except (ValueError, OSError) as error:  # there is no such source; the line for people is the parser's
        if args.json:
            report = Report(args.set, [], source=args.source, faults=[in_one_line(error)])
            files.write_json(args.json, report.content())
        raise
    print(printable("\n".join(report.lines())))
    if args.json:
        files.write_json(args.json, report.content())
    return report.status(strict=args.strict)


def _sheet(args: argparse.Namespace, source: str) -> Path:
    """Where the contact sheet goes: one place for every source."""
    if args.sheet:
        return args.sheet
    mark = hashlib.sha256(os.fsencode(Path(source).absolute())).hexdigest()[:8]
    return Path(args.data_dir or cache_home()).expanduser() / "checks" / f"{args.set}-{mark}.png"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    default = DataConfig()
    parser = Parser("python -m data.prepare", __doc__)
    parser.add_argument("set", help=f"one of {', '.join(FACE_SETS)}")
    parser.add_argument("--source", default="", help="folder of the download (default: DATA_DIR/downloads/SET)")
    parser.add_argument("--data-dir", default="", help=f"where built sets and downloads lie (default: {cache_home()})")
    parser.add_argument("--rebuild", action="store_true", help="build anew what is built")
    parser.add_argument("--check", action="store_true", help="only inspect the source; exit status 1 if it has faults")
    parser.add_argument("--strict", action="store_true", help="with --check: exit status 2 for doubts without faults")
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --check: write the report there too")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="with --check: the contact sheet (default: DATA_DIR/checks/SET-*.png)",
    )
    parser.add_argument(
        "--allow-partial", action="store_true", help="take a part of a published set as it is; tables will say so"
    )
    for name, words in READING.items():
        parser.add_argument(f"--{name}", default=getattr(default, name), help=f"coco: {words} (default: %(default)s)")
    parser.add_argument("--scheme", default=default.scheme, help="synthetic: whose points (default: %(default)s)")
    for name, help_text in (("train", "training faces"), ("test", "test faces"), ("seed", "which faces are drawn")):
        value = getattr(default, f"synthetic_{name}")
        parser.add_argument(f"--{name}", type=int, default=value, help=f"synthetic: {help_text} (default: %(default)s)")
    parser.add_max_pixels()
    args = parser.parse_args(arguments)
    with max_pixels(args.max_pixels):
        return parser.run(args, lambda: prepare_or_check(args))


if __name__ == "__main__":
    sys.exit(main())
