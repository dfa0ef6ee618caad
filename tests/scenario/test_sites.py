# SPDX-License-Identifier: GPL-2.0-or-later
"""`trunkgate sites`: the peers as Kamailio sees them, by the command line."""

import json
import unittest

from harness import Case, free_port, wait_until
from harness.gateway import Gateway


PROBES = {"probeIntervalMs": 300, "probeTimeoutMs": 200, "downAfter": 2}


class TestSites(Case):
    def setUp(self):
        super().setUp()
        self.gateway = self.start(Gateway(self.folder, settings=PROBES))

    def sites(self, *words):
        answer = json.loads(self.gateway.cli("sites", "--json", *words))
        self.assertEqual(answer["code"], 200)
        return answer["result"]

    def rows(self, *words):
        return {item["name"]: item for item in self.sites(*words)["items"]}

    def table(self, *words):
        """The lines of the table as lists of cells, the heads first."""
        node, *lines = self.gateway.cli("sites", *words).splitlines()
        return node, [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]

    def load(self, change):
        document = self.gateway.document()
        change(document["peerGroups"])
        self.gateway.load(document)

    def test_both_states_of_every_target_are_shown(self):
        wait_until(lambda: all(row["observed"] == "up" for row in self.rows().values()), 10, "all up")
        self.gateway.cli("peer_set", "west", "drain")
        row = self.rows()["west"]
        self.assertEqual((row["administrative"], row["observed"], row["group"]), ("drain", "up", "operator"))
        node, (heads, *lines) = self.table()
        self.assertEqual(node, "node: in service, live calls: 0")
        self.assertEqual(heads, ["peer", "group", "site", "address", "administrative", "observed", "since", "latency",
                                 "live", "next probe", "why"])
        self.assertEqual(len(lines), len(self.gateway.peers))
        west = next(line for line in lines if line[0] == "west")
        self.assertEqual(west[3], f"127.0.1.10:{self.gateway.peer['west'].port}/udp")
        self.assertRegex(west[6], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(set(self.rows("teams-oc")), {"teams-1", "teams-2"})

    def test_reason_of_a_peer_that_is_down_is_shown(self):
        self.gateway.peer["east"].stop()
        wait_until(lambda: self.rows()["east"]["observed"] == "down", 20, "east is down")
        line = next(line for line in self.table()[1] if line[0] == "east")
        self.assertEqual(line[5], "down")
        self.assertTrue(line[-1] and line[-1] != "-", line)

    def test_live_calls_are_shown(self):
        call = self.gateway.peer["west"].invite(self.gateway.proxy, "+15551230001", "+15557770000")
        served = self.gateway.peer["teams-1"].served(call_id=call.call_id)
        served.reply(200)
        self.assertEqual(call.final().status, 200)
        call.ack()
        served.acked()
        wait_until(lambda: self.rows()["teams-1"]["live"] == 1, 5, "one live call")
        self.assertEqual(self.table()[0], "node: in service, live calls: 1")
        self.assertEqual({line[0]: line[8] for line in self.table()[1][1:]}["teams-1"], "1")
        call.dialog_request("BYE")
        served.ended()
        wait_until(lambda: self.rows()["teams-1"]["live"] == 0, 5, "no live call")

    def test_name_that_does_not_resolve_is_shown_and_stops_no_other(self):
        self.load(lambda groups: groups[0]["peers"].append({"name": "nowhere", "host": "nowhere.invalid", "port": 5060}))
        row = wait_until(lambda: self.rows().get("nowhere", {}).get("dns", "").startswith("A: ") and self.rows()["nowhere"],
                         20, "the reason")
        self.assertIn("nowhere.invalid", row["dns"])
        self.assertIn("nowhere.invalid", self.gateway.cli("sites"))
        wait_until(lambda: self.rows()["west"]["observed"] == "up", 10, "west is up")

    def test_more_peers_than_a_page_are_all_shown(self):
        names = [f"more-{at}" for at in range(60)]
        port = free_port()
        self.load(lambda groups: groups[0]["peers"].extend(
            {"name": name, "host": f"127.0.1.{at + 1}", "port": port, "weight": 0} for at, name in enumerate(names)))
        self.assertEqual(set(self.rows()), set(names) | set(self.gateway.peers))

    def test_drain_of_the_node_is_shown_and_survives_a_restart(self):
        self.gateway.cli("node_drain", "on")
        self.assertEqual(self.sites()["node"]["node"], "drain")
        since = self.sites()["node"]["since"]
        self.assertEqual(self.table()[0], f"node: draining since {since}, live calls: 0, empty")
        self.gateway.kamailio.stop()
        self.gateway.restart_kamailio()
        self.assertEqual((self.sites()["node"]["node"], self.sites()["node"]["since"]), ("drain", since))
        self.gateway.cli("node_drain", "off")
        self.assertEqual(self.sites()["node"]["node"], "auto")

    def test_refusals_are_told(self):
        status, out, err = self.gateway.cli_try("sites", "nosuchgroup")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "trunkgate: group: there is no such group (404)\n")
        self.assertEqual(self.gateway.cli_try("sites", "a", "b")[0], 2)
        self.gateway.kamailio.stop()
        status, out, err = self.gateway.cli_try("sites", "--json")
        self.assertEqual((status, json.loads(out)["code"]), (1, 503))
        self.assertIn("does Kamailio run", out)


if __name__ == "__main__":
    unittest.main()
