# SPDX-License-Identifier: GPL-2.0-or-later
"""Free ports on the loopback addresses."""

import random
import socket

_given = set()


def _is_free(host, port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def free_port(host="127.0.0.1"):
    """A port that is free for UDP and TCP and that this run did not give out before."""
    while True:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def free_ports(count, host="127.0.0.1"):
    return [free_port(host) for _ in range(count)]


class MediaPorts:
    """Ports in a row for RTP, of this test alone from hold() to give_back().

    They are below those that the kernel gives out, and marked by abstract sockets, which end with the process: rtpengine
    binds each only when a call needs it, and so that it may take one that somebody else has.
    """

    FIRST, LAST, BLOCK = 10000, 32700, 100

    def __init__(self, count, host="127.0.0.1"):
        self.host, self._marks = host, []
        for _ in range(1000):
            self.first = random.randrange(self.FIRST, self.LAST - count, self.BLOCK)
            self.range = range(self.first, self.first + count)
            if self._mark() and all(_is_free(host, port) for port in self.range):
                return
            self.give_back()
        raise AssertionError("no free range of ports")

    def _mark(self):
        for block in range(self.first, self.range[-1] + 1, self.BLOCK):
            mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._marks.append(mark)
            try:
                mark.bind(f"\0trunkgate-media-{self.host}-{block}")
            except OSError:
                return False
        return True

    def hold(self):
        """Once more, after give_back()."""
        if not self._marks and not self._mark():
            self.give_back()
            raise AssertionError(f"another test has ports of {self.range} by now")

    def give_back(self):
        while self._marks:
            self._marks.pop().close()
