# SPDX-License-Identifier: GPL-2.0-or-later
"""Each suite and profile, alone and in pairs, through each door of the real rtpengine of Debian 12 and 13: what comes
out is allowed, or it is refused. Without the plugin the same shows what rtpengine does by itself: the tables of
docs/srtp.md (TRUNKGATE_WRITE=1 writes them)."""

import functools
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from random import Random

from harness import Case
from harness.dtls import PROFILES, DtlsIdentity, secured_by
from harness.paths import BUILD, ROOT
from harness.ports import free_port
from harness.rtpengine import PLUGIN, Rtpengine, bencode, debian13, installed_version
from harness.media_sdp import DEFAULT, SUITES, body, crypto, key_of, section, sections, suites_of

SETS = [(suite,) for suite in SUITES] + list(itertools.combinations(SUITES, 2))
DOORS = ("offer", "answer", "re-offer", "publish", "subscribe")
DOCUMENT = ROOT / "docs" / "srtp.md"
_calls = itertools.count(1)


def ok(reply):
    return reply.get("result") == "ok"


class Doors:
    """The ways by which keys get into rtpengine. Each returns the SDP that came out, None if it was refused."""

    def __init__(self, rtpengine, as_json=False, usual=DEFAULT):
        self.rtpengine = rtpengine
        self.as_json = as_json
        self.usual = usual  # a suite that is allowed

    def ng(self, command, **fields):
        return self.rtpengine.ng(command, as_json=self.as_json, **fields)

    def call(self):
        return f"call-{next(_calls)}"

    def end(self, call):
        self.ng("delete", call_id=call)

    def exists(self, call):
        return "tags" in self.ng("query", call_id=call)

    def outcome(self, call, reply):
        self.end(call)
        return reply["sdp"] if ok(reply) else None

    def offer(self, suites, to="RTP/SAVP", profile="RTP/SAVP", call=None, **fields):
        call = call or self.call()
        reply = self.ng("offer", call_id=call, from_tag="a", transport_protocol=to,
                        sdp=body(section(profile, suites)), **fields)
        return self.outcome(call, reply)

    def answer(self, suites):
        """Plain towards the caller, SRTP towards the callee, who answers with these."""
        call = self.call()
        offered = self.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP", sdp=body())
        tags = {key.split()[1]: key.split()[0] for _, _, keys, _ in sections(offered["sdp"]) for key in keys}
        lines = "".join(crypto(tags.get(suite, 90 + at), suite) for at, suite in enumerate(suites))
        reply = self.ng("answer", call_id=call, from_tag="a", to_tag="b", sdp=body(section("RTP/SAVP", lines=lines)))
        taken = self.in_force(call)
        self.end(call)
        return body(section("RTP/SAVP", taken)) if ok(reply) else None

    def in_force(self, call):
        """Suites that rtpengine says it uses."""
        found = []

        def look(value):
            if isinstance(value, dict):
                if "crypto suite" in value and value["crypto suite"] not in found:
                    found.append(value["crypto suite"])
                for item in value.values():
                    look(item)
            elif isinstance(value, list):
                for item in value:
                    look(item)
        look(self.ng("query", call_id=call))
        return found

    def established(self, **fields):
        """A call, SRTP with the caller, plain with the callee."""
        call = self.call()
        assert ok(self.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/AVP",
                          sdp=body(section("RTP/SAVP", [self.usual])), **fields))
        assert ok(self.ng("answer", call_id=call, from_tag="a", to_tag="b", sdp=body(section(port=40002))))
        return call

    def re_offer(self, suites):
        call = self.established()
        before = self.in_force(call)
        reply = self.ng("offer", call_id=call, from_tag="a", to_tag="b", transport_protocol="RTP/AVP",
                        sdp=body(section("RTP/SAVP", suites)))
        if ok(reply):
            reply = self.ng("answer", call_id=call, from_tag="a", to_tag="b", sdp=body(section(port=40002)))
        else:
            assert self.in_force(call) == before, "a refused re-offer changed the call"
        return self.outcome(call, reply)

    def publish(self, suites):
        call = self.call()
        return self.outcome(call, self.ng("publish", call_id=call, from_tag="a", sdp=body(section("RTP/SAVP", suites))))

    def subscribe(self, suites):
        """A copy of a plain call, taken with these keys."""
        call = self.call()
        self.ng("offer", call_id=call, from_tag="a", sdp=body())
        self.ng("answer", call_id=call, from_tag="a", to_tag="b", sdp=body(section(port=40002)))
        offered = self.ng("subscribe request", call_id=call, from_tag="a", transport_protocol="RTP/SAVP")
        tags = {key.split()[1]: key.split()[0] for _, _, keys, _ in sections(offered["sdp"]) for key in keys}
        lines = "".join(crypto(tags.get(suite, 90 + at), suite) for at, suite in enumerate(suites))
        reply = self.ng("subscribe answer", call_id=call, to_tag=offered["to-tag"],
                        sdp=body(section("RTP/SAVP", lines=lines, port=40004)))
        taken = self.in_force(call)
        self.end(call)
        return body(section("RTP/SAVP", taken)) if ok(reply) else None

    def door(self, name):
        return getattr(self, name.replace("-", "_"))


def faults(text, allowed):
    """What is wrong with SDP that rtpengine hands out."""
    found = [f"{suite} is excluded" for suite in suites_of(text) if suite not in allowed]
    for profile, port, keys, fingerprint in sections(text):
        if port and "SAVP" in profile and not keys and not fingerprint:
            found.append("SRTP without a key")
        found += [f"{key.split()[1]} with a parameter" for key in keys if len(key.split()) > 3]
    return found


