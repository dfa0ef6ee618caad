# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module site_failover: probes, keepalives, connections and the state of targets."""

import pathlib
import socket
import struct
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import Endpoint
from harness.site_failover import SILENCE, Gateway
from harness.wait import wait_until


class TestProbes(Gateway):
    settings = {"probeIntervalMs": 1000, "downAfter": 2, "upAfter": 2}

    def observed(self, peer, state):
        wait_until(lambda: self.listed(peer).get("observed") == state, 8, f"{peer} is {state}", 0.1)
        return self.listed(peer)

    def test_silent_peer_goes_down_is_passed_over_and_comes_back(self):
        self.west.answer_options = None
        self.addCleanup(setattr, self.west, "answer_options", 200)
        self.assertEqual(self.observed("west", "down")["reason"], "no answer to OPTIONS")
        call = self.call()
        self.talk(call, self.east.served(0.4, call.call_id))
        self.assertEqual(self.west.requests("INVITE", call.call_id), [])
        self.west.answer_options = 200
        self.observed("west", "up")
        call = self.call()
        self.talk(call, self.west.served(call_id=call.call_id))

    def test_all_down_are_tried_all_the_same(self):
        for endpoint in (self.west, self.east):
            endpoint.answer_options = 503
            self.addCleanup(setattr, endpoint, "answer_options", 200)
        self.assertEqual(self.observed("west", "down")["reason"], "503 to OPTIONS")
        self.observed("east", "down")
        call = self.call()
        self.talk(call, self.west.served(call_id=call.call_id))

    def test_any_final_answer_but_three_is_well(self):
        self.east.answer_options = 404
        self.addCleanup(setattr, self.east, "answer_options", 200)
        seen = len(self.east.options)
        wait_until(lambda: len(self.east.options) > seen + 3, 8)
        self.assertIn(self.listed("east")["observed"], ("up", "probing"))

    def test_answer_after_the_deadline_does_not_count(self):
        late = []
        self.east.answer_options = lambda request: late.append(request)
        self.addCleanup(setattr, self.east, "answer_options", 200)
        self.observed("east", "down")
        failures = int(self.listed("east")["failures"])
        for request in list(late):
            self.east.reply(request, 200)
        wait_until(lambda: int(self.listed("east")["failures"]) > failures, 5, "the next probe fails too", 0.1)
        self.assertEqual(self.listed("east")["observed"], "down")

    def test_state_survives_a_new_topology(self):
        self.east.answer_options = None
        self.addCleanup(setattr, self.east, "answer_options", 200)
        since = self.observed("east", "down")["since"]
        changed = self.document()
        changed["settings"]["maxTries"] = 3
        self.load_topology(changed)
        row = self.listed("east")
        self.assertEqual((row["observed"], row["since"]), ("down", since))

    def test_disabled_peer_is_not_probed_and_not_chosen(self):
        self.kamailio.call("site_failover.set", "west", "disabled")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        self.assertEqual(self.listed("west")["administrative"], "disabled")
        wait_until(lambda: len(self.east.options) > 0, 5)
        time.sleep(0.5)
        before, east = len(self.west.options), len(self.east.options)
        wait_until(lambda: len(self.east.options) >= east + 2, 5)
        self.assertEqual(len(self.west.options), before)
        call = self.call()
        self.talk(call, self.east.served(call_id=call.call_id))

    def test_draining_peer_is_probed_and_not_chosen(self):
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        before = len(self.west.options)
        wait_until(lambda: len(self.west.options) > before, 5)
        call = self.call()
        self.talk(call, self.east.served(call_id=call.call_id))

    def test_no_peer_in_service_is_told_apart(self):
        for peer in ("west", "east"):
            self.kamailio.call("site_failover.set", peer, "drain")
            self.addCleanup(self.kamailio.call, "site_failover.set", peer, "auto")
        self.assertIn("No Peer In Service", self.call().final().first)

    def test_probe_names_the_gateway_and_the_peer(self):
        wait_until(lambda: self.teams.options, 5)
        probe = self.teams.options[0]
        self.assertEqual(probe.uri, f"sip:{self.teams.address};transport=udp")
        ours = "%s:%d" % probe.source
        self.assertIn(ours, probe.get("Contact"))
        self.assertIn(ours, probe.get("From"))


