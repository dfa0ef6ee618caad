# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: rtpengine, Kamailio with trunkgate.cfg, two operator sites (SIPp), two services (baresip), real calls."""

import fcntl
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import wave

from harness.baresip import Control, baresip_modules
from harness.daemon import processes_of
from harness.paths import ROOT, binary, module_path
from harness.ports import MediaPorts, free_port
from harness.rtp import alaw
from harness.rtpengine import ask
from harness.sip import Message
from harness.wait import wait_until

FOLDER = pathlib.Path(os.environ["TRUNKGATE_DEMO"])
GATEWAY = "127.0.0.1"
HEADER = "X-MS-Operator-Content"
SUITE = "AES_CM_128_HMAC_SHA1_80"
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
TALK = 3.0


def coloured(text, code):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


# ----- processes -----


def start_time(pid):
    """Of a process, in clock ticks since boot: with the pid it names one process for ever."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


class Processes:
    """What the demo runs, each in a session of its own and noted in a file, so that --stop finds it."""

    def __init__(self):
        self.notes = FOLDER / "processes.json"
        self.running = json.loads(self.notes.read_text()) if self.notes.exists() else {}

    def start(self, name, command, env=None):
        with open(FOLDER / f"{name}.log", "ab") as log:
            child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=subprocess.STDOUT, start_new_session=True, cwd=FOLDER,
                                     env={**os.environ, **(env or {})})
        self.running[name] = {"pid": child.pid, "since": start_time(child.pid)}
        self.notes.write_text(json.dumps(self.running))
        return child

    def stop(self, name, hard=False):
        noted = self.running.pop(name, None)
        if noted:
            self._end(noted, signal.SIGKILL if hard else signal.SIGTERM)
            self.notes.write_text(json.dumps(self.running))

    @staticmethod
    def _end(noted, first):
        pid = noted["pid"]
        left = processes_of(session=pid) if start_time(pid) in (noted["since"], None) else {}
        for number, patience in ((first, 8), (signal.SIGKILL, 5)):
            for one in left if number == signal.SIGKILL else ([pid] if pid in left else left):
                try:
                    os.kill(one, number)
                except ProcessLookupError:
                    pass
            try:
                wait_until(lambda: not _reap(pid), patience)
                return
            except AssertionError:
                left = processes_of(session=pid)

    def stop_all(self):
        for name in reversed(list(self.running)):
            self.stop(name)


def _reap(session):
    try:
        os.waitpid(session, os.WNOHANG)
    except ChildProcessError:
        pass
    return processes_of(session=session)


def run(*command, env=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=30,
                          env={**os.environ, **(env or {})})
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


# ----- files -----


def write_certificates():
    """A demo CA and one certificate each for the gateway and the services."""
    folder = FOLDER / "tls"
    folder.mkdir()
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
        "-subj", "/CN=Trunkgate demo CA", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    for name, address in (("gateway", GATEWAY), ("teams", "127.0.2.1"), ("zoom", "127.0.2.2")):
        (folder / f"{name}.ext").write_text(
            f"subjectAltName=DNS:{name}.demo,IP:{address}\nextendedKeyUsage=serverAuth,clientAuth\n")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}.demo", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")
        run("openssl", "x509", "-req", "-days", 2, "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey",
            folder / "ca.key", "-CAcreateserial", "-extfile", folder / f"{name}.ext", "-out", folder / f"{name}.crt")
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())


def write_tone():
    """Ten seconds of a tone at 8 kHz: a wav for baresip, plain A-law for SIPp."""
    samples = [int(8000 * math.sin(2 * math.pi * 440 * i / 8000)) for i in range(80000)]
    with wave.open(str(FOLDER / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    (FOLDER / "tone.pcma").write_bytes(bytes(alaw(sample) for sample in samples))


# ----- endpoints -----


class Site:
    """An operator site: SIPp that answers, and SIPp once more for each call that it makes."""

    def __init__(self, demo, name, address):
        self.demo, self.name, self.address = demo, name, address
        self.port = free_port(address)
        self.media_ports = []

    def start(self):
        self.demo.processes.start(self.name, self._command(
            "demo_site_answers.xml", self.port, FOLDER / f"{self.name}.trace"))

    def _command(self, scenario, port, trace):
        self.media_ports.append(MediaPorts(8, self.address))
        return ["sipp", "-sf", ROOT / "scripts" / scenario, "-i", self.address, "-p", port, "-mi", self.address,
                "-mp", self.media_ports[-1].first, "-nostdin", "-nd", "-trace_msg",
                "-message_file", trace]

    def call(self, number, call_id):
        """Places a call; returns the process and its message trace."""
        trace = FOLDER / f"{call_id}.trace"
        command = self._command("demo_site_calls.xml", free_port(self.address), trace) + [
            "-s", number, "-m", 1, "-cid_str", call_id, f"{GATEWAY}:{self.demo.plain}"]
        return self.demo.processes.start(call_id, command), trace

    def messages(self):
        return sipp_messages(FOLDER / f"{self.name}.trace")


def sipp_messages(path):
    """[(received, Message)] of a SIPp message trace."""
    data = path.read_bytes() if path.exists() else b""
    blocks = re.split(rb"(?m)^-{40,} .*\n", data)
    found = []
    for block in blocks:
        head, _, text = block.partition(b"\n\n")
        if b"message" in head and text:
            found.append((b"received" in head, Message.parse(text)))
    return found


class Service:
    """A calling service: baresip over TLS with SRTP, driven through its control port."""

    def __init__(self, demo, name, address, numbers):
        self.demo, self.name, self.address, self.numbers = demo, name, address, numbers
        self.port = free_port(address)
        while free_port_taken(address, self.port + 1):
            self.port = free_port(address)
        self.gateway = free_port(GATEWAY)

    def start(self):
        folder = FOLDER / self.name
        folder.mkdir()
        self.media_ports, self.control_port = MediaPorts(64, self.address), free_port(self.address)
        media = self.media_ports.range
        modules = "".join(f"module {name}.so\n" for name in ("g711", "aufile", "srtp", "ctrl_tcp"))
        (folder / "config").write_text(
            f"poll_method epoll\nnet_interface {self.address}\nsip_listen {self.address}:{self.port}\n"
            f"sip_certificate {FOLDER}/tls/{self.name}.pem\nsip_cafile {FOLDER}/tls/ca.pem\n"
            f"audio_source aufile,{FOLDER}/tone.wav\naudio_path {folder}\nausrc_srate 8000\nauplay_srate 8000\n"
            f"ausrc_channels 1\nauplay_channels 1\nrtp_ports {media[0]}-{media[-1]}\n"
            f"module_path {baresip_modules()}\n{modules}module_app account.so\nmodule_app menu.so\n"
            f"ctrl_tcp_listen {self.address}:{self.control_port}\n")
        (folder / "accounts").write_text("".join(
            f"<sip:{number}@{self.name}.demo;transport=tls>;regint=0;answermode=auto;mediaenc=srtp-mand"
            f";outbound=\"sip:{GATEWAY}:{self.gateway};transport=tls\";audio_codecs=PCMA/8000/1\n"
            for number in self.numbers))
        (folder / "contacts").write_text("")
        self.demo.processes.start(self.name, ["baresip", "-4", "-s", "-f", folder])
        self.control = wait_until(lambda: Control.connect(self.address, self.control_port), 10, f"{self.name} is ready")

    def event(self, kinds, since, timeout=15):
        return wait_until(lambda: next((event for event in self.control.events[since:] if event.get("type") in kinds), None),
                          timeout, f"{' or '.join(kinds)} at {self.name}")

    def heard(self):
        """How often SRTP of a call came in and was decrypted."""
        return (FOLDER / f"{self.name}.log").read_bytes().count(b"incoming rtp for 'audio' established")

    def messages(self):
        """[(received, Message)] of baresip's SIP trace."""
        data = re.sub(rb"\x1b\[[0-9;]*m", b"", (FOLDER / f"{self.name}.log").read_bytes())
        found = []
        for start in re.finditer(rb"#\n(?:TLS|TCP|UDP) (\S+) -> (\S+)\n", data):
            text = data[start.end():]
            length = re.search(rb"(?i)\r\nContent-Length:\s*(\d+)", text)
            end = text.find(b"\r\n\r\n")
            if end >= 0:
                received = start[2].decode() == f"{self.address}:{self.port + 1}" or start[1].startswith(
                    GATEWAY.encode() + b":%d" % self.gateway)
                found.append((received, Message.parse(text[:end + 4 + (int(length[1]) if length else 0)])))
        return found


