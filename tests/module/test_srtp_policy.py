# SPDX-License-Identifier: GPL-2.0-or-later
"""srtp_policy in a small Kamailio: which SDP of which group is refused, and what rtpengine may not make of it."""

import hashlib
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.daemon import Failure
from harness.kamailio import Kamailio
from harness.media_sdp import SUITES, suites_of
from harness.ports import free_port
from harness.relay import Relay
from harness.rtp import crypto_line
from harness.rtpengine import Rtpengine, bencode, debian13, installed_version
from harness.sip import Endpoint, sdp, token
from harness.wait import wait_until

LUA = pathlib.Path(__file__).resolve().parent / "srtp_policy.lua"
CONFIG = """
debug=2
log_stderror=yes
auto_aliases=no
listen=udp:127.0.0.1:@PORT@
children=2
@LUA_MODULE@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "counters.so"
loadmodule "kex.so"
loadmodule "ctl.so"
loadmodule "rtpengine.so"
loadmodule "provisioning.so"
loadmodule "site_failover.so"
loadmodule "srtp_policy.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
modparam("rtpengine", "rtpengine_sock", "@RELAY@")
modparam("rtpengine", "rtpengine_tout_ms", 100)
modparam("rtpengine", "rtpengine_retr", 1)
modparam("rtpengine", "queried_nodes_limit", 1)
modparam("rtpengine", "rtpengine_disable_tout", 0)
@WORDS@
modparam("srtp_policy", "retry_after", 7)
@ROUTING@
"""
NATIVE = """
request_route {
	if (is_method("ACK")) exit;
	site_identify();
	$var(service) = $site(ingress_service);
	if ($var(service) == 0) $var(service) = $hdr(X-Service);
	site_service("$var(service)");
	site_select("$site(out_group)");
	$var(relayed) = 0;
	$var(receiver) = 0;
	$var(verb) = "offer";
	if ($hdr(X-Verb) != $null) $var(verb) = $hdr(X-Verb);
	srtp_policy_check("sender");
	$var(sender) = $rc;
	srtp_policy_flags("$var(verb)");
	$var(verb) = $rc;
	if ($hdr(X-Relay) != $null && $var(sender) == 1) {
		rtpengine_offer("$srtp_policy(flags)");
		$var(relayed) = $rc;
		srtp_policy_check("receiver");
		$var(receiver) = $rc;
	}
	if ($hdr(X-Refuse) != $null) {
		srtp_policy_refuse();
		exit;
	}
	append_to_reply("X-Result: $var(sender) $var(verb) $var(relayed) $var(receiver)\\r\\n");
	append_to_reply("X-Flags: $srtp_policy(flags)\\r\\n");
	append_to_reply("X-Decision: $srtp_policy(code) $srtp_policy(reason) $srtp_policy(warning)\\r\\n");
	sl_send_reply("480", "Done");
}
"""
KEMI = f'modparam("app_lua", "load", "{LUA}")\ncfgengine "lua"'

# peer: (address, group, side, service, what the group says of media)
GROUPS = {
    "plain": ("127.0.7.1", "operator", None, {"media": "RTP"}),
    "srtp": ("127.0.7.2", "service", "teamsOperatorConnect", {"media": "SRTP"}),
    "optional": ("127.0.7.3", "service", "teamsPhoneMobile", {"media": "SRTP-optional"}),
    "gcm": ("127.0.7.4", "service", "teamsDirectRouting", {"media": "SRTP", "srtpSuites": ["AEAD_AES_256_GCM"]}),
    "dtls": ("127.0.7.5", "service", "zoomPhoneCloudPeering",
             {"media": "SRTP", "dtlsProfiles": ["SRTP_AES128_CM_HMAC_SHA1_80"]}),
}
DEFAULT, GCM, WEAK = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_32"
PRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)


ALL = 2 ** 32 - 1


def label(callee=0, caller=0, callee_loose=0, caller_loose=0):
    """Which media sections of each end have been secured: firmly, or by the last answer."""
    return "-".join(["trunkgate", *(f"{bits:08x}" for bits in (callee, caller, callee_loose, caller_loose))])


def keys(*suites):
    size = {GCM: b"k" * 44}
    return [crypto_line(size.get(suite, b"k" * 30), tag, suite) for tag, suite in enumerate(suites, 1)]


