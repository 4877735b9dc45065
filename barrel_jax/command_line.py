# SPDX-License-Identifier: Apache-2.0
"""The arguments of a program, and how it ends when something is wrong: the same for every program.

Wrong usage ends with status 2. What a user can mend (a file, a setting, a machine) ends with status 1 and one line on
standard error that names it and the remedy, as does a device or a process that is lost; `--debug` shows the traceback.
Ctrl-C ends with status 130, as shells say it, but for a camera (`barrel_jax.predict`), which has no other end. Any
other exception is a fault of this project and keeps its traceback.
"""

import argparse
import contextlib
import difflib
import gc
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags, logging

from barrel_jax.extras import remedy
from barrel_jax.picture_heads import MAX_PIXELS

# Raised, in this project's words, for what a user gave. What libraries raise at the border is turned into these there.
MENDABLE = (ValueError, OSError, FloatingPointError)
STOPPED = 130  # status of a program that Ctrl-C ended, 128 and the number of SIGINT


class Parser(argparse.ArgumentParser):
    """A program's arguments: words are parted by hyphens, and underscores are taken for them.

    Args:
        prog: the program's name.
        description: what it does.
        ending: gives the end of the help, and is asked only when that is shown.
    """

    def __init__(self, prog: str, description: str | None, ending: Callable[[], str] | None = None) -> None:
        super().__init__(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self._ending = ending
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def format_help(self) -> str:
        """As argparse does, with the ending."""
        self.epilog = self._ending() if self._ending else None
        return super().format_help()

    def parse_known_args(  # type: ignore[override]  # typeshed has overloads by the namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does, after `--image_size` has become `--image-size`; config fields keep their underscores."""
        self._is_program = args is None
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([_hyphened(word) for word in words], namespace)

    def add_max_pixels(self) -> None:
        """An argument for `picture_heads.max_pixels`."""
        self.add_argument(
            "--max-pixels",
            type=int,
            default=MAX_PIXELS,
            help="of a picture; larger ones are refused before they are decoded (default: %(default)s)",
        )

    def run(self, args: argparse.Namespace, work: Callable[[], int | None]) -> int:
        """Does the work of the program and returns its exit status: that of `work`, None being 0.

        Args:
            args: the parsed arguments.
            work: what the program does.
        """
        if self._is_program:
            # What is imported stays, and so does most of what traces make: looking for cycles there took a tenth of the
            # processor's time of a short training.
            gc.freeze()
            gc.set_threshold(20_000, 20, 50)
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # libraries read absl's flags, which no program here defines
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a file's name need not be Unicode
        # Orbax and TFDS tell every file they touch, and orbax the trace of every thread that an error ends.
        logging.set_verbosity(logging.WARNING if args.debug else logging.FATAL)
        try:
            with _interrupts_kept():
                return work() or 0
        except MENDABLE as error:
            if args.debug:
                raise
            return self._end(in_one_line(error))
        except ModuleNotFoundError as error:
            line = remedy(error.name or "")
            if args.debug or not line:
                raise
            return self._end(line)
        except RuntimeError as error:
            # By its name: the usage of a command need not wait for JAX.
            if args.debug or type(error).__name__ != "JaxRuntimeError":
                raise
            return self._end(_of_jax(error))
        except KeyboardInterrupt:
            if args.debug:
                raise
            self.complain("stopped; the same command starts again")
            return STOPPED

    def _end(self, text: str) -> int:
        with _nothing_after() if self._is_program else contextlib.nullcontext():
            self.complain(text)
        return 1

    def complain(self, text: str) -> None:
        """Says on standard error what is wrong, after the program's name."""
        print(f"{self.prog.removeprefix('python -m ').removeprefix('barrel_jax.')}: {text}", file=sys.stderr)


@contextlib.contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Sends a Ctrl-C once more that fell into a callback whose errors Python drops, as JAX's at garbage collection."""
    hook = sys.unraisablehook
    again = threading.get_ident(), signal.SIGINT  # a thread that waits is woken by a signal of its own alone

    def interrupt_again(dropped: Any) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            threading.Timer(0.05, signal.pthread_kill, again).start()  # not from here: Python would drop it again
        else:
            hook(dropped)

    sys.unraisablehook = interrupt_again
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _of_jax(error: BaseException) -> str:
    """What a device, a process or a connection that failed is to a user; JAX has one exception for all."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")[:300]
    if "RESOURCE_EXHAUSTED" in first:
        return f"out of memory: take a smaller batch or image size, or more devices ({first})"
    return (
        "a device, or another process of the run, failed or was lost; start the same command again, and --debug shows "
        f"the traceback ({first})"
    )


@contextlib.contextmanager
def _nothing_after() -> Iterator[None]:
    """What is said in here is the last of standard error, whatever threads of libraries say while the process ends."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    with os.fdopen(kept, "w", errors="backslashreplace") as last, contextlib.redirect_stderr(last):
        # A thread may have begun a line, and orbax's threads may have ended since.
        if threading.active_count() > 1 or "orbax.checkpoint" in sys.modules:
            last.write("\n")
        yield


def in_one_line(error: BaseException) -> str:
    """What an error says, an operating system's with its file first."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def words(text: str) -> list[str]:
    """The words of a list that is written with commas, as an argument's `type`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def meant(word: str, known: Mapping[str, str]) -> str:
    """'; did you mean X?' for what is known under the word nearest to one that is not known, '' when none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean {known[near[0]]}?" if near else ""


def _hyphened(word: str) -> str:
    if not re.match(r"--[a-zA-Z]", word) or word.startswith("--config."):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value
