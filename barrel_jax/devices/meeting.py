# SPDX-License-Identifier: Apache-2.0
"""A meeting of a run's processes before JAX's service starts, which finds those that are missing or of another run.

JAX's own time-outs end a process with a stack trace of its C++, and processes of different numbers train on, each among
its own. So process 0 listens at the address first; the others tell it who they are, and it tells each what is wrong.
"""

import socket
import time

LINGER = 15.0  # seconds in which process 0 tells those who come later that something is wrong
GREETING = 64  # bytes at most: number of processes and which of them this is
WORDS = 1 << 16  # bytes at most of what process 0 answers


def meet(host: str, port: int, count: int, index: int, seconds: float, setting: str) -> None:
    """Returns when all processes of a run have met.

    Args:
        host: where process 0 runs.
        port: where it listens.
        count: of how many processes this one was started as one.
        index: which of them it is, from 0.
        seconds: how long to wait.
        setting: what was given as config.distributed, for errors.

    Raises:
        ValueError: the port is taken, or the processes were not started as of one run; said by each.
        TimeoutError: not all have come, or nobody listens; names who is missing.
    """
    if index:
        _report(host, port, count, index, seconds, setting)
    else:
        _receive(host, port, count, seconds, setting)


def _listen(port: int, setting: str) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise ValueError(f"{setting}: port {port} cannot be had on this host ({error}); choose another") from error


def _receive(host: str, port: int, count: int, seconds: float, setting: str) -> None:
    here: dict[int, socket.socket] = {}
    largest, wrong, deadline = count, "", time.monotonic() + seconds
    try:
        with _listen(port, setting) as listening:
            print(f"waiting at {host}:{port} for {count} processes, at most {seconds} s", flush=True)
            listening.settimeout(0.2)
            while time.monotonic() < deadline:
                _forget_those_who_left(here)
                if len(here) >= largest - 1:
                    break
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                greeting = _line(connection, 2.0, GREETING).split()
                if len(greeting) != 2 or not all(word.isdecimal() for word in greeting):
                    connection.close()  # something else that knocks at ports
                    continue
                theirs, other = map(int, greeting)
                _forget_those_who_left(here)
                if other in here:
                    wrong = wrong or f"two processes were started as process {other}"
                    other, largest = max(here) + 1, largest + 1  # is told so as well
                elif theirs != count:
                    wrong = wrong or (
                        f"process {other} was started as one of {theirs}, and process 0 as one of {count}; start all "
                        "as of one number"
                    )
                here[other], largest = connection, max(largest, theirs)
                deadline = min(deadline, time.monotonic() + LINGER) if wrong else deadline
        missing = sorted(set(range(1, count)) - here.keys())
        late = not wrong and bool(missing)
        if late:
            names = f"process{'es' if len(missing) > 1 else ''} {', '.join(map(str, missing))} of {count}"
            wrong = (
                f"{names} did not come to {host}:{port} within {seconds} s; start each with config.distributed="
                f"{host}:{port},{count},INDEX (one that is started without it trains alone)"
            )
        for connection in here.values():
            connection.settimeout(2.0)
            try:
                connection.sendall(wrong.encode() + b"\n")
            except OSError:
                continue  # it has left, and JAX's service will miss it
    finally:
        for connection in here.values():
            connection.close()
    if wrong:
        raise (TimeoutError if late else ValueError)(f"{setting}: {wrong}")


def _report(host: str, port: int, count: int, index: int, seconds: float, setting: str) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = socket.create_connection((host.strip("[]"), port), timeout=5)  # of IPv6: [::1]
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{setting}: nobody listens at {host}:{port} after {seconds} s ({error}). Process 0 runs there: "
                    "see that it is started, that the address is right and that no firewall is between; "
                    "config.join_seconds is how long to wait"
                ) from error
            time.sleep(0.2)
    with connection:
        connection.sendall(f"{count} {index}\n".encode())
        answer = _line(connection, seconds + LINGER, WORDS)
    if not answer:
        raise TimeoutError(f"{setting}: process 0 at {host}:{port} left, or did not answer; see what it says")
    if wrong := answer.strip():
        raise ValueError(f"{setting}: {wrong}")


def _forget_those_who_left(here: dict[int, socket.socket]) -> None:
    for gone in [other for other, connection in here.items() if _has_left(connection)]:
        here.pop(gone).close()  # it may be started again


def _has_left(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _line(connection: socket.socket, seconds: float, most: int) -> str:
    """A line of text with its end, at most `most` bytes; '' where none comes in time."""
    connection.settimeout(seconds)
    text = b""
    try:
        while not text.endswith(b"\n") and len(text) < most and (more := connection.recv(most)):
            text += more
    except OSError:
        return ""
    return text.decode(errors="replace") if text.endswith(b"\n") else ""
