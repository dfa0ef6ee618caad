# SPDX-License-Identifier: GPL-2.0-or-later
"""number_route(): return codes and $number(...), as a script sees them, and the README's example lines."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.kamailio import Kamailio
from harness.ports import free_port
from harness.sip import Endpoint, Message, token
from harness.wait import wait_until

# exit_timeout: a SIGTERM just after the start can leave Kamailio 5.6 waiting for its own lock.
CONFIG = """
debug=2
exit_timeout=3
log_stderror=yes
listen=udp:127.0.0.1:@PORT@
children=2
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "textops.so"
loadmodule "ctl.so"
loadmodule "provisioning.so"
loadmodule "number_route.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
request_route {
	if (is_present_hf("X-Users")) {
		number_called();
		$var(code) = $rc;
		number_calling();
		$tg(own) = "kept";
		append_to_reply("X-Called: $var(code) '$tg(called)' '$tg(user)' '$tg(user_end)'\\r\\n");
		append_to_reply("X-Calling: '$tg(calling)' $tg(own)\\r\\n");
		sl_send_reply("200", "OK");
		exit;
	}
	number_route("$rU");
	$var(code) = $rc;
	append_to_reply("X-Result: $var(code) $number(found) $number(account) $number(service) '$number(header)'\\r\\n");
	if ($number(account) == "acme" && $number(service) == "teamsOperatorConnect")
		append_to_reply("X-Both: yes\\r\\n");
	if ($hdr(X-Then) != $null) {
		number_route("$hdr(X-Then)");
		append_to_reply("X-Then: $number(found) $number(account)\\r\\n");
	}
	sl_send_reply("200", "OK");
	exit;
}
"""


class NumberRoute(Case):
    worker = None

    @classmethod
    def prepare(cls):
        cls.port = free_port()
        text = CONFIG.replace("@PORT@", str(cls.port))
        cls.kamailio = cls.start_for_all(Kamailio(cls.folder, text.replace("@WORKER@", cls.worker or "@WORKER@")))
        cls.peer = cls.start_for_all(Endpoint("127.0.0.1"))

    def ask(self, user, **headers):
        return self.ask_uri(f"sip:{user}@127.0.0.1", [(f"X-{key}", value) for key, value in headers.items()])

    def ask_uri(self, uri, headers, caller="<sip:a@b>"):
        call_id = token("call")
        self.peer.send(Message(f"MESSAGE {uri} SIP/2.0", [
            ("Via", self.peer.via()), ("From", f"{caller};tag=1"), ("To", "<sip:x@b>"), ("Call-ID", call_id),
            ("CSeq", "1 MESSAGE"), ("Max-Forwards", 70), *headers]), ("127.0.0.1", self.port))
        return self.peer.response(200, "MESSAGE", call_id=call_id)


class Provisioned(NumberRoute):
    @classmethod
    def prepare(cls):
        super().prepare()
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")
        for words in (("account_set", "s:acme"),
                      ("number_set", "s:+15551230001", "s:acme", "s:teamsOperatorConnect", "s:gold"),
                      ("number_set", "s:+15551230002", "s:acme", "s:teamsPhoneMobile")):
            cls.kamailio.call(f"provisioning.{words[0]}", *words[1:])

    def test_a_provisioned_number_is_found(self):
        answer = self.ask("+15551230001")
        self.assertEqual(answer.get("X-Result"), "1 1 acme teamsOperatorConnect 'gold'")
        self.assertEqual(answer.get("X-Both"), "yes")

    def test_a_number_without_header_has_an_empty_one(self):
        self.assertEqual(self.ask("+15551230002").get("X-Result"), "1 1 acme teamsPhoneMobile ''")

    def test_a_number_that_is_not_provisioned(self):
        self.assertEqual(self.ask("+15551230003").get("X-Result"), "-1 0 <null> <null> '<null>'")

    def log_of(self, user):
        before = len(self.kamailio.log())
        self.ask(user)
        return [line for line in self.kamailio.log()[before:].splitlines() if "is not provisioned" in line]

    def test_a_number_that_is_not_provisioned_is_logged_masked(self):
        lines = self.log_of("+15551230003")
        self.assertEqual(len(lines), 1)
        self.assertIn("INFO", lines[0])
        self.assertIn("number_route", lines[0])
        self.assertIn(" +*********03 is not provisioned", lines[0])
        self.assertEqual(self.log_of("+15551230001"), [])
        self.kamailio.rpc("number_route.lookup", "s:+15551230003")
        self.assertNotIn("+15551230003", self.kamailio.log())
        for masked, text in ((False, " +15551230004 is"), (True, " +*********04 is")):
            path = self.folder.write("topology.json", json.dumps({"mode": "lab", "settings": {"maskNumbers": masked},
                                                                  "peerGroups": []}))
            self.kamailio.call("provisioning.topology_load", f"s:{path}")
            self.assertIn(text, self.log_of("+15551230004")[0])

    def test_what_is_not_a_number(self):
        for user in ("15551230001", "+05551230001", "+", "alice", "+1555123000a", "+1555123000123456", "%2B15551230001"):
            with self.subTest(user=user):
                self.assertEqual(self.ask(user).get("X-Result"), "-2 0 <null> <null> '<null>'")

    def test_a_second_look_up_forgets_the_first(self):
        self.assertEqual(self.ask("+15551230001", Then="+15551230003").get("X-Then"), "0 <null>")
        self.assertEqual(self.ask("+15551230003", Then="+15551230002").get("X-Then"), "1 acme")

    def test_the_called_user_of_each_uri(self):
        phone = ";user=phone"
        for uri, called, user, end in (
                ("sip:+15551230001@x", "+15551230001", "+15551230001", ""),
                ("sips:+1-555.123(0001)@x", "+15551230001", "+15551230001", ""),
                ("sip:%2B1555%31230001;npdi;rn=%2b1@x;user=phone", "+15551230001", "+15551230001;npdi;rn=%2b1", phone),
                ("sip:+15551230001:secret@x;a=b;USER=Phone", "+15551230001", "+15551230001", phone),
                ("TEL:+1-555;phone-context=a-b", "+1555", "+1555;phone-context=a-b", phone),
                ("tel:112", "112", "112", phone),
                ("sip:1-1-2;a-b@x", "112", "1-1-2;a-b", ""),
                ("sip:%zz1@x", "", "%zz1", ""),
                ("sip:%001@x", "", "%001", ""),
                ("sip:alice@x", "alice", "alice", "")):
            with self.subTest(uri):
                answer = self.ask_uri(uri, [("X-Users", "1")])
                values = [text or "<null>" for text in (called, user, end)]
                self.assertEqual(answer.get("X-Called"), "1 '{}' '{}' '{}'".format(*values))
        for uri in ("sip:x", "sip:@x", "urn:service:sos", f"sip:{'1' * 513}@x"):
            with self.subTest(uri):
                self.assertRegex(self.ask_uri(uri, [("X-Users", "1")]).get("X-Called"), "^-1 .* '<null>' ")

    def test_the_calling_user_of_each_identity(self):
        asserted = "P-Asserted-Identity"
        for caller, headers, calling in (
                ("<sip:+1-555;npdi@x>", [], "+1555"),
                ("<sip:x>", [], "<null>"),
                ("<sip:+1@x>", [(asserted, '"A" <tel:+1-666;npdi>')], "+1666"),
                ("<sip:+1@x>", [(asserted, "<sip:+1777@x>, <tel:+1888>")], "+1777"),
                ("<sip:+1@x>", [(asserted, "<sip:x")], "<null>"),
                ("<sip:+1@x>", [(asserted, "")], "<null>")):
            with self.subTest(f"{caller} {headers}"):
                answer = self.ask_uri("sip:x@y", [("X-Users", "1"), *headers], caller)
                self.assertEqual(answer.get("X-Calling"), f"'{calling}' kept")

    def test_a_change_is_seen_by_the_next_call(self):
        for account in ("one", "two"):
            self.kamailio.call("provisioning.account_set", f"s:{account}")
        for _ in range(20):
            for account in ("one", "two"):
                self.kamailio.call("provisioning.number_set", "s:+15551230009", f"s:{account}", "s:teamsOperatorConnect")
                self.assertEqual(self.ask("+15551230009").get("X-Result"), f"1 1 {account} teamsOperatorConnect ''")

    def test_an_unknown_variable_is_refused_at_the_start(self):
        status, text = Kamailio(self.folder, CONFIG.replace("if ($number(account)", "if ($number(colour)").replace(
            "@PORT@", "5060"), name="colour").check()
        self.assertNotEqual(status, 0)
        self.assertIn("account, service, header or found", text)


class NothingPublished(NumberRoute):
    worker = "/bin/false"

    def test_before_the_worker_has_published_the_code_is_its_own(self):
        self.assertEqual(self.ask("+15551230001").get("X-Result"), "-3 0 <null> <null> '<null>'")
        self.assertEqual(self.ask("alice").get("X-Result"), "-2 0 <null> <null> '<null>'")


if __name__ == "__main__":
    import unittest

    unittest.main()
