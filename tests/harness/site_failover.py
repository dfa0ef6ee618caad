# SPDX-License-Identifier: GPL-2.0-or-later
"""A small Kamailio with site_failover, two operator sites and a service peer: what the tests of the module share."""

import json
import time

from .case import Case
from .kamailio import Kamailio
from .ports import free_port
from .sip import Endpoint
from .wait import wait_until

CONFIG = """
debug=2
log_stderror=yes
auto_aliases=no
listen=udp:127.0.0.1:@PORT@
listen=tcp:127.0.0.1:@PORT@
listen=udp:127.0.0.1:@OTHER@
children=2
tcp_children=2
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "counters.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "ctl.so"
loadmodule "provisioning.so"
loadmodule "site_failover.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
modparam("tm", "remap_503_500", 0)
modparam("tm", "wt_timer", @KEPT@)
modparam("tm", "failure_reply_mode", @MODE@)
@PARAMETERS@

request_route {
	if (is_present_hf("X-Fork")) {
		t_check_trans();
		$ru = $hdr(X-Fork);
		append_branch("$hdr(X-Fork-Too)");
		t_relay();
		exit;
	}
	$var(from) = site_identify();
	if ($var(from) < 0) {
		if (is_method("ACK")) exit;
		if ($var(from) == -1) sl_send_reply("403", "Unknown Source");
		if ($var(from) == -2) sl_send_reply("403", "Wrong Transport");
		if ($var(from) <= -3) sl_send_reply("503", "Nothing Published");
		exit;
	}
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		if (!loose_route()) {
			if (is_method("ACK") && t_check_trans()) t_relay();
			exit;
		}
		if (!site_dialog() && !(is_method("BYE") && site_known_hop())) {
			if (!is_method("ACK")) sl_send_reply("481", "No Such Dialog");
			exit;
		}
		t_relay();
		exit;
	}
	if (is_method("MESSAGE")) {
		append_to_reply("X-Site: $site(side) $site(group) $site(peer) $site(site) $site(direction) $site(media) $site(signalling) $site(default_service) $site(ingress_service)\\r\\n");
		sl_send_reply("200", "OK");
		exit;
	}
	if ($hdr(X-Attributes) != $null) $tg(attr) = $(hdr(X-Attributes){s.int});
	t_check_trans();
	if ($hdr(X-Emergency) != $null) site_emergency();
	if (!site_service("teamsOperatorConnect")) {
		sl_send_reply("404", "No Group");
		exit;
	}
	$var(selected) = site_select("$(hdr(X-Group){s.escape.common})");
	if ($hdr(X-Group) == $null) $var(selected) = site_select("$site(out_group)");
	if ($var(selected) < 0) {
		if ($var(selected) == -1) sl_send_reply("404", "No Such Group");
		if ($var(selected) == -2) sl_send_reply("503", "No Peer In Service");
		exit;
	}
	t_on_failure("OTHER");
	route(NEXT);
	send_reply("503", "No Peer Left");
}
route[NEXT] {
	while (site_next()) {
		t_on_branch("BRANCH");
		if (t_relay_to("0x02")) exit;
	}
}
branch_route[BRANCH] {
	site_record_route();
	append_hf("X-Out: $site(out_group) $site(out_peer) $site(out_site) $site(out_media) $site(out_signalling)\\r\\n");
}
failure_route[OTHER] {
	if (!site_retry()) exit;
	t_on_failure("OTHER");
	route(NEXT);
	t_reply("503", "No Peer Left");
}
reply_route {
	if (site_late_answer()) drop;
	if (!t_check_trans() && !site_answer_dialog()) drop;
	if ($rs == 200 && $hdr(X-Refuse) != $null) {
		site_refuse_answer("488", "Not Like This");
		drop;
	}
}
@ROUTES@
"""

SILENCE, PROGRESS = 0.6, 1.5
SETTINGS = {"customSipHeader": "X-Operator-Content", "probeIntervalMs": 60000, "probeTimeoutMs": 400,
            "keepaliveIntervalMs": 3600000, "silenceLimitMs": int(SILENCE * 1000),
            "progressLimitMs": int(PROGRESS * 1000), "downAfter": 100, "upAfter": 1, "maxTries": 4, "slowStartMs": 0}


