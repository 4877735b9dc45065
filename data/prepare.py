# SPDX-License-Identifier: Apache-2.0
"""Builds a set of faces once: python -m data.prepare SET [--source DIR] [--data-dir DIR]; --check inspects the source.

Without --source the download is looked for in DATA_DIR/downloads/SET.
"""

import fcntl
import hashlib
import importlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from barrel_jax.command_line import Parser
from barrel_jax.config import DataConfig
from barrel_jax.files import cache_home, download_folder
from data.source import FORMAT, Source

# The sets with a source and the names of their builders; modules are loaded when asked for, TFDS takes seconds.
BUILDERS = {"wflw": "Wflw", "w300": "W300", "cofw": "Cofw", "cofw68": "Cofw68", "coco": "CocoFaces"}
SETS = (*BUILDERS, "synthetic")
SYNTHETIC_FORMAT = "synthetic 1"  # changes when the drawn faces change, so that sets built before are built anew


def prepare(
    dataset: str, source: str, data_dir: str, options: Mapping[str, Any] = {}, *, allow_partial: bool = False
) -> Path:
    """Builds a set unless it is built from the same source, and returns its folder for `tfds.builder_from_directory`.

    A built set lies in `data_dir/<dataset>/<first 12 digits of the source's digest>/`, so that a changed source is
    built anew and two sources never mix. A build that is killed leaves nothing that counts as built, and the next one
    takes up where it stopped.

    Args:
        dataset: one of `SETS`.
        source: folder of the source, '' for the place that `source_folder` names; '' for synthetic.
        data_dir: where built sets go; '' for `barrel_jax.files.cache_home()`.
        options: for synthetic `scheme`, `train`, `test` (numbers of faces) and `seed`; for the others none.
        allow_partial: builds what is there of a published set; every table made from it says so.

    Raises:
        ValueError: the set is unknown, or its source has faults, or gaps that are not allowed.
        FileNotFoundError: the source is missing.
        OSError: the disk is full.
    """
    if dataset in BUILDERS:
        source = str(source_folder(dataset, source, data_dir))
    digest = digest_of(dataset, source, options)
    folder = Path(data_dir or cache_home()).expanduser() / dataset / digest[:12]
    if built := built_set(folder, allow_partial=allow_partial):
        return built
    folder.mkdir(parents=True, exist_ok=True)
    # Runs that start together wait for one build. A lock ends with its process, so leftovers are of killed builds.
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if built := built_set(folder, allow_partial=allow_partial):
            return built
        for leftover in folder.glob("*/incomplete.*"):
            shutil.rmtree(leftover)
        if dataset == "synthetic":
            from data.synthetic.synthetic import build as draw

            return draw(options, folder, digest)
        from data.build import build

        builder = getattr(importlib.import_module(f"data.{dataset}.{dataset}"), BUILDERS[dataset])
        built = build(builder, read_source(dataset, source), folder, digest, allow_partial=allow_partial)
        shutil.rmtree(folder / "parts")
        return built


def built_set(folder: Path, *, allow_partial: bool) -> Path | None:
    """The complete set below `folder` (TFDS renames a set into place when it is complete), or None.

    Raises:
        ValueError: it was built from a part of the published set, and that is not allowed here.
    """
    for info in sorted(folder.glob("*/[0-9]*/dataset_info.json")):
        partial = json.loads((info.parent / "metadata.json").read_text())["partial"]
        if partial and not allow_partial:
            raise ValueError(
                f"{info.parent}: {partial}; complete the download, or take it as it is (--allow-partial, "
                "config.data.allow_partial=True)"
            )
        return info.parent
    return None


def read_source(dataset: str, source: str | Path) -> Source:
    """The source of a set in a folder, read and inspected except for its pixels.

    Raises:
        FileNotFoundError: the source is missing.
    """
    return importlib.import_module(f"data.{dataset}.source").read_source(Path(source))


