# SPDX-License-Identifier: GPL-2.0-or-later
"""baresip as a peer: a third party's SIP, SRTP and DTLS-SRTP. It records what it hears and sends it back."""

import json
import os
import re
import socket
import threading

from .daemon import Daemon
from .ports import MediaPorts, free_port
from .wait import wait_until


def baresip_modules():
    for path in ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"):
        if os.path.isdir(path):
            return path
    raise RuntimeError("baresip's modules are not installed")


class Control:
    """baresip's control connection (module ctrl_tcp): orders to it, its events in .events."""

    def __init__(self, sock):
        self.sock, self.events = sock, []
        sock.settimeout(None)
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def connect(cls, address, port):
        """None as long as it does not listen."""
        try:
            return cls(socket.create_connection((address, port), 1))
        except OSError:
            return None

    def close(self):
        self.sock.close()

    def _listen(self):
        data = b""
        while True:
            try:
                more = self.sock.recv(65536)
            except OSError:
                return
            if not more:
                return
            data += more
            while (found := re.match(rb"(\d+):", data)) and len(data) > found.end() + int(found[1]):
                end = found.end() + int(found[1])
                self.events.append(json.loads(data[found.end():end]))
                data = data[end + 1:]

    def order(self, name, text=""):
        message = json.dumps({"command": name, "params": text, "token": name}).encode()
        self.sock.sendall(b"%d:%s," % (len(message), message))


class Baresip(Daemon):
    """encryption: "srtp-mand" (SDES), "dtls_srtp", or "" (plain RTP). It answers every call; .dial() places one."""

    name = "baresip"

    def __init__(self, folder, address, port, proxy, encryption, user="baresip", name=None):
        self.address, self.port, self.user = address, port, user
        self.control, self.control_port = None, free_port(address)
        self.home = folder / f"{name or self.name}.home"
        self.home.mkdir()
        self.media_ports = MediaPorts(64, address)
        media = self.media_ports.range
        modules = "".join(f"module {module}.so\n" for module in (
            "g711", "aubridge", "sndfile", "srtp", "dtls_srtp", "ctrl_tcp"))
        (self.home / "config").write_text(
            f"poll_method epoll\nnet_interface {address}\nsip_listen {address}:{port}\n"
            f"audio_source aubridge,loop\naudio_player aubridge,loop\nausrc_srate 8000\nauplay_srate 8000\n"
            f"ausrc_channels 1\nauplay_channels 1\nrtp_ports {media[0]}-{media[-1]}\nsnd_path {self.home}\n"
            f"module_path {baresip_modules()}\n{modules}module_app account.so\nmodule_app menu.so\n"
            f"ctrl_tcp_listen {address}:{self.control_port}\n")
        encrypted = f";mediaenc={encryption}" if encryption else ""
        (self.home / "accounts").write_text(
            f"<sip:{user}@{address}:{port}>;regint=0;answermode=auto{encrypted}"
            f";outbound=\"sip:{proxy[0]}:{proxy[1]}\";audio_codecs=PCMA/8000/1\n")
        (self.home / "contacts").write_text("")
        super().__init__(folder, ["baresip", "-4", "-s", "-f", self.home], name)

    def ready(self):
        self.control = Control.connect(self.address, self.control_port)
        return self.control is not None

    def stop(self, timeout=10.0):
        if self.process is not None and self.control:
            self.control.close()
        super().stop(timeout)
        self.media_ports.give_back()

    def dial(self, uri):
        self.control.order("dial", uri)

    def hang_up(self):
        self.control.order("hangup")

    def event(self, kind, timeout=10):
        """The first event of this kind that was not taken yet."""
        found = wait_until(lambda: next((e for e in self.control.events if e.get("type") == kind), None), timeout,
                           f"{kind} at {self.name}")
        self.control.events.remove(found)
        return found

    def recordings(self):
        """Its recordings of what it heard, one a call."""
        return sorted(self.home.glob("dump-*-dec.wav"))


def samples_of_wav(path):
    """The 16-bit samples of a recording that may still grow: its header does not know its length yet."""
    data = path.read_bytes()
    start = data.find(b"data") + 8
    body = data[start:] if start >= 8 else b""
    return [int.from_bytes(body[i:i + 2], "little", signed=True) for i in range(0, len(body) - 1, 2)]
