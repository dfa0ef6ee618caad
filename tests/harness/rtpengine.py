# SPDX-License-Identifier: GPL-2.0-or-later
"""The real rtpengine, in user space, with free ports."""

import itertools
import os
import socket

from .daemon import Daemon
from .ports import free_port, free_range


_cookie = itertools.count(1)


# ----- the control protocol (ng) -----


def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    text = value.encode()
    return b"%d:%s" % (len(text), text)


def bdecode(data, at=0):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in b"ld":
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = bdecode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    end = data.index(b":", at)
    length = int(data[at:end])
    return data[end + 1:end + 1 + length].decode("utf-8", "replace"), end + 1 + length


def ask(port, host="127.0.0.1", timeout=1.0, **words):
    """One ng command: ask(2223, command="query", call_id="x"). The reply, {} if none comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((host, port))
        try:
            # a repeated cookie gets the cached reply
            sock.send(b"%d.%d %s" % (os.getpid(), next(_cookie),
                                     bencode({key.replace("_", "-"): value for key, value in words.items()})))
            return bdecode(sock.recv(65535).split(b" ", 1)[1])[0]
        except OSError:
            return {}


# ----- the daemon -----


class Rtpengine(Daemon):
    name = "rtpengine"

    def __init__(self, folder, address="127.0.0.1", media_ports=400, name=None):
        self.address = address
        self.port = free_port(address)
        self.first = free_range(media_ports, address)
        super().__init__(folder, [
            "rtpengine", "--foreground", "--log-stderr", "--log-level=6", "--table=-1", "--num-threads=2",
            f"--interface={address}", f"--listen-ng={address}:{self.port}", f"--port-min={self.first}",
            f"--port-max={self.first + media_ports - 1}", f"--pidfile={folder / 'rtpengine.pid'}", "--delete-delay=0",
            "--config-file=none"], name)

    def ready(self):
        return self.command_reply(b"d7:command4:pinge") is not None

    def command_reply(self, body, timeout=0.3):
        """One ng command (bencode): the reply, or None."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.connect((self.address, self.port))
            try:
                sock.send(b"%d " % next(_cookie) + body)  # a repeated cookie gets the cached reply
                return sock.recv(65535)
            except OSError:
                return None