class Enforced:
    """With the plugin. allowed: the suites, profiles: the DTLS-SRTP profiles of the configuration."""

    root = None
    allowed, profiles = [DEFAULT], PROFILES[:1]
    settings = None

    @classmethod
    def prepare(cls):
        root = cls.root() if cls.root else None
        cls.rtpengine = cls.start_for_all(Rtpengine(cls.folder, plugin=True, root=root, settings=cls.settings))
        cls.doors = Doors(cls.rtpengine, usual=cls.allowed[0])
        cls.identity = DtlsIdentity(cls.folder)

    def check(self, suites, text, name):
        """Refused if nothing of these is allowed, else nothing but what is."""
        if set(suites) & set(self.allowed):
            self.assertIsNotNone(text, f"{name} of {suites} was refused")
            self.assertEqual(faults(text, self.allowed), [], f"{name} of {suites}")
        else:
            self.assertIsNone(text, f"{name} of {suites} was not refused: {text}")

    def test_each_suite_and_pair_through_each_door(self):
        for name in DOORS:
            for suites in SETS:
                self.check(suites, self.doors.door(name)(suites), name)

    def test_each_suite_and_pair_to_plain_and_to_dtls(self):
        for to in ("RTP/AVP", "UDP/TLS/RTP/SAVPF", "RTP/SAVPF"):
            for suites in SETS:
                self.check(suites, self.doors.offer(suites, to=to), f"offer to {to}")

    def test_each_suite_through_each_door_in_json(self):
        doors = Doors(self.rtpengine, as_json=True, usual=self.allowed[0])
        for name in DOORS:
            for suite in SUITES:
                self.check((suite,), doors.door(name)((suite,)), f"{name} in JSON")

    def test_plain_to_srtp_offers_what_is_allowed(self):
        for to in ("RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP"):
            text = self.doors.offer((), to=to, profile="RTP/AVP")
            self.assertEqual(faults(text, self.allowed), [])
        self.assertEqual(set(suites_of(self.doors.offer((), profile="RTP/AVP"))), set(self.allowed))

    def test_keys_on_plain_rtp_are_allowed_ones_or_none(self):
        for suites in SETS:
            for to in ("RTP/AVP", "RTP/SAVP"):
                text = self.doors.offer(suites, to=to, profile="RTP/AVP", OSRTP=["accept"])
                self.assertIsNotNone(text)
                self.assertEqual(faults(text, self.allowed), [])

    def test_a_refused_offer_leaves_no_call(self):
        call = self.doors.call()
        reply = self.doors.ng("offer", call_id=call, from_tag="a", sdp=body(section("RTP/SAVP", ["NULL_HMAC_SHA1_80"])))
        self.assertIn("no allowed SRTP suite; has NULL_HMAC_SHA1_80", reply["error-reason"])
        self.assertFalse(self.doors.exists(call))

    def test_a_refused_reply_ends_the_call(self):
        for flag in ("SDES-unencrypted_srtp", "SDES-unencrypted_srtcp", "SDES-unauthenticated_srtp"):
            call = self.doors.call()
            reply = self.doors.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP", flags=[flag],
                                  sdp=body())
            self.assertEqual(reply["result"], "error")
            self.assertFalse(self.doors.exists(call), flag)

    def test_an_answer_is_judged_whatever_was_offered(self):
        """Nothing of a call is remembered: not which call there is, nor which tags were offered."""
        for call, tags in (("unknown", ("a", "b")), ("known", ("x", "b")), ("known", ("x", "y")), ("known", ("a", "y")),
                           ("known", ("b", "a")), ("known", ("a", "b"))):
            for suites in ((self.allowed[0],), ("NULL_HMAC_SHA1_80",), ()):
                with self.subTest(f"{call} {tags} {suites}"):
                    self.doors.ng("offer", call_id="known", from_tag="a", transport_protocol="RTP/SAVP", sdp=body())
                    reply = self.doors.ng("answer", call_id=call, from_tag=tags[0], to_tag=tags[1],
                                          sdp=body(section("RTP/SAVP", suites)))
                    if suites != (self.allowed[0],):
                        self.assertRegex(reply["error-reason"], "^srtp_enforcer: .*(no allowed SRTP suite|without a key)")
                    elif ok(reply):
                        self.assertEqual(faults(reply["sdp"], self.allowed), [])
                    self.doors.end("known")

    def test_parameters_that_weaken_are_refused(self):
        for more in (" UNENCRYPTED_SRTP", " UNENCRYPTED_SRTCP", " UNAUTHENTICATED_SRTP", "|2^20|1:4 UNENCRYPTED_SRTP"):
            reply = self.doors.ng("offer", call_id=self.doors.call(), from_tag="a",
                                  sdp=body(section("RTP/SAVP", lines=crypto(1, self.allowed[0], more))))
            self.assertEqual(reply["result"], "error", more)

    def test_mki_lifetime_and_several_keys_pass(self):
        second = f";inline:{key_of(self.allowed[0])}"
        for more, passes in (("|2^20", True), ("|2^20|1:4", True), ("|1:4", True), (f"|2^20|1:4{second}|2^20|2:4", True),
                             (second, False), (f"|2^20{second}|2^20", False)):
            call = self.doors.call()
            reply = self.doors.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/AVP",
                                  sdp=body(section("RTP/SAVP", lines=crypto(1, self.allowed[0], more))))
            self.assertEqual(ok(reply), passes, (more, reply))
            if passes:  # what passes is a key for rtpengine too
                reply = self.doors.ng("answer", call_id=call, from_tag="a", to_tag="b", sdp=body(section(port=40002)))
                self.assertEqual(suites_of(reply["sdp"]), self.allowed[:1], more)
            self.doors.end(call)

    def test_a_fingerprint_counts_if_rtpengine_uses_it(self):
        line = self.identity.line().splitlines()[0] + "\r\n"
        for role in ("", "holdconn", "active", "passive", "actpass"):
            call, lines = self.doors.call(), line + (f"a=setup:{role}\r\n" if role else "")
            reply = self.doors.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/AVP", SDES=["off"],
                                  sdp=body(section("UDP/TLS/RTP/SAVP", lines=lines)))
            self.assertEqual(ok(reply), role not in ("", "holdconn"), (role, reply))
            if ok(reply):
                reply = self.doors.ng("answer", call_id=call, from_tag="a", to_tag="b", SDES=["off"],
                                      sdp=body(section(port=40002)))
                self.assertIn("a=fingerprint", reply["sdp"], role)
            self.doors.end(call)

    def test_each_section_is_held_to_the_policy(self):
        good, bad = section("RTP/SAVP", [self.allowed[0]]), section("RTP/SAVP", ["NULL_HMAC_SHA1_32"], port=40002)
        rejected = section("RTP/SAVP", ["NULL_HMAC_SHA1_32"], port=0)
        for text, passes in ((body(good, good), True), (body(good, bad), False), (body(bad, good), False),
                             (body(good, rejected), True),
                             (body(section("RTP/SAVP"), lines=crypto(1, self.allowed[0])), False)):
            call = self.doors.call()
            reply = self.doors.ng("offer", call_id=call, from_tag="a", sdp=text)
            self.assertEqual(ok(reply), passes, (text, reply))
            if passes:
                self.assertEqual(faults(reply["sdp"], self.allowed), [])
            self.doors.end(call)

    def test_a_copy_of_a_secured_call_is_srtp(self):
        call = self.doors.established()
        reply = self.doors.ng("subscribe request", call_id=call, from_tag="a")
        self.assertEqual(faults(reply["sdp"], self.allowed), [])
        self.assertEqual([row[0] for row in sections(reply["sdp"])], ["RTP/SAVP"])
        refused = self.doors.ng("subscribe request", call_id=call, from_tag="a", transport_protocol="RTP/AVP")
        self.assertIn("a copy of a call must be SRTP", refused["error-reason"])
        plain = self.doors.ng("subscribe answer", call_id=call, to_tag=reply["to-tag"], sdp=body())
        self.assertEqual(plain["result"], "error")
        self.doors.end(call)

    def test_commands_that_give_media_away_are_refused(self):
        for command in ("start recording", "start forwarding", "transform", "create", "inject start", "cli", "other"):
            self.assertIn("not allowed", self.doors.ng(command, call_id="x")["error-reason"])
        reply = self.doors.ng("offer", call_id="x", from_tag="a", record_call="yes", sdp=body())
        self.assertIn("recording is not allowed", reply["error-reason"])
        reply = self.doors.ng("offer", call_id="x", from_tag="a", flags=["recording-vsc"], vsc_start_rec="*1", sdp=body())
        self.assertIn("recording is not allowed", reply["error-reason"])
        reply = self.doors.ng("offer", call_id="x", from_tag="a", flags=["debug"], sdp=body())
        self.assertIn("keys into the log", reply["error-reason"])

    def test_dtls_negotiates_allowed_profiles_only(self):
        for profiles in [(one,) for one in PROFILES] + list(itertools.combinations(PROFILES, 2)):
            negotiated = dtls(self.doors, self.identity, profiles)
            common = [one for one in profiles if one in self.profiles]
            self.assertIn(negotiated, common or [None], profiles)

    def test_dtls_towards_the_callee_negotiates_allowed_profiles_only(self):
        for profiles in [(one,) for one in PROFILES] + list(itertools.combinations(PROFILES, 2)):
            negotiated = dtls_answered(self.doors, self.identity, profiles)
            common = [one for one in profiles if one in self.profiles]
            self.assertIn(negotiated, common or [None], profiles)

    def test_the_log_holds_no_key(self):
        self.doors.offer(["NULL_HMAC_SHA1_80"])
        self.doors.offer((), profile="RTP/AVP", flags=["SDES-unencrypted_srtp"])
        for fields in ({"call_id": "none", "to_tag": "b"}, {"call_id": "none", "to_tag": "b", "flags": ["debug"]}):
            self.assertEqual(self.doors.ng("answer", from_tag="a", sdp=body(section("RTP/SAVP", self.allowed)),
                                           **fields)["result"], "error")
        for fields in ({"call_id": "x"}, {"from_tag": "a"}, {"call_id": "x", "from_tag": "a", "rtpp_flags": "debug"}):
            self.doors.ng("offer", sdp=body(section("RTP/SAVP", self.allowed)), **fields)
        call = self.doors.established()
        self.doors.ng("answer", call_id=call, from_tag="other", to_tag="b", sdp=body(section("RTP/SAVP", self.allowed)))
        self.doors.end(call)
        lines = self.rtpengine.log().splitlines()
        key = re.compile("inline|(?![0-9a-f]{38})[A-Za-z0-9+/]{38}")  # tags are hexadecimal
        self.assertEqual([line for line in lines if key.search(line)], [])
        self.assertGreater(sum("srtp_enforcer" in line for line in lines), 4)