def free_port_taken(address, port):
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


# ----- the demo -----


class Row:
    """One call of the table; faults say what was not as it should be."""

    columns = ("call", "direction", "number", "service", "header at operator", "site", "signalling", "SRTP suite",
               "RTP to service/operator", "result")

    def __init__(self, title, direction, number):
        self.cells = dict.fromkeys(self.columns, "-")
        self.cells.update(call=title, direction=direction, number=number)
        self.faults = []

    def expect(self, name, wanted):
        if self.cells[name] != wanted:
            self.faults.append(f"{name} is {self.cells[name]}, not {wanted}")


class Demo:
    def __init__(self):
        self.processes = Processes()
        self.rtpengine = free_port(GATEWAY)
        self.plain = free_port(GATEWAY)
        self.west = Site(self, "west", "127.0.1.1")
        self.east = Site(self, "east", "127.0.1.2")
        self.teams = Service(self, "teams", "127.0.2.1", ["+15551230001", "+15551230002", "+15559990001"])
        self.zoom = Service(self, "zoom", "127.0.2.2", ["+15551230003", "+15559990002"])
        self.ctl = FOLDER / "kamailio.ctl"
        self.rows = []
        self.token = f"{time.time_ns():x}"

    # --- start ---

    def start(self):
        self.media_ports = MediaPorts(400, GATEWAY)
        media = self.media_ports.range
        self.processes.start("rtpengine", [
            "rtpengine", "--foreground", "--log-stderr", "--log-level=5", "--table=-1", "--config-file=none",
            f"--interface={GATEWAY}", f"--listen-ng={GATEWAY}:{self.rtpengine}", f"--port-min={media[0]}",
            f"--port-max={media[-1]}", f"--pidfile={FOLDER}/rtpengine.pid"])
        wait_until(lambda: ask(self.rtpengine, command="ping"), 10, "rtpengine answers")
        self._start_kamailio()
        for endpoint in (self.west, self.east, self.teams, self.zoom):
            endpoint.start()

    def _start_kamailio(self):
        folder = FOLDER / "kamailio"
        folder.mkdir()
        for name in ("trunkgate.cfg", "trunkgate-routes.cfg", "trunkgate-reply.cfg", "openssl.cnf"):
            shutil.copy(ROOT / "kamailio-cfg" / name, folder)
        tls = (ROOT / "kamailio-cfg/tls.cfg").read_text()
        (folder / "tls.cfg").write_text(tls.replace("/etc/trunkgate/peers-ca.pem", f"{FOLDER}/tls/ca.pem").replace(
            "/etc/trunkgate/", f"{FOLDER}/tls/"))
        values = {
            "TLS": f"tls:{GATEWAY}:{self.teams.gateway}", "PLAIN_UDP": f"udp:{GATEWAY}:{self.plain}",
            "TLS_CONFIG": f'"{folder}/tls.cfg"', "CTL": f'"unix:{self.ctl}"', "JSONRPC": f'"{FOLDER}/jsonrpc.sock"',
            "STORE": f'"{FOLDER}/trunkgate.db"', "SOCKET": f'"{FOLDER}/worker.sock"',
            "WORKER": f'"{binary("trunkgate-worker")}"', "RTPENGINE": f'"udp:{GATEWAY}:{self.rtpengine}"',
            "WORKERS": 4, "STDERR": "yes"}
        (folder / "trunkgate-local.cfg").write_text(
            "".join(f"#!trydef TRUNKGATE_{name} {value}\n" for name, value in values.items())
            + f"# Zoom has a socket of its own.\nlisten=tls:{GATEWAY}:{self.zoom.gateway}\n")
        self.kamailio = self.processes.start("kamailio", [
            "kamailio", "-f", folder / "trunkgate.cfg", "-L", module_path(), "-DD", "-m", 64, "-Y", FOLDER,
            "-w", FOLDER], env={"OPENSSL_CONF": str(folder / "openssl.cnf")})
        wait_until(self._ready, 20, "Kamailio answers")

    def _ready(self):
        if self.kamailio.poll() is not None:
            raise RuntimeError(f"Kamailio ended:\n{tail('kamailio')}")
        try:
            self.kamcmd("core.version")
            self.trunkgate("status")
            return True
        except RuntimeError:
            return False

    def kamcmd(self, *words):
        return run("kamcmd", "-s", f"unix:{self.ctl}", *words)

    def trunkgate(self, *words):
        return run(binary("trunkgate"), "--socket", FOLDER / "worker.sock", "--store", FOLDER / "trunkgate.db", *words)

    def provision(self):
        def peer(endpoint, port, priority, sources):
            return {"name": endpoint.name, "site": endpoint.name, "host": endpoint.address, "port": port,
                    "priority": priority, "allowedSignalingSourceAddressPrefixes": [f"{s}/32" for s in sources]}

        def service_group(service):
            # baresip's TLS connections leave from 127.0.0.1 wherever it listens: the local socket tells the two apart.
            return {"name": service.name, "side": "service", "signalling": "TLS", "media": "SRTP",
                    "localSocket": f"tls:{GATEWAY}:{service.gateway}",
                    "peers": [peer(service, service.port + 1, 0, [service.address, "127.0.0.1"])]}

        topology = FOLDER / "topology.json"
        topology.write_text(json.dumps({
            "mode": "lab", "settings": {"customSipHeader": HEADER},
            "services": [
                {"name": "teamsOperatorConnect", "peerGroup": "teams", "operatorPeerGroup": "operator"},
                {"name": "zoomPhoneCloudPeering", "peerGroup": "zoom", "operatorPeerGroup": "operator"}],
            "peerGroups": [
                {"name": "operator", "side": "operator", "signalling": "UDP", "media": "RTP",
                 "defaultService": "teamsOperatorConnect", "localSocket": f"udp:{GATEWAY}:{self.plain}",
                 "peers": [peer(self.west, self.west.port, 0, [self.west.address]),
                           peer(self.east, self.east.port, 1, [self.east.address])]},
                service_group(self.teams), service_group(self.zoom)]}, indent=2))
        self.trunkgate("topology_load", topology)
        self.trunkgate("account_set", "acme")
        self.trunkgate("number_set", "+15551230001", "acme", "teamsOperatorConnect", "gold")
        self.kamcmd("provisioning.number_set", "s:+15551230002", "s:acme", "s:teamsOperatorConnect")
        self.kamcmd("provisioning.number_set", "s:+15551230003", "s:acme", "s:zoomPhoneCloudPeering", "s:silver")

    # --- calls ---

    def media(self, call_id):
        """What rtpengine says of a call: {"RTP/AVP": (packets, suite), "RTP/SAVP": ...}."""
        found = {}
        for tag in ask(self.rtpengine, command="query", call_id=call_id).get("tags", {}).values():
            for media in tag.get("medias", []):
                stream = media["streams"][0]
                found[media["protocol"]] = (stream["stats"]["packets"], stream.get("crypto suite"))
        return found

    def tls_version(self, service):
        port = f"dst_port: {service.gateway}"
        text = self.kamcmd("tls.list")
        for block in text.split("}"):
            if port in block or f"src_port: {service.port + 1}" in block or f"dst_port: {service.port + 1}" in block:
                found = re.search(r"TLSv[\d.]+", block)
                if found:
                    return found[0]
        found = re.search(r"TLSv[\d.]+", text)
        return found[0] if found else "TLS?"

    def note_media(self, row, seen, service, call_id, heard_before):
        """Packets and suite by rtpengine; the suite also by both SDPs that the service sent and got."""
        to_service, to_operator = (seen.get(kind, (0, None)) for kind in ("RTP/AVP", "RTP/SAVP"))
        row.cells["RTP to service/operator"] = f"{to_service[0]}/{to_operator[0]}"
        if min(to_service[0], to_operator[0]) < 50:
            row.faults.append("too few RTP packets")
        if service.heard() <= heard_before:
            row.faults.append("the service decrypted no audio")
        suites = {found for _, message in service.messages() if message.call_id == call_id
                  for found in re.findall(r"a=crypto:\d+ (\S+)", message.body)}
        row.cells["SRTP suite"] = ",".join(sorted(suites)) or "none"
        row.expect("SRTP suite", SUITE)
        if to_operator[1] != SUITE:
            row.faults.append(f"rtpengine's suite is {to_operator[1]}")

    def serving(self, call_id):
        """The service whose endpoint saw the call."""
        for service in (self.teams, self.zoom):
            if any(message.call_id == call_id for _, message in service.messages()):
                return service
        return None

    def from_operator(self, title, number, service, header):
        row = Row(title, "to-service", number)
        self.rows.append(row)
        call_id = f"demo{len(self.rows)}-{self.token}"
        heard_before = {one: one.heard() for one in (self.teams, self.zoom)}
        process, trace = self.west.call(number, call_id)
        seen = {}
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            seen = self.media(call_id) or seen
            time.sleep(0.1)
        if process.poll() is None:
            row.faults.append("the call did not end")
        elif process.returncode:
            row.faults.append("the call failed at the site")
        self.processes.stop(call_id, hard=True)
        heard = [message for received, message in sipp_messages(trace) if received]
        answers = [message for message in heard if message.method == "INVITE" and message.status >= 200]
        row.cells["result"] = str(answers[-1].status) if answers else "no answer"
        row.expect("result", "200")
        row.cells["site"] = self.west.name
        row.cells["header at operator"] = ",".join(sorted({m.get(HEADER) or "none" for m in answers})) or "-"
        row.expect("header at operator", header or "none")
        served = self.serving(call_id)
        row.cells["service"] = served.name if served else "-"
        row.expect("service", service.name)
        if served:
            row.cells["signalling"] = f"UDP > {self.tls_version(served)}"
            row.expect("signalling", "UDP > TLSv1.3")
            self.note_media(row, seen, served, call_id, heard_before[served])
            if any(m.get(HEADER) for _, m in served.messages() if m.call_id == call_id):
                row.faults.append("the service saw the operator's header")
        return row

    def from_service(self, title, service, number, header, site, code="200"):
        row = Row(title, "to-operator", number)
        self.rows.append(row)
        row.cells["service"] = service.name
        since, heard_before = len(service.control.events), service.heard()
        service.control.order("uafind", f"sip:{number}@{service.name}.demo")
        service.control.order("dial", f"sip:+15557770001@{GATEWAY}")
        seen = {}
        event = service.event(("CALL_ESTABLISHED", "CALL_CLOSED"), since, 20)
        call_id = event["id"]
        if event["type"] == "CALL_ESTABLISHED":
            end = time.monotonic() + TALK
            while time.monotonic() < end:
                seen = self.media(call_id) or seen
                time.sleep(0.1)
            service.control.order("hangup")
            service.event(("CALL_CLOSED",), since)
        sites = [one for one in (self.west, self.east)
                 if any(m.call_id == call_id and m.is_request for _, m in one.messages())]
        answers = [m for got, m in service.messages()
                   if m.call_id == call_id and not m.is_request and m.method == "INVITE" and m.status >= 200]
        row.cells["result"] = str(answers[-1].status) if answers else "no answer"
        row.expect("result", code)
        row.cells["site"] = ",".join(one.name for one in sites) or "-"
        row.expect("site", site.name if site else "-")
        row.cells["signalling"] = self.tls_version(service) + (" > UDP" if sites else "")
        if sites:
            invites = [m for got, m in sites[-1].messages() if got and m.call_id == call_id and m.is_request]
            row.cells["header at operator"] = ",".join(sorted({m.get(HEADER) or "none" for m in invites}))
            row.expect("header at operator", header or "none")
            self.note_media(row, seen, service, call_id, heard_before)
        return row

    def calls(self):
        yield lambda: self.from_operator("number with header", "+15551230001", self.teams, "gold")
        yield lambda: self.from_operator("number without header", "+15551230002", self.teams, None)
        yield lambda: self.from_operator("number not provisioned: default service", "+15559990001", self.teams, None)
        yield lambda: self.from_operator("number of another service", "+15551230003", self.zoom, "silver")
        yield lambda: self.from_service("service to operator", self.teams, "+15551230001", "gold", self.west)
        yield lambda: self.from_service("must be provisioned, is not: refused", self.zoom, "+15559990002", None, None,
                                        "404")
        yield self.after_failure

    def after_failure(self):
        self.processes.stop(self.west.name, hard=True)
        return self.from_service("site west killed: other site", self.teams, "+15551230001", "gold", self.east)

    def place_calls(self):
        plan = list(self.calls())
        for number, call in enumerate(plan, 1):
            print(f"call {number} of {len(plan)} ... ", end="", flush=True)
            try:
                row = call()
            except (AssertionError, RuntimeError, OSError) as error:
                row = self.rows[-1]
                row.faults.append(str(error))
            if self.kamailio.poll() is not None:
                row.faults.append("Kamailio ended")
            print(f"{row.cells['call']}: " + (coloured("failed", 31) if row.faults else coloured("ok", 32)), flush=True)

    def table(self):
        lines = [{name: name for name in Row.columns}] + [row.cells for row in self.rows]
        for row in self.rows:
            row.cells["result"] += " ok" if not row.faults else " FAILED"
        width = {name: max(len(str(line[name])) for line in lines) for name in Row.columns}
        print()
        for number, line in enumerate(lines):
            text = "  ".join(str(line[name]).ljust(width[name]) for name in Row.columns).rstrip()
            print(coloured(text, 1) if number == 0 else text)
        for row in self.rows:
            for fault in row.faults:
                print(f"{row.cells['call']}: {fault}")
        good = sum(not row.faults for row in self.rows)
        print(f"\ndemo: {len(self.rows)} calls, {good} ok")
        return good == len(self.rows)

    def explain(self):
        tool = f"{binary('trunkgate')} --socket {FOLDER}/worker.sock --store {FOLDER}/trunkgate.db"
        print(f"""
It runs on; the files are in {FOLDER}. To try:
  {tool} number_list
  {tool} number_set +15551230002 acme teamsOperatorConnect bronze
  kamcmd -s unix:{self.ctl} site_failover.list
  kamcmd -s unix:{self.ctl} number_route.lookup s:+15551230001
  kamcmd -s unix:{self.ctl} tls.list
  cd {FOLDER} && sipp -sf {ROOT}/scripts/demo_site_calls.xml -i {self.east.address} -m 1 -s +15551230001 \
{GATEWAY}:{self.plain}
addresses: operators call {GATEWAY}:{self.plain} (UDP); services {GATEWAY}:{self.teams.gateway} (teams, TLS), \
{GATEWAY}:{self.zoom.gateway} (zoom, TLS)
  site west {self.west.address}:{self.west.port}, east {self.east.address}:{self.east.port}; \
teams {self.teams.address}:{self.teams.port + 1}, control {self.teams.address}:{self.teams.control_port}; \
zoom {self.zoom.address}:{self.zoom.port + 1}
logs: {FOLDER}/*.log, SIP traces of the sites: {FOLDER}/*.trace
to end it: {ROOT}/scripts/demo --stop""")


