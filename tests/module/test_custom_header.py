# SPDX-License-Identifier: GPL-2.0-or-later
"""The custom header on the wire: on what goes to the operator, on nothing else, and never a stranger's."""

import base64
import hashlib
import json
import pathlib
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.kamailio import Kamailio
from harness.ports import free_port
from harness.sip import Endpoint, Message, token
from harness.wait import wait_until

HEADER = "X-MS-Operator-Content"
GOLD, PLAIN, MOBILE = "+15551230001", "+15551230002", "+15551230003"

# The side comes from the source address, the number from X-Number: what site_failover does in the real configuration.
# exit_timeout: a SIGTERM just after the start can leave Kamailio 5.6 waiting for its own lock.
CONFIG = """
debug=2
exit_timeout=3
log_stderror=yes
listen=udp:127.0.0.1:@PORT@
children=2
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "ctl.so"
loadmodule "provisioning.so"
loadmodule "number_route.so"
loadmodule "custom_header.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
modparam("tm", "ac_extra_hdrs", "X-MS-Operator-Content")
request_route {
	if ($si == "127.0.1.1") {
		$tg(side) = 1;
		$var(next) = "sip:@SERVICE@";
	} else {
		$tg(side) = 2;
		$var(next) = "sip:@OPERATOR@";
	}
	custom_header_remove();
	if (is_method("CANCEL")) {
		custom_header_local();
		t_relay();
		exit;
	}
	number_route("$hdr(X-Number)");
	if (has_totag()) {
		loose_route();
		custom_header_add();
	} else {
		record_route();
	}
	custom_header_local();
	if ($rU == "stateless") {
		sl_send_reply("404", "Not Found");
		exit;
	}
	if ($rU == "stateful") {
		t_newtran();
		t_reply("503", "Service Unavailable");
		exit;
	}
	if (!has_totag()) {
		$du = $var(next);
		t_on_branch("BRANCH");
		t_on_failure("FAILURE");
	}
	if ($rU != "core")
		t_on_reply("REPLY");
	if ($rU == "silent")
		t_set_fr("0", "300");
	t_relay();
}
branch_route[BRANCH] {
	custom_header_add();
}
onreply_route[REPLY] {
	custom_header_remove();
	custom_header_add();
}
failure_route[FAILURE] {
	if (t_check_status("500")) {
		t_reply("480", "Temporarily Unavailable");
	}
}
reply_route {
	if ($hdr(X-Core) != $null) {
		custom_header_remove();
		custom_header_add();
	}
}
"""

TOPOLOGY = {"mode": "lab", "settings": {"customSipHeader": HEADER}, "services": [], "peerGroups": []}


class CustomHeader(Case):
    settings = TOPOLOGY["settings"]

    @classmethod
    def prepare(cls):
        cls.port = free_port()
        cls.proxy = ("127.0.0.1", cls.port)
        cls.operator = cls.start_for_all(Endpoint("127.0.1.1"))
        cls.service = cls.start_for_all(Endpoint("127.0.2.1"))
        text = CONFIG
        for word, value in {"@PORT@": cls.port, "@OPERATOR@": cls.operator.address,
                            "@SERVICE@": cls.service.address}.items():
            text = text.replace(word, str(value))
        cls.kamailio = cls.start_for_all(Kamailio(cls.folder, text))
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")
        path = cls.folder.write("topology.json", json.dumps({**TOPOLOGY, "settings": cls.settings}))
        path.chmod(0o644)
        cls.kamailio.call("provisioning.topology_load", f"s:{path}")
        cls.kamailio.call("provisioning.account_set", "s:acme")
        for number, service, header in ((GOLD, "teamsOperatorConnect", ["s:gold"]), (PLAIN, "teamsOperatorConnect", []),
                                        (MOBILE, "teamsPhoneMobile", ["s:gold"])):
            status, text = cls.kamailio.rpc("provisioning.number_set", f"s:{number}", "s:acme", f"s:{service}", *header)
            if status and number != MOBILE:
                raise AssertionError(text)

    def header(self, message, value="gold"):
        self.assertEqual(message.all(HEADER), [value] if value else [], repr(message))

    def from_operator(self, user="bob", number=GOLD, headers=()):
        return self.operator.invite(self.proxy, to=user, headers=[("X-Number", number), *headers])

    def from_service(self, user="bob", number=GOLD, headers=()):
        return self.service.invite(self.proxy, to=user, headers=[("X-Number", number), *headers])

    def number(self, number=GOLD):
        return [("X-Number", number)]


