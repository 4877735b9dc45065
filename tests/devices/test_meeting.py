# SPDX-License-Identifier: Apache-2.0
"""The meeting of processes before JAX's service starts, in which each is told what is wrong."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from barrel_jax.devices import meeting
from barrel_jax.devices.meeting import meet
from tests.kit.processes import free_port


def gathered(*processes, seconds=20, host="127.0.0.1"):
    """What each of several processes (count, index), here threads, is told; '' for nothing."""
    port = free_port()

    def one(given):
        try:
            meet(host, port, *given, seconds, "setting")
        except (ValueError, TimeoutError) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(one, processes))


def test_processes_of_one_number_meet_in_any_order():
    assert gathered((3, 2), (3, 0), (3, 1)) == ["", "", ""]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
def test_they_meet_at_an_address_of_ipv6():
    assert gathered((2, 1), (2, 0), host="[::1]") == ["", ""]


@pytest.mark.parametrize("processes", [((2, 0), (3, 1), (3, 2)), ((3, 0), (2, 1)), ((2, 0), (4, 3))])
def test_different_numbers_are_told_to_each(processes, monkeypatch):
    monkeypatch.setattr(meeting, "LINGER", 1.0)
    for words in gathered(*processes):
        assert re.search(r"process \d was started as one of \d, and process 0 as one of \d; start all as of", words)


def test_two_of_one_index_are_told_so(monkeypatch):
    monkeypatch.setattr(meeting, "LINGER", 1.0)
    for words in gathered((3, 0), (3, 1), (3, 1)):
        assert "two processes were started as process 1" in words


def test_who_is_missing_is_told_to_those_who_came():
    """As where one was started without config.distributed, which trains alone."""
    for words in gathered((3, 0), (3, 2), seconds=1):
        assert "process 1 of 3 did not come to 127.0.0.1:" in words
        assert "one that is started without it trains alone" in words


def test_strangers_and_the_dead_are_no_processes():
    port = free_port()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(meet, "127.0.0.1", port, 3, 0, 20, "setting")
        for greeting in (b"", b"GET / HTTP/1.1\n", b"\xff" * 200, b"3 one\n", b"3 1\n"):
            with knocking(port) as stranger:
                stranger.sendall(greeting)
            time.sleep(0.1)  # it has left before the next one comes
        assert not first.done()
        others = [pool.submit(meet, "127.0.0.1", port, 3, index, 20, "setting") for index in (1, 2)]
        for process in (first, *others):
            process.result()


def test_a_process_that_died_and_is_started_again_at_once_is_no_second_one():
    port = free_port()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(meet, "127.0.0.1", port, 3, 0, 20, "setting")
        with knocking(port) as dead:
            dead.sendall(b"3 1\n")
            time.sleep(0.5)  # process 0 knows it, and waits for the next one
        others = [pool.submit(meet, "127.0.0.1", port, 3, index, 20, "setting") for index in (1, 2)]
        for process in (first, *others):
            process.result()


def knocking(port):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)


def test_a_process_0_that_leaves_is_no_agreement():
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        port = listening.getsockname()[1]
        told = pool.submit(meet, "127.0.0.1", port, 2, 1, 5, "setting")
        listening.accept()[0].close()
        with pytest.raises(TimeoutError, match=r"process 0 at 127\.0\.0\.1:.* left, or did not answer"):
            told.result()
