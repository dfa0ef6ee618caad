# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole gateway between a caller and two sites, each with the same endpoints over UDP, TCP and TLS."""

import re

from .gateway import NUMBERS, Gateway
from .load import Calls, SiteLoad
from .ports import free_port
from .wait import wait_until

SERVICES = {"udp": "teamsOperatorConnect", "tcp": "teamsPhoneMobile", "tls": "teamsDirectRouting"}
CALLER = "10.9.0.10"
PORT = {"udp": 5060, "tcp": 5060, "tls": 5061}


class TwoSites:
    """Calls come from the core, go to the near site while it lives, and else to the far one.

    Each transport has a group and a service of its own, and `peers` addresses in each site; near["udp"] is the SiteLoad
    that serves them. All of a site's addresses fail together, but each transport's process can be killed alone.
    """

    def __init__(self, folder, network, transports=tuple(SERVICES), peers=1, settings=None, ring=200, **options):
        self.folder, self.transports = folder, transports
        self.sites = {name: network.site(name) for name in ("near", "far")}
        rows, ports = {"caller": ("operator", "operator", "core", CALLER, None)}, {"caller": 5060}
        self.hosts = {}
        for transport in transports:
            for name, site in self.sites.items():
                first = list(SERVICES).index(transport) * 2
                self.hosts[name, transport] = site.hosts[first:first + peers]
                for number, host in enumerate(self.hosts[name, transport], 1):
                    peer = f"{name}-{transport}-{number}"
                    rows[peer] = (f"to-{transport}", "service", name, host, SERVICES[transport])
                    ports[peer] = PORT[transport]
        self.numbers = {transport: f"+1555123000{number}" for number, transport in enumerate(transports)}
        self.gateway = Gateway(folder, peers=rows, elsewhere=rows, ports=ports, settings=settings, host=network.host,
                               numbers={number: ("acme", SERVICES[transport], None)
                                        for transport, number in self.numbers.items()},
                               signalling={f"to-{transport}": transport.upper() for transport in transports}, **options)
        self.near = {transport: self._load("near", transport, ring) for transport in transports}
        self.far = {transport: self._load("far", transport, ring) for transport in transports}

    def _load(self, name, transport, ring):
        ports = [f"{transport}:{host}:{PORT[transport]}" for host in self.hosts[name, transport]]
        return SiteLoad(self.folder, self.sites[name], ports, self.gateway.certificate, self.gateway.key, ring, name)

    def start(self):
        for load in [*self.near.values(), *self.far.values()]:
            load.start()
        self.gateway.start()
        return self

    def stop(self):
        for load in [*self.near.values(), *self.far.values()]:
            load.stop()
        self.gateway.stop()

    def calls(self, transport, rate, seconds, **options):
        """A caller, not started."""
        return Calls(self.folder, f"udp:{CALLER}:{free_port(CALLER)}", self.gateway.proxy, self.numbers[transport], rate,
                     seconds, name=f"calls-{transport}", **options)

    def observed(self):
        """{peer: state} as site_failover.list shows it."""
        text = self.gateway.kamailio.call("site_failover.list", "-", "100")
        rows = re.split(r"\n\s*(?=\w*peer: )|\n\s*(?=name: )", text)
        found = {}
        for row in rows:
            name = re.search(r"\b(?:peer|name): (\S+)", row)
            state = re.search(r"\bobserved: (\w+)", row)
            if name and state:
                found[name.group(1)] = state.group(1)
        return found

    def wait_for(self, state, *peers, timeout=15):
        """Until each of these peers, or all but the caller, is in this state."""
        def reached():
            observed = self.observed()
            return all(observed.get(peer) == state for peer in peers or observed if peer != "caller")
        return wait_until(reached, timeout, f"{peers or 'all peers'} {state}: {self.observed()}", 0.1)
