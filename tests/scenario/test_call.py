# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls through trunkgate.cfg in both directions: which messages carry the custom header, and which must not."""

import unittest

from harness import Case, sdp
from harness.gateway import HEADER, Gateway

FOUND, NO_HEADER, MOBILE, UNKNOWN = "+15551230001", "+15551230002", "+15551230003", "+15559999999"
OUTSIDE = "+15557770000"


class CallCase(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder))
        cls.peer = cls.gateway.peer

    def carries(self, message, value="gold"):
        self.assertEqual(message.all(HEADER), [value], f"{message!r} to the operator")

    def carries_none(self, message):
        self.assertEqual(message.all(HEADER), [], f"{message!r}")

    def established(self, caller, callee, to, number, headers=()):
        """An answered call: (call, served)."""
        call = caller.invite(self.gateway.proxy, to, number, headers=headers)
        served = callee.served(call_id=call.call_id)
        served.reply(180)
        call.ringing = call.provisional(180)
        served.reply(200)
        call.final(status=200)
        call.ack()
        served.ack = served.acked()
        return call, served

    def in_dialog(self, sender, receiver, call_id, send, method, **options):
        """Sends a request of the dialog, answers it: (request as it arrived, answer as it arrived)."""
        send(method, **options)
        request = receiver.request(method, call_id=call_id)
        receiver.reply(request, 200, headers=[("Contact", receiver.contact)],
                       body=sdp(receiver.host) if method == "INVITE" else "")
        return request, sender.response(200, method, call_id=call_id)


