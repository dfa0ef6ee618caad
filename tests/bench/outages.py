# SPDX-License-Identifier: GPL-2.0-or-later
"""A site fails under a steady load and comes back: what the calls see, with our gateway and with stock dispatcher."""

import pathlib
import time
from contextlib import ExitStack

from harness import Calls, Folder, Kamailio, free_port, wait_until
from harness.sites import CALLER, PORT, SitePair, TwoSites

from report import note

STOCK = pathlib.Path(__file__).resolve().parent / "stock"
PEERS_IN_SITE = 2
# What is added when a call is not disturbed at all: above it, a call met the dead site.
DISTURBED_MS = 250
WARM_S, PATIENCE_MS, HOLD_MS = 3, 5000, 2000
SYSTEMS = ("", "dispatcher_")


class Settings:
    """Both gateways' limits, as the topology file's defaults are."""

    def __init__(self, quick):
        self.rate = 20 if quick else 50
        self.probe_ms = 1000 if quick else 5000
        self.silence_ms, self.progress_ms, self.down_after, self.up_after = (500, 1500, 2, 2) if quick else \
            (2000, 10000, 2, 2)
        self.outage_s = 5 if quick else 16
        self.outage_stuck_s = self.outage_s + 2 * PEERS_IN_SITE * self.progress_ms / 2000
        self.after_s = 4 if quick else 14

    def topology(self):
        return {"probeIntervalMs": self.probe_ms, "probeTimeoutMs": self.silence_ms,
                "silenceLimitMs": self.silence_ms, "progressLimitMs": self.progress_ms, "downAfter": self.down_after,
                "upAfter": self.up_after, "slowStartMs": 2 * self.probe_ms}


# --- kinds of failure: what begins and ends it, and which limit a call in flight waits for ---

def cut(pair, _):
    pair.sites["near"].cut()


def refuse(pair, _):
    pair.sites["near"].fault("refuse")


def mend(pair, _):
    pair.sites["near"].mend()


def kill(pair, load):
    load.kill()


def revive(pair, load):
    load.start()


def behave(words):
    return lambda pair, load: load.behave(words)


ALL, STREAMS, TLS = ("udp", "tcp", "tls"), ("tcp", "tls"), ("tls",)

# kind: (transports, begin, end, the limit that a call in flight waits for, a text for the document)
KINDS = {
    "killed": (ALL, kill, revive, "silence", "every process of the site gets SIGKILL; its kernel lives"),
    "blackholed": (ALL, cut, mend, "silence", "every packet to and from the site vanishes"),
    "refused": (STREAMS, refuse, mend, "silence", "every packet is answered with RST, open connections included"),
    "tls_failed": (TLS, behave("tls-fails"), behave("normal"), "silence",
                   "open connections get RST, and no handshake succeeds"),
    "answers_503": (ALL, behave("503"), behave("normal"), None, "INVITE and OPTIONS get 503"),
    "stuck_after_100": (ALL, behave("stuck"), behave("normal"), "progress",
                        "an INVITE gets 100 and nothing more, OPTIONS nothing"),
}


class Ours:
    def __init__(self, network, transport, settings):
        self.folder = Folder(f"bench-ours-{transport}")
        self.pair = TwoSites(self.folder, network, (transport,), PEERS_IN_SITE, settings.topology(), ring=1000, children=4)
        self.number = self.pair.numbers[transport]

    def start(self):
        self.pair.start()
        self.pair.wait_for("up", timeout=60)

    def proxy(self):
        return self.pair.gateway.proxy

    def all_up(self):
        observed = self.pair.observed()
        return all(state == "up" for name, state in observed.items() if name != "caller")

    def stop(self):
        self.pair.stop()
        self.folder.remove()


