# SPDX-License-Identifier: GPL-2.0-or-later
"""Our functions and pseudo-variables from KEMI: all routing is kemi.lua (app_lua), which calls every one of them."""

import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.kamailio import Kamailio
from harness.paths import ROOT
from harness.ports import free_port
from harness.sip import Call, Endpoint
from harness.wait import wait_until

HEADER = "X-MS-Operator-Content"
GOLD, UNKNOWN = "+15551230001", "+15551239999"
SILENCE = 0.6
MODULES = ("number_route", "custom_header", "site_failover")
SCRIPT = pathlib.Path(__file__).resolve().parent / "kemi.lua"

# exit_timeout: a SIGTERM just after the start can leave Kamailio 5.6 waiting for its own lock.
CONFIG = """
debug=2
exit_timeout=3
log_stderror=yes
auto_aliases=no
listen=udp:127.0.0.1:@PORT@
listen=tcp:127.0.0.1:@PORT@
children=2
tcp_children=1
loadmodule "app_lua.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "counters.so"
loadmodule "ctl.so"
loadmodule "provisioning.so"
loadmodule "number_route.so"
loadmodule "custom_header.so"
loadmodule "site_failover.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
modparam("tm", "remap_503_500", 0)
modparam("site_failover", "event_callback", "site_event")
modparam("app_lua", "load", "@SCRIPT@")
cfgengine "lua"
"""

SETTINGS = {"customSipHeader": HEADER, "probeIntervalMs": 60000, "probeTimeoutMs": 1000, "keepaliveIntervalMs": 3600000,
            "silenceLimitMs": int(SILENCE * 1000), "progressLimitMs": 3000, "downAfter": 100, "upAfter": 1,
            "maxTries": 4}


class Kemi(Case):
    """Two operator sites and two service peers."""

    worker = None

    @classmethod
    def prepare(cls):
        cls.port = free_port()
        cls.proxy = ("127.0.0.1", cls.port)
        cls.west, cls.east, cls.teams, cls.teams_2 = (
            cls.start_for_all(Endpoint(host)) for host in ("127.0.5.1", "127.0.5.2", "127.0.6.1", "127.0.6.2"))
        text = CONFIG.replace("@PORT@", str(cls.port)).replace("@SCRIPT@", str(SCRIPT))
        cls.kamailio = cls.start_for_all(Kamailio(cls.folder, text.replace("@WORKER@", cls.worker or "@WORKER@")))
        if not cls.worker:
            cls.provision()

    @classmethod
    def provision(cls):
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")
        path = cls.folder.write("topology.json", json.dumps(cls.document()))
        path.chmod(0o644)
        cls.kamailio.call("provisioning.topology_load", f"s:{path}")
        cls.kamailio.call("provisioning.account_set", "s:acme")
        cls.kamailio.call("provisioning.number_set", f"s:{GOLD}", "s:acme", "s:teamsOperatorConnect", "s:gold")

    @classmethod
    def document(cls):
        def group(name, side, media, **peers):
            return {"name": name, "side": side, "signalling": "UDP", "media": media, "peers": [
                {"name": peer, "site": f"{peer}-site", "host": endpoint.host, "port": endpoint.port, "priority": i}
                for i, (peer, endpoint) in enumerate(peers.items())]}

        operator = group("operator", "operator", "RTP", west=cls.west, east=cls.east)
        return {"mode": "lab", "settings": SETTINGS,
                "services": [{"name": "teamsOperatorConnect", "peerGroup": "teams", "operatorPeerGroup": "operator"}],
                "peerGroups": [{**operator, "defaultService": "teamsOperatorConnect"},
                               group("teams", "service", "SRTP", cloud=cls.teams, cloud2=cls.teams_2)]}

    def to_service(self, number=GOLD, **more):
        return self.west.invite(self.proxy, number, **more)

    def to_operator(self, number=GOLD, **more):
        return self.teams.invite(self.proxy, "+15550001111", caller=number, **more)

    def header(self, message, value="gold"):
        self.assertEqual(message.all(HEADER), [value] if value else [], repr(message))

    def refused(self, call, status, text):
        answer = call.final()
        self.assertEqual(answer.first, f"SIP/2.0 {status} {text}")
        return answer

    def ended_by_us(self, served, cause):
        acknowledged, ended = served.acked(), served.ended()
        self.assertIn(f"SIP;cause={cause}", ended.get("Reason"))
        for message in (acknowledged, ended):
            self.header(message)