class TestCallToService(CallCase):
    def test_header_is_on_every_message_to_the_operator_and_on_none_to_the_service(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call, served = self.established(west, teams, FOUND, OUTSIDE, headers=[(HEADER, "forged")])
        self.carries_none(served.invite)
        self.carries_none(served.ack)
        self.carries(call.ringing)
        self.carries(call.answer)

        request, answer = self.in_dialog(west, teams, call.call_id, call.dialog_request, "INVITE", body=sdp(west.host))
        self.carries_none(request)
        self.carries(answer)
        call.ack()
        self.carries_none(teams.request("ACK", call_id=call.call_id))

        def from_teams(method, **options):
            return served.dialog_request(method, self.gateway.proxy, **options)

        request, answer = self.in_dialog(teams, west, call.call_id, from_teams, "INVITE", body=sdp(teams.host))
        self.carries(request)
        self.carries_none(answer)
        served.cseq -= 1
        from_teams("ACK")
        self.carries(west.request("ACK", call_id=call.call_id))

        request, answer = self.in_dialog(teams, west, call.call_id, from_teams, "BYE")
        self.carries(request)
        self.carries_none(answer)
        for message in teams.seen(lambda m: m.call_id == call.call_id):
            self.carries_none(message)
        for message in west.seen(lambda m: m.call_id == call.call_id):
            self.carries(message)

    def test_answers_of_the_gateway_itself_carry_it(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call = west.invite(self.gateway.proxy, FOUND, OUTSIDE)
        served = teams.served(call_id=call.call_id)
        self.carries(call.provisional(100))
        served.reply(180)
        call.provisional(180)
        call.cancel()
        self.carries(west.response(200, "CANCEL", call_id=call.call_id))
        self.carries_none(served.cancelled())
        answer = call.final()
        self.assertEqual(answer.status, 487)
        self.carries(answer)

    def test_negative_answer_of_the_service_carries_it_to_the_operator(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call = west.invite(self.gateway.proxy, FOUND, OUTSIDE)
        served = teams.served(call_id=call.call_id)
        served.reply(486, headers=[(HEADER, "forged")])
        answer = call.final()
        self.assertEqual(answer.status, 486)
        self.carries(answer)
        self.carries_none(served.acked())

    def test_number_without_header_value_gets_none(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call, served = self.established(west, teams, NO_HEADER, OUTSIDE, headers=[(HEADER, "forged")])
        self.in_dialog(west, teams, call.call_id, call.dialog_request, "BYE")
        for endpoint in (west, teams):
            for message in endpoint.seen(lambda m: m.call_id == call.call_id):
                self.carries_none(message)

    def test_teams_phone_mobile_gets_none(self):
        west, mobile = self.peer["west"], self.peer["mobile-1"]
        call, served = self.established(west, mobile, MOBILE, OUTSIDE, headers=[(HEADER, "forged")])
        self.in_dialog(mobile, west, call.call_id,
                       lambda method: served.dialog_request(method, self.gateway.proxy), "BYE")
        for endpoint in (west, mobile):
            for message in endpoint.seen(lambda m: m.call_id == call.call_id):
                self.carries_none(message)

    def test_header_value_changes_with_the_next_call_after_the_acknowledgement(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        for value in ("silver", "gold"):
            self.gateway.cli("number_set", FOUND, "acme", "teamsOperatorConnect", value)
            call = west.invite(self.gateway.proxy, FOUND, OUTSIDE)
            served = teams.served(call_id=call.call_id)
            served.reply(486)
            self.carries(call.final(), value)

    def test_unprovisioned_number_is_404(self):
        call = self.peer["west"].invite(self.gateway.proxy, UNKNOWN, OUTSIDE)
        self.assertEqual(call.final().status, 404)

    def test_media_address_is_rtpengines(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call = west.invite(self.gateway.proxy, FOUND, OUTSIDE, body=sdp(west.host, 40000))
        served = teams.served(call_id=call.call_id)
        port = int(served.invite.body.split("m=audio ")[1].split()[0])
        engine = self.gateway.rtpengine
        self.assertIn(port, engine.ports, served.invite.body)
        served.reply(486)
        call.final()


class TestCallToOperator(CallCase):
    def test_header_is_on_every_message_to_the_operator_and_on_none_to_the_service(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call, served = self.established(teams, west, OUTSIDE, FOUND, headers=[(HEADER, "forged")])
        self.carries(served.invite)
        self.carries(served.ack)
        self.carries_none(call.ringing)
        self.carries_none(call.answer)

        request, answer = self.in_dialog(teams, west, call.call_id, call.dialog_request, "INVITE",
                                         body=sdp(teams.host))
        self.carries(request)
        self.carries_none(answer)
        call.ack()
        self.carries(west.request("ACK", call_id=call.call_id))

        request, answer = self.in_dialog(
            west, teams, call.call_id, lambda method: served.dialog_request(method, self.gateway.proxy), "BYE")
        self.carries_none(request)
        self.carries(answer)
        for message in teams.seen(lambda m: m.call_id == call.call_id):
            self.carries_none(message)
        for message in west.seen(lambda m: m.call_id == call.call_id):
            self.carries(message)

    def test_answers_of_the_gateway_itself_carry_none(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call = teams.invite(self.gateway.proxy, OUTSIDE, FOUND)
        served = west.served(call_id=call.call_id)
        self.carries_none(call.provisional(100))
        served.reply(180)
        call.provisional(180)
        call.cancel()
        self.carries_none(teams.response(200, "CANCEL", call_id=call.call_id))
        served.cancelled()
        answer = call.final()
        self.assertEqual(answer.status, 487)
        self.carries_none(answer)

    def test_teams_phone_mobile_gets_none(self):
        west, mobile = self.peer["west"], self.peer["mobile-1"]
        call, served = self.established(mobile, west, OUTSIDE, MOBILE)
        self.in_dialog(mobile, west, call.call_id, call.dialog_request, "BYE")
        for endpoint in (west, mobile):
            for message in endpoint.seen(lambda m: m.call_id == call.call_id):
                self.carries_none(message)


class TestDialogToken(CallCase):
    def test_changed_token_is_481_and_bye_passes(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call, served = self.established(west, teams, FOUND, OUTSIDE)

        def tamper(request):
            for header in request.headers:
                if header[0] == "Route" and "tg=" in header[1]:
                    before, after = header[1].split("tg=", 1)
                    header[1] = f"{before}tg={'A' if after[0] != 'A' else 'B'}{after[1:]}"

        request = call.dialog_request("INVITE", body=sdp(west.host), changes=tamper)
        answer = west.wait(lambda m: m.status and m.status >= 300 and m.cseq == request.cseq, what="481")
        self.assertEqual(answer.status, 481)
        call.dialog_request("BYE", changes=tamper)
        served.ended()
        west.response(200, "BYE", call_id=call.call_id)

    def test_dialog_goes_on_after_a_restart_of_kamailio(self):
        west, teams = self.peer["west"], self.peer["teams-1"]
        call, served = self.established(west, teams, FOUND, OUTSIDE)
        self.gateway.kamailio.stop()
        self.gateway.restart_kamailio()
        request, answer = self.in_dialog(
            teams, west, call.call_id, lambda method: served.dialog_request(method, self.gateway.proxy), "BYE")
        self.carries(request)
        self.carries_none(answer)


if __name__ == "__main__":
    unittest.main()