class DtlsCall:
    """A caller with DTLS-SRTP and a plain callee, or (to_callee) the other way round; fields are those of one command."""

    def __init__(self, doors, identity, to_callee=False):
        self.doors, self.identity, self.to_callee = doors, identity, to_callee
        host = "127.0.0.2"  # a port that is free at rtpengine's own address may soon be one of its own
        self.call, self.own = doors.call(), (host, free_port(host))
        self.tags, self.port = {"from_tag": "a"}, None

    def body(self, secured, setup):
        lines = self.identity.line(setup)
        return body(section("UDP/TLS/RTP/SAVP", lines=lines, port=self.own[1]) if secured else section(port=40002),
                    address=self.own[0])

    def offer(self, setup="active", **fields):
        asked = {"SDES": ["off"], "transport_protocol": "UDP/TLS/RTP/SAVP"} if self.to_callee else {
            "transport_protocol": "RTP/AVP"}
        return self.doors.ng("offer", call_id=self.call, **self.tags, sdp=self.body(not self.to_callee, setup),
                             **{**asked, **fields})

    def answer(self, setup="active", **fields):
        self.tags["to_tag"] = "b"
        reply = self.doors.ng("answer", call_id=self.call, **self.tags, SDES=["off"], sdp=self.body(self.to_callee, setup),
                              **fields)
        if ok(reply) and not self.to_callee:
            self.port = sections(reply["sdp"])[0][1]
        return reply

    def establish(self, setup="active", **fields):
        reply = self.offer(setup, **fields)
        assert ok(reply), reply
        self.port = sections(reply["sdp"])[0][1]
        reply = self.answer(setup, **fields)
        assert ok(reply), reply
        return self

    def negotiated(self, profiles):
        """What we get who begin the handshake with these."""
        return self.identity.negotiate(self.own, (self.doors.rtpengine.address, self.port), profiles)

    def end(self):
        self.doors.end(self.call)


def dtls(doors, identity, profiles, **fields):
    """The profile that a client that offers these gets from rtpengine."""
    call = DtlsCall(doors, identity).establish(**fields)
    try:
        return call.negotiated(profiles)
    finally:
        call.end()


def dtls_answered(doors, identity, profiles, **fields):
    """The profile that rtpengine, which begins the handshake, gets from a callee that takes these."""
    call = DtlsCall(doors, identity, to_callee=True)
    server = identity.serve(call.own, profiles)
    try:
        call.establish("passive", **fields)
        return server.negotiated()
    finally:
        server.stop()
        call.end()


class TestInstalled(Enforced, Case):
    pass


class TestDebian13(Enforced, Case):
    root = debian13


