# SPDX-License-Identifier: GPL-2.0-or-later
"""SIPp as a caller or an endpoint, with the scenarios beside this file or a test's own."""

import csv
import pathlib
import signal

from .daemon import Daemon, Failure
from .paths import HARNESS
from .ports import free_port
from .wait import wait_until


class Sipp(Daemon):
    """scenario: a file, or the name of one in harness/sipp. keys become [name] in it (sipp's -key).

    As a caller give remote=(host, port) and calls; wait() waits for its end, counts() says what became of the calls.
    """

    name = "sipp"

    def __init__(self, folder, scenario, address="127.0.0.1", port=None, remote=None, calls=None, rate=None,
                 keys=None, name=None, transport="u1", csv_file=None, extra=()):
        self.address = address
        self.port = port or free_port(address)
        name = name or f"sipp-{pathlib.Path(str(scenario)).stem}-{self.port}"
        path = pathlib.Path(scenario)
        if not path.is_file():
            path = HARNESS / "sipp" / f"{scenario}.xml"
        self.statistics = folder / f"{name}.csv"
        command = ["sipp", "-sf", path, "-i", address, "-p", self.port, "-t", transport, "-nostdin", "-trace_stat",
                   "-stf", self.statistics, "-fd", "1", "-trace_err", "-error_file", folder / f"{name}.errors",
                   "-max_socket", 1024, "-skip_rlimit"]
        if calls is not None:
            command += ["-m", calls]
        if rate is not None:
            command += ["-r", rate, "-l", 5000]
        for key, value in (keys or {}).items():
            command += ["-key", key, value]
        if csv_file:
            command += ["-inf", csv_file]
        if remote:
            command += [f"{remote[0]}:{remote[1]}"]
        self.is_caller = remote is not None
        super().__init__(folder, command + list(extra), name)

    def _ready_or_gone(self):
        if self.is_caller and self.process.poll() is not None:
            return True
        return super()._ready_or_gone()

    def ready(self):
        if self.is_caller:
            return True
        wanted = f"{self.port:04X}"
        with open("/proc/net/udp") as udp, open("/proc/net/tcp") as tcp:
            return any(line.split()[1].endswith(":" + wanted) for line in udp.readlines()[1:] + tcp.readlines()[1:])

    def wait(self, timeout=60):
        """Waits for the end of a caller; its exit status."""
        wait_until(lambda: self.process.poll() is not None, timeout, f"{self.name} ends")
        return self.process.returncode

    def finish(self, timeout=60):
        """Ends a caller without breaking off a call: no new ones, then wait()."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
        return self.wait(timeout)

    def counts(self):
        """{"SuccessfulCall": n, "FailedCall": n, ...}: the last row of sipp's statistics, cumulated."""
        with open(self.statistics) as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        if not rows:
            raise Failure(f"{self.name} wrote no statistics\n{self.log_tail()}")
        return {key[:-3]: int(value) for key, value in rows[-1].items()
                if key and key.endswith("(C)") and value and value.isdigit()}

    def stop(self, timeout=5.0):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        super().stop(timeout)