class CallFromOperator(CustomHeader):
    def test_each_message_of_a_call(self):
        call = self.from_operator()
        self.header(call.provisional(100))
        served = self.service.served(call_id=call.call_id)
        self.header(served.invite, None)
        served.reply(180)
        self.header(call.provisional(180))
        served.reply(200)
        self.header(call.final())
        call.dialog_request("ACK", headers=self.number())
        self.header(served.acked(), None)
        # a later request of each side
        call.dialog_request("INFO", headers=self.number())
        info = self.service.request("INFO", call_id=call.call_id)
        self.header(info, None)
        self.service.reply(info, 200)
        self.header(self.operator.response(200, "INFO", call_id=call.call_id))
        served.dialog_request("BYE", self.proxy, headers=self.number())
        bye = self.operator.request("BYE", call_id=call.call_id)
        self.header(bye)
        self.operator.reply(bye, 200)
        self.header(self.service.response(200, "BYE", call_id=call.call_id), None)

    def test_what_came_from_outside_is_removed(self):
        strange = [(HEADER, "forged"), (HEADER.lower(), "forged too"), (HEADER.upper() + " ", "and again")]
        call = self.from_operator(headers=strange)
        served = self.service.served(call_id=call.call_id)
        self.header(served.invite, None)
        served.reply(180, headers=strange)
        self.header(call.provisional(180))
        served.reply(486, headers=strange)
        self.header(call.final())
        self.header(served.acked(), None)

    def test_answers_of_our_own(self):
        for user, status in (("stateless", 404), ("stateful", 503)):
            with self.subTest(status=status):
                answer = self.from_operator(user).final(status=status)
                self.header(answer)

    def test_the_answer_for_silence_and_that_of_a_failure_route(self):
        call = self.from_operator("silent")
        self.header(call.final(status=408))
        call = self.from_operator()
        self.service.served(call_id=call.call_id).reply(500)
        self.header(call.final(status=480))

    def test_cancel(self):
        call = self.from_operator()
        served = self.service.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        self.header(self.operator.response(200, "CANCEL", call_id=call.call_id))
        self.header(served.cancelled(), None)
        self.header(call.final(status=487))

    def test_a_number_without_header_has_none(self):
        for number in (PLAIN, MOBILE, "+15551239999", "nonsense"):
            with self.subTest(number=number):
                call = self.from_operator(number=number, headers=[(HEADER, "forged")])
                self.header(call.provisional(100), None)
                served = self.service.served(call_id=call.call_id)
                self.header(served.invite, None)
                served.reply(486, headers=[(HEADER, "forged")])
                self.header(call.final(), None)

    def test_core_reply_route_takes_the_call_from_the_transaction(self):
        call = self.from_operator("core")
        served = self.service.served(call_id=call.call_id)
        served.reply(183, headers=[("X-Core", "1"), (HEADER, "forged")])
        self.header(call.provisional(183))
        served.reply(200, headers=[("X-Core", "1")])
        self.header(call.final())