class TestKeepalive(Gateway):
    settings = {"probeIntervalMs": 60000, "keepaliveIntervalMs": 1000}

    @classmethod
    def document(cls):
        document = super().document()
        document["peerGroups"][1]["keepaliveNames"] = ["a.gateway.example.com", "b.gateway.example.com"]
        return document

    def keepalives(self, endpoint, name):
        return [request for request in endpoint.options if name in request.get("Contact")]

    def test_keepalive_has_an_interval_of_its_own(self):
        before = self.counter("probes_sent")
        wait_until(lambda: len(self.west.options) >= 4, 8)
        self.assertLessEqual(self.counter("probes_sent") - before, 3)
        self.assertGreaterEqual(self.counter("keepalives_sent"), 3)

    def test_each_of_our_names_is_shown_once_an_interval_on_a_strict_clock(self):
        name = "b.gateway.example.com"
        wait_until(lambda: len(self.keepalives(self.teams, name)) >= 4, 8)
        shown = self.keepalives(self.teams, name)[:4]
        self.assertEqual(shown[0].get("Contact"), f"<sip:{name}:{shown[0].source[1]};transport=udp>")
        self.assertIn(f"sip:{name}:", shown[0].get("From"))
        self.assertIn("INVITE", shown[0].get("Allow"))
        passed = [later.time - shown[0].time for later in shown[1:]]
        for seconds, wanted in zip(passed, (1, 2, 3)):
            self.assertLess(abs(seconds - wanted), 0.35, passed)
        self.assertTrue(self.keepalives(self.teams, "a.gateway.example.com"))