OTHER = "[rtpengine]\n[srtp-enforcer]\nsuites = AEAD_AES_256_GCM AES_256_CM_HMAC_SHA1_80\n" \
        "dtls-profiles = SRTP_AEAD_AES_256_GCM SRTP_AES128_CM_HMAC_SHA1_32\n"


class OtherPolicy(Enforced):
    allowed = ["AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"]
    profiles = (PROFILES[1], PROFILES[3])
    settings = OTHER


class TestInstalledOtherPolicy(OtherPolicy, Case):
    pass


class TestDebian13OtherPolicy(OtherPolicy, Case):
    root = debian13


class Narrowed:
    """Commands that name profiles of their own (dtls-profiles): each call has its own, and none gets more."""

    root = None
    NAMES = {PROFILES[0]: "SRTP_AES128_CM_HMAC_SHA1_80", PROFILES[2]: "SRTP_AEAD_AES_128_GCM",
             PROFILES[3]: "SRTP_AEAD_AES_256_GCM"}  # OpenSSL's and IANA's

    @classmethod
    def prepare(cls):
        settings = f"[rtpengine]\n[srtp-enforcer]\ndtls-profiles = {' '.join(cls.NAMES.values())}\n"
        root = cls.root() if cls.root else None
        cls.rtpengine = cls.start_for_all(Rtpengine(cls.folder, plugin=True, root=root, settings=settings))
        cls.doors = Doors(cls.rtpengine)
        cls.identity = DtlsIdentity(cls.folder)

    def one(self, profile, negotiate=dtls):
        """Two calls at once, each held to one profile, whose peers take all, or all but that one."""
        others = tuple(name for name in PROFILES if name != profile)
        words = {"dtls_profiles": self.NAMES[profile]}
        return [negotiate(self.doors, self.identity, offered, **words) for offered in (PROFILES[::-1], others)]

    def test_calls_at_once_get_each_its_own_profile(self):
        profiles = list(self.NAMES) * 3
        with ThreadPoolExecutor(4) as pool:
            for negotiate in (dtls, dtls_answered):
                found = list(pool.map(functools.partial(self.one, negotiate=negotiate), profiles))
                self.assertEqual(found, [[profile, None] for profile in profiles], negotiate.__name__)

    def test_commands_of_two_calls_take_turns(self):
        calls = [(DtlsCall(self.doors, self.identity), profile) for profile in self.NAMES]
        for step in (DtlsCall.offer, DtlsCall.answer):
            for call, profile in calls:
                self.assertTrue(ok(step(call, dtls_profiles=self.NAMES[profile])))
        for call, profile in calls:
            self.assertEqual(call.negotiated(PROFILES[::-1]), profile)
            call.end()

    def test_a_command_without_profiles_has_those_of_the_plugin_again(self):
        words = {"dtls_profiles": self.NAMES[PROFILES[2]]}
        for _ in range(4):  # each thread of rtpengine works on some of them
            self.assertEqual(dtls(self.doors, self.identity, PROFILES, **words), PROFILES[2])
            for profile in self.NAMES:
                self.assertEqual(dtls(self.doors, self.identity, (profile,)), profile)

    def test_a_new_offer_and_a_change_of_roles_are_held_to_it_too(self):
        kept, other = PROFILES[3], PROFILES[0]
        for named, taken, expected in ((kept, PROFILES, kept), (kept, (other,), None), (other, PROFILES, other),
                                       (None, (other,), other)):
            with self.subTest(f"{named} {taken}"):
                call = DtlsCall(self.doors, self.identity).establish(dtls_profiles=self.NAMES[kept])
                self.assertEqual(call.negotiated(PROFILES), kept)
                server = self.identity.serve(call.own, taken)
                self.addCleanup(server.stop)
                call.establish("passive", **({"dtls_profiles": self.NAMES[named]} if named else {}))
                self.assertEqual(server.negotiated(), expected)
                call.end()

    def test_a_new_offer_that_changes_no_role_keeps_what_was_made_for_it(self):
        call = DtlsCall(self.doors, self.identity).establish(dtls_profiles=self.NAMES[PROFILES[2]])
        call.establish(dtls_profiles=self.NAMES[PROFILES[0]])
        self.assertEqual(call.negotiated(PROFILES), PROFILES[2])
        call.end()

    def test_without_a_common_profile_there_is_no_dtls(self):
        for named in ("none", "SRTP_AES128_CM_HMAC_SHA1_32"):
            with self.subTest(named):
                refused = DtlsCall(self.doors, self.identity).offer(dtls_profiles=named)
                self.assertIn("DTLS-SRTP, which is not allowed", refused["error-reason"])
                self.assertFalse(ok(DtlsCall(self.doors, self.identity, to_callee=True).offer(dtls_profiles=named)))
                call = self.doors.call()
                reply = self.doors.ng("offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP",
                                      dtls_profiles=named, sdp=body(section("RTP/SAVP", [DEFAULT], lines=self.identity.line())))
                self.assertEqual((suites_of(reply["sdp"]), sections(reply["sdp"])[0][3]), ([DEFAULT], False))
                self.doors.end(call)

    def test_an_answer_that_takes_the_last_profile_away_ends_the_call(self):
        call = DtlsCall(self.doors, self.identity)
        self.assertTrue(ok(call.offer(dtls_profiles=self.NAMES[PROFILES[0]])))
        self.assertIn("DTLS-SRTP, which is not allowed", call.answer(dtls_profiles="none")["error-reason"])
        self.assertFalse(self.doors.exists(call.call))

    def test_a_fingerprint_of_a_side_without_dtls_counts_for_nothing(self):
        """rtpengine takes it where it offered SDES alone, and prefers it."""
        words = {"dtls_profiles": "SRTP_AEAD_AES_256_GCM"}
        for removed, expected in (({}, {"DTLS-SRTP", "SDES"}), ({"fingerprints": "remove"}, {"SDES"})):
            call = DtlsCall(self.doors, self.identity)
            offered = call.offer("actpass", transport_protocol="RTP/SAVP", DTLS="off", **words)
            tag = sections(offered["sdp"])[0][2][0].split()[0]
            lines = crypto(tag, DEFAULT) + self.identity.line("active")
            self.assertTrue(ok(self.doors.ng("answer", call_id=call.call, from_tag="a", to_tag="b", **words, **removed,
                                             sdp=body(section("RTP/SAVP", lines=lines, port=40002)))))
            self.assertEqual(secured_by(self.rtpengine, call.call, "RTP/SAVP"), expected)
            call.end()
        refused = DtlsCall(self.doors, self.identity).offer(fingerprints="remove")
        self.assertIn("DTLS-SRTP, which is not allowed", refused["error-reason"])

    def test_what_could_be_misread_is_refused_and_rtpengine_hears_of_no_key_of_ours(self):
        for fields in ({"dtls_profiles": "SRTP_AES128_CM_SHA1_80"}, {"dtls_profiles": ""}, {"dtls_profiles": ["none"]},
                       {"dtls_profiles": "none", "DTLS_profiles": "none"}, {"flags": ["dtls-profiles=none"]},
                       {"rtpp_flags": "RTP/AVP dtls-profiles=none"}, {"fingerprints": "off"}):
            self.assertFalse(ok(DtlsCall(self.doors, self.identity).offer(**fields)), fields)
        dtls(Doors(self.rtpengine, as_json=True), self.identity, PROFILES, dtls_profiles="SRTP_AEAD_AES_128_GCM")
        self.assertNotIn("nknown dictionary key", self.rtpengine.log())


