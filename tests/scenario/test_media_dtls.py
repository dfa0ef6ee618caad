# SPDX-License-Identifier: GPL-2.0-or-later
"""DTLS-SRTP profiles of peer groups: each side of a call negotiates those of its own group, and no other."""

import json
import unittest

from harness import Case, sdp
from harness.dtls import PROFILES, DtlsIdentity, secured_by
from harness.gateway import PEERS, Gateway
from harness.ports import free_port
from harness.rtp import crypto_line, media_of, new_key

OUTSIDE = "+15557770000"
NUMBERS = {"teams-1": "+15551230001", "mobile-1": "+15551230003"}
LISTS = {"operator": ["SRTP_AES128_CM_HMAC_SHA1_80", "SRTP_AEAD_AES_256_GCM"], "teams-oc": ["SRTP_AEAD_AES_256_GCM"],
         "teams-pm": ["SRTP_AES128_CM_HMAC_SHA1_80", "SRTP_AEAD_AES_128_GCM"], "elsewhere": ["SRTP_AEAD_AES_128_GCM"]}
SUITES = {"elsewhere": ["AES_CM_128_HMAC_SHA1_80"]}
COMMON = {"teams-1": "SRTP_AEAD_AES_256_GCM", "mobile-1": "SRTP_AES128_CM_SHA1_80"}  # with the operator's, as OpenSSL says


class Leg:
    """One peer's end of a call; it knows all profiles, the strongest first."""

    def __init__(self, identity, host):
        self.identity, self.own, self.server = identity, (host, free_port(host)), None

    def body(self, setup):
        if setup == "passive":
            self.server = self.identity.serve(self.own, PROFILES[::-1])
        lines = self.identity.line(setup).splitlines()
        return sdp(*self.own, "UDP/TLS/RTP/SAVP", lines)

    def negotiated(self, arrived):
        if self.server:
            return self.server.negotiated()
        return self.identity.negotiate(self.own, media_of(arrived), PROFILES[::-1])

    def stop(self):
        if self.server:
            self.server.stop()


class TestProfilesOfGroups(Case):
    @classmethod
    def prepare(cls):
        cls.identity = DtlsIdentity(cls.folder)
        union = sorted({name for names in LISTS.values() for name in names})
        peers = {**PEERS, "north": ("elsewhere", "operator", "north", "127.0.1.12", None)}  # a group of no service
        cls.gateway = Gateway(cls.folder, peers=peers, enforcer=f"dtls-profiles = {' '.join(union)}")
        document = cls.gateway.document
        cls.gateway.document = lambda: cls.changed(document())
        cls.start_for_all(cls.gateway)

    @staticmethod
    def changed(document, **lists):
        for group in document["peerGroups"]:
            name = group["name"]
            group.update(media="SRTP", dtlsProfiles={**LISTS, **lists}[name], srtpSuites=SUITES.get(name, []))
        return document

    def begin(self, caller, callee, called, number):
        legs = {name: Leg(self.identity, self.gateway.peer[name].host) for name in (caller, callee)}
        for leg in legs.values():
            self.addCleanup(leg.stop)
        call = self.gateway.peer[caller].invite(self.gateway.proxy, called, number, body=legs[caller].body("actpass"))
        served = self.gateway.peer[callee].served(call_id=call.call_id)
        served.reply(180)
        return call, served, legs[caller], legs[callee]

    def end(self, call, served, offerer, answerer, setup, profile):
        served.reply(200, body=answerer.body(setup))
        answer = call.final(status=200)
        call.ack()
        served.acked()
        self.assertEqual(answerer.negotiated(served.invite.body), profile)
        self.assertEqual(offerer.negotiated(answer.body), profile)
        call.dialog_request("BYE")
        served.ended()

    def test_calls_at_once_negotiate_each_what_both_of_its_groups_allow(self):
        for setup in ("active", "passive"):
            begun = [(self.begin("west", peer, number, OUTSIDE), COMMON[peer]) for peer, number in NUMBERS.items()]
            begun += [(self.begin(peer, "west", OUTSIDE, number), COMMON[peer]) for peer, number in NUMBERS.items()]
            for call, profile in begun:
                with self.subTest(f"{setup} {profile}"):
                    self.end(*call, setup, profile)
        self.assertNotIn("nknown dictionary key", self.gateway.rtpengine.log())

    def test_a_group_without_dtls_gets_none_whatever_its_answer_says(self):
        document = self.gateway.document()
        for group in document["peerGroups"]:
            if group["name"] == "teams-oc":
                group["srtpSuites"] = ["AES_CM_128_HMAC_SHA1_80"]
                del group["dtlsProfiles"]
        self.gateway.load(document)
        self.addCleanup(self.gateway.load)
        call, served, _, _ = self.begin("west", "teams-1", NUMBERS["teams-1"], OUTSIDE)
        lines = [crypto_line(new_key()), *self.identity.line("active").splitlines()]
        served.reply(200, body=sdp(served.endpoint.host, profile="RTP/SAVP", lines=lines))
        call.final(status=200)
        call.ack()
        self.assertEqual(secured_by(self.gateway.rtpengine, call.call_id, "RTP/SAVP"), {"SDES"})
        self.assertEqual(secured_by(self.gateway.rtpengine, call.call_id, "UDP/TLS/RTP/SAVP"), {"DTLS-SRTP"})
        served.acked()
        call.dialog_request("BYE")
        served.ended()

    def test_a_group_offered_sdes_goes_without_dtls_where_nothing_is_in_common(self):
        leg = Leg(self.identity, self.gateway.peer["teams-1"].host)
        lines = [crypto_line(new_key()), *self.identity.line("actpass").splitlines()]
        north = self.gateway.peer["north"]
        call = north.invite(self.gateway.proxy, NUMBERS["teams-1"], OUTSIDE,
                            body=sdp(north.host, profile="RTP/SAVP", lines=lines))
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        served.reply(200, body=leg.body("active"))
        call.final(status=200)
        call.ack()
        served.acked()
        self.assertEqual(leg.negotiated(served.invite.body), "SRTP_AEAD_AES_256_GCM")
        self.assertEqual(secured_by(self.gateway.rtpengine, call.call_id, "RTP/SAVP"), {"SDES"})
        self.assertIn("groups elsewhere and teams-oc have no DTLS-SRTP profile in common", self.gateway.kamailio.log())
        call.dialog_request("BYE")
        served.ended()

    def test_groups_of_a_service_without_a_common_profile_are_refused(self):
        document = self.changed(self.gateway.document(), operator=["SRTP_AEAD_AES_256_GCM"])
        status, _, said = self.gateway.cli_try("topology_load", self.folder.write("bad.json", json.dumps(document)))
        self.assertNotEqual(status, 0)
        self.assertIn("teams-pm and operator have no DTLS-SRTP profile in common: a group with srtpSuites alone", said)


if __name__ == "__main__":
    unittest.main()
