# SPDX-License-Identifier: Apache-2.0
"""Names and folders of files: what others may write is said, and no library reads a name as something else."""

import ast
import errno
import os
import socket
import warnings
from pathlib import Path

import pytest

from barrel_jax import files
from barrel_jax.devices import xla
from barrel_jax.files import open_file, private_folder, read_json, readable_name
from barrel_jax.plain_path import PLAIN, PlainPath

pytestmark = pytest.mark.quick


def test_a_folder_of_what_is_trusted_is_the_users_alone(tmp_path):
    folder = private_folder(tmp_path / "a" / "cache")
    assert folder.stat().st_mode & 0o777 == 0o700
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert private_folder(folder) == folder
    for mode in (0o770, 0o707):
        folder.chmod(mode)
        with pytest.warns(UserWarning, match="cache: others may write in this folder, and what lies there is trusted"):
            private_folder(folder)


def test_programs_are_kept_in_a_private_folder(tmp_path, monkeypatch):
    kept = {}
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(xla.jax.config, "update", kept.__setitem__)
    monkeypatch.setattr(xla, "jax_cache_folder", lambda: None)
    xla.keep_compiled()
    assert kept == {"jax_compilation_cache_dir": str(tmp_path / "home" / "xla")}
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (tmp_path / "home", tmp_path / "home" / "xla"))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    monkeypatch.setattr(xla, "jax_cache_folder", lambda: str(tmp_path / "shared"))
    with pytest.warns(UserWarning, match="shared: others may write"):
        xla.keep_compiled()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(xla, "jax_cache_folder", lambda: None)
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path / "file" / "below"))
    kept.clear()
    with pytest.warns(UserWarning, match=r"programs are not kept \(.*/file.*JAX_COMPILATION_CACHE_DIR"):
        xla.keep_compiled()
    assert kept == {}


@pytest.mark.parametrize("name", ["[v2]", "a\\b", "50% #?", "10:20.mp4", b"\xe9.png"])
def test_a_name_that_libraries_would_read_as_something_else_is_kept_from_them(tmp_path, name):
    original = tmp_path / os.fsdecode(name)
    with PlainPath(original) as plain:
        assert PLAIN.fullmatch(str(plain)) and plain.suffix == original.suffix.replace("]", "")
        plain.write_text("there")  # it need not be there before
        assert original.read_text() == "there"
    assert not os.path.lexists(plain) and not plain.parent.exists()
    with PlainPath(tmp_path / "plain-1.png") as plain:
        assert plain == tmp_path / "plain-1.png"
    (tmp_path / "elsewhere" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "in")
    with PlainPath(tmp_path / "link" / ".." / "plain.png") as plain:  # a way up is the system's, through links
        assert plain == tmp_path / "elsewhere" / "plain.png"


def test_a_files_name_is_text():
    assert readable_name(Path("a/é.png")) == readable_name(Path(os.fsdecode("a/é.png".encode("latin-1")))) == "é.png"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "a pipe or a device where a file is wanted"),
        (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device where a file is wanted"),
        (Path.mkdir, "Is a directory"),
    ],
)
def test_only_regular_files_are_read(tmp_path, make, said):
    path = tmp_path / "run.json"
    make(path)
    for read in (open_file, lambda path: read_json(path, "write it anew")):
        with pytest.raises(OSError, match=f"{said}: '{path}'"):
            read(path)


def test_a_socket_is_not_read(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "run.json"))
        with pytest.raises(OSError, match=r"run\.json"):
            open_file(tmp_path / "run.json")


def test_nothing_is_read_but_through_open_file():
    root = Path(__file__).parents[1]
    ways = []
    for path in [*(root / "barrel_jax").rglob("*.py"), *(root / "data").rglob("*.py"), root / "evaluate.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of = node.func.value.id if isinstance(getattr(node.func, "value", None), ast.Name) else ""
            modes = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            reads = name in ("read_bytes", "read_text") and isinstance(node.func, ast.Attribute) and of != "files"
            opens = name == "open" and any(set(mode) <= set("rbt") for mode in modes)
            ways += [f"{path.relative_to(root)}:{node.lineno}"] * (reads or opens)
    ways = [way for way in ways if "export/run_" not in way]  # scripts that run where this project is not
    assert ways == []


def test_files_of_processes_with_one_number_do_not_take_each_others_place(tmp_path, monkeypatch):
    """In containers every process is number 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "a.txt"

    def fill(temporary):
        temporary.write_text("outer")
        files.write(path, lambda other: other.write_text("inner"))
        assert temporary.read_text() == "outer" and path.read_text() == "inner"

    files.write(path, fill)
    assert path.read_text() == "outer" and [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        files.write(tmp_path / "folder", lambda temporary: temporary.write_text(""))
    assert raised.value.filename == str(tmp_path / "folder")


def test_room_that_is_not_there_is_an_error_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "holes"
    with path.open("wb") as stream:
        stream.truncate(1 << 16)
    files.reserve(path)
    assert path.stat().st_blocks * 512 >= 1 << 16

    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)  # no disk is filled for this
    with pytest.raises(OSError, match="No space left") as raised:
        files.reserve(path)
    assert raised.value.filename == str(path)


def test_an_error_of_writing_names_the_file_that_was_asked_for(tmp_path):
    def refused(temporary):
        raise PermissionError(13, "Permission denied", str(temporary))

    with pytest.raises(PermissionError) as raised:
        files.write(tmp_path / "a.json", refused)
    assert raised.value.filename == str(tmp_path / "a.json")

    def other(temporary):
        raise FileNotFoundError(2, "No such file or directory", "b.png")

    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        files.write(tmp_path / "a.json", other)
