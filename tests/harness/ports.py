# SPDX-License-Identifier: GPL-2.0-or-later
"""Free ports on the loopback addresses."""

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


def free_range(count, host="127.0.0.1", first=20000, last=60000):
    """The first of count ports in a row, even, free for UDP (rtpengine's media)."""
    import random

    for _ in range(200):
        start = random.randrange(first, last - count) & ~1
        if all(_is_free(host, port) for port in range(start, start + count)):
            return start
    raise AssertionError("no free range of ports")