class Stock:
    """dispatcher.cfg on the same sites, in namespaces of its own."""

    number = "+15551230000"

    def __init__(self, network, transport, settings):
        self.folder = Folder(f"bench-stock-{transport}")
        self.pair = SitePair(self.folder, network, (transport,), PEERS_IN_SITE, ring=1000)
        self.host, self.port = network.host, free_port(network.host)
        suffix = {"udp": "", "tcp": ";transport=tcp", "tls": ";transport=tls"}[transport]
        hosts = self.pair.hosts["near", transport] + self.pair.hosts["far", transport]
        listed = self.folder.write("dispatcher.list", "".join(
            f"1 sip:{host}:{PORT[transport]}{suffix} 0 {len(hosts) - place}\n" for place, host in enumerate(hosts)))
        tls = self.folder.write("tls.cfg", f"[server:default]\nmethod = TLSv1.2+\nprivate_key = {self.pair.key}\n"
                                f"certificate = {self.pair.certificate}\n[client:default]\nmethod = TLSv1.2+\n")
        self.kamailio = Kamailio(self.folder, cfg_file=STOCK / "dispatcher.cfg", defines={
            "STOCK_LISTEN_UDP": f"udp:{self.host}:{self.port}", "STOCK_LISTEN_TCP": f"tcp:{self.host}:{self.port}",
            "STOCK_LISTEN_TLS": f"tls:{self.host}:{free_port(self.host)}", "STOCK_TLS_CONFIG": f'"{tls}"',
            "STOCK_CTL": f'"unix:{self.folder / "kamailio.ctl"}"', "STOCK_LIST": f'"{listed}"', "STOCK_WORKERS": 4,
            "STOCK_PROBE_S": settings.probe_ms // 1000, "STOCK_DOWN_AFTER": settings.down_after,
            "STOCK_UP_AFTER": settings.up_after, "STOCK_SILENCE_MS": settings.silence_ms,
            "STOCK_PROGRESS_MS": settings.progress_ms})

    def start(self):
        self.pair.start()
        self.kamailio.start()
        wait_until(self.all_up, 60, "dispatcher's destinations are up", 0.1)

    def proxy(self):
        return self.host, self.port

    def all_up(self):
        listed = self.kamailio.call("dispatcher.list")
        flags = [line.split()[-1] for line in listed.splitlines() if "FLAGS:" in line]
        return len(flags) == 2 * PEERS_IN_SITE and all(flag.startswith("A") for flag in flags)

    def stop(self):
        self.pair.stop()
        self.kamailio.stop()
        self.folder.remove()


class Run:
    """One gateway, one transport, one failure."""

    def __init__(self, gateway, transport, kind, settings, seconds):
        self.gateway, self.transport, self.kind = gateway, transport, kind
        self.near, self.far = gateway.pair.near[transport], gateway.pair.far[transport]
        self.calls = Calls(gateway.folder, f"udp:{CALLER}:{free_port(CALLER)}", gateway.proxy(), gateway.number,
                           settings.rate, int(seconds), name=f"{kind}-{transport}", hold=HOLD_MS, patience=PATIENCE_MS)
        self.failing = self.failed = self.back = 0
        self.begun = time.monotonic_ns()

    def begin(self):
        self.failing = time.monotonic_ns()
        KINDS[self.kind][1](self.gateway.pair, self.near)
        self.failed = time.monotonic_ns()

    def end(self):
        KINDS[self.kind][2](self.gateway.pair, self.near)
        self.back = time.monotonic_ns()

    def values(self):
        """{name: (value, unit)}"""
        calls = self.calls.wait(180)
        lost = [call for call in calls if call.status != 200]
        ringing = [call for call in lost if call.site == "near" and call.begun < self.failed]
        established = [call for call in calls if call.status == 200 and call.site == "near" and call.end != 200
                       and call.answered < self.back]
        during = [call for call in calls if self.failed <= call.begun < self.back]
        delays = sorted(call.delay for call in during if call.delay is not None)
        return {"lost_calls": (len(lost) - len(ringing), "calls"), "ringing_lost": (len(ringing), "calls"),
                "established_lost": (len(established), "calls"),
                "pdd_ms_p99": (quantile(delays, 0.99), "ms"), "pdd_ms_max": (max(delays, default=0), "ms"),
                "detect_ms": (self.detected(during), "ms"), "recover_ms": (self.recovered(calls), "ms"),
                "unacknowledged": (self.unacknowledged(), "calls"), "calls": (len(calls), "calls")}

    def unacknowledged(self):
        """Answered calls that got neither ACK nor BYE, but for those that the failure kept from the endpoint."""
        answered, ended = {}, set()
        for load in (self.near, self.far):
            for when, what, call, port in load.happened():
                if what == "answered":
                    answered[load, call, port] = when
                elif what in ("confirmed", "ended"):
                    ended.add((load, call, port))
        return sum(key not in ended and (key[0] is self.far or not self.failing - 100e6 <= when < self.back)
                   for key, when in answered.items() if when >= self.begun)

    def detected(self, during):
        """From the failure to the last call that still met the dead site: it was late, or the site itself saw it."""
        met = [call.begun for call in during if call.delay is None or call.delay > DISTURBED_MS]
        met += [when for when, what, _, _ in self.near.happened()
                if what == "invite" and self.failed <= when < self.back]
        return max([(when - self.failed) / 1e6 for when in met], default=0)

    def recovered(self, calls):
        """From the end of the failure to the first call that rings there."""
        served = [call.begun for call in calls if call.begun >= self.back and call.site == "near"]
        return (min(served) - self.back) / 1e6 if served else float("nan")