def with_keys(profile, *suites, host="127.0.7.9"):
    return sdp(host, profile=profile, lines=keys(*suites))


PLAIN = sdp("127.0.7.9")
SAVP = with_keys("RTP/SAVP", DEFAULT)
OSRTP = with_keys("RTP/AVP", DEFAULT)
DTLS = sdp("127.0.7.9", profile="UDP/TLS/RTP/SAVP", lines=[PRINT, "a=setup:actpass"])

# what: (SDP, the groups that may send it)
OFFERS = {
    "plain": (PLAIN, {"plain", "optional"}),
    "the default suite": (SAVP, {"srtp", "optional"}),
    "the default suite and a weak one": (with_keys("RTP/SAVP", WEAK, DEFAULT), {"srtp", "optional"}),
    "a weak suite": (with_keys("RTP/SAVPF", WEAK), set()),
    "no cipher": (with_keys("RTP/SAVP", "NULL_HMAC_SHA1_80"), set()),
    "the suite of one group": (with_keys("RTP/SAVP", GCM), {"gcm"}),
    "an SRTP profile without key": (sdp("127.0.7.9", profile="RTP/SAVP"), set()),
    "keys on RTP/AVP": (OSRTP, {"plain", "srtp", "optional"}),
    "DTLS-SRTP": (DTLS, {"srtp", "optional", "dtls"}),
    "DTLS-SRTP without fingerprint": (sdp("127.0.7.9", profile="UDP/TLS/RTP/SAVP"), set()),
    "one stream plain, one secured": (PLAIN + "m=video 5 RTP/SAVP 96\r\n" + keys(DEFAULT)[0] + "\r\n", {"optional"}),
    "no SDP at all": ("v=0\r\nthis is none\r\n", set()),
}


class Policy(Case):
    ROUTING, LUA_MODULE = NATIVE, ""
    WORDS = "only"  # "": the default

    @classmethod
    def relays(cls):
        return Relay(ping="d6:result4:ponge")

    @classmethod
    def prepare(cls):
        cls.proxy = ("127.0.0.1", free_port())
        cls.relay = cls.start_for_all(cls.relays())
        cls.peer = {name: cls.start_for_all(Endpoint(row[0])) for name, row in GROUPS.items()}
        text = (CONFIG.replace("@ROUTING@", cls.ROUTING).replace("@LUA_MODULE@", cls.LUA_MODULE)
                .replace("@PORT@", str(cls.proxy[1])).replace("@RELAY@", f"udp:127.0.0.1:{cls.relay.port}")
                .replace("@WORDS@", cls.WORDS and f'modparam("srtp_policy", "sdes_words", "{cls.WORDS}")'))
        cls.kamailio = cls.start_for_all(Kamailio(cls.folder, text))
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")
        path = cls.folder.write("topology.json", json.dumps(cls.document()))
        path.chmod(0o644)
        cls.kamailio.call("provisioning.topology_load", f"s:{path}")

    @classmethod
    def document(cls):
        groups = [{"name": name, "side": side, "signalling": "UDP", **media, "peers": [
            {"name": f"{name}-1", "site": "s", "host": host, "port": cls.peer[name].port}]}
            for name, (host, side, _, media) in GROUPS.items()]
        services = [{"name": service, "peerGroup": name, "operatorPeerGroup": "plain"}
                    for name, (_, _, service, _) in GROUPS.items() if service]
        return {"mode": "lab", "settings": {"probeIntervalMs": 60000}, "services": services, "peerGroups": groups}

    def ask(self, sender, body, to="srtp", changes=None, **headers):
        """The answer to an INVITE with this SDP."""
        extra = [(f"X-{name.title()}", value) for name, value in headers.items()]
        return self.peer[sender].invite(self.proxy, "1", body=body, headers=[("X-Service", GROUPS[to][2]), *extra],
                                        changes=changes).final()

    def result(self, answer):
        """(check of the sender, flags, rtpengine, check of the receiver)"""
        return tuple(int(word) for word in answer.get("X-Result").split())

    def counters(self):
        text = self.kamailio.call("stats.get_statistics", "srtp_policy:")
        return {name: int(value) for name, value in re.findall(r"srtp_policy:(\w+)\s*=\s*(\d+)", text)}


