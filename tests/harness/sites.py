# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sites with the same endpoints over UDP, TCP and TLS, and the whole gateway between them and a caller."""

import re

from .gateway import Gateway, self_signed
from .load import Calls, SiteLoad
from .ports import free_port
from .wait import wait_until

SERVICES = {"udp": "teamsOperatorConnect", "tcp": "teamsPhoneMobile", "tls": "teamsDirectRouting"}
CALLER = "10.9.0.10"
PORT = {"udp": 5060, "tcp": 5060, "tls": 5061}


class SitePair:
    """Calls go to the near site while it lives, else to the far one; each has `peers` addresses for each transport.

    near["udp"] is the SiteLoad that serves the near site's addresses for UDP: each transport's process can be killed
    alone, while faults of a link are those of all.
    """

    def __init__(self, folder, network, transports=tuple(SERVICES), peers=1, ring=200, **options):
        self.folder, self.transports = folder, transports
        self.sites = {name: network.site(name) for name in ("near", "far")}
        self.key, self.certificate = self_signed(folder)
        self.hosts = {(name, transport): site.hosts[number * peers:(number + 1) * peers]
                      for name, site in self.sites.items() for number, transport in enumerate(transports)}
        self.near = {transport: self._load("near", transport, ring, options) for transport in transports}
        self.far = {transport: self._load("far", transport, ring, options) for transport in transports}

    def _load(self, name, transport, ring, options):
        ports = [f"{transport}:{host}:{PORT[transport]}" for host in self.hosts[name, transport]]
        return SiteLoad(self.folder, self.sites[name], ports, self.certificate, self.key, ring, name, **options)

    @property
    def loads(self):
        return [*self.near.values(), *self.far.values()]

    def start(self):
        for load in self.loads:
            load.start()
        return self

    def stop(self):
        for load in self.loads:
            load.stop()

    def unacknowledged(self):
        return [call for load in self.loads for call in load.unacknowledged()]


class TwoSites(SitePair):
    """With the gateway: each transport has a group and a service of its own, and a number whose calls go there."""

    def __init__(self, folder, network, transports=tuple(SERVICES), peers=1, settings=None, ring=200, load=None,
                 **options):
        super().__init__(folder, network, transports, peers, ring, **(load or {}))
        rows, ports = {"caller": ("operator", "operator", "core", CALLER, None)}, {"caller": free_port(CALLER)}
        for (name, transport), hosts in self.hosts.items():
            for number, host in enumerate(hosts, 1):
                peer = f"{name}-{transport}-{number}"
                rows[peer] = (f"to-{transport}", "service", name, host, SERVICES[transport])
                ports[peer] = PORT[transport]
        self.numbers = {transport: f"+1555123000{number}" for number, transport in enumerate(transports)}
        self.gateway = Gateway(folder, peers=rows, elsewhere=rows, ports=ports, settings=settings, host=network.host,
                               numbers={number: ("acme", SERVICES[transport], None)
                                        for transport, number in self.numbers.items()},
                               signalling={f"to-{transport}": transport.upper() for transport in transports}, **options)

    def start(self):
        super().start()
        self.gateway.start()
        return self

    def stop(self):
        super().stop()
        self.gateway.stop()

    def calls(self, transport, rate, seconds, **options):
        """A caller, not started."""
        return Calls(self.folder, f"udp:{CALLER}:{free_port(CALLER)}", self.gateway.proxy, self.numbers[transport], rate,
                     seconds, name=f"calls-{transport}", **options)

    def observed(self):
        """{peer: state} as site_failover.list shows it."""
        text = self.gateway.kamailio.call("site_failover.list", "-", "100")
        return dict(re.findall(r"\bname: (\S+).*?\bobserved: (\w+)", text, re.DOTALL))

    def wait_for(self, state, *peers, timeout=15):
        """Until each of these peers, or all but the caller, is in this state."""
        def reached():
            observed = self.observed()
            return all(observed.get(peer) == state for peer in peers or observed if peer != "caller")
        return wait_until(reached, timeout, f"{peers or 'all peers'} {state}: {self.observed()}", 0.1)