class TestEvents(Kemi):
    def test_script_is_told_that_a_peer_is_drained(self):
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        wait_until(lambda: "told site_failover:drained west" in self.kamailio.log(), 5)


class TestExports(Kemi):
    def exported(self):
        """{module: {function}} as KEMI knows them."""
        found = {}
        for module, name in re.findall(r"module: (\S+)\s+name: (\S+)", self.kamailio.call("app_lua.api_list")):
            found.setdefault(module, set()).add(name)
        return found

    def readme(self, module):
        return (ROOT / "modules" / module / "README.md").read_text()

    def test_each_script_function_is_there_under_its_own_name(self):
        exported = self.exported()
        for module in MODULES:
            with self.subTest(module):
                documented = set(re.findall(r"(?m)^### (\w+)\(", self.readme(module)))
                self.assertTrue(documented)
                self.assertEqual(exported[module], documented)

    def test_script_calls_each_of_them(self):
        script = SCRIPT.read_text()
        for module in MODULES:
            for name in self.exported()[module]:
                self.assertRegex(script, rf"\.{name}\(")

    def test_script_reads_each_variable(self):
        script = SCRIPT.read_text()
        names = re.findall(r"(?m)^\| `\$(number\(\w+\))` \|", self.readme("number_route"))
        table = self.readme("site_failover").split("## Pseudo-variables")[1].split("\n## ")[0]
        for row in re.findall(r"(?m)^\| (`.*?`) \| ", table):
            names += [f"site({name})" for name in re.findall(r"\w+", row)]
        self.assertGreater(len(names), 15)
        for name in names:
            self.assertIn(f'"{name}"', script)


class TestNothingPublished(Kemi):
    worker = "/bin/false"

    def test_return_code_is_that_of_the_native_function(self):
        self.refused(self.to_service(), 403, "site_identify -4")


class TestReturnCodes(Kemi):
    def test_unknown_source_and_wrong_transport(self):
        stranger = self.start(Endpoint("127.0.9.9"))
        self.refused(stranger.invite(self.proxy, GOLD), 403, "site_identify -1")
        stream = self.start(Endpoint("127.0.5.1", transport="tcp"))
        self.refused(stream.invite(self.proxy, GOLD), 403, "site_identify -2")

    def test_numbers_that_are_not_found_or_none(self):
        self.refused(self.to_service(UNKNOWN), 404, "number_route -1")
        for text in ("bob", "15551230001", "+1", "+1555123000a"):
            self.refused(self.to_service(text), 404, "number_route -2")

    def test_service_and_group_that_do_not_exist(self):
        self.refused(self.to_service(headers=[("X-Service", "nonsense")]), 404, "site_service -1")
        self.refused(self.to_service(headers=[("X-Group", "nobody")]), 503, "site_select -1")

    def test_no_peer_in_service(self):
        for peer in ("cloud", "cloud2"):
            self.kamailio.call("site_failover.set", peer, "drain")
            self.addCleanup(self.kamailio.call, "site_failover.set", peer, "auto")
        self.refused(self.to_service(), 503, "site_select -2")

    def test_variables_of_a_call(self):
        call = self.to_service()
        served = self.teams.served(call_id=call.call_id)
        self.assertEqual(dict(value.split("=") for value in served.invite.get("X-Values").split()), {
            "number(account)": "acme", "number(service)": "teamsOperatorConnect", "number(header)": "gold",
            "number(found)": "1", "site(side)": "operator", "site(group)": "operator", "site(peer)": "west",
            "site(site)": "west-site", "site(direction)": "to-service", "site(media)": "RTP", "site(signalling)": "UDP",
            "site(default_service)": "teamsOperatorConnect", "site(ingress_service)": "nil",
            "site(unprovisioned_service)": "teamsOperatorConnect", "site(out_group)": "teams",
            "site(out_peer)": "cloud", "site(out_site)": "cloud-site", "site(out_media)": "SRTP",
            "site(out_signalling)": "UDP", "site(node)": "auto",
            "site(emergency)": "nil", "site(target)": "nil", "site(reason)": "nil"})
        served.reply(486)
        call.final()

    def test_functions_in_a_wrong_route_or_without_their_text_do_nothing(self):
        call = Call(self.west, self.proxy, GOLD, "+15550009999")
        self.west.send(call.message("MESSAGE", call.uri, 1), self.proxy)
        answer = self.west.response((200, 699), "MESSAGE", call_id=call.call_id)
        self.assertEqual(answer.first, "SIP/2.0 200 misuse -1 -1 -1 -2 -1 -1 -1 -1 -1")


