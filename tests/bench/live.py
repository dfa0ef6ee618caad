# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole gateway with COUNT numbers: how soon a change is seen, and what import and rebuild cost the calls."""

import json
import os
import signal
import subprocess
import time

from harness import binary, free_port, wait_until
from harness.gateway import Gateway

from report import note, values_of
from store import cli

CALL_RATE = 200
SETTLE_S = 0.5  # after a change of state, not counted
CHANGE_RATE = 200
IMPORT_CHANGE_RATE = 20
PEERS = {
    "west": ("operator", "operator", "west", "127.0.1.10", None),
    "teams-1": ("teams-oc", "service", "cloud-1", "127.0.2.10", "teamsOperatorConnect"),
}


class Live:
    """Gateway on the filled store; bench_call plays both peers."""

    def __init__(self, store):
        self.store = store
        self.ports = {"west": free_port("127.0.1.10"), "teams-1": free_port("127.0.2.10")}
        self.gateway = Gateway(store, peers=PEERS, elsewhere=PEERS, ports=self.ports, numbers={}, children=4)

    def __enter__(self):
        try:
            self.gateway.rtpengine.start()
            self.gateway.kamailio.start(timeout=120)
            wait_until(self.gateway.kamailio.worker_serves, 3600, "the worker serves")
            topology = self.store.write("topology.json", json.dumps(self.gateway.document()))
            cli(self.store.socket, "topology_load", str(topology))
        except BaseException:
            self.gateway.stop()
            raise
        return self

    def __exit__(self, *error):
        self.gateway.stop()

    def region_path(self):
        """The supervisor alone keeps the region's descriptor."""
        roles = self.gateway.kamailio.roles()
        supervisor = next(pid for pid, text in roles.items() if text == "trunkgate supervisor")
        folder = f"/proc/{supervisor}/fd"
        return next(f"{folder}/{fd}" for fd in os.listdir(folder)
                    if os.readlink(f"{folder}/{fd}").startswith("/memfd:trunkgate"))

    def calls(self):
        return Calls(self.gateway.port, self.ports["west"], self.ports["teams-1"], self.store.count, CALL_RATE)

    def changes(self, rate, seconds):
        return Program("bench_change", self.store.socket, self.region_path(), self.store.folder, rate, seconds)


