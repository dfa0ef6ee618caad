# SPDX-License-Identifier: GPL-2.0-or-later
"""The Kamailio module provisioning: the worker's life, and the operations as RPCs over ctl and jsonrpcs."""

import json
import os
import pathlib
import re
import signal
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case
from harness.daemon import Daemon, processes_of, run
from harness.kamailio import Kamailio, Worker
from harness.paths import binary
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
loadmodule "ctl.so"
loadmodule "jsonrpcs.so"
loadmodule "provisioning.so"
loadmodule "number_route.so"
modparam("ctl", "binrpc", "unix:@CTL@")
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "@FOLDER@/jsonrpc.sock")
modparam("provisioning", "store", "@STORE@")
modparam("provisioning", "socket", "@SOCKET@")
modparam("provisioning", "worker", "@WORKER@")
request_route {
	jsonrpc_exec('{"jsonrpc": "2.0", "method": "provisioning.status", "id": 1}');
	sl_send_reply("$jsonrpl(code)", "$jsonrpl(text)");
	exit;
}
"""


class Gateway(Case):
    @classmethod
    def prepare(cls):
        cls.kamailio = cls.start_for_all(cls.new_kamailio())
        wait_until(cls.kamailio.worker_serves, 10, "the worker serves")

    @classmethod
    def new_kamailio(cls, worker=None):
        cls.port = free_port()
        text = CONFIG.replace("@PORT@", str(cls.port))
        return Kamailio(cls.folder, text.replace("@WORKER@", str(worker)) if worker else text)

    def json_rpc(self, method, *parameters):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            name = self.folder / f"client-{token('c')}.sock"
            sock.bind(str(name))
            sock.settimeout(15)
            request = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
            sock.sendto(json.dumps(request).encode(), str(self.folder / "jsonrpc.sock"))
            answer = json.loads(sock.recv(1 << 20))
            name.unlink()
            return answer

    def binrpc(self, method, *texts):
        """Texts as kamcmd cannot send them; ctl's raw answer."""
        body = b"".join(b"\x91" + bytes([len(text) + 1]) + text + b"\0" for text in (method, *texts))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(15)
            sock.connect(str(self.kamailio.ctl))
            sock.sendall(b"\xa1\x00" + bytes([len(body), 7]) + body)
            return sock.recv(1 << 16)

    def refused(self, code, *words):
        status, text = self.kamailio.rpc(*words)
        self.assertIn(f"error: {code} - ", text, words)
        return text