class TestNarrowedInstalled(Narrowed, Case):
    pass


class TestNarrowedDebian13(Narrowed, Case):
    root = debian13


class Hostile:
    """Datagrams that nobody sends by mistake: none crashes rtpengine, none gets past the rules."""

    root = None

    @classmethod
    def prepare(cls):
        root = cls.root() if cls.root else None
        cls.rtpengine = cls.start_for_all(Rtpengine(cls.folder, plugin=True, root=root))

    def setUp(self):
        self.pid = self.rtpengine.pid
        self.addCleanup(self.check_alive)

    def check_alive(self):
        self.assertTrue(self.rtpengine.alive(), self.rtpengine.log_tail())
        self.assertEqual(self.rtpengine.ng("ping")["result"], "pong")

    def reply_of(self, datagram):
        reply = self.rtpengine.exchange(datagram, timeout=3)
        self.assertIsNotNone(reply, datagram[:200])
        return reply

    def assert_refused(self, datagram):
        reply = self.reply_of(datagram)
        self.assertIn(b"error", reply)
        self.assertNotIn(b"sdp", reply)

    @staticmethod
    def offers():
        message = {"command": "offer", "call-id": "hostile", "from-tag": "a", "flags": ["trust-address"],
                   "sdp": body(section("RTP/SAVP", [DEFAULT]))}
        return bencode(message), json.dumps(message).encode()

    def test_truncated_messages_are_refused(self):
        for message in self.offers():
            for length in range(len(message)):
                self.assert_refused(b"cut-%d-%d " % (next(_calls), length) + message[:length])
            self.assertIn(b"sdp", self.reply_of(b"whole-%d " % next(_calls) + message))

    def test_bytes_that_changed_never_let_an_excluded_suite_out(self):
        random = Random(1)
        for message in self.offers():
            for _ in range(400):
                changed = bytearray(message)
                for _ in range(random.randrange(1, 4)):
                    changed[random.randrange(len(changed))] = random.randrange(256)
                reply = self.reply_of(b"changed-%d " % next(_calls) + bytes(changed))
                found = [suite for suite in SUITES if suite.encode() in reply and suite != DEFAULT]
                self.assertTrue(not found or b"error" in reply, (bytes(changed), reply))

    def test_deep_nesting_is_refused(self):
        for depth in (17, 1000, 30000):
            self.assert_refused(b"deep-%d d7:command4:ping1:a" % depth + b"l" * depth + b"e" * depth + b"e")
            self.assert_refused(b"deepd-%d d7:command4:ping1:a" % depth + b"d1:x" * (depth // 4) + b"e" * (depth // 4)
                                + b"1:b")
            self.assert_refused(b'deepj-%d {"command":"ping","a":' % depth + b"[" * depth + b"]" * depth + b"}")

    def test_the_largest_datagrams_are_answered(self):
        room = 65507 - 200
        for fill in (b"x" * room, b" " * room, b"\0" * room):
            self.assert_refused(b"large-%d d" % next(_calls) + fill)
            self.assert_refused(b"large-%d {" % next(_calls) + fill)
        sdp = (body() + "a=x:" + "x" * 64500).encode()
        grown = bencode({"command": "offer", "call-id": "large", "from-tag": "a", "sdp": sdp})
        reply = self.reply_of(b"grown " + grown + b"")
        self.assertTrue(b"sdp" in reply or b"error" in reply)

    def test_a_request_that_finds_no_room_for_its_flags_is_refused(self):
        sdp = body() + "a=x:"
        message = {"command": "offer", "call-id": "full", "from-tag": "a", "sdp": ""}
        rest = 65507 - len(b"full " + bencode(message)) - len(sdp) - 8
        message["sdp"] = sdp + "x" * rest
        reply = self.reply_of(b"full " + bencode(message))
        self.assertIn(b"too large", reply)

    def test_a_cookie_used_again_brings_back_no_refused_reply(self):
        weak = bencode({"command": "offer", "call-id": "again", "from-tag": "a", "transport-protocol": "RTP/SAVP",
                        "flags": ["SDES-unencrypted_srtp"], "sdp": body()})
        others = (b"d7:command4:pinge", b'{"command":"ping"}', weak, weak.replace(b"again", b"other"),
                  bencode({"command": "query", "call-id": "again"}))
        self.assert_refused(b"same " + weak)
        for other in others:
            self.assert_refused(b"same " + other)
        good = bencode({"command": "offer", "call-id": "good", "from-tag": "a", "transport-protocol": "RTP/SAVP",
                        "sdp": body()})
        first = self.reply_of(b"twice " + good)
        self.assertIn(b"sdp", first)
        self.assertEqual(self.reply_of(b"twice d7:command4:pinge"), first)
        self.assert_refused(b"twice " + good[:-1])

    def test_what_has_no_cookie_gets_no_answer(self):
        for datagram in (b"", b" ", b"x", b" d7:command4:pinge", b"d7:command4:pinge", b"\0" * 100):
            self.assertIsNone(self.rtpengine.exchange(datagram, timeout=0.1), datagram)

    def test_what_is_no_dictionary_is_refused(self):
        for content in (b"", b"x", b"le", b"[]", b"i1e", b"4:ping", b"\0", b"e", b"d", b"{", b"de", b"{}", b"d1:ae"):
            self.assert_refused(b"odd-%d " % next(_calls) + content)

    def test_the_counters_tell_what_was_refused(self):
        before = self.rtpengine.ng("srtp-enforcer statistics")
        self.assert_refused(b"count-%d d" % next(_calls))
        self.rtpengine.ng("start recording", call_id="x")
        self.rtpengine.ng("offer", call_id="x", from_tag="a", sdp=body(section("RTP/SAVP")))
        after = self.rtpengine.ng("srtp-enforcer statistics", as_json=True)
        grown = {name: after[name] - before[name] for name in after if name != "result" and after[name] != before[name]}
        self.assertEqual(grown, {"requests": 4, "statistics": 1, "request-refused-unreadable-message": 1,
                                 "request-refused-command": 1, "request-refused-no-key": 1})


    def test_the_operator_gets_the_counters(self):
        self.rtpengine.ng("start recording", call_id="x")
        done = statistics(f"127.0.0.1:{self.rtpengine.port}")
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = {name: int(value) for name, value in (line.split() for line in done.stdout.splitlines())}
        asked = self.rtpengine.ng("srtp-enforcer statistics")
        self.assertEqual(set(shown), set(asked) - {"result"})
        self.assertEqual(shown["request-refused-command"], asked["request-refused-command"])
        self.assertGreater(shown["request-refused-command"], 0)


def statistics(*words):
    return subprocess.run([ROOT / "rtpengine-plugins" / "srtp_enforcer" / "srtp-enforcer-statistics", *words],
                          capture_output=True, text=True)


class TestHostileInstalled(Hostile, Case):
    pass


class TestHostileDebian13(Hostile, Case):
    root = debian13


# --- what rtpengine does by itself ---

def leaves(doors, name, suite):
    """Does this suite, alone, get through?"""
    text = doors.door(name)((suite,))
    return text is not None and suite in suites_of(text)


def suite_row(doors, suite):
    through = [name for name in DOORS if leaves(doors, name, suite)]
    return ", ".join(through) if 0 < len(through) < len(DOORS) else "all" if through else "refused"


def pair_row(doors):
    count = sum(bool(faults(doors.offer(suites) or "", [DEFAULT])) for suites in SETS if len(suites) == 2)
    return f"{count} of {sum(len(suites) == 2 for suites in SETS)}"


def words_of(reply):
    """A reply in a few words."""
    if not ok(reply):
        return "refused"
    if "sdp" not in reply:
        return "accepted"
    profile, _, keys, fingerprint = sections(reply["sdp"])[0]
    names = [key.split()[1] for key in keys]
    text = {0: "no key"}.get(len(names), ", ".join(names) if len(names) < 3 else f"{len(names)} suites")
    text = f"{text}, NULL ciphers among them" if len(names) > 2 and "NULL_HMAC_SHA1_80" in names else text
    weak = ", unencrypted" if any("UNENCRYPTED" in key for key in keys) else ""
    return f"{profile}" if "SAVP" not in profile else f"{profile}, {text}{weak}"


def without_dtls(doors, command, **fields):
    return doors.ng(command, DTLS="off", **fields)


def special_rows(doors):
    """Cases beside the suites: {what is asked: what comes of it}."""
    rows = {}
    unknown = section("RTP/SAVP", lines=f"a=crypto:1 SEED_128_CCM_80 inline:{'A' * 40}\r\n")
    call = doors.call()
    rows["plain call offered to RTP/SAVP"] = words_of(
        without_dtls(doors, "offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP", sdp=body()))
    doors.end(call)
    rows["the same with the flag `SDES-unencrypted_srtp`"] = words_of(
        without_dtls(doors, "offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP",
                     flags=["SDES-unencrypted_srtp"], sdp=body()))
    doors.end(call)
    keep = {"flags": [f"SDES-no-{suite}" for suite in SUITES if suite != DEFAULT]}
    rows["`NULL_HMAC_SHA1_80` alone, with flags that exclude all but the default"] = words_of(
        without_dtls(doors, "offer", call_id=call, from_tag="a", transport_protocol="RTP/SAVP",
                     sdp=body(section("RTP/SAVP", ["NULL_HMAC_SHA1_80"])), **keep))
    doors.end(call)
    offered = without_dtls(doors, "offer", call_id=call, from_tag="a", transport_protocol="RTP/AVP", sdp=body(unknown))
    rows["answer to an RTP/SAVP offer without a suite that it knows"] = "refused" if not ok(offered) else words_of(
        without_dtls(doors, "answer", call_id=call, from_tag="a", to_tag="b", sdp=body(section(port=40002))))
    doors.end(call)
    call = doors.established()
    rows["`subscribe request` of an SRTP call, as RTP/AVP"] = words_of(
        doors.ng("subscribe request", call_id=call, from_tag="a", transport_protocol="RTP/AVP"))
    doors.end(call)
    call = doors.established()
    rows["`start recording` of an SRTP call"] = words_of(doors.ng("start recording", call_id=call))
    doors.end(call)
    return rows


def column(rtpengine, identity):
    """All outcomes of one rtpengine, in the order of the tables."""
    doors = Doors(rtpengine)
    suites = {f"`{suite}`": suite_row(doors, suite) for suite in SUITES}
    suites["offered pairs of which something excluded comes out"] = pair_row(doors)
    profiles = {f"`{one}`": dtls(doors, identity, (one,)) and "negotiated" or "refused" for one in PROFILES}
    return [suites, special_rows(doors), profiles]


def table(head, columns):
    """Lines of a table; columns: [(title, {row: text})], cells that are not known stay as they are in the document."""
    lines = [f"| {head} | " + " | ".join(title for title, _ in columns) + " |", "|---|" + "---|" * len(columns)]
    for row in columns[0][1]:
        lines.append(f"| {row} | " + " | ".join(cells[row] for _, cells in columns) + " |")
    return lines


HEADS = ("suite, alone", "asked for", "DTLS-SRTP profile, alone")


class TestStock(Case):
    """What docs/srtp.md says of rtpengine by itself, and with the plugin in the last column, is so."""

    def measure(self, root, plugin):
        name = f"rtpengine-{'13' if root else 'installed'}-{'with' if plugin else 'without'}"
        rtpengine = self.start(Rtpengine(self.folder, plugin=plugin, root=root, name=name))
        return column(rtpengine, self.identity)

    def compare(self, version, columns):
        text = DOCUMENT.read_text()
        for head, cells in zip(HEADS, columns):
            for row, cell in cells.items():
                written = self.cell(text, head, row, version)
                self.assertEqual(written, cell, f"docs/srtp.md, {row}, {version}")

    @staticmethod
    def cell(text, head, row, title):
        lines = text[text.index(f"| {head} |"):].splitlines()
        at = [word.strip() for word in lines[0].split("|")].index(title)
        line = next(line for line in lines if line.startswith(f"| {row} |"))
        return [word.strip() for word in line.split("|")][at]

    def test_the_tables_are_what_rtpengine_does(self):
        self.identity = DtlsIdentity(self.folder)
        here = installed_version()
        columns = {f"{here} alone": self.measure(None, False), "with srtp_enforcer": self.measure(None, True)}
        self.compare_or_write(columns)

    def test_the_tables_are_what_rtpengine_of_debian_13_does(self):
        self.identity = DtlsIdentity(self.folder)
        columns = {"12.5 alone": self.measure(debian13(), False), "with srtp_enforcer": self.measure(debian13(), True)}
        self.compare_or_write(columns)

    def test_without_the_plugin_profiles_of_a_command_are_not_heard(self):
        self.identity = DtlsIdentity(self.folder)
        rtpengine = self.start(Rtpengine(self.folder))
        self.assertEqual(dtls(Doors(rtpengine), self.identity, PROFILES[:1], dtls_profiles="SRTP_AEAD_AES_256_GCM"),
                         PROFILES[0])
        self.assertIn("Unknown dictionary key encountered: 'dtls-profiles'", rtpengine.log())

    written = {}

    def compare_or_write(self, columns):
        if not os.environ.get("TRUNKGATE_WRITE"):
            for version, rows in columns.items():
                self.compare(version, rows)
            return
        self.written.update(columns)
        titles = [title for title in ("10.5 alone", "12.5 alone", "with srtp_enforcer") if title in self.written]
        tables = ["\n".join(table(head, [(title, self.written[title][at]) for title in titles]))
                  for at, head in enumerate(HEADS)]
        text = DOCUMENT.read_text()
        start, end = text.index("<!-- tables -->"), text.index("<!-- end of tables -->")
        DOCUMENT.write_text(text[:start] + "<!-- tables -->\n" + "\n\n".join(tables) + "\n" + text[end:])


class TestStart(Case):
    """What keeps rtpengine from starting, and what says so."""

    def refusal(self, settings, plugin=True, **options):
        rtpengine = Rtpengine(self.folder, plugin=plugin, settings=settings, **options)
        self.addCleanup(rtpengine.stop)
        with self.assertRaises(AssertionError) as raised:
            rtpengine.start()
        self.assertIn("ended with status 78", str(raised.exception))
        return str(raised.exception)

    def test_counters_of_no_plugin_are_an_error(self):
        without = self.start(Rtpengine(self.folder))
        for socket, said in ((f"127.0.0.1:{without.port}", "runs without the plugin"), (f"127.0.0.1:{free_port()}", "does not answer")):
            done = statistics(socket)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(said, done.stderr)

    def test_an_open_door_keeps_it_from_starting(self):
        for door in ("listen-tcp-ng", "listen-http", "listen-https", "listen-udp", "listen-tcp"):
            said = self.refusal(f"[rtpengine]\n{door} = 127.0.0.1:1\n")
            self.assertIn(f"a control door that is not guarded", said)
            self.assertIn(door, said)

    def test_a_log_with_keys_keeps_it_from_starting(self):
        for option in ("log-srtp-keys = true", "debug-srtp = true", "log-level-control = 4", "log-level-srtp = 7"):
            self.assertIn("keys", self.refusal(f"[rtpengine]\n{option}\n"))

    def test_an_unknown_name_in_our_section_keeps_it_from_starting(self):
        self.assertIn("NULL_HMAC_SHA1_80", self.refusal("[srtp-enforcer]\nsuites = NULL_HMAC_SHA1_80\n"))
        self.assertIn("AES_128", self.refusal("[srtp-enforcer]\nsuites = AES_128\n"))
        self.assertIn("suite", self.refusal("[srtp-enforcer]\nsuite = x\n"))

    def test_a_file_that_others_can_write_is_not_loaded(self):
        copy = self.folder / "plugin.so"
        copy.write_bytes(PLUGIN.read_bytes())
        copy.chmod(0o646)
        rtpengine = Rtpengine(self.folder, plugin=True)
        rtpengine.env = {"LD_PRELOAD": str(copy)}
        self.addCleanup(rtpengine.stop)
        with self.assertRaises(AssertionError) as raised:
            rtpengine.start()
        self.assertIn(f"others can write {copy}", str(raised.exception))

    def test_an_allowed_door_and_command_are_open(self):
        rtpengine = self.start(Rtpengine(self.folder, plugin=True, settings=(
            "[rtpengine]\nlisten-udp = 127.0.0.1:1\n[srtp-enforcer]\nallow = listen-udp; start recording\n")))
        self.assertNotIn("not allowed", rtpengine.ng("start recording", call_id="x").get("error-reason", ""))

    def with_sockets(self, sockets, listen, root=None):
        """One whose control sockets come from the file; each must be guarded."""
        rtpengine = Rtpengine(self.folder, plugin=True, settings=f"[rtpengine]\nlisten-ng = {listen}\n", root=root)
        rtpengine.command = [word for word in rtpengine.command if not str(word).startswith("--listen-ng")]
        rtpengine.address, rtpengine.port = sockets[0]
        self.start(rtpengine)
        for rtpengine.address, rtpengine.port in sockets:
            self.assertIn("not allowed", rtpengine.ng("start recording", call_id="x")["error-reason"])
            self.assertTrue(ok(rtpengine.ng("offer", call_id="x", from_tag="a", sdp=body())))

    def test_a_control_socket_of_the_file_is_guarded(self):
        port = free_port()
        self.with_sockets([("127.0.0.1", port)], f"127.0.0.1:{port}")

    def test_a_control_socket_of_all_addresses_is_guarded(self):
        port = free_port()
        self.with_sockets([("127.0.0.1", port), ("127.0.0.1", port), ("::1", port)], port)

    def test_several_control_sockets_are_all_guarded(self):
        root = None if installed_version() == "12.5" else debian13()  # 10.5 has one
        sockets = [("127.0.0.1", free_port()), ("127.0.0.2", free_port("127.0.0.2")), ("::1", free_port("::1"))]
        listen = ";".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sockets)
        self.with_sockets(sockets, listen, root)

    def test_the_answer_of_a_refusal_comes_from_the_address_that_was_asked(self):
        root = None if installed_version() == "12.5" else debian13()  # 10.5 answers from any
        port = free_port()
        self.with_sockets([("127.0.0.3", port)], port, root)

    def test_the_drop_in_loads_the_installed_plugin(self):
        done = subprocess.run(["meson", "introspect", "--installed", BUILD], capture_output=True, text=True, check=True)
        installed = json.loads(done.stdout)
        drop_in = PLUGIN.parent / "trunkgate.conf"
        self.assertTrue(installed[str(drop_in)].endswith("/systemd/system/rtpengine-daemon.service.d/trunkgate.conf"))
        lines = drop_in.read_text().splitlines()
        self.assertIn(f"Environment=LD_PRELOAD={installed[str(PLUGIN)]}", lines)
        self.assertIn("Restart=on-failure", lines)
        self.assertIn(f"AssertPathExists={installed[str(PLUGIN)]}", lines)

    def test_systemd_understands_the_drop_in(self):
        unit = pathlib.Path("/usr/lib/systemd/system/rtpengine-daemon.service")
        if not shutil.which("systemd-analyze") or not unit.exists():
            self.skipTest("no systemd-analyze, or no unit of rtpengine")
        folder = self.folder / "units"
        (folder / f"{unit.name}.d").mkdir(parents=True)
        shutil.copy(unit, folder)
        text = (PLUGIN.parent / "trunkgate.conf").read_text()
        for drop_in, faults in ((text, 0), (text.replace("[Service]\n", "[Service]\nRestrat=always\n"), 1),
                                (text.replace("=on-failure", "=on-falure"), 1), (text.replace("=+/bin/sh", "=+bin/sh"), 1)):
            (folder / f"{unit.name}.d" / "trunkgate.conf").write_text(drop_in)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", folder / unit.name], capture_output=True,
                                  text=True)
            self.assertEqual(len(re.findall(r"trunkgate\.conf:\d+", done.stderr)), faults, done.stderr)

    def test_the_drop_in_starts_nothing_without_the_plugin(self):
        lines = (PLUGIN.parent / "trunkgate.conf").read_text().splitlines()
        check = next(line for line in lines if line.startswith("ExecStartPre=")).partition("=")[2].replace("$$", "$")
        plugin = next(line for line in lines if line.startswith("Environment=")).rpartition("=")[2]
        for preload, status in ((plugin, 0), (f"{plugin}:/x.so", 0), ("/x.so", 1), (None, 1)):
            done = subprocess.run(["env", *([f"LD_PRELOAD={preload}"] if preload else []), *shlex.split(check)],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, status, preload)
            self.assertEqual("srtp_enforcer is not in LD_PRELOAD" in done.stderr, status == 1, preload)

    @staticmethod
    def checked(rtpengine):
        """The drop-in's check, as systemd runs it once rtpengine is up."""
        lines = (PLUGIN.parent / "trunkgate.conf").read_text().splitlines()
        check = next(line for line in lines if line.startswith("ExecStartPost=+")).partition("+")[2]
        return subprocess.run(shlex.split(check.replace("${MAINPID}", str(rtpengine.pid))), capture_output=True, text=True)

    def test_the_drop_in_notices_a_plugin_that_was_not_loaded(self):
        guarded = self.checked(self.start(Rtpengine(self.folder, plugin=True, name="guarded")))
        self.assertEqual(guarded.returncode, 0, guarded.stderr)
        for name, preload in (("missing", "/nonexistent/srtp_enforcer.so"), ("other", "libm.so.6")):
            rtpengine = Rtpengine(self.folder, name=name)
            rtpengine.env = {"LD_PRELOAD": preload}
            done = self.checked(self.start(rtpengine))
            self.assertEqual((done.returncode, done.stderr), (1, "srtp_enforcer is not loaded\n"))

    def assert_guarded(self, program, name):
        rtpengine = Rtpengine(self.folder, plugin=True, name=name)
        at = rtpengine.command.index("rtpengine")
        rtpengine.command[at:at + 1] = program
        self.start(rtpengine)
        self.assertIn("not allowed", rtpengine.ng("start recording", call_id="x")["error-reason"])

    def test_another_name_or_way_of_start_leaves_it_guarded(self):
        program = shutil.which("rtpengine")
        renamed = shutil.copy(program, self.folder / "rtpengine.distrib")  # as dpkg-divert calls it
        loader = subprocess.run(["readelf", "-l", program], capture_output=True, text=True, check=True).stdout
        loader = re.search(r"program interpreter: (\S+)\]", loader).group(1)
        self.assert_guarded([str(renamed)], "renamed")
        self.assert_guarded([loader, program], "by-loader")

    def test_without_proc_it_is_guarded(self):
        if os.geteuid() != 0:
            self.skipTest("a folder without /proc needs root")
        self.assert_guarded(["unshare", "--mount", "--propagation=private", "sh", "-c",
                             'mount -t tmpfs none /proc && exec rtpengine "$@"', "sh"], "no-proc")

    def test_a_relay_of_unknown_imports_is_refused_by_any_name(self):
        source = self.folder.write("relay.c", "int bind(), SSL_CTX_set_tlsext_use_srtp(), recvmmsg();\n"
                                   "int main(int argc, char **argv) { return argc > 9 ? bind() + recvmmsg() + "
                                   "SSL_CTX_set_tlsext_use_srtp() : 0; }\n")
        program = self.folder / "relay"
        subprocess.run(["cc", "-o", program, source, "-l:libssl.so.3"], check=True, capture_output=True)
        done = subprocess.run([program, "--listen-ng=127.0.0.1:1", "--log-level-control=3", "--config-file=none"],
                              capture_output=True, text=True, env={**os.environ, "LD_PRELOAD": str(PLUGIN)})
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("rtpengine is not started: the program does not import", done.stderr)

    def test_other_programs_do_not_notice_it(self):
        for command in (["openssl", "version"], ["bash", "-c", "echo hello"], ["perl", "-e", "print 'hello'"], ["rtpengine", "--version"]):
            done = subprocess.run(command, env={**os.environ, "LD_PRELOAD": str(PLUGIN)}, capture_output=True,
                                  text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("srtp_enforcer", done.stdout + done.stderr)