def digest_of(dataset: str, source: str | Path, options: Mapping[str, Any]) -> str:
    """SHA-256 in hex that changes when the source does, or the options that make it.

    Raises:
        ValueError: the set is unknown.
    """
    if dataset not in SETS:
        raise ValueError(f"unknown set {dataset!r}: there are {', '.join(SETS)}")
    if dataset == "synthetic":
        stated = json.dumps([FORMAT.decode(), SYNTHETIC_FORMAT, dict(options)], sort_keys=True)
        return hashlib.sha256(stated.encode()).hexdigest()
    return importlib.import_module(f"data.{dataset}.source").source_digest(Path(source))


def source_folder(dataset: str, source: str, data_dir: str) -> Path:
    """Where the raw download of a set lies: the folder that is named, else `data_dir/downloads/<dataset>` (TFDS's way).

    Raises:
        FileNotFoundError: none is named and there is none in that place; one line says where to get it, where to put
            it, and its licence.
    """
    if source:
        return Path(source).expanduser()
    folder = download_folder(dataset, data_dir)
    if not folder.is_dir():
        module = importlib.import_module(f"data.{dataset}.source")
        raise FileNotFoundError(
            f"{dataset}: no download at {folder}; {module.GET} into that folder, or name another one "
            f"(--source DIR, --config.data.source=DIR). {module.ABOUT}"
        )
    return folder


def check_set(dataset: str, source: str, data_dir: str, options: Mapping[str, Any], *, allow_partial: bool) -> int:
    """Inspects the source of a set, prints a summary and one line for every fault, and returns the exit status.

    Raises:
        ValueError: the set is unknown, or has no such options.
        FileNotFoundError: the source is missing.
    """
    if dataset not in SETS:
        raise ValueError(f"unknown set {dataset!r}: there are {', '.join(SETS)}")
    if dataset == "synthetic":
        from data.synthetic.synthetic import Synthetic

        Synthetic(cache_home(), source_digest="", **options)  # raises on options that make no sense
        print(
            f"synthetic needs no source: it draws {options['train']} training and {options['test']} test faces "
            f"with the points of {options['scheme']} from seed {options['seed']}"
        )
        return 0
    from data.build import check

    lines, faults = check(read_source(dataset, source_folder(dataset, source, data_dir)), allow_partial=allow_partial)
    print("\n".join([*lines, *faults, f"{len(faults)} fault(s)"]))
    return 1 if faults else 0


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    default = DataConfig()
    parser = Parser("python -m data.prepare", __doc__)
    parser.add_argument("set", help=f"one of {', '.join(SETS)}")
    parser.add_argument("--source", default="", help="folder of the download (default: DATA_DIR/downloads/SET)")
    parser.add_argument("--data-dir", default="", help=f"where built sets and downloads lie (default: {cache_home()})")
    parser.add_argument("--check", action="store_true", help="only inspect the source; exit status 1 if it has faults")
    parser.add_argument(
        "--allow-partial", action="store_true", help="take a part of a published set as it is; tables will say so"
    )
    parser.add_argument("--scheme", default=default.scheme, help="synthetic: whose points (default: %(default)s)")
    for name, help_text in (("train", "training faces"), ("test", "test faces"), ("seed", "which faces are drawn")):
        value = getattr(default, f"synthetic_{name}")
        parser.add_argument(f"--{name}", type=int, default=value, help=f"synthetic: {help_text} (default: %(default)s)")
    given = parser.parse_args(arguments)
    options = {name: getattr(given, name) for name in ("scheme", "train", "test", "seed")}

    def work() -> int:
        if given.check:
            return check_set(given.set, given.source, given.data_dir, options, allow_partial=given.allow_partial)
        kept = options if given.set == "synthetic" else {}
        print(prepare(given.set, given.source, given.data_dir, kept, allow_partial=given.allow_partial))
        return 0

    return parser.run(given, work)


if __name__ == "__main__":
    sys.exit(main())