def quantile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0


def sleep_until(moment):
    """The load's own time passes; nothing is waited for."""
    time.sleep(max(0, moment - time.monotonic()))


def measure_kind(gateways, kind, settings):
    """All transports and both systems side by side: {(system, transport): values}"""
    transports = KINDS[kind][0]
    outage = settings.outage_stuck_s if kind == "stuck_after_100" else settings.outage_s
    runs = {key: Run(gateway, key[1], kind, settings, WARM_S + outage + settings.after_s)
            for key, gateway in gateways.items() if key[1] in transports}
    begun = time.monotonic()
    for run in runs.values():
        run.calls.start()
    sleep_until(begun + WARM_S)
    for run in runs.values():
        run.begin()
    sleep_until(begun + WARM_S + outage)
    for run in runs.values():
        run.end()
    found = {key: run.values() for key, run in runs.items()}
    for key, run in runs.items():
        run.calls.stop()
        wait_until(run.gateway.all_up, 60, f"{key}: all peers are up again", 0.2)
    return found


def measure(report, network, settings, kinds, transports):
    """{kind: {(system, transport): values}}, printed as it comes."""
    found = {}
    with ExitStack() as stack:
        gateways = {}
        for system, maker in zip(SYSTEMS, (Ours, Stock)):
            for transport in transports:
                gateway = gateways[system, transport] = maker(network, transport, settings)
                stack.callback(gateway.stop)
                gateway.start()
        for kind in kinds:
            note(f"{kind}: " + ", ".join(name for name in KINDS[kind][0] if name in transports))
            found[kind] = measure_kind(gateways, kind, settings)
            for (system, transport), values in found[kind].items():
                for name, (value, unit) in values.items():
                    report.emit(f"{system}{transport}_{kind}_{name}", value, unit)
    return found


def limit_ms(kind, settings):
    """The most that a call in flight may be delayed by this kind."""
    limit = {"silence": settings.silence_ms, "progress": settings.progress_ms, None: 0}[KINDS[kind][3]]
    return limit * PEERS_IN_SITE + 500


def targets(settings, kinds, transports):
    """report.TARGETS of ours."""
    found = {}
    for kind in kinds:
        for transport in (name for name in KINDS[kind][0] if name in transports):
            name = f"{transport}_{kind}"
            found[f"{name}_lost_calls"] = ("<=", lambda v: 0)
            found[f"{name}_unacknowledged"] = ("<=", lambda v: 0)
            found[f"{name}_pdd_ms_max"] = ("<=", lambda v, limit=limit_ms(kind, settings): limit)
            found[f"{name}_recover_ms"] = ("<=", lambda v: 2 * settings.probe_ms)
    return found
