# SPDX-License-Identifier: Apache-2.0
"""Files that are fetched once and checked by their SHA-256."""

import hashlib
import http.client
import shutil
import urllib.request
from pathlib import Path

from barrel_jax import files


def fetch(address: str, path: Path, sha256: str, otherwise: str = "") -> Path:
    """The file at `path`, fetched from `address` if it is not there.

    Args:
        address: https://...
        path: where it is kept.
        sha256: what its SHA-256 is, or begins with.
        otherwise: what else a user can do when it cannot be fetched; starts with ', or '.

    Raises:
        FileNotFoundError: it cannot be fetched.
        ValueError: it is another file.
    """
    if path.exists():
        _check(path, path, sha256, "delete it, and it is fetched again")
        return path
    print(f"fetching {address} to {path}")

    def fill(temporary: Path) -> None:
        try:
            with urllib.request.urlopen(address, timeout=60) as response, temporary.open("wb") as file:
                shutil.copyfileobj(response, file)
        except (OSError, http.client.HTTPException) as error:
            raise FileNotFoundError(
                f"{address} cannot be fetched ({error}); fetch it by other means and put it at {path}{otherwise}"
            ) from error
        _check(temporary, path, sha256, f"{address} was cut short or is another file; try again")

    files.write(path, fill)
    return path


def _check(content: Path, path: Path, sha256: str, remedy: str) -> None:
    # `content` is what is at `path`, or is about to be.
    with files.open_file(content) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        raise ValueError(f"{path}: its SHA-256 begins with {found[: len(sha256)]}, not {sha256}: {remedy}")
