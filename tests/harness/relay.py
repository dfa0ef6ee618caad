# SPDX-License-Identifier: GPL-2.0-or-later
"""An rtpengine that is not well: what the real one cannot be made to do."""

import re
import socket
import threading


class Relay:
    """A control socket of an rtpengine that is not well; it answers these commands with these replies.

    A reply that is a function is asked for the bytes. said: the commands that came, pings left out.
    """

    def __init__(self, **replies):
        self.replies = {name.encode(): text.encode() for name, text in replies.items()}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.url = f"udp:127.0.0.1:{self.port}"
        self.said = []
        self._closing = False

    def start(self):
        self.sock.settimeout(0.2)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def _serve(self):
        while not self._closing:
            try:
                data, source = self.sock.recvfrom(65535)
            except socket.timeout:
                continue
            cookie, _, body = data.partition(b" ")
            found = re.search(rb"7:command(\d+):", body)
            command = found and body[found.end():][:int(found[1])]
            if command and command != b"ping":
                self.said.append(command.decode())
            reply = self.replies.get(command and command[:4])
            reply = reply() if callable(reply) else reply
            if reply:
                self.sock.sendto(cookie + b" " + reply, source)

    @property
    def asked(self):
        return len(self.said)

    def stop(self):
        self._closing = True
        self.thread.join(2)
        self.sock.close()
