# SPDX-License-Identifier: GPL-2.0-or-later
"""A node and its peers are taken out of service without a lost call, and emergency calls pass all the same."""

import unittest

from harness import Case, sdp, wait_until
from harness.gateway import PEERS, Gateway
from harness.sip import Endpoint, Message, token

NUMBER, OUTSIDE = "+15551230001", "+15557770000"
GRACE = 1.5


class DrainCase(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder, settings={"drainGraceMs": int(GRACE * 1000)}))
        cls.west, cls.east, cls.teams = (cls.gateway.peer[name] for name in ("west", "east", "teams-1"))

    def options(self):
        call_id = token("options")
        self.west.send(Message(f"OPTIONS sip:{self.gateway.host}:{self.gateway.port} SIP/2.0", [
            ("Via", self.west.via()), ("Max-Forwards", 70), ("From", f"<sip:{self.west.host}>;tag=1"),
            ("To", f"<sip:{self.gateway.host}>"), ("Call-ID", call_id), ("CSeq", "1 OPTIONS")]), self.gateway.proxy)
        return self.west.response((200, 699), "OPTIONS", call_id=call_id)

    def node(self):
        text = self.gateway.kamailio.call("site_failover.list")
        rows = dict(line.split(":", 1) for line in text[:text.index("}")].replace("\t", "").splitlines() if ":" in line)
        return rows["node"].strip(), int(rows["live"])

    def to_operator(self, called=OUTSIDE, **more):
        return self.teams.invite(self.gateway.proxy, called, NUMBER, **more)

    def answered(self, call):
        served = self.west.served(call_id=call.call_id)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        return served

    def over(self, call, served):
        call.dialog_request("BYE")
        served.ended()
        self.assertEqual(call.endpoint.response((200, 699), "BYE", call_id=call.call_id).status, 200)

    def refused(self, call):
        answer = call.final()
        self.assertEqual(answer.status, 503)
        self.assertTrue(answer.get("Retry-After"))


class TestNode(DrainCase):
    def drain(self):
        self.gateway.kamailio.call("site_failover.drain", "on")
        self.addCleanup(self.gateway.kamailio.call, "site_failover.drain", "off")

    def closed(self):
        call = self.to_operator()
        answer = wait_until(lambda: call.endpoint.seen(
            lambda m: not m.is_request and m.method == "INVITE" and m.call_id == call.call_id and m.status >= 200)
            or self.west.requests("INVITE", call.call_id), 5)
        if isinstance(answer[0], Message) and not answer[0].is_request:
            call.final()
            return True
        self.west.served(call_id=call.call_id).reply(486)
        call.final()
        return False

    def test_options_are_refused_at_once_and_calls_after_the_grace_time(self):
        self.assertEqual(self.options().status, 200)
        before = self.to_operator()
        talking = self.answered(before)
        self.drain()
        answer = self.options()
        self.assertEqual(answer.status, 503)
        self.assertTrue(answer.get("Retry-After"))
        within = self.to_operator()
        self.over(within, self.answered(within))
        wait_until(self.closed, GRACE + 3, "the grace time is over", 0.2)
        self.refused(self.to_operator())
        self.assertEqual(self.node(), ("drain", 1))
        self.over(before, talking)
        self.assertEqual(self.node(), ("drain", 0))
        emergency = self.to_operator("112")
        self.over(emergency, self.answered(emergency))

    def test_a_restart_gives_no_new_grace_time(self):
        self.drain()
        wait_until(self.closed, GRACE + 3, "the grace time is over", 0.2)
        self.gateway.kamailio.stop()
        self.gateway.restart_kamailio()
        self.refused(self.to_operator())
        self.assertEqual(self.node(), ("drain", 0))

    def test_node_takes_calls_again(self):
        self.drain()
        wait_until(self.closed, GRACE + 3, "the grace time is over", 0.2)
        self.gateway.kamailio.call("site_failover.drain", "off")
        self.assertEqual(self.options().status, 200)
        call = self.to_operator()
        self.over(call, self.answered(call))
        self.assertEqual(self.node(), ("auto", 0))


class TestPeer(DrainCase):
    def test_draining_peer_keeps_its_calls_and_gets_no_new_one(self):
        before = self.to_operator()
        talking = self.answered(before)
        self.gateway.cli("peer_set", "west", "drain")
        self.addCleanup(self.gateway.cli, "peer_set", "west", "auto")
        call = self.to_operator()
        self.east.served(call_id=call.call_id).reply(486)
        call.final()
        before.dialog_request("INFO")
        self.west.reply(self.west.request("INFO", call_id=before.call_id), 200)
        self.over(before, talking)


