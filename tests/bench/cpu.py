# SPDX-License-Identifier: GPL-2.0-or-later
"""Processor time of a call: pairs of runs, ours and a stock configuration in turn, and the ratio within each pair."""

import re
import statistics
import time
from contextlib import ExitStack

from harness import Calls, Folder, Kamailio, SiteLoad, Rtpengine, free_port, wait_until
from harness.gateway import Gateway, self_signed

from outages import STOCK
from report import note

CALLER, SERVICE = "127.0.1.10", "127.0.2.10"
NUMBERS = 10
WORKERS = 4
MEDIA_PORTS = 4000
# Transactions that only probes have.
FEW = 10
TRIES = 4


class CallsFailed(Exception):
    """More than a few in a thousand."""


class Settings:
    def __init__(self, quick):
        self.quick = quick
        self.rate, self.seconds, self.pairs = (100, 1, 2) if quick else (200, 3, 15)


def cpu_ns(kamailio):
    """What all processes of a Kamailio have run, and trunkgate-worker, its child."""
    total = 0
    for pid in kamailio.processes():
        try:
            with open(f"/proc/{pid}/schedstat") as file:
                total += int(file.read().split()[0])
        except OSError:
            pass
    return total


def transactions(kamailio):
    return int(re.search(r"current: (\d+)", kamailio.call("tm.stats")).group(1))


class Side:
    """A Kamailio and the callee behind it."""

    def __init__(self, folder, transport, sdp):
        self.folder, self.sdp, self.transport = folder, sdp, transport
        self.key, self.certificate = self_signed(folder)
        self.port = free_port(SERVICE)
        self.callee = SiteLoad(folder, None, [f"{transport}:{SERVICE}:{self.port}"], self.certificate, self.key, ring=100,
                               name="callee", sdp=SERVICE if sdp else None)
        self.caller_port = free_port(CALLER)
        self.idle_ns_per_s = 0

    def calls(self, settings):
        calls = Calls(self.folder, f"udp:{CALLER}:{self.caller_port}", self.proxy, "+1555123%04u", settings.rate,
                      settings.seconds, hold=200, users=NUMBERS, sdp=CALLER if self.sdp else None)
        return calls

    def call_us(self, settings):
        """Microseconds of processor time for each call."""
        calls = self.calls(settings)
        before, begun = cpu_ns(self.kamailio), time.monotonic()
        calls.start()
        try:
            outcomes = calls.wait()
        finally:
            calls.stop()
        spent = cpu_ns(self.kamailio) - before - self.idle_ns_per_s * (time.monotonic() - begun)
        failed = [call for call in outcomes if (call.status, call.end) != (200, 200)]
        if len(failed) > len(outcomes) / 200:
            raise CallsFailed(f"{type(self).__name__}: {len(failed)} of {len(outcomes)} calls failed, the first: "
                              f"{failed[0].__dict__}\n{self.kamailio.log_tail()}")
        return spent / 1000 / len(outcomes)

    def call_us_tried(self, settings):
        """A machine that is busy with other things drops calls: such a run says nothing and is repeated."""
        for _ in range(TRIES - 1):
            try:
                return self.call_us(settings)
            except CallsFailed as fault:
                note(f"repeated: {str(fault).splitlines()[0]}")
        return self.call_us(settings)

    def idle(self, seconds):
        """What the timers and probes take, calls or not: left out of every call's time."""
        before, begun = cpu_ns(self.kamailio), time.monotonic()
        time.sleep(seconds)
        self.idle_ns_per_s = (cpu_ns(self.kamailio) - before) / (time.monotonic() - begun)


class Ours(Side):
    def __init__(self, folder, transport, sdp, capacity):
        super().__init__(folder, transport, sdp)
        peers = {"caller": ("operator", "operator", "core", CALLER, None),
                 "callee": ("service", "service", "cloud", SERVICE, "teamsOperatorConnect")}
        self.gateway = Gateway(folder, peers=peers, elsewhere=peers, settings={"probeIntervalMs": 5000, "silenceLimitMs":
                               2000, "progressLimitMs": 10000, "downAfter": 2}, children=WORKERS,
                               ports={"caller": self.caller_port, "callee": self.port},
                               numbers={f"+1555123{number:04}": ("acme", "teamsOperatorConnect", "gold")
                                        for number in range(NUMBERS)}, signalling={"service": transport.upper()},
                               media_ports=MEDIA_PORTS)
        self.capacity = capacity
        self.kamailio, self.proxy = self.gateway.kamailio, self.gateway.proxy

    def start(self):
        self.callee.start()
        self.gateway.start()
        if self.capacity:
            document = self.gateway.document()
            for group in document["peerGroups"]:
                for peer in group["peers"]:
                    peer["capacity"] = 100000
            self.gateway.load(document)

    def stop(self):
        self.callee.stop()
        self.gateway.stop()


