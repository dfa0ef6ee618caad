# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole gateway: trunkgate.cfg on a real Kamailio, rtpengine, a store, and an endpoint for each peer."""

import json
import subprocess

from .daemon import run
from .kamailio import Kamailio
from .paths import ROOT, binary, kamailio_version
from .ports import free_port
from .rtpengine import Rtpengine
from .sip import Endpoint, insecure_tls
from .wait import wait_until

HEADER = "X-MS-Operator-Content"

# name: (group, side, site, address, service that the group serves)
PEERS = {
    "west": ("operator", "operator", "west", "127.0.1.10", None),
    "east": ("operator", "operator", "east", "127.0.1.11", None),
    "teams-1": ("teams-oc", "service", "cloud-1", "127.0.2.10", "teamsOperatorConnect"),
    "teams-2": ("teams-oc", "service", "cloud-2", "127.0.2.11", "teamsOperatorConnect"),
    "mobile-1": ("teams-pm", "service", "cloud-1", "127.0.2.20", "teamsPhoneMobile"),
}

# Quick limits; probes far apart, so that a test alone decides what a peer answers.
SETTINGS = {"customSipHeader": HEADER, "probeIntervalMs": 60000, "probeTimeoutMs": 1000, "keepaliveIntervalMs": 60000,
            "silenceLimitMs": 500, "progressLimitMs": 1500, "downAfter": 100, "upAfter": 1, "maxTries": 4,
            "slowStartMs": 0}

NUMBERS = {
    "+15551230001": ("acme", "teamsOperatorConnect", "gold"),
    "+15551230002": ("acme", "teamsOperatorConnect", None),
    "+15551230003": ("acme", "teamsPhoneMobile", None),
}