class TestRemovedPeer(DrainCase):
    def remove(self, name):
        document = self.gateway.document()
        for group in document["peerGroups"]:
            group["peers"] = [peer for peer in group["peers"] if peer["name"] != name]
        self.gateway.load(document)
        self.addCleanup(self.gateway.load)

    def test_it_refreshes_and_ends_its_calls_and_nobody_else_does(self):
        call = self.to_operator()
        served = self.answered(call)
        self.remove("west")
        stranger = self.start(Endpoint("127.0.9.9", user="stranger"))
        forged = served.dialog_request("BYE", self.gateway.proxy, changes=lambda m: m.set("Via", stranger.via()), send=False)
        stranger.send(forged, self.gateway.proxy)
        self.assertEqual(stranger.response((200, 699), "BYE", call_id=call.call_id).status, 403)
        self.assertEqual(self.west.invite(self.gateway.proxy, NUMBER, OUTSIDE).final().status, 403)
        served.dialog_request("INFO", self.gateway.proxy)
        self.teams.reply(self.teams.request("INFO", call_id=call.call_id), 200)
        self.assertEqual(self.west.response((200, 699), "INFO", call_id=call.call_id).status, 200)
        served.dialog_request("BYE", self.gateway.proxy)
        self.teams.reply(self.teams.request("BYE", call_id=call.call_id), 200)
        self.assertEqual(self.west.response((200, 699), "BYE", call_id=call.call_id).status, 200)
        self.assertEqual(self.node(), ("auto", 0))

    def test_a_caller_that_was_removed_acknowledges_and_ends_his_call(self):
        call = self.west.invite(self.gateway.proxy, NUMBER, OUTSIDE)
        served = self.teams.served(call_id=call.call_id)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        self.remove("west")
        call.ack()
        served.acked()
        call.dialog_request("BYE")
        served.ended()
        self.assertEqual(self.west.response((200, 699), "BYE", call_id=call.call_id).status, 200)
        self.assertEqual(self.node(), ("auto", 0))

    def test_its_calls_are_acknowledged_refreshed_and_ended_by_the_other_side(self):
        call = self.to_operator()
        served = self.west.served(call_id=call.call_id)
        served.reply(180)
        call.provisional(180)
        self.remove("west")
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        call.dialog_request("INVITE", body=call.sent.body)
        again = self.west.request("INVITE", call_id=call.call_id)
        self.assertIn("m=audio", again.body)
        self.west.reply(again, 488)
        self.assertEqual(self.teams.response((300, 699), "INVITE", call_id=call.call_id).status, 488)
        self.over(call, served)
        self.assertEqual(self.node(), ("auto", 0))


class TestEmergency(DrainCase):
    def test_service_urn_is_passed_as_it_is(self):
        call = self.to_operator(uri="urn:service:sos.fire")
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(served.invite.uri, "urn:service:sos.fire")
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        self.over(call, served)

    def test_emergency_call_goes_to_a_drained_peer_if_no_other_takes_it(self):
        for peer in ("west", "east"):
            self.gateway.cli("peer_set", peer, "drain")
            self.addCleanup(self.gateway.cli, "peer_set", peer, "auto")
        self.refused(self.to_operator())
        call = self.to_operator("112")
        self.over(call, self.answered(call))


class TestEmergencyOfUnknownCallers(Case):
    """The service demands provisioned numbers."""

    @classmethod
    def prepare(cls):
        service = "zoomPhoneCloudPeering"
        peers = {"west": PEERS["west"], "zoom": ("zoom", "service", "cloud-1", "127.0.2.10", service)}
        cls.gateway = cls.start_for_all(Gateway(cls.folder, peers=peers, numbers={NUMBER: ("acme", service, None)}))
        cls.west, cls.zoom = cls.gateway.peer["west"], cls.gateway.peer["zoom"]

    def test_unknown_and_anonymous_callers_reach_help_and_nobody_else(self):
        for caller in ("+15559990000", "anonymous"):
            for more in ({}, {"uri": "urn:service:sos"}):
                with self.subTest(caller=caller, **more):
                    call = self.zoom.invite(self.gateway.proxy, "112", caller, **more)
                    self.west.served(call_id=call.call_id).reply(486)
                    self.assertEqual(call.final().status, 486)
            self.assertEqual(self.zoom.invite(self.gateway.proxy, OUTSIDE, caller).final().status, 404)

    def test_without_a_media_relay_plain_rtp_goes_from_end_to_end(self):
        self.gateway.rtpengine.stop()
        offer, answer = sdp(self.zoom.host), sdp(self.west.host)
        self.assertEqual(self.zoom.invite(self.gateway.proxy, OUTSIDE, NUMBER, body=offer).final().status, 503)
        call = self.zoom.invite(self.gateway.proxy, "112", NUMBER, body=offer)
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(served.invite.body, offer)
        served.reply(200, body=answer)
        accepted = call.final()
        self.assertEqual((accepted.status, accepted.body), (200, answer))
        call.ack()
        served.acked()
        secured = self.zoom.invite(self.gateway.proxy, "112", NUMBER, body=offer.replace("RTP/AVP", "RTP/SAVP"))
        self.assertEqual(secured.final().status, 488)


if __name__ == "__main__":
    unittest.main()