class TestEvents(Gateway):
    settings = {"probeIntervalMs": 200, "probeTimeoutMs": 200, "downAfter": 2, "drainGraceMs": 0}
    routes = "".join(f"""
event_route[site_failover:{kind}] {{
	xlog("L_NOTICE", "told {kind} $site(out_peer) $site(out_site) $site(out_group) $site(target) $site(reason)\\n");
}}""" for kind in ("up", "down", "drained"))

    def told(self, text, times=1):
        wait_until(lambda: self.kamailio.log().count("told " + text) >= times, 8, text)

    def test_a_target_that_goes_and_comes_is_told(self):
        target = f"sip:{self.west.address};transport=udp"
        self.west.answer_options = None
        self.told(f"down west west operator {target} no answer to OPTIONS")
        self.west.answer_options = 200
        self.told(f"up west west operator {target}")
        self.assertEqual(self.kamailio.log().count("told down west"), 1)

    def test_a_target_that_is_down_from_the_start_is_told(self):
        document = self.document()
        document["peerGroups"][0]["peers"].append(
            {"name": "north", "site": "north", "host": "127.0.3.77", "port": 9, "priority": 2,
             "allowedSignalingSourceAddressPrefixes": ["127.0.3.0/24"]})
        self.load_topology(document)
        self.told("down north north operator sip:127.0.3.77:9;transport=udp")

    def test_a_peer_is_drained_when_its_last_call_ends(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.answered(call, served)
        self.kamailio.call("site_failover.set", "west", "drain")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        self.kamailio.call("site_failover.set", "east", "drain")
        self.told("drained east")
        self.kamailio.call("site_failover.set", "east", "auto")
        self.assertNotIn("told drained west", self.kamailio.log())
        call.dialog_request("BYE")
        served.ended()
        self.told("drained west west operator")

    def test_a_node_is_drained_when_its_last_call_ends(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.answered(call, served)
        self.kamailio.call("site_failover.drain", "on")
        self.addCleanup(self.kamailio.call, "site_failover.drain", "off")
        self.assertNotIn("told drained <null>", self.kamailio.log())
        call.dialog_request("BYE")
        served.ended()
        self.told("drained <null>")


class TestStatistics(Gateway):
    settings = {"probeIntervalMs": 200, "probeTimeoutMs": 200, "downAfter": 2}
    parameters = """
tcp_accept_no_cl=yes
loadmodule "xhttp.so"
loadmodule "xhttp_prom.so"
modparam("site_failover", "statistics_max", 8)
modparam("xhttp_prom", "xhttp_prom_stats", "site_failover:")
modparam("xhttp_prom", "xhttp_prom_buf_size", 65536)
"""
    routes = """
event_route[xhttp:request] {
	prom_dispatch();
}"""

    def test_xhttp_prom_shows_them(self):
        wait_until(lambda: self.counter("targets_up") == 3, 5)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        metrics = dict(line.split()[:2] for line in lines if line.strip() and not line.startswith("#"))
        self.assertEqual(metrics["kamailio_site_failover_targets_up"], "3")
        self.assertEqual(metrics[f"kamailio_site_failover_target_{self.listed('west')['target']}_state"], "1")

    def of(self, peer, name):
        return self.counter(f"target_{self.listed(peer)['target']}_{name}")

    def test_each_target_has_its_own_from_the_start(self):
        wait_until(lambda: self.counter("targets_up") == 3, 5)
        self.assertEqual([self.of(peer, "state") for peer in ("west", "east", "teams-1")], [1, 1, 1])
        self.assertEqual(self.counter("target_8_state"), 0)

    def test_they_follow_calls_and_health(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.answered(call, served)
        self.assertEqual((self.of("west", "calls"), self.of("west", "live"), self.counter("calls_live")), (1, 1, 1))
        call.dialog_request("BYE")
        served.ended()
        wait_until(lambda: self.counter("calls_live") == 0, 2)
        self.east.answer_options = None
        self.addCleanup(setattr, self.east, "answer_options", 200)
        wait_until(lambda: self.of("east", "state") == 3, 5)
        self.assertEqual(self.counter("targets_down"), 1)
        self.assertGreaterEqual(self.of("east", "failures"), 2)


class Connections(Gateway):
    """The sites are reached over TCP; probes are far apart, so what is seen at once is seen by the connection."""

    transports = {"operator": "TCP"}
    settings = {"probeIntervalMs": 60000, "probeTimeoutMs": 2000}

    def shows(self, peer, state, reason=""):
        wait_until(lambda: self.listed(peer).get("observed") == state and reason in self.listed(peer)["reason"], 5,
                   f"{peer} is {state} {reason}", 0.05)

    def setUp(self):
        self.shows("west", "up")
        wait_until(lambda: self.west.options, 5, "west was probed")


class TestConnectionIdle(Connections):
    def test_connection_is_open_before_the_first_call_and_carries_it(self):
        opened = {message.source for message in self.west.options}
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.assertIn(served.invite.source, opened)
        self.talk(call, served)

    def test_connection_that_ends_idle_is_opened_anew_at_once(self):
        self.west.options.clear()
        self.west.stop()
        self.west.start()
        wait_until(lambda: self.west.options, 2, "a probe over a new connection")
        self.shows("west", "up")



class TestConnectionEndsWithoutLoss(Connections):
    def idle_close(self, served):
        self.west.options.clear()
        served.invite.connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: self.west.options, 5, "a probe over a new connection")
        row = self.listed("west")
        self.assertEqual((row["observed"], row["failures"]), ("up", "0"))

    def test_idle_close_after_a_call_that_was_cancelled_is_no_loss(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(100)
        call.provisional(100)
        call.cancel()
        served.cancelled()
        self.assertEqual(call.final().status, 487)
        self.idle_close(served)

    def test_close_while_a_call_has_only_100_is_no_loss(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(100)
        time.sleep(0.1)
        self.idle_close(served)


class TestReconnect(Connections):
    def test_peer_that_closes_after_each_answer_is_asked_less_and_less(self):
        def answer(request):
            self.west.reply(request, 200)
            request.connection.shutdown(socket.SHUT_RDWR)
        self.west.answer_options = answer
        self.west.options[0].connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: len(self.west.options) >= 4, 8, "it is asked again")
        times = [request.time for request in self.west.options]
        self.assertGreater(times[2] - times[1], 0.9, times)
        self.assertGreater(times[3] - times[2], 1.8, times)
        self.assertEqual(self.listed("west")["observed"], "up")


class TestDisabledForAWhile(Connections):
    def test_peer_that_was_restarted_meanwhile_is_up_when_it_is_taken_in_again(self):
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        served.reply(100)
        call.provisional(100)
        call.cancel()
        served.cancelled()
        call.final()
        self.kamailio.call("site_failover.set", "west", "disabled")
        self.addCleanup(self.kamailio.call, "site_failover.set", "west", "auto")
        self.west.stop()
        self.west.start()
        self.west.options.clear()
        self.assertTrue(self.silent(self.west))
        self.kamailio.call("site_failover.set", "west", "auto")
        wait_until(lambda: self.west.options, 2, "west is probed at once")
        row = self.listed("west")
        self.assertEqual((row["observed"], row["failures"]), ("up", "0"))


class TestProbesOffOverTcp(Gateway):
    transports = {"operator": "TCP"}
    settings = {"probeIntervalMs": 0}

    def test_connection_is_open_before_the_first_call(self):
        wait_until(lambda: self.west.options, 5, "a keepalive opened it")
        call = self.call()
        served = self.west.served(call_id=call.call_id)
        self.assertEqual(served.invite.source, self.west.options[0].source)
        self.talk(call, served)


class TestConnectionRefused(Connections):
    def test_target_that_refuses_connections_is_down_before_the_next_call(self):
        self.west.stop()
        self.shows("west", "down", "connection refused")
        call = self.call()
        self.talk(call, self.east.served(0.4, call.call_id))
        self.assertEqual(self.finals_of(call), [200])


class TestConnectionReset(Connections):
    def test_reset_with_a_call_unanswered_counts_at_once(self):
        def reset(endpoint, message):
            if message.is_request and message.method == "INVITE":
                message.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                message.connection.close()
                return True
        self.west.behave = reset
        sent = time.monotonic()
        call = self.call()
        self.shows("west", "down", "connection lost")
        self.assertLess(time.monotonic() - sent, SILENCE)
        self.talk(call, self.east.served(SILENCE + 2, call.call_id))


class TestConnectionEnded(Connections):
    """West accepts connections and ends them, as a peer whose handshake fails does."""

    def test_target_that_ends_each_connection_is_down_before_the_first_call(self):
        self.shows("east", "up")
        self.west.stop()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.west.host, self.west.port))
            listener.listen(8)
            listener.settimeout(5)
            listener.accept()[0].close()
            self.shows("west", "down", "connection")


class TestProbesOff(Gateway):
    settings = {"probeIntervalMs": 0, "downAfter": 2}
    parameters = 'modparam("site_failover", "retry_interval", 1000)'

    def silent_call(self):
        call = self.call()
        self.west.served(call_id=call.call_id)
        self.talk(call, self.east.served(SILENCE + 2, call.call_id))

    def test_calls_alone_take_a_target_down_and_bring_it_back(self):
        for _ in range(2):
            self.silent_call()
        row = self.listed("west")
        self.assertEqual((row["observed"], row["reason"], row["next_probe"]), ("down", "no answer", "-1"))
        wait_until(lambda: self.listed("west")["observed"] == "probing", 3, "west gets a trial call", 0.05)
        call = self.call()
        self.talk(call, self.west.served(call_id=call.call_id))
        wait_until(lambda: self.listed("west")["observed"] == "up", 1)
        self.assertEqual(self.west.options + self.east.options, [])


class TestTrialCalls(Gateway):
    settings = {"probeIntervalMs": 0, "downAfter": 1, "upAfter": 100}
    parameters = 'modparam("site_failover", "retry_interval", 300)'

    def first_of(self, call):
        wait_until(lambda: self.west.requests("INVITE", call.call_id) or self.east.requests("INVITE", call.call_id))
        return self.west if self.west.requests("INVITE", call.call_id) else self.east

    def test_calls_of_callers_without_a_target_take_none(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(503)
        self.east.served(call_id=call.call_id).reply(486)
        call.final()
        wait_until(lambda: self.listed("west")["observed"] == "probing", 5, "west gets a trial call", 0.05)
        other = Endpoint("127.0.3.77", user="other")
        self.start(other)
        for _ in range(5):
            incoming = other.invite(self.proxy, "+1555")
            self.teams.served(call_id=incoming.call_id).reply(486)
            incoming.final()
        firsts = []
        for _ in range(3):
            call = self.call()
            firsts.append(self.first_of(call))
            firsts[-1].served(call_id=call.call_id).reply(486)
            call.final()
        self.assertEqual(firsts, [self.west, self.east, self.east])


class TestCallsThatRing(Gateway):
    settings = {"probeIntervalMs": 0, "downAfter": 2}

    def refused(self):
        call = self.call()
        self.west.served(call_id=call.call_id).reply(503)
        self.talk(call, self.east.served(call_id=call.call_id))

    def test_answer_of_a_call_that_rang_clears_no_failure(self):
        ringing = self.call()
        served = self.west.served(call_id=ringing.call_id)
        served.reply(180)
        ringing.provisional(180)
        self.refused()
        self.talk(ringing, served)
        self.refused()
        row = self.listed("west")
        self.assertEqual((row["observed"], row["reason"]), ("down", "503 received"))


class TestSlowStart(Gateway):
    """After its recovery a target gets its share of the calls little by little."""

    settings = {"probeIntervalMs": 100, "probeTimeoutMs": 100, "downAfter": 1, "slowStartMs": 3600000}

    def test_most_calls_stay_away_from_a_target_that_just_came_back(self):
        self.west.answer_options = None
        wait_until(lambda: self.listed("west")["observed"] == "down", 5)
        self.west.answer_options = 200
        wait_until(lambda: self.listed("west")["observed"] == "up", 5)
        first = {"west": 0, "east": 0}
        for _ in range(40):
            call = self.call()
            wait_until(lambda: self.west.requests("INVITE", call.call_id) or self.east.requests("INVITE", call.call_id))
            endpoint = self.west if self.west.requests("INVITE", call.call_id) else self.east
            first[endpoint.user] += 1
            endpoint.served(call_id=call.call_id).reply(486)
            call.final()
        self.assertLess(first["west"], 20)
        self.assertGreater(first["east"], 20)


class TestNameWithoutAddress(Gateway):
    hosts = {"west": "no-such-host.invalid"}
    settings = {"probeIntervalMs": 1000, "downAfter": 1}

    def test_peer_is_left_out_and_shown_as_such(self):
        wait_until(lambda: self.listed("west").get("dns"), 10)
        row = self.listed("west")
        self.assertEqual((row["observed"], row["address"]), ("unknown", "no-such-host.invalid"))
        call = self.call()
        self.talk(call, self.east.served(0.5, call.call_id))


if __name__ == "__main__":
    unittest.main()
