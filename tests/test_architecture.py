# SPDX-License-Identifier: Apache-2.0
"""The architecture: layers that point one way, and code that keeps to its own rules."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "barrel_jax").rglob("*.py"))
# Folders and modules of barrel_jax. Lower may not import higher, and folders of one rank not each other.
LAYERS = (
    (
        "arrays",
        "command_line",
        "encodings",
        "extras",
        "fetching",
        "files",
        "plain_path",
        "picture_heads",
        "pictures",
        "markdown",
        "plotting",
        "progress",
        "backbones",
        "paper",
        "faces",
    ),
    ("config", "config_arguments", "config_checks", "facts", "provenance"),
    ("devices", "models", "pytorch"),
    ("input", "pretrained"),
    ("evaluation", "onnx"),
    ("training",),
    ("predict", "export", "pod", "report"),
    ("compare", "scoring"),
    ("benchmark",),
    ("reproduce",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Nothing in the package imports these; the package may, and `data` what it is allowed to.
PROGRAMS = ("configs", "data", "tests", "benchmarks", "train", "evaluate")
DATA_MAY = ("command_line", "config", "encodings", "faces", "files", "picture_heads", "pictures", "progress")
# Folders whose public functions have the shapes of all arrays in their signatures; tests/conftest.py has them checked.
SHAPED = ("faces", "evaluation", "input")
BARE = {"np.ndarray", "jax.Array", "Array", "AnyArray", "OneKind"}
# Each has one home.
HOMES = {
    "flax.linen": ("models", "training"),
    "orbax": ("training",),
    "tensorstore": ("training",),
    "tensorflow_datasets": ("input",),
    "grain": ("input",),
}


def imports(path, source):
    """Every module or name that a file imports, at any depth, relative ones made absolute."""
    package = list(path.with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def part(path):
    return path.parts[1].removesuffix(".py")


def is_folder(name):
    return (ROOT / "barrel_jax" / name).is_dir()


def faults(path, source):
    """What a file of barrel_jax (its path from the root) imports against the order of layers."""
    mine = part(path)
    for name in imports(path, source):
        top, *rest = name.split(".")
        if top in PROGRAMS:
            yield f"{name} is outside the package"
        for library, homes in HOMES.items():
            if name.startswith(library) and mine not in homes:
                yield f"{library} outside {' and '.join(homes)}"
        if top != "barrel_jax" or mine == "__init__" or rest[:1] == [mine]:
            continue
        if rest[0] not in RANK:
            yield f"{name} has no rank"
        elif RANK[rest[0]] > RANK[mine]:
            yield f"{mine} imports {rest[0]}, which is higher"
        elif RANK[rest[0]] == RANK[mine] and is_folder(mine) and is_folder(rest[0]):
            yield f"{mine} imports {rest[0]}, which is of its rank"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    assert list(faults(path.relative_to(ROOT), path.read_text())) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("models/qamem.py", "from barrel_jax.training.loop import train", "models imports training"),
        ("models/qamem.py", "import barrel_jax.training.loop", "models imports training"),
        ("models/qamem.py", "def f():\n    from barrel_jax import reproduce", "models imports reproduce"),
        ("models/qamem.py", "from ..training import loop", "models imports training"),
        ("models/qamem.py", "from .. import training", "models imports training"),
        ("onnx/graph.py", "from ..benchmark import infer", "onnx imports benchmark"),
        ("predict/video.py", "from barrel_jax.export import load", "of its rank"),
        ("files.py", "from barrel_jax.config import Config", "files imports config"),
        ("config.py", "from barrel_jax.nowhere import f", "has no rank"),
        ("training/loop.py", "from data.prepare import prepare", "outside the package"),
        ("report/run.py", "from barrel_jax.predict import video", "of its rank"),
        ("evaluation/score.py", "from barrel_jax.report.run import run_report", "evaluation imports report"),
        ("scoring/predicted.py", "from data.annotated import truth_alone", "outside the package"),
        ("pod/report.py", "import grain", "grain outside input"),
    ],
)
def test_an_import_that_points_upwards_is_seen(file, line, fault):
    assert fault in " ".join(faults(Path("barrel_jax") / file, line))


def test_what_lies_in_one_folder_or_below_is_allowed():
    allowed = "from .qamem import QAMem\nfrom barrel_jax.models import qamem\nfrom barrel_jax import config, files"
    assert list(faults(Path("barrel_jax/models/decoder.py"), allowed)) == []


def test_the_builders_of_sets_use_little_of_the_package():
    for path in sorted((ROOT / "data").rglob("*.py")):
        used = [name for name in imports(path.relative_to(ROOT), path.read_text()) if name.startswith("barrel_jax.")]
        assert {name.split(".")[1] for name in used} <= set(DATA_MAY), path


def test_every_module_is_ranked():
    assert {part(path.relative_to(ROOT)) for path in FILES} - {"__init__"} == set(RANK)


def test_everything_imports_without_tensorflow():
    for folder in ("barrel_jax", "data", "configs"):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "pytorch" not in parts or importlib.util.find_spec("torch"):  # nothing else wants PyTorch
                importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert "tensorflow" not in sys.modules


@pytest.mark.processes
def test_ruff_is_content():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]


def test_no_habits_that_hide_faults():
    for path in [*FILES, *(ROOT / "data").rglob("*.py"), ROOT / "train.py", ROOT / "evaluate.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            assert not isinstance(node, ast.Assert), f"{where}: an assert on input disappears under -O"
            if isinstance(node, ast.ExceptHandler):
                names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"Exception"}
                assert not names & {"Exception", "BaseException"}, where


def public_functions(body):
    """Functions and methods of a module or class whose names are no one's own business."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name.endswith("__")):
            yield node


