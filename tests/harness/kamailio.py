# SPDX-License-Identifier: GPL-2.0-or-later
"""The real Kamailio with a given configuration, its RPC, and trunkgate-worker without Kamailio."""

import os
import re
import signal
import socket

from .daemon import Daemon, Failure, processes_of, run
from .paths import binary, module_path
from .wait import wait_until


def kamcmd_text(value):
    """An argument that kamcmd sends as text, whatever it looks like."""
    return f"s:{value}"


class Kamailio(Daemon):
    """Kamailio with a cfg text or file. The cfg must load ctl with: modparam("ctl", "binrpc", "unix:@CTL@").

    In a cfg given as text these words are replaced: @CTL@ (control socket), @STORE@, @SOCKET@ (of the worker),
    @WORKER@ (its executable), @FOLDER@. defines become Kamailio's -A name=value.
    """

    name = "kamailio"

    def __init__(self, folder, cfg=None, cfg_file=None, defines=None, name=None, children=None, shm=64, env=None):
        self.ctl = folder / "kamailio.ctl"
        self.store = folder / "trunkgate.db"
        self.socket = folder / "worker.sock"
        if cfg is not None:
            for word, value in {"@CTL@": self.ctl, "@STORE@": self.store, "@SOCKET@": self.socket,
                                "@FOLDER@": folder}.items():
                cfg = cfg.replace(word, str(value))
            if "@WORKER@" in cfg:
                cfg = cfg.replace("@WORKER@", binary("trunkgate-worker"))
            if "exit_timeout" not in cfg:
                cfg = f"exit_timeout=3  # one that stops soon after its start may miss the signal\n{cfg}"
            cfg_file = folder.write(f"{name or self.name}.cfg", cfg)
        self.cfg_file = cfg_file
        command = ["kamailio", "-f", cfg_file, "-L", module_path(), "-DD", "-E", "-m", shm, "-M", 8,
                   "-Y", folder, "-w", folder]
        if children:
            command += ["-n", children]
        for key, value in (defines or {}).items():
            command += ["-A", key if value is None else f"{key}={value}"]
        super().__init__(folder, command, name, env)

    def check(self):
        """kamailio -c: (status, output)."""
        words = [word for word in self.command if word not in ("-DD", "-E")]
        status, out, err = run(words + ["-c"])
        return status, out + err

    def ready(self):
        return self.ctl.exists() and self.rpc("core.version")[0] == 0

    def stop(self, timeout=10.0):
        super().stop(timeout)
        for path in (self.ctl, self.socket):
            path.unlink(missing_ok=True)
        core = self.folder / "core"
        if core.exists():
            raise Failure(f"{self.name} crashed: gdb {self.command[0]} {core}\n{self.log_tail()}")

    def rpc(self, *words, timeout=15):
        """kamcmd with these words: (status, output and error in one text)."""
        status, out, err = run(["kamcmd", "-s", f"unix:{self.ctl}", *words], timeout=timeout)
        text = (out + err).strip()
        if text.startswith("error:"):
            status = status or 1
        return status, text

    def call(self, *words):
        """As rpc(), but a fault fails the test."""
        status, text = self.rpc(*words)
        if status:
            raise AssertionError(f"kamcmd {' '.join(map(str, words))}: {text}\n{self.log_tail()}")
        return text

    def counter(self, group, name):
        return int(self.call("cnt.get", group, name).split()[-1])

    def transactions(self):
        """Those of tm that are not over, with the time that they wait for late messages."""
        return int(re.search(r"current: (\d+)", self.call("tm.stats")).group(1))

    def roles(self):
        """{pid: description} as Kamailio itself names its processes."""
        roles = {}
        for line in self.call("core.psx").replace("{", "\n").replace("}", "\n").splitlines():
            key, _, value = line.strip().partition(":")
            if key == "PID":
                pid = int(value)
            elif key == "DSC":
                roles[pid] = value.strip()
        return roles

    def sip_workers(self):
        return {pid: text for pid, text in self.roles().items() if "receiver" in text}

    def worker_pid(self):
        """The trunkgate-worker that this Kamailio's supervisor runs, or None."""
        for pid, command in processes_of(mentioning=str(self.socket)).items():
            if os.path.basename(command.split(" ")[0]) == "trunkgate-worker":
                return pid
        return None

    def worker_serves(self):
        return socket_answers(self.socket)

    def kill_worker(self):
        pid = wait_until(self.worker_pid, 10, "a worker runs")
        os.kill(pid, signal.SIGKILL)
        return pid


def socket_answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class Worker(Daemon):
    """trunkgate-worker alone: a store and its socket, no shared region."""

    name = "trunkgate-worker"

    def __init__(self, folder, store=None, sock=None, name=None):
        self.store = store or folder / "trunkgate.db"
        self.socket = sock or folder / "worker.sock"
        super().__init__(folder, [binary("trunkgate-worker"), "--store", self.store, "--socket", self.socket], name)

    def ready(self):
        return socket_answers(self.socket)