def self_signed(folder):
    """A key and certificate for the tls module and TLS endpoints: (key, certificate)."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    if not key.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                        "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    return key, certificate


class Gateway:
    """Peers are endpoints that the test plays (peer["west"]), or addresses only if they are named in elsewhere.

    signalling: {group: "TCP" | "TLS"}, UDP if absent. cfg: a function of the gateway that writes another configuration
    and returns its path; trunkgate.cfg if absent. values: {name: value} of the configuration, in place of the defaults.
    enforcer: lines of the configuration of srtp_enforcer, which rtpengine then has.
    """

    def __init__(self, folder, peers=PEERS, settings=None, numbers=NUMBERS, elsewhere=(), default_service=None,
                 children=2, ports=None, signalling=None, cfg=None, env=None, host="127.0.0.1", values=None,
                 media_ports=400, enforcer=None, rtpengine_root=None):
        self.folder = folder
        self.peers = peers
        self.settings = {**SETTINGS, **(settings or {})}
        self.numbers = numbers
        self.default_service = default_service
        self.signalling = signalling or {}
        self.host = host
        self.port = free_port(host)
        self.proxy = (self.host, self.port)
        self.key, self.certificate = self_signed(folder)
        self.peer = {name: self._endpoint(name, row) for name, row in peers.items() if name not in elsewhere}
        self.ports = dict(ports or {})
        self.rtpengine = Rtpengine(folder, media_ports=media_ports, root=rtpengine_root, plugin=enforcer is not None,
                                   settings=enforcer and f"[rtpengine]\n[srtp-enforcer]\n{enforcer}\n")
        self.kamailio = self._kamailio(children, cfg, env, values)

    def _endpoint(self, name, row):
        transport = self.signalling.get(row[0], "UDP").lower()
        return Endpoint(row[3], user=name, transport=transport,
                        tls_server=insecure_tls(self.certificate, self.key, server=True),
                        tls_client=insecure_tls(self.certificate, self.key))

    def _kamailio(self, children, cfg, env, values):
        folder = self.folder
        tls = folder.write("tls.cfg", f"[server:default]\nmethod = TLSv1.2+\nprivate_key = {self.key}\n"
                           f"certificate = {self.certificate}\n[client:default]\nmethod = TLSv1.2+\n")
        self.tls_port = free_port(self.host)
        defines = {
            "TRUNKGATE_TLS": f"tls:{self.host}:{self.tls_port}",
            "TRUNKGATE_PLAIN_UDP": f"udp:{self.host}:{self.port}",
            "TRUNKGATE_PLAIN_TCP": f"tcp:{self.host}:{self.port}",
            "TRUNKGATE_TLS_CONFIG": f'"{tls}"',
            "TRUNKGATE_CTL": f'"unix:{folder / "kamailio.ctl"}"',
            "TRUNKGATE_JSONRPC": f'"{folder / "jsonrpc.sock"}"',
            "TRUNKGATE_STORE": f'"{folder / "trunkgate.db"}"',
            "TRUNKGATE_SOCKET": f'"{folder / "worker.sock"}"',
            "TRUNKGATE_WORKER": f'"{binary("trunkgate-worker")}"',
            "TRUNKGATE_RTPENGINE": f'"udp:127.0.0.1:{self.rtpengine.port}"',
            **({"TRUNKGATE_RTPENGINE_PING": 2} if kamailio_version() >= (6,) else {}),
            "TRUNKGATE_WORKERS": children,
            "TRUNKGATE_STDERR": "yes",
            "TRUNKGATE_DEBUG": 2,
            **(values or {}),
        }
        cfg_file = cfg(self) if cfg else ROOT / "kamailio-cfg" / "trunkgate.cfg"
        return Kamailio(folder, cfg_file=cfg_file, defines=defines, env=env)

    def document(self):
        """The topology document of these peers."""
        groups, services = {}, {}
        for name, (group, side, site, host, service) in self.peers.items():
            row = groups.setdefault(group, {"name": group, "side": side, "media": "RTP", "peers": [],
                                            "signalling": self.signalling.get(group, "UDP")})
            if side == "operator" and self.default_service:
                row["defaultService"] = self.default_service
            if service:
                services[service] = {"name": service, "peerGroup": group, "operatorPeerGroup": "operator"}
            port = self.peer[name].port if name in self.peer else self.ports[name]
            row["peers"].append({"name": name, "site": site, "host": host, "port": port,
                                 "priority": len(row["peers"]),
                                 "allowedSignalingSourceAddressPrefixes": [f"{host}/32"]})
        return {"mode": "lab", "settings": self.settings, "services": list(services.values()),
                "peerGroups": list(groups.values())}

    def start(self):
        for endpoint in self.peer.values():
            endpoint.start()
        self.rtpengine.start()
        self.kamailio.start()
        wait_until(self.kamailio.worker_serves, 10, "the worker serves")
        self.load()
        for number, (account, service, header) in self.numbers.items():
            self.cli("account_set", account)
            self.cli("number_set", number, account, service, *([header] if header else []))
        return self

    def restart_kamailio(self):
        """Starts Kamailio, stopped or killed before, and waits until calls are routed again."""
        for path in (self.kamailio.socket, self.kamailio.ctl):
            path.unlink(missing_ok=True)
        self.kamailio.start()
        wait_until(lambda: self.kamailio.rpc("site_failover.list")[0] == 0 and self.kamailio.worker_serves(), 10,
                   "the worker serves")

    def load(self, document=None):
        path = self.folder.write("topology.json", json.dumps(document or self.document(), indent=1))
        self.cli("topology_load", path)

    def stop(self):
        for endpoint in self.peer.values():
            endpoint.stop()
        try:
            self.kamailio.stop()
        finally:
            self.rtpengine.stop()

    def cli_try(self, *words):
        """The command line: (status, output, error)."""
        return run([binary("trunkgate"), "--socket", self.kamailio.socket, "--store", self.kamailio.store,
                    "--kamailio", self.folder / "jsonrpc.sock", *words])

    def cli(self, *words):
        """As cli_try, but a refusal fails the test; the output."""
        status, out, err = self.cli_try(*words)
        if status:
            raise AssertionError(f"trunkgate {' '.join(map(str, words))}: {out}{err}\n{self.kamailio.log_tail()}")
        return out