class CallToOperator(CustomHeader):
    def test_each_message_of_a_call(self):
        call = self.from_service()
        self.header(call.provisional(100), None)
        served = self.operator.served(call_id=call.call_id)
        self.header(served.invite)
        served.reply(180, headers=[(HEADER, "forged")])
        self.header(call.provisional(180), None)
        served.reply(200, headers=[(HEADER, "forged")])
        self.header(call.final(), None)
        call.dialog_request("ACK", headers=self.number())
        self.header(served.acked())
        served.dialog_request("INFO", self.proxy, headers=self.number())
        info = self.service.request("INFO", call_id=call.call_id)
        self.header(info, None)
        self.service.reply(info, 200, headers=[(HEADER, "forged")])
        self.header(self.operator.response(200, "INFO", call_id=call.call_id))
        call.dialog_request("BYE", headers=self.number())
        self.header(served.ended())
        self.header(self.service.response(200, "BYE", call_id=call.call_id), None)

    def test_a_forged_header_is_replaced(self):
        call = self.from_service(headers=[(HEADER.swapcase(), "forged"), (HEADER, "forged")])
        served = self.operator.served(call_id=call.call_id)
        self.header(served.invite)
        served.reply(486)
        call.final()

    def test_cancel_and_ack_of_tm_carry_it_if_tm_knows_the_name(self):
        call = self.from_service()
        served = self.operator.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        call.cancel()
        self.header(served.cancelled())
        self.header(served.acked())
        self.header(call.final(status=487), None)

    def test_our_own_answers_to_the_service_have_none(self):
        self.header(self.from_service("stateless").final(status=404), None)
        self.header(self.from_service("stateful").final(status=503), None)

    def test_a_service_that_does_not_support_it_gets_none(self):
        call = self.from_service(number=MOBILE)
        served = self.operator.served(call_id=call.call_id)
        self.header(served.invite, None)
        served.reply(486)
        call.final()


class LateAnswer(CustomHeader):
    """A reply without a transaction: the call is known from the token in its own Record-Route alone."""

    def token(self, call_id, direction=1, attributes=1, caller_tag="1"):
        with sqlite3.connect(f"file:{self.kamailio.store}?mode=ro", uri=True) as store:
            table = next(name for name, sql in store.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
                         if "dialog_key" in sql)
            key = store.execute(f"SELECT dialog_key FROM {table}").fetchone()[0]
        state = bytes([direction]) + (1).to_bytes(3, "big") + (2).to_bytes(3, "big") + attributes.to_bytes(4, "big")
        state += bytes(3)
        mac = hashlib.blake2b(state + f"{call_id}\n{caller_tag}".encode(), key=key, digest_size=32).digest()[:10]
        return base64.urlsafe_b64encode(state + mac).decode()

    def late(self, call_id, text):
        cseq = "1 INVITE"
        self.service.send(Message("SIP/2.0 200 OK", [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{token('x')}"), ("Via", self.operator.via()),
            ("Record-Route", f"<sip:127.0.0.1:{self.port};lr;tg={text}>"), ("From", "<sip:a@b>;tag=1"),
            ("To", "<sip:b@c>;tag=2"), ("Call-ID", call_id), ("CSeq", cseq), ("X-Core", "1"), (HEADER, "forged"),
            ("Contact", self.service.contact)]), self.proxy)
        return self.operator.response(200, "INVITE", call_id=call_id)

    def test_a_valid_token(self):
        call_id = token("late")
        self.header(self.late(call_id, self.token(call_id)))

    def test_what_goes_to_the_service_has_none(self):
        call_id = token("late")
        self.header(self.late(call_id, self.token(call_id, direction=2)), None)

    def test_a_token_of_another_dialog_or_changed_is_not_believed(self):
        def changed(call_id):
            text = self.token(call_id)
            return text[:-1] + ("A" if text[-1] != "A" else "B")
        for text in (lambda call_id: self.token("another"), lambda call_id: self.token(call_id, caller_tag="3"),
                     lambda call_id: "A" * 32, lambda call_id: "x", changed):
            call_id = token("late")
            self.header(self.late(call_id, text(call_id)), None)

    def test_a_set_that_is_gone(self):
        call_id = token("late")
        self.header(self.late(call_id, self.token(call_id, attributes=4000000000)), None)


class NoName(CustomHeader):
    settings = {"customSipHeader": ""}

    def test_without_a_name_nothing_is_touched(self):
        call = self.from_service(headers=[(HEADER, "theirs")])
        served = self.operator.served(call_id=call.call_id)
        self.header(served.invite, "theirs")
        served.reply(486)
        call.final()
        self.header(self.from_operator("stateful").final(status=503), None)


if __name__ == "__main__":
    import unittest

    unittest.main()