class Operations(Gateway):
    def test_a_number_is_set_and_found_without_reload(self):
        self.kamailio.call("provisioning.account_set", "s:acme")
        self.kamailio.call("provisioning.number_set", "s:+15551230001", "s:acme", "s:teamsOperatorConnect", "s:gold")
        text = self.kamailio.call("number_route.lookup", "s:+15551230001")
        for word in ("+15551230001", "acme", "teamsOperatorConnect", "gold"):
            self.assertIn(word, text)
        self.kamailio.call("provisioning.number_delete", "s:+15551230001")
        self.refused(404, "number_route.lookup", "s:+15551230001")

    def test_numbers_as_text_arguments_are_refused_with_field_and_hint(self):
        rows = [("number_get", "number", []), ("account_set", "account", []), ("number_list", "account", []),
                ("number_set", "account", ["s:+15551230001"]),
                ("number_set", "header", ["s:+15551230001", "s:acme", "s:teamsOperatorConnect"])]
        for operation, field, before in rows:
            for value in ("0012", "1e5", "nan", "007", "+15551230001", "0.5", "inf"):
                with self.subTest(operation=operation, value=value):
                    text = self.refused(400, f"provisioning.{operation}", *before, value)
                    self.assertIn(f"{field}: ", text)
                    self.assertIn("write s:+15551230001", text)

    def test_the_same_texts_with_s_are_judged_as_texts(self):
        self.kamailio.call("provisioning.account_set", "s:0012")
        self.assertIn("0012", self.kamailio.call("provisioning.account_get", "s:0012"))
        self.refused(404, "provisioning.account_get", "s:12")

    def test_a_limit_may_be_a_number(self):
        self.kamailio.call("provisioning.account_list", "1")
        self.kamailio.call("provisioning.account_list", "s:1")
        self.assertIn("limit", self.refused(400, "provisioning.account_list", "0"))
        self.assertIn("limit", self.refused(400, "provisioning.account_list", "1.5"))

    def test_missing_and_additional_arguments_are_refused(self):
        self.assertIn("account: ", self.refused(400, "provisioning.number_set", "s:+15551230001"))
        self.refused(400, "provisioning.account_get", "s:acme", "s:more")
        self.refused(400, "provisioning.status", "5")

    def test_lookup_is_strict(self):
        self.assertIn("write s:", self.refused(400, "number_route.lookup", "+15551230001"))
        self.refused(400, "number_route.lookup", "s:15551230001")
        self.refused(400, "number_route.lookup")
        self.refused(404, "number_route.lookup", "s:+15550000000")
        for more in ("s:more", "5", "s:"):
            self.assertIn("too much", self.refused(400, "number_route.lookup", "s:+15550000000", more))
        error = self.json_rpc("number_route.lookup", "+15550000000", 1)["error"]
        self.assertEqual(error["code"], 400)

    def test_a_nul_in_a_text_is_refused(self):
        self.assertIn(b"nul1", self.binrpc(b"provisioning.account_set", b"nul1"))
        for method, text in ((b"provisioning.account_set", b"nul2\0more"), (b"provisioning.account_list", b"5\0"),
                             (b"number_route.lookup", b"+15550000000\0")):
            self.assertIn(b"holds a NUL", self.binrpc(method, text), (method, text))
        self.refused(404, "provisioning.account_get", "s:nul2")

    def test_jsonrpcs_answers_the_same(self):
        self.assertEqual(self.json_rpc("provisioning.account_set", "umbrella").get("error"), None)
        self.assertEqual(self.json_rpc("provisioning.account_get", "umbrella")["result"]["accountName"], "umbrella")
        for value in (12, 1e5, -1, None, True):
            error = self.json_rpc("provisioning.account_get", value)["error"]
            self.assertEqual(error["code"], 400)
            self.assertIn("account: ", error["message"])
        self.assertEqual(self.json_rpc("provisioning.account_get", "nobody")["error"]["code"], 404)

    def test_a_full_page_of_a_list_fits_ctl(self):
        account, header = "a" * 100, "h" * 100
        self.kamailio.call("provisioning.account_set", f"s:{account}")
        for number in range(120):
            answer = self.json_rpc("provisioning.number_set", f"+1555200{number:04}", account, "teamsOperatorConnect",
                                   header)
            self.assertNotIn("error", answer)
        text = self.kamailio.call("provisioning.number_list", f"s:{account}")
        self.assertEqual(text.count("telephoneNumber"), 100)
        self.assertIn("next: +15552000099", text)
        text = self.kamailio.call("provisioning.number_list", f"s:{account}", "100", "s:+15552000099")
        self.assertEqual(text.count("telephoneNumber"), 20)
        self.assertNotIn("next", text)

    def test_a_sip_worker_is_not_made_to_wait(self):
        caller = self.start(Endpoint("127.0.0.1"))
        caller.send(Message("MESSAGE sip:x@127.0.0.1 SIP/2.0", [
            ("Via", caller.via()), ("From", "<sip:a@b>;tag=1"), ("To", "<sip:x@b>"), ("Call-ID", token("c")),
            ("CSeq", "1 MESSAGE"), ("Max-Forwards", 70)]), ("127.0.0.1", self.port))
        answer = caller.response((200, 699), "MESSAGE")
        self.assertIn("503", self.kamailio.log() + answer.first)
        self.assertEqual(answer.status, 503)


HEAD = "telephoneNumber,accountName,serviceDetails_teamsOperatorConnect_enabled\n"


class Jobs(Gateway):
    def job(self, *words):
        """Starts one by kamcmd; its number."""
        return re.search(r"job: (\d+)", self.kamailio.call(*words)).group(1)

    def end_of(self, job):
        def ended():
            text = self.kamailio.call("provisioning.job", job)
            return "state: running" not in text and text
        return wait_until(ended, 30, f"the end of job {job}")

    def test_jobs_run_through_kamcmd(self):
        self.kamailio.call("provisioning.account_set", "s:acme")
        numbers = self.folder.write("in.csv", HEAD + "+4420,acme,true\n+4421,acme,true\n")
        self.assertIn("numbersAdded: 2", self.end_of(self.job("provisioning.import", str(numbers))))
        self.assertIn("accountName: acme", self.kamailio.call("number_route.lookup", "s:+4421"))
        exported = self.folder / "out.csv"
        self.assertIn("rows: 2", self.end_of(self.job("provisioning.export", str(exported))))
        self.assertIn("+4421,,acme,true,", exported.read_text())
        self.assertIn("state: done", self.end_of(self.job("provisioning.verify")))
        bad = self.folder.write("bad.csv", HEAD + "+4422,acme,true\n4423,acme,true\n")
        text = self.end_of(self.job("provisioning.import", str(bad)))
        for expected in ("state: failed", "line: 3", "column: telephoneNumber", "has no '+'"):
            self.assertIn(expected, text)
        text = self.end_of(self.job("provisioning.import", str(bad), "skip-bad"))
        for expected in ("state: done", "rowsSkipped: 1", "numbersAdded: 1", "line: 3"):
            self.assertIn(expected, text)

    def test_a_job_is_cancelled_through_kamcmd(self):
        self.kamailio.call("provisioning.account_set", "s:acme")
        many = self.folder.write("many.csv", HEAD + "".join(f"+49{i:08d},acme,true\n" for i in range(300000, 0, -1)))
        job = self.job("provisioning.import", str(many))
        self.refused(409, "provisioning.verify")
        self.kamailio.call("provisioning.job_cancel", job)
        self.assertIn("state: cancelled", self.end_of(job))
        self.refused(404, "number_route.lookup", "s:+4900000001")
        self.refused(409, "provisioning.job_cancel", job)


