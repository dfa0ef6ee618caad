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

CALL_RATE = 100
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

    def calls(self, seconds, *words):
        return Program("bench_call", self.gateway.port, self.ports["west"], self.ports["teams-1"], self.store.count,
                       CALL_RATE, seconds, *words)

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


class Routes:
    """Routing times by state; the states take turns, so that a slower minute of the machine is nobody's alone."""

    def __init__(self):
        self.runs = {}

    def add(self, state, values):
        self.runs.setdefault(state, []).append(values)

    def emit(self, report):
        for state, runs in self.runs.items():
            report.emit_spread(f"route_us_p50_{state}", [run["route_us_p50"] for run in runs], "us")
            report.emit_spread(f"route_us_p99_{state}", [run["route_us_p99"] for run in runs], "us")
            report.emit(f"route_lost_{state}", sum(run["lost"] for run in runs), "calls")


def idle_run(live, routes, seconds):
    """With processors kept awake, and without: a sleeping one takes its time to wake up."""
    for state, words in (("idle", ["spin"]), ("asleep", [])):
        with live.calls(seconds, *words) as calls:
            routes.add(state, calls.values())


def change_run(live, routes, seconds):
    with live.calls(seconds + 5) as calls, live.changes(CHANGE_RATE, seconds) as changes:
        values = changes.values()
        routes.add("change", calls.end())
    return values


def rebuild_run(live, routes, seconds):
    """The worker is killed and finds a restored store: it must build the table beside the one in use."""
    rebuilds = 0
    kamailio = live.gateway.kamailio
    with live.calls(3600) as calls:
        end = time.monotonic() + seconds
        while rebuilds == 0 or time.monotonic() < end:
            pid = wait_until(kamailio.worker_pid, 60, "a worker runs")
            os.kill(pid, signal.SIGSTOP)
            live.store.renew()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: kamailio.worker_pid() not in (None, pid), 60, "a new worker", 0.1)
            wait_until(kamailio.worker_serves, 3600, "the worker serves", 0.1)
            rebuilds += 1
        routes.add("rebuild", calls.end())
    note(f"{rebuilds} rebuilds during calls")


def import_run(report, live, routes):
    """Every header value is another one: the whole table changes."""
    live.store.csv_write("x")
    with live.calls(3600) as calls, live.changes(IMPORT_CHANGE_RATE, 3600) as changes:
        begun = time.monotonic()
        cli(live.store.socket, "import", str(live.store.csv))
        seconds = time.monotonic() - begun
        values = changes.end()
        routes.add("import", calls.end())
    report.emit("import_live_rows_per_s", live.store.count / seconds, "rows/s")
    report.emit("change_wait_import_ms_max", values["ack_ms_max"], "ms")


def change_emit(report, runs):
    note(f"{sum(run['changes'] for run in runs):.0f} changes, {sum(run['lookups'] for run in runs):.0f} look-ups of them")
    for name, of in {"change_ack_ms_p50": "ack_ms_p50", "change_ack_ms_p99": "ack_ms_p99", "change_ack_ms_max":
                     "ack_ms_max", "fsync_ms_p50": "fsync_ms_p50", "fsync_ms_p99": "fsync_ms_p99"}.items():
        report.emit_spread(name, [run[of] for run in runs], "ms")
    report.emit("change_stale_lookups", sum(run["stale"] for run in runs), "lookups")


def measure(report, store, seconds, rounds):
    routes, changes = Routes(), []
    with Live(store) as live:
        for _ in range(rounds):
            idle_run(live, routes, seconds)
            changes.append(change_run(live, routes, seconds))
            rebuild_run(live, routes, seconds)
        if "import" in store.operations:
            import_run(report, live, routes)
            idle_run(live, routes, seconds)
        else:
            note("there is no operation `import`: route_us_p99_import and change_wait_import_ms_max are not measured")
    change_emit(report, changes)
    routes.emit(report)
