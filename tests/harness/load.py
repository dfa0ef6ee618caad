# SPDX-License-Identifier: GPL-2.0-or-later
"""sip_load (tests/bench): calls at a steady rate, and all endpoints of one site in a process that can be killed."""

import contextlib
import itertools
import signal
import socket

from .daemon import Daemon, Failure
from .paths import binary
from .wait import wait_until

_serial = itertools.count(1)


class Load(Daemon):
    """site: a Site in whose namespace it runs, or None."""

    def __init__(self, folder, role, title, ports, site=None, **options):
        self.site = site
        self.ports = ports
        number = next(_serial)
        self.events = folder / f"{title}-{number}.events"
        self.socket = folder / f"{title}-{number}.ctl"
        command = [binary("sip_load"), role, "--log", self.events, "--control", self.socket]
        for port in ports:
            command += ["--listen", port]
        for key, value in options.items():
            if value is not None:
                command += [f"--{key}", value]
        super().__init__(folder, command, f"{title}-{number}")

    def start(self, timeout=15.0):
        with self.site.inside() if self.site else contextlib.nullcontext():
            return super().start(timeout)

    def ready(self):
        return self.socket.exists() and self.tell("counts") is not None

    def tell(self, word, timeout=2.0):
        """A command to the control socket: its answer, None if there is none."""
        own = self.socket.with_suffix(".answer")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            own.unlink(missing_ok=True)
            sock.bind(str(own))  # by name: abstract ones stay within a namespace
            try:
                sock.connect(str(self.socket))
                sock.send(word.encode())
                return sock.recv(256).decode()
            except OSError:
                return None

    def stop(self, timeout=5.0):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        super().stop(timeout)


class SiteLoad(Load):
    """The endpoints of a site; ports as "udp:10.9.1.1:5060"."""

    def __init__(self, folder, site, ports, certificate=None, key=None, ring=1000, name=None, **options):
        self.label = name or site.name
        super().__init__(folder, "answer", self.label, ports, site, name=self.label, certificate=certificate, key=key,
                         ring=ring, **options)

    def behave(self, name):
        """One of the behaviours in load_answer.c."""
        answer = self.tell(name)
        if answer != "ok":
            raise Failure(f"{self.name}: {name}: {answer} (status {self.process.poll()})\n{self.log_tail()}")

    def happened(self):
        """[(ns, what, call id, port number)] in order."""
        rows = []
        for line in self.events.read_text().splitlines():
            words = line.split(" ")
            if len(words) == 4:
                rows.append((int(words[0]), words[1], words[2], int(words[3])))
        return rows

    def unacknowledged(self):
        """The calls that were answered and got no ACK, or no end."""
        calls = {}
        for _, what, call, port in self.happened():
            calls.setdefault((call, port), set()).add(what)
        return [key for key, seen in calls.items() if "answered" in seen and not {"confirmed", "ended"} <= seen]


class Outcome:
    """What became of one call; times in ns of CLOCK_MONOTONIC, 0: never."""

    def __init__(self, line):
        words = line.split(" ")
        self.number, self.begun, self.ringing, self.answered, self.status, self.finals, self.end = map(int, words[:7])
        self.tag = words[7].strip()
        self.site = self.tag.split(".")[0]

    @property
    def delay(self):
        """Post-dial delay in ms, None if nobody rang."""
        return (self.ringing - self.begun) / 1e6 if self.ringing else None


class Calls(Load):
    def __init__(self, folder, listen, gateway, to, rate, seconds, name="calls", **options):
        super().__init__(folder, "call", name, [listen], to=to, rate=rate, seconds=seconds,
                         gateway=f"{gateway[0]}:{gateway[1]}", **options)

    def counts(self):
        """begun, answered, over without an answer, over after one, alive"""
        return [int(word) for word in (self.tell("counts") or "").split()]

    def finish(self, timeout=120):
        """No new calls; waits until the last is over; the outcomes."""
        self.tell("stop")
        return self.wait(timeout)

    def wait(self, timeout=120):
        wait_until(lambda: self.process.poll() is not None, timeout, f"{self.name} ends", 0.05)
        return self.outcomes()

    def outcomes(self):
        return [Outcome(line) for line in self.events.read_text().splitlines() if line.count(" ") == 7]
