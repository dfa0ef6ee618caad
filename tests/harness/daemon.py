# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and ending real daemons: each in its own session, its output in a log file, nothing left afterwards."""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from .wait import wait_until

PR_SET_PDEATHSIG = 1


class Failure(AssertionError):
    """A daemon did not do what it had to; the text names its log."""


def _end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def processes_of(session=None, mentioning=None):
    """Live processes of a session, or whose command line names a text: {pid: command line}."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                stat = file.read().rsplit(b")", 1)[1].split()
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if stat[0] in (b"Z", b"X"):
            continue
        if (session and int(stat[3]) == session) or (mentioning and mentioning in command):
            found[int(entry)] = command
    return found


class Folder:
    """A temporary folder; kept if TRUNKGATE_KEEP is set or keep() was called (a test failed)."""

    def __init__(self, name="test"):
        base = os.environ.get("TRUNKGATE_TEST_LOGS")
        if base:
            pathlib.Path(base).mkdir(parents=True, exist_ok=True)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
        self.path.chmod(0o755)
        self._keep = bool(os.environ.get("TRUNKGATE_KEEP"))

    def __truediv__(self, name):
        return self.path / name

    def __str__(self):
        return str(self.path)

    def write(self, name, text):
        path = self.path / name
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        return path

    def keep(self):
        self._keep = True

    def remove(self):
        if not self._keep:
            shutil.rmtree(self.path, ignore_errors=True)


class Daemon:
    """One started program; stop() ends its whole session and fails if something is left."""

    name = "daemon"

    def __init__(self, folder, command, name=None, env=None, cwd=None):
        self.folder = folder
        self.command = [str(word) for word in command]
        self.name = name or self.name
        self.env = env
        self.cwd = cwd
        self.process = None
        self.log_path = None
        self._number = 0

    def ready(self):
        """True once it serves; a subclass knows."""
        return True

    def start(self, timeout=15.0):
        self._number += 1
        suffix = "" if self._number == 1 else f".{self._number}"
        self.log_path = self.folder / f"{self.name}{suffix}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_end_with_parent, env=self.env and {**os.environ, **self.env}, cwd=self.cwd)
        try:
            wait_until(self._ready_or_gone, timeout, f"{self.name} is ready")
        except AssertionError as error:
            self.stop()
            raise Failure(f"{error}\n{self.log_tail()}") from None
        return self

    def _ready_or_gone(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}")
        return self.ready()

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def processes(self):
        return processes_of(session=self.pid)

    def log(self):
        return pathlib.Path(self.log_path).read_text(errors="replace") if self.log_path else ""

    def log_tail(self, lines=40):
        return f"--- {self.log_path}\n" + "\n".join(self.log().splitlines()[-lines:])

    def kill(self):
        """kill -9 of every process of it."""
        while True:
            left = self.processes()
            if not left:
                break
            for pid in left:
                _signal(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait()

    def freeze(self):
        """Stops the process where it is; it keeps its sockets and answers nothing until thaw()."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(self._frozen, 5, f"{self.name} is stopped")

    def _frozen(self):
        states = []
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/stat", "rb") as file:
                states.append(file.read().rsplit(b")", 1)[1].split()[0])
        return set(states) == {b"T"}

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout=10.0):
        if self.process is None:
            return
        session = self.pid
        if self.process.poll() is None:
            self.process.terminate()
        try:
            wait_until(lambda: self.process.poll() is not None and not processes_of(session=session), timeout)
            left = {}
        except AssertionError:
            left = processes_of(session=session)
            for pid in left:
                _signal(pid, signal.SIGKILL)
            self.process.wait(5)
        self.process = None
        if left:
            raise Failure(f"{self.name} did not end {timeout} s after SIGTERM, left: {left}\n{self.log_tail()}")


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def run(command, timeout=30, **options):
    """Runs a program to its end: (status, standard output, standard error), text."""
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=timeout,
                          stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