class Checks:
    def test_each_group_sends_what_its_policy_allows_and_nothing_else(self):
        for name, (body, allowed) in OFFERS.items():
            for group in GROUPS:
                with self.subTest(f"{name} from {group}"):
                    answer = self.ask(group, body)
                    self.assertEqual(self.result(answer)[0], 1 if group in allowed else -1)
                    decision = answer.get("X-Decision")
                    if group in allowed:
                        self.assertEqual(decision, "503 No Media Relay")
                    else:
                        self.assertRegex(decision, r'^488 .* (304|399) trunkgate "[^"]+"$')

    def test_no_sdp_is_no_fault(self):
        self.assertEqual(self.result(self.ask("plain", ""))[0], 2)

    def test_refusal_names_the_suite_and_no_key(self):
        answer = self.ask("srtp", with_keys("RTP/SAVP", WEAK), refuse="1")
        self.assertEqual(answer.status, 488)
        self.assertRegex(answer.get("Warning"), f'^304 trunkgate ".*{WEAK}.*"$')
        self.assertNotIn("inline", bytes(answer).decode())
        self.assertNotIn("inline", self.kamailio.log())
        self.assertIn(f"SDP of srtp srtp-1 refused, call {answer.call_id}: ", self.kamailio.log())

    def test_refusal_without_any_fault_of_the_sdp_is_the_relays(self):
        answer = self.ask("plain", PLAIN, refuse="1")
        self.assertEqual((answer.status, answer.get("Retry-After"), answer.get("Warning")), (503, "7", None))

    def test_refusals_are_counted_by_their_reason(self):
        for body, sender, name in ((PLAIN, "srtp", "plain"), (SAVP, "plain", "secured"), ("none\r\n", "srtp", "unreadable"),
                                   (with_keys("RTP/SAVP", WEAK), "srtp", "suite"), (DTLS, "gcm", "profile"),
                                   (sdp("127.0.7.9", profile="RTP/SAVP"), "srtp", "no_key")):
            with self.subTest(name):
                before = self.counters()
                self.ask(sender, body)
                after = self.counters()
                changed = {key: after[key] - before[key] for key in after if after[key] != before[key]}
                self.assertEqual(changed, {"checked": 1, f"refused_{name}": 1})

    def test_flags_are_those_of_both_groups(self):
        common = "replace-origin replace-session-connection ICE=remove ICE-reject"
        profiles = "dtls-profiles=SRTP_AES128_CM_HMAC_SHA1_80"
        removed = f"{profiles} fingerprints=remove"
        for sender, to, verb, flags in (
                ("plain", "srtp", "offer", f"RTP/SAVP DTLS=off {common} SDES-only-{DEFAULT} {removed}"),
                ("plain", "gcm", "offer", f"RTP/SAVP DTLS=off {common} SDES-only-{GCM} dtls-profiles=none"),
                ("plain", "dtls", "offer", f"UDP/TLS/RTP/SAVP SDES-off {common} {removed}"),
                ("plain", "optional", "offer", f"RTP/AVP OSRTP-offer DTLS=off {common} SDES-only-{DEFAULT} {removed}"),
                ("srtp", "srtp", "offer", f"RTP/AVP DTLS=off {common} SDES-only-{DEFAULT} {profiles}"),
                ("srtp", "srtp", "answer", f"DTLS=off {common} SDES-only-{DEFAULT} {removed}")):
            with self.subTest(f"{sender} {to} {verb}"):
                answer = self.ask(sender, "", to=to, verb=verb)
                said, tags = answer.get("X-Flags").split(" from-tag=")
                self.assertEqual((said, self.result(answer)[1]), (flags, 1))
                offerer, other = ("caller", "callee") if verb == "offer" else ("callee", "caller")
                self.assertRegex(tags, rf"^([0-9a-f]{{32}})-{offerer} to-tag=\1-{other}$")
        for to, wanted in (("optional", label()), ("srtp", None)):
            answer = self.ask("plain", "", to=to, verb="answer")
            self.assertEqual(re.findall(" label=(.*)", answer.get("X-Flags")), [wanted] if wanted else [])
        answer = self.ask("plain", "", verb="nonsense")
        self.assertEqual((answer.get("X-Flags") or "", self.result(answer)[1]), ("", -1))

    def test_of_invites_with_the_same_tag_each_has_media_of_its_own(self):
        tag, branch = token("from"), token("z9hG4bK")

        def changes(message):
            message.set("From", f"<sip:a@b>;tag={tag}")
            message.set("Via", self.peer["plain"].via(branch))

        flags = [self.ask("plain", "", changes=changes, verb="offer").get("X-Flags") for _ in range(3)]
        self.assertEqual(len({re.search("from-tag=([0-9a-f]{32})-caller ", text).group(1) for text in flags}), 3)

    def relayed(self, sender, made, body=PLAIN, to="srtp", **headers):
        """What is said of an SDP that rtpengine made of the offer; None: it answers with an error."""
        text = made.encode() if made is not None else b""
        self.relay.replies[b"offe"] = (b"d6:result2:ok3:sdp%d:%se" % (len(text), text) if made is not None
                                       else b"d12:error-reason4:none6:result5:errore")
        return self.ask(sender, body, to=to, relay="1", **headers)

    def test_what_rtpengine_makes_is_held_against_the_receivers_policy(self):
        for name, made, to, fine in (
                ("what was asked for", SAVP, "srtp", True), ("plain", PLAIN, "srtp", False),
                ("no key", sdp("127.0.0.1", profile="RTP/SAVP"), "srtp", False),
                ("one suite too many", with_keys("RTP/SAVP", DEFAULT, WEAK), "srtp", False),
                ("no cipher", with_keys("RTP/SAVP", "NULL_HMAC_SHA1_80"), "srtp", False),
                ("another group's suite", SAVP, "gcm", False), ("its suite", with_keys("RTP/SAVP", GCM), "gcm", True),
                ("SDES for DTLS", SAVP, "dtls", False), ("DTLS", DTLS, "dtls", True),
                ("keys on RTP/AVP", OSRTP, "optional", True), ("nothing", "", "srtp", False)):
            with self.subTest(name):
                answer = self.relayed("plain", made, to=to)
                self.assertEqual(self.result(answer), (1, 1, 1, 1) if fine else (1, 1, 1, -1))

    def test_keys_for_a_group_that_forbids_them_are_refused(self):
        for made, fine in ((PLAIN, 1), (OSRTP, -1), (SAVP, -1)):
            self.assertEqual(self.result(self.relayed("srtp", made, SAVP))[3], fine)

    def within(self, queries, sender="optional", to="optional", body=PLAIN, to_tag=";tag=caller"):
        """What is said of an offer of the callee in a dialog that is not known here; queries: rtpengine's answers."""
        queries, tag = iter(queries), hashlib.md5(b"caller\n0").hexdigest()

        def changes(message):
            message.headers = [[name, value + to_tag if name == "To" else value] for name, value in message.headers]

        def reply():
            said = next(queries)
            if isinstance(said, str):
                said = {"result": "ok", "tags": {f"{tag}-caller": {"label": said}, f"{tag}-callee": {}}}
            return bencode(said)

        self.relay.replies[b"quer"], before = reply, len(self.relay.said)
        answer = self.relayed(sender, PLAIN, body, to=to, changes=changes)
        return self.result(answer), answer.get("X-Decision")[:3], self.relay.said[before:]

    def test_rtpengine_is_asked_who_has_been_secured(self):
        unknown = {"result": "error", "error-reason": "Unknown call-id"}
        new = {"result": "ok", "tags": {"somebody": {"label": label(ALL, ALL)}}}
        for name, queries, result, code, said in (
                ("the one who offers", [label(ALL)], (-1, 1, 0, 0), "488", ["query"]),
                ("the other", [label(0, ALL, 0, ALL)], (1, 1, 1, -1), "488", ["query", "offer"]),
                ("nobody", [label()], (1, 1, 1, 1), "503", ["query", "offer"]),
                ("its audio", [label(1)], (-1, 1, 0, 0), "488", ["query"]),
                ("its second stream", [label(2)], (1, 1, 1, 1), "503", ["query", "offer"]),
                ("a label of others", ["2"], (1, 1, 1, 1), "503", ["query", "offer"]),
                ("an error", [unknown, unknown], (1, 1, 1, -1), "503", ["query", "offer", "query"]),
                ("an error at first", [unknown, label(ALL)], (1, 1, 1, -1), "488", ["query", "offer", "query"]),
                ("an unknown call", [unknown, label()], (1, 1, 1, 1), "503", ["query", "offer", "query"]),
                ("other ends", [new, new], (1, 1, 1, -1), "503", ["query", "offer", "query"]),
                ("nonsense", [{"result": "ok", "tags": "none"}], (-1, 1, 0, 0), "503", ["query"])):
            with self.subTest(name):
                self.assertEqual(self.within(queries), (result, code, said))

    def test_rtpengine_is_not_asked_without_need(self):
        for words in ({"to_tag": ""}, {"sender": "srtp", "to": "srtp", "body": SAVP}, {"body": "none\r\n"}):
            with self.subTest(words):
                self.assertNotIn("query", self.within([], **words)[2])

    def test_what_rtpengine_did_not_replace_is_refused(self):
        answer = self.relayed("plain", None)
        self.assertEqual(self.result(answer), (1, 1, -1, -1))
        answer = self.relayed("plain", None, refuse="1")
        self.assertEqual((answer.status, answer.reason), (503, "No Media Relay"))


