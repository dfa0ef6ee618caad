# SPDX-License-Identifier: GPL-2.0-or-later
"""Each row of wrong_input.py and wrong_sip.py gets its documented answer, and nothing changes by it."""

import copy
import json
import os
import pwd
import re
import subprocess
import unittest

import wrong_input
import wrong_sip
from harness import Case, Endpoint, binary, sdp
from harness.gateway import Gateway

NUMBER, OUTSIDE = "+15551230001", "+15557770000"


class WrongCase(Case):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.start_for_all(Gateway(cls.folder))

    def state(self):
        """What must be the same before and after a refused input: numbers, accounts and the topology."""
        return [self.gateway.cli("--json", word) for word in ("number_list", "account_list", "topology_get")]

    def expect(self, answer, code, *words):
        got, text = answer
        self.assertEqual(got, code, text)
        for word in words:
            self.assertIn(word, text)

    def by_cli(self, words):
        """(code, text) of the command line with --json; 200 if it succeeded."""
        status, out, err = self.gateway.cli_try("--json", *words)
        if status == 0:
            return 200, out
        for text in (out, err):
            try:
                answer = json.loads(text)
                error = answer["error"]
                return answer["code"], f"{error['field']}: {error['reason']}"
            except (ValueError, KeyError):
                continue
        # A file that the command line itself could not read was never sent: misuse, status 2.
        return (400 if status == 2 and err.startswith("trunkgate: file: ") else None), out + err

    def by_rpc(self, words):
        status, text = self.gateway.kamailio.rpc(*words)
        fault = re.search(r"error: (\d{3})\b(.*)", text, re.S)
        return (int(fault.group(1)), fault.group(2)) if fault else (200 if status == 0 else None, text)


class TestWrongArguments(WrongCase):
    def test_command_line_refuses_each_row(self):
        before = self.state()
        for words, code, field, reason in wrong_input.OPERATIONS:
            with self.subTest(words=words):
                self.expect(self.by_cli(words), code, field, reason)
        self.assertEqual(self.state(), before)

    def test_command_line_says_it_to_people_and_in_its_status(self):
        status, out, err = self.gateway.cli_try("number_set", "15551230001", "acme", "teamsOperatorConnect")
        self.assertNotEqual(status, 0)
        self.assertIn("number", err)
        self.assertIn("must start with '+'", err)
        self.assertEqual(out, "")

    def test_unknown_operation_is_refused(self):
        status, out, err = self.gateway.cli_try("number_sett", NUMBER)
        self.assertNotEqual(status, 0)
        self.assertIn("number_sett", out + err)

    def test_rpc_refuses_each_row(self):
        before = self.state()
        for words, code, field, reason in wrong_input.OPERATIONS:
            if any("\r" in word for word in words):
                continue  # kamcmd cannot send it
            with self.subTest(words=words):
                self.expect(self.by_rpc([f"provisioning.{words[0]}", *(f"s:{word}" for word in words[1:])]),
                            code, field, reason)
        self.assertEqual(self.state(), before)

    def test_rpc_refuses_what_is_no_text_with_a_hint(self):
        before = self.state()
        for words, field, hint in wrong_input.TYPED:
            with self.subTest(words=words):
                self.expect(self.by_rpc(words), 400, field, hint)
        self.assertEqual(self.state(), before)

    def test_strange_text_is_kept_as_it_is(self):
        for word in wrong_input.TAKEN:
            with self.subTest(word=word):
                if not word.startswith("-"):
                    self.expect(self.by_rpc(["provisioning.account_set", f"s:{word}"]), 200)
                    self.expect(self.by_cli(["account_get", word]), 200, f'"{word}"')
                    self.expect(self.by_cli(["account_delete", word]), 200)
                self.expect(self.by_rpc(["provisioning.number_set", "s:+15551239999", "acme", "teamsOperatorConnect",
                                         f"s:{word}"]), 200)
                self.expect(self.by_cli(["number_get", "+15551239999"]), 200, f'"{word}"')
        self.by_cli(["number_delete", "+15551239999"])