def is_bare(annotation):
    """Whether an annotation has an array without a shape in it, as list[np.ndarray] does."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.Name | ast.Attribute):
        return ast.unparse(annotation) in BARE
    if isinstance(annotation, ast.Subscript) and hasattr(jaxtyping, ast.unparse(annotation.value)):
        return False
    return any(is_bare(part) for part in ast.iter_child_nodes(annotation))


def bare_arrays(source):
    """Arguments and results (->) of public functions that are annotated as arrays of any shape."""
    for function in public_functions(ast.parse(source).body):
        about = function.args
        for argument in (*about.posonlyargs, *about.args, *about.kwonlyargs, about.vararg, about.kwarg):
            if argument and argument.annotation and is_bare(argument.annotation):
                yield f"{function.name} {argument.arg}"
        if function.returns and is_bare(function.returns):
            yield f"{function.name} ->"


@pytest.mark.parametrize("folder", SHAPED)
def test_arrays_of_public_functions_have_shapes(folder):
    files = sorted((ROOT / "barrel_jax" / folder).glob("*.py"))
    assert len(files) > 1
    assert {path.name: found for path in files if (found := list(bare_arrays(path.read_text())))} == {}


@pytest.mark.parametrize(
    ("function", "bare"),
    [
        ("def f(x: np.ndarray): ...", ["f x"]),
        ("def f(*, x: 'jax.Array | None' = None) -> tuple[str, np.ndarray]: ...", ["f x", "f ->"]),
        ("def f(x: Callable[[int], AnyArray], *rest: np.ndarray): ...", ["f x", "f rest"]),
        ("class A:\n    @property\n    def f(self) -> dict[str, np.ndarray]: ...", ["f ->"]),
        ("class A:\n    def __call__(self, x: np.ndarray): ...", ["__call__ x"]),
        ("def f(x: Float[np.ndarray, 'n']) -> list[Bool[jax.Array, 'n']] | None: ...", []),
        ("def _f(x: np.ndarray): ...\nclass _A:\n    def f(self, x: np.ndarray): ...", []),
    ],
)
def test_an_array_without_a_shape_is_seen(function, bare):
    assert list(bare_arrays(function)) == bare


def test_pictures_lie_with_what_shows_them():
    strays = [path for end in ("png", "jpg", "gif", "mp4") for path in ROOT.glob(f"*.{end}")]
    assert strays == []


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their names."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