class TestNative(Checks, Policy):
    pass


class TestKemi(Checks, Policy):
    ROUTING, LUA_MODULE = KEMI, 'loadmodule "app_lua.so"'


class Words:
    """What the real rtpengine makes of our words for the suites."""

    root = None

    @classmethod
    def relays(cls):
        return Rtpengine(cls.folder, root=cls.root() if cls.root else None)

    def offered(self, to):
        """(suites that rtpengine wrote, what the receiver's check says)"""
        before = len(self.peer[to].seen(lambda m: True))
        answer = self.ask("plain", PLAIN, to=to, relay="1")
        self.assertEqual(len(self.peer[to].seen(lambda m: True)), before)
        self.assertEqual(self.result(answer)[:3], (1, 1, 1))
        offer = self.relay.ng("offer", call_id="words", from_tag="a", sdp=PLAIN, replace=["origin"], DTLS="off",
                              **self.as_rtpengine_gets(answer.get("X-Flags")))
        self.relay.ng("delete", call_id="words", from_tag="a")
        return suites_of(offer["sdp"]), self.result(answer)[3]

    @staticmethod
    def as_rtpengine_gets(flags):
        words = flags.split()
        return {"transport_protocol": words[0], "flags": [word for word in words if word.startswith("SDES-")]}

    def test_only_the_groups_suites_are_offered(self):
        for group, suite in (("srtp", DEFAULT), ("gcm", GCM)):
            self.assertEqual(self.offered(group), ([suite], 1))

    def test_we_know_each_suite_that_it_has(self):
        """Else `no` could not exclude it."""
        offer = self.relay.ng("offer", call_id="all", from_tag="a", sdp=PLAIN, transport_protocol="RTP/SAVP", DTLS="off")
        self.assertEqual(set(suites_of(offer["sdp"])), set(SUITES))