class TestWrongTopology(WrongCase):
    def load(self, name, data):
        path = self.folder.write(name, data if isinstance(data, bytes) else json.dumps(data))
        return self.by_cli(["topology_load", path])

    def test_each_wrong_document_is_refused_with_its_path(self):
        before = self.state()
        good = self.gateway.document()
        for number, (change, code, path, reason) in enumerate(wrong_input.DOCUMENTS):
            with self.subTest(number=number, path=path):
                document = copy.deepcopy(good)
                change(document)
                self.expect(self.load("wrong.json", document), code, path, reason)
        self.assertEqual(self.state(), before)

    def test_each_wrong_file_is_refused(self):
        before = self.state()
        for name, data, code, reason in wrong_input.FILES:
            with self.subTest(name=name):
                self.expect(self.load("wrong.json", data), code, reason)
        self.assertEqual(self.state(), before)

    def test_file_that_is_missing_a_folder_or_unreadable_is_refused(self):
        for path, reason, workers in ((self.folder / "missing.json", "No such file", "No such file"),
                                      (self.folder, "directory", "not a regular file")):
            with self.subTest(path=str(path)):
                self.expect(self.by_cli(["topology_load", path]), 400, "file", reason)
                self.expect(self.by_rpc(["provisioning.topology_load", f"s:{path}"]), 400, "file", workers, "user")

    @unittest.skipUnless(os.getuid() == 0, "only root can become another user")
    def test_unreadable_file_is_refused_by_the_callers_rights(self):
        secret = self.folder.write("secret.json", "{}")
        secret.chmod(0o600)
        nobody = pwd.getpwnam("nobody")
        store = self.folder / "nobody"
        store.mkdir(exist_ok=True)
        os.chown(store, nobody.pw_uid, nobody.pw_gid)
        done = subprocess.run([binary("trunkgate"), "--json", "--store", store / "x.db", "--socket", store / "x.sock",
                               "topology_load", secret], capture_output=True, text=True, user=nobody.pw_uid,
                              group=nobody.pw_gid, extra_groups=[], cwd="/")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Permission denied", done.stdout + done.stderr)

    @unittest.skipUnless(os.getuid() == 0, "only root can become another user")
    def test_socket_is_not_for_every_user(self):
        nobody = pwd.getpwnam("nobody")
        done = subprocess.run([binary("trunkgate"), "--socket", self.gateway.kamailio.socket, "--store",
                               self.gateway.kamailio.store, "account_set", "intruder"], capture_output=True, text=True,
                              user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/")
        self.assertNotEqual(done.returncode, 0)
        self.expect(self.by_cli(["account_get", "intruder"]), 404)

    def test_dry_run_changes_nothing(self):
        before = self.state()
        document = self.gateway.document()
        document["settings"]["maxTries"] = 2
        path = self.folder.write("dry.json", json.dumps(document))
        self.expect(self.by_cli(["topology_load", path, "dry-run"]), 200, "maxTries")
        self.expect(self.by_cli(["topology_load", path, "wet-run"]), 400, "dry-run")
        self.assertEqual(self.state(), before)


class TestWrongSip(WrongCase):
    def setUp(self):
        self.west, self.teams = self.gateway.peer["west"], self.gateway.peer["teams-1"]

    def test_each_wrong_invite_gets_its_answer(self):
        for name, change, wanted in wrong_sip.INVITES:
            with self.subTest(name=name):
                wanted = wanted if isinstance(wanted, tuple) else (wanted,)
                branch = []

                def changed(message):
                    branch.append(message.branch)
                    change(message)

                self.west.invite(self.gateway.proxy, NUMBER, OUTSIDE, changes=changed)
                try:
                    answer = self.west.wait(lambda m: m.status and m.status >= 200 and branch[0] in (m.branch, None),
                                            2, "final answer").status
                except AssertionError:
                    answer = None
                self.assertIn(answer, wanted)
        self.assertEqual(self.teams.requests("INVITE"), [])

    def test_bytes_that_are_no_sip_do_no_harm(self):
        for name, data in wrong_sip.DATAGRAMS:
            with self.subTest(name=name):
                self.west.send(data, self.gateway.proxy)
                call = self.west.invite(self.gateway.proxy, "+15559999999", OUTSIDE)
                self.assertEqual(call.final().status, 404)
        self.assertTrue(self.gateway.kamailio.alive())

    def test_unknown_source_is_403(self):
        stranger = self.start(Endpoint("127.0.9.9"))
        call = stranger.invite(self.gateway.proxy, NUMBER, OUTSIDE)
        self.assertEqual(call.final().status, 403)

    def test_known_source_over_the_wrong_transport_is_403(self):
        west = self.start(Endpoint(self.west.host, transport="tcp"))
        call = west.invite(self.gateway.proxy, NUMBER, OUTSIDE)
        self.assertEqual(call.final().status, 403)

    def test_route_with_a_foreign_token_is_481(self):
        first = self.west.invite(self.gateway.proxy, NUMBER, OUTSIDE)
        served = self.teams.served(call_id=first.call_id)
        served.reply(200)
        first.final(status=200)
        first.ack()
        served.acked()
        second = self.west.invite(self.gateway.proxy, NUMBER, OUTSIDE)
        other = self.teams.served(call_id=second.call_id)
        other.reply(200)
        second.final(status=200)
        second.ack()
        other.acked()

        def take_the_token_of_the_first(request):
            request.remove("Route")
            request.headers.insert(1, ["Route", first.answer.routes()[-1]])

        request = second.dialog_request("INVITE", body=sdp(self.west.host), changes=take_the_token_of_the_first)
        answer = self.west.wait(lambda m: m.status and m.status >= 200 and m.call_id == second.call_id
                                and m.cseq == request.cseq, what="final answer")
        self.assertEqual(answer.status, 481)
        for call, callee in ((first, served), (second, other)):
            call.dialog_request("BYE")
            callee.ended()

    def test_cancel_of_nothing_is_481(self):
        call = self.west.invite(self.gateway.proxy, "+15559999999", OUTSIDE)
        call.final()
        call.sent.set("Via", self.west.via())
        call.cancel()
        self.assertEqual(self.west.response((200, 699), "CANCEL", call_id=call.call_id).status, 481)


if __name__ == "__main__":
    unittest.main()
