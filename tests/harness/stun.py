# SPDX-License-Identifier: GPL-2.0-or-later
"""An ICE candidate that answers connectivity checks (RFC 8445, RFC 8489), two ports: RTP and RTCP."""

import hashlib
import hmac
import select
import socket
import struct
import threading
import zlib

_PASSWORD = b"0123456789012345678901"
_COOKIE = 0x2112A442


def _attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value


def _answer(check, source):
    """The success response to a binding request from this address."""
    address = struct.unpack("!I", socket.inet_aton(source[0]))[0] ^ _COOKIE
    body = _attribute(0x0020, struct.pack("!BBHI", 0, 1, source[1] ^ _COOKIE >> 16, address))
    head = lambda more: struct.pack("!HH", 0x0101, len(body) + more) + check[4:20]
    body += _attribute(0x0008, hmac.new(_PASSWORD, head(24) + body, hashlib.sha1).digest())
    body += _attribute(0x8028, struct.pack("!I", zlib.crc32(head(8) + body) ^ 0x5354554E))
    return head(0) + body


class StunResponder:
    """.checks: binding requests that came; .media: anything else."""

    def __init__(self, host):
        self.host = host
        self.checks = self.media = 0
        self._closing = False

    def start(self):
        self.socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self.socks:
            sock.bind((self.host, 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def lines(self):
        """What SDP says of it."""
        ports = [sock.getsockname()[1] for sock in self.socks]
        return f"a=ice-ufrag:abcd\r\na=ice-pwd:{_PASSWORD.decode()}\r\n" + "".join(
            f"a=candidate:1 {component} UDP {2130706432 - component} {self.host} {port} typ host\r\n"
            for component, port in enumerate(ports, 1))

    def _serve(self):
        while not self._closing:
            for sock in select.select(self.socks, [], [], 0.2)[0]:
                data, source = sock.recvfrom(2048)
                if data[:2] == b"\0\1":
                    self.checks += 1
                    sock.sendto(_answer(data, source), source)
                else:
                    self.media += 1

    def stop(self):
        self._closing = True
        self.thread.join(2)
        for sock in self.socks:
            sock.close()