class TestWordsInstalled(Words, Policy):
    WORDS = ""


class TestWordsDebian13(Words, Policy):
    root, WORDS = debian13, ""


class TestOnlyWordsDebian13(Words, Policy):
    root = debian13


class TestOnlyWordsInstalled(Words, Policy):
    """10.5 does not know them: nothing is excluded, and what it then offers is refused."""

    def test_only_the_groups_suites_are_offered(self):
        suites, receiver = self.offered("srtp")
        old = installed_version() == "10.5"
        self.assertEqual((set(suites), receiver), (set(SUITES), -1) if old else ({DEFAULT}, 1))


class TestParameters(Case):
    def test_wrong_values_stop_the_start(self):
        for line in ('modparam("srtp_policy", "sdes_words", "some")', 'modparam("srtp_policy", "retry_after", -1)'):
            with self.subTest(line):
                text = (CONFIG.replace("@ROUTING@", line + NATIVE).replace("@LUA_MODULE@", "").replace("@WORDS@", "")
                        .replace("@PORT@", str(free_port())).replace("@RELAY@", "udp:127.0.0.1:9"))
                kamailio = Kamailio(self.folder, text)
                with self.assertRaises(Failure):
                    kamailio.start()
                self.assertIn("sdes_words must be", kamailio.log())


if __name__ == "__main__":
    unittest.main()
