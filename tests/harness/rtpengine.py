# SPDX-License-Identifier: GPL-2.0-or-later
"""The real rtpengine, in user space, with free ports, our plugin loaded or not; that of Debian 13 in its own folder."""

import functools
import itertools
import json
import os
import re
import socket
import subprocess
import unittest

from .daemon import Daemon
from .paths import BUILD, ROOT
from .ports import MediaPorts, free_port

PLUGIN = BUILD / "rtpengine-plugins" / "srtp_enforcer" / "srtp_enforcer.so"

# Runs rtpengine in a folder as if it were the root, with /proc and what the test hands in; nothing stays mounted.
_CHROOT = """mount -t proc proc "$1/proc" && mount -t tmpfs -o mode=755 tmpfs "$1/mnt" && cp "$2" "$1/mnt/plugin.so" &&
cp "$3" "$1/mnt/rtpengine.conf" && root=$1 && preload=$4 && shift 4 &&
exec chroot "$root" /usr/bin/env ${preload:+LD_PRELOAD=$preload} /usr/bin/rtpengine "$@"
"""

_cookie = itertools.count(1)


@functools.cache
def installed_version():
    """"10.5" or "12.5": of the rtpengine that is installed."""
    done = subprocess.run(["rtpengine", "--version"], capture_output=True, text=True)
    return re.search(r"(\d+\.\d+)\.\d+", done.stdout + done.stderr).group(1)


@functools.cache
def debian13():
    """The folder with Debian 13's rtpengine; skips the test, with the reason, where there can be none."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("rtpengine of Debian 13: chroot needs root")
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    if done.returncode:
        raise unittest.SkipTest(f"rtpengine of Debian 13: no mount namespace: {done.stderr.strip()}")
    done = subprocess.run([ROOT / "scripts" / "debian-13"], capture_output=True, text=True)
    if done.returncode:
        raise unittest.SkipTest(f"rtpengine of Debian 13: {done.stderr.strip()}")
    return done.stdout.strip()


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(key) + bencode(item) for key, item in value.items()) + b"e"
    data = value.encode() if isinstance(value, str) else value
    return b"%d:%s" % (len(data), data)


def _decode(data, at):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1:end].decode(errors="replace"), end


def bdecode(data):
    return _decode(data, 0)[0]


def ask(port, host="127.0.0.1", timeout=1.0, **words):
    """One ng command: ask(2223, command="query", call_id="x"). The reply, {} if none comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((host, port))
        try:
            # a repeated cookie gets the cached reply
            sock.send(b"%d.%d %s" % (os.getpid(), next(_cookie),
                                     bencode({key.replace("_", "-"): value for key, value in words.items()})))
            return bdecode(sock.recv(65535).split(b" ", 1)[1])
        except OSError:
            return {}


class Rtpengine(Daemon):
    """plugin: loaded by LD_PRELOAD. settings: a configuration file. root: the folder of another Debian."""

    name = "rtpengine"

    def __init__(self, folder, address="127.0.0.1", media_ports=400, name=None, plugin=False, settings=None, root=None,
                 log_level=6, threads=2):
        self.address = address
        self.media_ports = MediaPorts(media_ports, address)
        self.ports = self.media_ports.range
        self.port = free_port(address)
        name = name or self.name
        config = "none" if settings is None else folder.write(f"{name}.conf", settings)
        options = [
            "--foreground", "--log-stderr", f"--log-level={log_level}", "--table=-1", f"--num-threads={threads}",
            f"--interface={address}", f"--listen-ng={address}:{self.port}", f"--port-min={self.ports[0]}",
            f"--port-max={self.ports[-1]}", "--delete-delay=0",
            *(["--log-level-control=3"] if plugin else [])]  # else it logs keys, and the plugin refuses that
        if root:
            handed = config if settings is not None else folder.write("empty.conf", "")
            command = ["unshare", "--mount", "--propagation=private", "sh", "-c", _CHROOT, "sh", root, PLUGIN, handed,
                       "/mnt/plugin.so" if plugin else "", *options,
                       "--config-file=" + ("none" if settings is None else "/mnt/rtpengine.conf")]
        else:
            command = ["rtpengine", *options, f"--pidfile={folder / f'{name}.pid'}", f"--config-file={config}"]
        super().__init__(folder, command, name, env={"LD_PRELOAD": str(PLUGIN)} if plugin and not root else None)

    def start(self, timeout=15.0):
        self.media_ports.hold()
        return super().start(timeout)

    def stop(self, timeout=10.0):
        super().stop(timeout)
        self.media_ports.give_back()

    def ready(self):
        return self.command_reply(b"d7:command4:pinge") is not None

    def exchange(self, datagram, timeout=0.3):
        """A whole datagram: the reply, or None."""
        with socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.connect((self.address, self.port))
            try:
                sock.send(datagram)
                return sock.recv(65535)
            except OSError:
                return None

    def command_reply(self, body, timeout=0.3):
        """One ng command (bencode): the reply, or None."""
        return self.exchange(b"%d " % next(_cookie) + body, timeout)  # a repeated cookie gets the cached reply

    def ng(self, command, as_json=False, timeout=5, **fields):
        """One ng command of these fields ("call-id" is call_id), and the reply as a dictionary."""
        message = {"command": command, **{key.replace("_", "-"): value for key, value in fields.items()}}
        body = json.dumps(message).encode() if as_json else bencode(message)
        reply = self.command_reply(body, timeout)
        assert reply, f"no reply to {command}\n{self.log_tail()}"
        reply = reply.split(b" ", 1)[1]
        return json.loads(reply) if as_json else bdecode(reply)
