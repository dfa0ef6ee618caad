# SPDX-License-Identifier: GPL-2.0-or-later
"""The real rtpengine, in user space, with free ports."""

import itertools
import socket

from .daemon import Daemon
from .ports import free_port, free_range


_cookie = itertools.count(1)


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