class TestToService(Kemi):
    def test_503_goes_to_the_next_peer_and_the_header_to_the_operator_only(self):
        call = self.to_service(headers=[(HEADER, "forged")])
        self.header(call.provisional(100))
        first = self.teams.served(call_id=call.call_id)
        self.header(first.invite, None)
        first.reply(503)
        second = self.teams_2.served(call_id=call.call_id)
        self.header(second.invite, None)
        second.reply(180, headers=[(HEADER, "forged")])
        self.header(call.provisional(180))
        second.reply(200)
        self.header(call.final())
        call.ack()
        self.header(second.acked(), None)
        second.dialog_request("BYE", self.proxy)
        bye = self.west.request("BYE", call_id=call.call_id)
        self.header(bye)
        self.west.reply(bye, 200)
        self.header(self.teams_2.response(200, "BYE", call_id=call.call_id), None)
        self.assertEqual([answer.status for answer in call.finals()], [200])

    def test_no_peer_left(self):
        call = self.to_service()
        self.teams.served(call_id=call.call_id).reply(503)
        self.teams_2.served(call_id=call.call_id).reply(503)
        self.header(self.refused(call, 503, "site_next -1"))

    def test_other_answers_are_the_callers(self):
        call = self.to_service()
        self.teams.served(call_id=call.call_id).reply(486)
        self.assertEqual(call.final().status, 486)
        self.assertEqual(self.teams_2.requests("INVITE", call.call_id), [])

    def test_cancel(self):
        call = self.to_service()
        served = self.teams.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        self.header(self.west.response(200, "CANCEL", call_id=call.call_id))
        served.cancelled()
        self.header(call.final(status=487))


class TestToOperator(Kemi):
    def test_header_and_dialog_of_an_answered_call(self):
        call = self.to_operator(headers=[(HEADER.lower(), "forged")])
        self.header(call.provisional(100), None)
        served = self.west.served(call_id=call.call_id)
        self.header(served.invite)
        self.assertIn(";tg=", served.invite.get("Record-Route"))
        served.reply(200, headers=[(HEADER, "forged")])
        self.header(call.final(), None)
        call.ack()
        self.header(served.acked())
        call.dialog_request("BYE")
        self.header(served.ended())
        self.header(self.teams.response(200, "BYE", call_id=call.call_id), None)

    def test_changed_token_is_no_dialog_and_bye_passes(self):
        call = self.to_operator()
        served = self.west.served(call_id=call.call_id)
        served.reply(200)
        call.final()
        call.ack()
        served.acked()

        def forge(request):
            route = request.get("Route")
            place = route.index(";tg=") + 6
            request.set("Route", route[:place] + ("B" if route[place] != "B" else "C") + route[place + 1:])

        call.dialog_request("INFO", changes=forge)
        self.assertIn("481 site_dialog -1", self.teams.response((200, 699), "INFO", call_id=call.call_id).first)
        call.dialog_request("BYE", changes=forge)
        served.ended()

    def test_silence_goes_to_the_next_peer_and_the_late_answer_is_ended(self):
        call = self.to_operator()
        first = self.west.served(call_id=call.call_id)
        second = self.east.served(SILENCE + 2, call.call_id)
        second.reply(200)
        call.final()
        call.ack()
        second.acked()
        first.reply(200)
        self.ended_by_us(first, 200)
        call.dialog_request("BYE")
        second.ended()
        self.assertEqual([answer.status for answer in call.finals()], [200])

    def test_refused_answer_is_488_for_the_caller_and_bye_for_the_callee(self):
        call = self.to_operator()
        served = self.west.served(call_id=call.call_id)
        served.reply(200, headers=[("X-Refuse", "1")])
        self.refused(call, 488, "Not Like This")
        self.ended_by_us(served, 488)


if __name__ == "__main__":
    unittest.main()