class Gateway(Case):
    """Two operator sites and one service peer; each test changes what it needs."""

    settings = {}
    addresses = {"west": "127.0.3.1", "east": "127.0.3.2"}
    hosts = {}
    transports = {}
    closed = ()
    worker = None
    kept = 5000
    reply_mode = 3
    parameters = routes = ""

    @classmethod
    def prepare(cls):
        cls.port, cls.other = free_port(), free_port()
        cls.proxy = ("127.0.0.1", cls.port)
        udp = {name: cls.transports.get(name, "UDP").lower() for name in ("operator", "teams")}
        cls.west = cls.start_for_all(Endpoint(cls.addresses["west"], user="west", transport=udp["operator"]))
        cls.east = cls.start_for_all(Endpoint(cls.addresses["east"], user="east", transport=udp["operator"]))
        cls.teams = cls.start_for_all(Endpoint("127.0.4.1", user="teams", transport=udp["teams"]))
        cls.kamailio = cls.start_for_all(Kamailio(cls.folder, cls.config()))
        if cls.worker:
            return
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")
        cls.load_topology()

    @classmethod
    def config(cls):
        text = CONFIG
        for word, value in {"@PORT@": cls.port, "@OTHER@": cls.other, "@KEPT@": cls.kept, "@MODE@": cls.reply_mode,
                            "@PARAMETERS@": cls.parameters, "@ROUTES@": cls.routes}.items():
            text = text.replace(word, str(value))
        return text.replace("@WORKER@", cls.worker) if cls.worker else text

    @classmethod
    def peer(cls, name, endpoint, site, priority, **more):
        port = free_port(endpoint.host) if name in cls.closed else endpoint.port
        return {"name": name, "site": site, "host": cls.hosts.get(name, endpoint.host), "port": port,
                "priority": priority, **more}

    @classmethod
    def document(cls):
        return {
            "mode": "lab", "settings": {**SETTINGS, **cls.settings},
            "services": [{"name": "teamsOperatorConnect", "peerGroup": "teams", "operatorPeerGroup": "operator"}],
            "peerGroups": [
                {"name": "operator", "side": "operator", "signalling": cls.transports.get("operator", "UDP"),
                 "media": "RTP", "defaultService": "teamsOperatorConnect",
                 "peers": [cls.peer("west", cls.west, "west", 0,
                                    allowedSignalingSourceAddressPrefixes=["127.0.3.0/24"]),
                           cls.peer("east", cls.east, "east", 1,
                                    allowedSignalingSourceAddressPrefixes=["127.0.3.0/24"])]},
                {"name": "teams", "side": "service", "signalling": cls.transports.get("teams", "UDP"),
                 "media": "SRTP", "peers": [cls.peer("teams-1", cls.teams, "cloud", 0)]}]}

    @classmethod
    def load_topology(cls, document=None):
        path = cls.folder.write("topology.json", json.dumps(document or cls.document()))
        path.chmod(0o644)
        cls.kamailio.call("provisioning.topology_load", path)

    def call(self, **more):
        """From the service to the operator."""
        return self.teams.invite(self.proxy, "+15551230001", **more)

    def listed(self, peer):
        """The row of a peer in site_failover.list."""
        for text in self.kamailio.call("site_failover.list").split("}"):
            row = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
            if row.get("name") == peer:
                return row
        return {}

    def load_of(self, peer):
        """(live calls, calls not answered yet) of a peer."""
        row = self.listed(peer)
        return int(row["live"]), int(row["trying"])

    def counter(self, name):
        return self.kamailio.counter("site_failover", name)

    @staticmethod
    def forge(request):
        """Another character in the token of the Route."""
        route = request.get("Route")
        place = route.index(";tg=") + 6
        request.set("Route", route[:place] + ("B" if route[place] != "B" else "C") + route[place + 1:])

    def silent(self, endpoint, seconds=0.4):
        """Nothing but what came until now arrives for a while: the one claim that needs a time."""
        before = len(endpoint.messages)
        time.sleep(seconds)
        return len(endpoint.messages) == before

    def talk(self, call, served):
        """The call is answered, acknowledged and ended by the caller."""
        self.answered(call, served)
        call.dialog_request("BYE")
        served.ended()
        self.assertEqual(call.endpoint.response((200, 699), "BYE", call_id=call.call_id).status, 200)

    def answered(self, call, served, contact=None):
        """The call is answered and acknowledged."""
        endpoint = served.endpoint
        endpoint.reply(served.invite, 200, served.tag, [("Contact", contact or endpoint.contact)])
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()

    def ended_by_us(self, served, cause):
        """ACK and one BYE with the reason, in the caller's place."""
        acknowledged, ended = served.acked(), served.ended()
        self.assertEqual(acknowledged.cseq, served.invite.cseq)
        self.assertEqual(ended.cseq, served.invite.cseq + 1)
        self.assertIn(f"SIP;cause={cause}", ended.get("Reason"))
        self.assertEqual(ended.tag("To"), served.tag)
        self.assertEqual(ended.tag("From"), served.invite.tag("From"))
        return acknowledged, ended

    def finals_of(self, call):
        return [answer.status for answer in call.finals()]

    def abandoned(self):
        """A call whose first site was silent and whose second one rings: (call, first, second)."""
        call = self.call()
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        second.reply(180)
        call.provisional(180)
        return call, first, second
