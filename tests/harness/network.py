# SPDX-License-Identifier: GPL-2.0-or-later
"""Sites as network namespaces: each behind a link of its own, so that a test can cut it, drop its packets or refuse them.

    class TestThing(Case):
        def prepare(cls):
            network = cls.start_for_all(Network())      # from here on this thread, and what it starts, is in the core
            west = network.site("west")                 # its own namespace, west.host is its address
            with west.inside():
                endpoint.start()                        # sockets and daemons that are made here belong to the site
            west.cut(); west.mend()

Namespaces have no names: they exist as long as this process or a daemon in them, so nothing is left even after kill -9
(nsenter --net=/proc/<pid>/fd/<number> gets in). The core has 10.9.0.0/24 on its loopback.
"""

import contextlib
import ctypes
import itertools
import os
import subprocess
import unittest

CLONE_NEWNET = 0x40000000
CORE_HOST = "10.9.0.1"
FIRST_NETWORK, HOSTS = 1, 12
_libc = ctypes.CDLL(None, use_errno=True)
_loaded = {}

# What each fault adds to the site's filter; "in" comes from the gateway.
FAULTS = {
    "cut": ("in drop", "out drop"),
    "deaf": ("in drop",),
    "mute": ("out drop",),
    "refuse": ("in meta l4proto tcp reject with tcp reset", "in meta l4proto udp reject"),
    # The first SYN of a connection is lost, and its repetition refused: no error while the message is sent.
    "refuse_late": ("in tcp flags & (syn|ack) == syn ip saddr . tcp sport @seen reject with tcp reset",
                    "in tcp flags & (syn|ack) == syn add @seen { ip saddr . tcp sport } drop",
                    "in meta l4proto tcp reject with tcp reset", "in meta l4proto udp reject"),
}


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _new():
    """A new namespace; the calling thread stays where it is."""
    before = _current()
    try:
        if _libc.unshare(CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise unittest.SkipTest(f"no network namespaces here: {os.strerror(number)}")
        return _current()
    finally:
        _enter(before)
        os.close(before)


def command(*words, text=None):
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


class _Namespace:
    def __init__(self):
        self.descriptor = _new()

    @contextlib.contextmanager
    def inside(self):
        """The calling thread works in this namespace."""
        before = _current()
        _enter(self.descriptor)
        try:
            yield self
        finally:
            _enter(before)
            os.close(before)

    def close(self):
        os.close(self.descriptor)

    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"


class Site(_Namespace):
    """Reached over one link; hosts are its addresses, host the first of them."""

    def __init__(self, name, number):
        super().__init__()
        self.name, self.link = name, f"site{number}"
        self.gateway = f"10.9.{number}.254"
        self.hosts = [f"10.9.{number}.{host}" for host in range(1, HOSTS + 1)]
        self.host = self.hosts[0]
        command("ip", "link", "add", "name", self.link, "type", "veth", "peer", "name", "core", "netns", self.path())
        self._core_up()
        with self.inside():
            for host in self.hosts:
                command("ip", "address", "add", f"{host}/24", "dev", "core")
            command("ip", "link", "set", "lo", "up")
            command("ip", "link", "set", "core", "up")
            command("ip", "route", "add", "default", "via", self.gateway)
        self.mend()

    def _core_up(self):
        command("ip", "address", "add", f"{self.gateway}/24", "dev", self.link)
        command("ip", "link", "set", self.link, "up")

    def fault(self, name, hosts=()):
        """One of FAULTS, in place of the one before, for these addresses or all of the site."""
        rules = []
        for rule in FAULTS[name]:
            chain, action = rule.split(" ", 1)
            match = f"ip {'daddr' if chain == 'in' else 'saddr'} {{ {', '.join(hosts)} }} " if hosts else ""
            rules.append(f"add rule ip site {chain} {match}{action}")
        self._filter(rules)

    def cut(self):
        """No packet passes, in either direction, and nobody is told."""
        self.fault("cut")

    def link_down(self):
        """The gateway's own interface has lost its carrier: no route."""
        command("ip", "link", "set", self.link, "down")

    def mend(self):
        self._filter([])
        command("ip", "link", "set", self.link, "up")

    def _filter(self, rules):
        text = "\n".join(["add table ip site", "delete table ip site", "add table ip site",
                          "add set ip site seen { type ipv4_addr . inet_service; flags dynamic; timeout 1m; }",
                          "add chain ip site in { type filter hook input priority 0; }",
                          "add chain ip site out { type filter hook output priority 0; }", *rules])
        with self.inside():
            command("nft", "-f", "-", text=text + "\n")


class Network(_Namespace):
    """The core: where the gateway and the test are between start() and stop()."""

    def __init__(self):
        self.host = CORE_HOST
        self.sites = []
        self._numbers = itertools.count(FIRST_NETWORK)
        self._before = None

    def start(self):
        super().__init__()
        self._before = _current()
        _enter(self.descriptor)
        command("ip", "address", "add", f"{self.host}/24", "dev", "lo")
        command("ip", "link", "set", "lo", "up")
        return self

    def site(self, name):
        site = Site(name, next(self._numbers))
        self.sites.append(site)
        return site

    def stop(self):
        if self._before is None:
            return
        _enter(self._before)
        os.close(self._before)
        self._before = None
        for site in self.sites:
            site.close()
        self.close()