class WorkerLife(Gateway):
    def test_a_killed_worker_is_started_again_and_look_ups_go_on(self):
        self.kamailio.call("provisioning.account_set", "s:acme")
        self.kamailio.call("provisioning.number_set", "s:+15551230001", "s:acme", "s:teamsOperatorConnect")
        roles = self.kamailio.roles()
        for _ in range(5):
            killed = self.kamailio.kill_worker()
            self.kamailio.call("number_route.lookup", "s:+15551230001")
            wait_until(lambda: self.kamailio.worker_pid() not in (None, killed), 10, "a new worker")
            wait_until(self.kamailio.worker_serves, 10, "the new worker serves")
            self.kamailio.call("provisioning.number_get", "s:+15551230001")
        self.assertEqual(self.kamailio.roles(), roles)

    def test_a_change_beside_an_ended_worker_waits_for_the_next(self):
        for number in range(3):
            ended = wait_until(self.kamailio.worker_pid, 10, "a worker")
            os.kill(ended, signal.SIGTERM)
            wait_until(lambda: self.kamailio.worker_pid() != ended, 10, "its end")
            for words in (["account_set", f"stop{number}"],
                          ["number_set", f"+1555777000{number}", f"stop{number}", "teamsOperatorConnect"]):
                status, out, err = run([binary("trunkgate"), "--store", self.kamailio.store, "--socket",
                                        self.kamailio.socket, *words], timeout=30)
                self.assertEqual(status, 0, err)
                self.assertNotIn("force", out)
            self.kamailio.call("number_route.lookup", f"s:+1555777000{number}")

    def test_only_the_supervisor_can_write_to_the_region(self):
        names = {}
        for pid, role in self.kamailio.roles().items():
            files = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd") if os.path.lexists(entry.path)]
            names[role] = sum("memfd:trunkgate" in name for name in files)
        self.assertEqual({role for role, count in names.items() if count}, {"trunkgate supervisor"})

    def test_the_supervisor_is_the_only_process_more(self):
        self.assertEqual(list(self.kamailio.roles().values()).count("trunkgate supervisor"), 1)


class Ends(Gateway):
    @classmethod
    def prepare(cls):
        pass

    def running(self):
        kamailio = self.new_kamailio()
        self.start(kamailio)
        wait_until(kamailio.worker_serves, 10, "the worker serves")
        return kamailio

    def worker_gone(self, pid):
        wait_until(lambda: pid not in processes_of(mentioning=str(self.folder)), 10, "the worker is gone")

    def test_sigterm_takes_the_worker_along(self):
        kamailio = self.running()
        pid = kamailio.worker_pid()
        Daemon.stop(kamailio)
        self.worker_gone(pid)
        self.assertFalse(kamailio.socket.exists())

    def test_the_socket_of_another_worker_stays(self):
        kamailio = self.new_kamailio()
        other = self.start(Worker(self.folder, store=self.folder / "other.db", sock=kamailio.socket))
        self.start(kamailio)
        wait_until(lambda: "another worker answers on it" in kamailio.log(), 10, "the worker cannot start")
        Daemon.stop(kamailio)
        self.assertTrue(other.ready())

    def test_kill_9_of_kamailio_leaves_no_worker(self):
        kamailio = self.running()
        pid = kamailio.worker_pid()
        os.kill(kamailio.pid, signal.SIGKILL)
        self.worker_gone(pid)
        kamailio.kill()

    def test_kill_9_of_the_supervisor_leaves_no_worker(self):
        kamailio = self.running()
        pid = kamailio.worker_pid()
        supervisor = next(number for number, role in kamailio.roles().items() if role == "trunkgate supervisor")
        os.kill(supervisor, signal.SIGKILL)
        self.worker_gone(pid)


class BadWorker(Gateway):
    @classmethod
    def prepare(cls):
        pass

    def with_worker(self, script):
        path = self.folder.write(token("worker"), f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        self.kamailio = self.new_kamailio(worker=path)
        self.start(self.kamailio)
        return path

    def test_a_worker_that_cannot_start_costs_nothing_but_its_operations(self):
        path = self.with_worker("echo 'error: no store here' >&2; exit 3")
        wait_until(lambda: self.kamailio.log().count("worker started") >= 4, 10, "it is tried again")
        self.assertIn("worker: error: no store here", self.kamailio.log())
        self.assertIn("nothing was changed", self.refused(503, "provisioning.status"))
        self.refused(503, "number_route.lookup", "s:+15551230001")
        self.assertIn("(status 3, its last words: error: no store here), next start in 100 ms", self.kamailio.log())
        path.unlink()
        wait_until(lambda: "cannot run" in self.kamailio.log(), 10, "the log names the missing executable")

    def test_silence_of_the_worker_ends_in_504_and_does_not_stop_sip(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        self.with_worker("exec sleep 60")
        listener.bind(str(self.kamailio.socket))
        listener.listen(8)
        begin = time.monotonic()
        text = self.refused(504, "provisioning.status")
        self.assertIn("may still be applied", text)
        self.assertGreater(time.monotonic() - begin, 9)


if __name__ == "__main__":
    import unittest

    unittest.main()