class Program:
    """A program of the benchmark that runs beside something else."""

    def __init__(self, name, *words):
        self.name = name
        self.process = subprocess.Popen([binary(name), *map(str, words)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.values()

    def values(self):
        out, err = self.process.communicate(timeout=3600)
        if err:
            note(err.strip())
        if self.process.returncode:
            raise RuntimeError(f"{self.name} ended with status {self.process.returncode}")
        return values_of(out)


class Calls:
    """Calls all the time; each belongs to the state of the window in which it began."""

    def __init__(self, *words):
        self.process = subprocess.Popen([binary("bench_call"), *map(str, words)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def window(self, state, *words):
        """Begins one."""
        self._send("-", *words)
        time.sleep(SETTLE_S)
        self._send(state, *words)

    def pause(self):
        self._send("-")

    def _send(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def end(self):
        """{state: {window: [microseconds, -1 for a lost call]}}"""
        out, err = self.process.communicate(timeout=60)
        if self.process.returncode:
            raise RuntimeError(f"bench_call: {err.strip()}")
        states = {}
        for line in out.splitlines():
            state, window, value = line.split()
            states.setdefault(state, {}).setdefault(int(window), []).append(float(value))
        return states


def quantile(values, share):
    return sorted(values)[round((len(values) - 1) * share)]


def routes_emit(report, states):
    """All calls of a state together; low and high are its best and worst window."""
    for state, windows in states.items():
        windows = [[value for value in window if value >= 0] for window in windows.values()]
        every = [value for window in windows for value in window]
        windows = [window for window in windows if len(window) >= CALL_RATE] or [every]
        if not every:
            continue
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            report.emit(f"route_us_{name}_{state}", quantile(every, share), "us")
            each = [quantile(window, share) for window in windows]
            report.emit(f"route_us_{name}_{state}_low", min(each), "us")
            report.emit(f"route_us_{name}_{state}_high", max(each), "us")
    for state, windows in states.items():
        report.emit(f"route_calls_{state}", sum(len(window) for window in windows.values()), "calls")
        report.emit(f"route_lost_{state}", sum(value < 0 for window in windows.values() for value in window), "calls")


def idle_run(calls, seconds, asleep=False):
    """With processors kept awake, and without: a sleeping one takes its time to wake up."""
    calls.window("idle", "spin")
    time.sleep(seconds)
    if asleep:
        calls.window("asleep")
        time.sleep(seconds)


def change_run(live, calls, seconds):
    with live.changes(CHANGE_RATE, seconds) as changes:
        calls.window("change")
        values = changes.values()
        calls.pause()
    return values


def rebuild_run(live, calls, seconds):
    """The worker is killed and finds a restored store: it must build the table beside the one in use."""
    kamailio = live.gateway.kamailio
    calls.window("rebuild")
    end, rebuilds = time.monotonic() + seconds, 0
    while rebuilds == 0 or time.monotonic() < end:
        pid = wait_until(kamailio.worker_pid, 60, "a worker runs")
        os.kill(pid, signal.SIGSTOP)
        live.store.renew()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: kamailio.worker_pid() not in (None, pid), 60, "a new worker", 0.1)
        wait_until(kamailio.worker_serves, 3600, "the worker serves", 0.1)
        rebuilds += 1
    calls.pause()
    note(f"{rebuilds} rebuilds during calls")


def import_run(live, file):
    begun = time.monotonic()
    cli(live.store.socket, "import", str(file))
    return time.monotonic() - begun


def imports_run(report, live, calls, seconds):
    """Every header value is another one: the whole table changes. Then all changes back, with changes beside it: their
    program would count as the import's in the routing times."""
    other, first = [live.store.csv_write(tag, name) for tag, name in (("x", "other.csv"), ("", "numbers.csv"))]
    idle_run(calls, seconds)
    calls.window("import")
    taken = [import_run(live, other)]
    idle_run(calls, seconds)
    calls.pause()
    with live.changes(IMPORT_CHANGE_RATE, 3600) as changes:
        taken.append(import_run(live, first))
        values = changes.end()
    idle_run(calls, seconds)
    calls.window("import")
    taken.append(import_run(live, other))
    calls.pause()
    report.emit_spread("import_live_rows_per_s", [live.store.count / value for value in taken], "rows/s")
    report.emit("change_wait_import_ms_max", values["ack_ms_max"], "ms")


def change_emit(report, runs):
    note(f"{sum(run['changes'] for run in runs):.0f} changes, {sum(run['lookups'] for run in runs):.0f} look-ups of them")
    for name, of in {"change_ack_ms_p50": "ack_ms_p50", "change_ack_ms_p99": "ack_ms_p99", "change_ack_ms_max":
                     "ack_ms_max", "fsync_ms_p50": "fsync_ms_p50", "fsync_ms_p99": "fsync_ms_p99"}.items():
        report.emit_spread(name, [run[of] for run in runs], "ms")
    report.emit("change_stale_lookups", sum(run["stale"] for run in runs), "lookups")


def measure(report, store, seconds, rounds):
    """The states take turns, so that a slower minute of the machine is nobody's alone."""
    changes = []
    note("calls and changes")
    with Live(store) as live, live.calls() as calls:
        for _ in range(rounds):
            idle_run(calls, seconds, asleep=True)
            changes.append(change_run(live, calls, seconds))
            idle_run(calls, seconds)
            rebuild_run(live, calls, seconds)
        if "import" in store.operations:
            imports_run(report, live, calls, seconds)
        else:
            note("there is no operation `import`: route_us_p99_import and change_wait_import_ms_max are not measured")
        routes = calls.end()
    change_emit(report, changes)
    routes_emit(report, routes)