def tail(name, lines=30):
    path = FOLDER / f"{name}.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def progress(title, work):
    print(f"{title} ... ", end="", flush=True)
    work()
    print(coloured("done", 32), flush=True)


def clear():
    """Ends what an earlier demo left and empties the folder."""
    if (FOLDER / "processes.json").exists():
        Processes().stop_all()
    for path in FOLDER.iterdir():
        if path.name == "lock":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def own_folder():
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    if FOLDER.is_symlink() or FOLDER.stat().st_uid != os.getuid():
        sys.exit(f"demo: {FOLDER} belongs to somebody else; name another folder with TRUNKGATE_DEMO")
    lock = open(FOLDER / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"demo: another demo is at work in {FOLDER}")
    os.set_inheritable(lock.fileno(), False)
    return lock


def interrupt(number, frame):
    raise KeyboardInterrupt


def main(word):
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    lock = own_folder()
    clear()
    if word == "--stop":
        shutil.rmtree(FOLDER)
        print("demo: stopped")
        return 0
    demo, good, kept = Demo(), False, False
    try:
        progress("certificates and a tone", lambda: (write_certificates(), write_tone()))
        progress("rtpengine, Kamailio, two sites, two services", demo.start)
        progress("provisioning with trunkgate and kamcmd", demo.provision)
        demo.place_calls()
        good = demo.table()
        if word == "--keep":
            if "west" not in demo.processes.running:
                demo.west.start()
            demo.explain()
            kept = True
    except (AssertionError, RuntimeError, OSError) as error:
        print(f"\ndemo: {error}\n{tail('kamailio')}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
    finally:
        if not kept:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            demo.processes.stop_all()
            if good:
                shutil.rmtree(FOLDER)
            else:
                print(f"demo: logs are in {FOLDER}", file=sys.stderr)
    lock.close()
    return 0 if good else 1


sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