class Stock(Side):
    def __init__(self, folder, transport, sdp, cfg):
        super().__init__(folder, transport, sdp)
        host, port = "127.0.0.1", free_port()
        self.proxy = (host, port)
        self.rtpengine = Rtpengine(folder, media_ports=MEDIA_PORTS) if sdp else None
        tls = folder.write("tls.cfg", f"[server:default]\nmethod = TLSv1.2+\nprivate_key = {self.key}\n"
                           f"certificate = {self.certificate}\n[client:default]\nmethod = TLSv1.2+\n")
        suffix = "" if transport == "udp" else f";transport={transport}"
        uri = f"sip:{SERVICE}:{self.port}{suffix}"
        listed = folder.write("dispatcher.list", f"1 {uri} 0 0\n")
        self.kamailio = Kamailio(folder, cfg_file=STOCK / cfg, defines={
            "STOCK_LISTEN_UDP": f"udp:{host}:{port}", "STOCK_LISTEN_TCP": f"tcp:{host}:{port}",
            "STOCK_LISTEN_TLS": f"tls:{host}:{free_port()}", "STOCK_TLS_CONFIG": f'"{tls}"', "STOCK_WORKERS": WORKERS,
            "STOCK_CTL": f'"unix:{folder / "kamailio.ctl"}"', "STOCK_LIST": f'"{listed}"', "STOCK_NEXT_HOP": f'"{uri}"',
            "STOCK_OPERATOR": f'"{CALLER}"',
            "STOCK_RTPENGINE": f'"udp:127.0.0.1:{self.rtpengine.port if sdp else 0}"'})

    def start(self):
        self.callee.start()
        if self.rtpengine:
            self.rtpengine.start()
        self.kamailio.start()

    def stop(self):
        self.callee.stop()
        self.kamailio.stop()
        if self.rtpengine:
            self.rtpengine.stop()


# name: (transport to the service, media, dialog counts, stock configuration, limit)
RATIOS = {
    "cpu_ratio_bare_relay": ("udp", False, False, "bare.cfg", 1.10),
    "cpu_ratio_stock": ("tls", True, True, "gateway.cfg", 1.00),
}


def ratio_measure(report, name, settings):
    transport, media, counts, cfg, _ = RATIOS[name]
    times, ratios = {"ours": [], "stock": []}, []
    with ExitStack() as stack:
        folders = [Folder(f"bench-cpu-{side}") for side in times]
        for folder in folders:
            stack.callback(folder.remove)
        sides = {"ours": Ours(folders[0], transport, media, counts), "stock": Stock(folders[1], transport, media, cfg)}
        for side in sides.values():
            stack.callback(side.stop)
            side.start()
            side.call_us(settings)  # caches, connections, memory
            if settings.quick:
                continue
            wait_until(lambda: transactions(side.kamailio) < FEW, 60, "the calls' transactions are gone", 0.2)
            side.idle(settings.seconds)
        for pair in range(settings.pairs):
            order = list(sides) if pair % 2 else list(reversed(sides))
            measured = {side: sides[side].call_us_tried(settings) for side in order}
            for side, value in measured.items():
                times[side].append(value)
            ratios.append(measured["ours"] / measured["stock"])
            note(f"{name}: pair {pair + 1}: {measured['ours']:.0f} us ours, {measured['stock']:.0f} us stock, "
                 f"ratio {ratios[-1]:.3f}")
    report.emit_spread(name, ratios, "ratio")
    for side, values in times.items():
        report.emit(f"{name.replace('ratio', 'us')}_{side}", statistics.median(values), "us")
        report.emit(f"{name.replace('ratio', 'idle_us_per_s')}_{side}", sides[side].idle_ns_per_s / 1000, "us/s")


def measure(report, settings, names):
    for name in names:
        ratio_measure(report, name, settings)


def targets():
    """1.02 is enough where the spread is that wide."""
    def limit(name, value):
        spread = value + 0.02 if name == "cpu_ratio_stock" else value
        return lambda v: spread if v[f"{name}_low"] <= value else value
    return {name: ("<=", limit(name, row[4])) for name, row in RATIOS.items()}
