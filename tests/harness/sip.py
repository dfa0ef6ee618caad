# SPDX-License-Identifier: GPL-2.0-or-later
"""Raw SIP endpoints over UDP, TCP and TLS: a test decides each message and its moment, and sees all that arrive.

    caller = Endpoint("127.0.0.1").start();  callee = Endpoint("127.0.0.1").start()
    call = caller.invite(proxy, to="+15551230001")
    served = callee.served(timeout=5)          # the INVITE that came
    served.reply(180); served.reply(200, body=sdp(callee))
    call.final(); call.ack(); call.bye()
"""

import itertools
import re
import select
import socket
import ssl
import threading
import time
import uuid

COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "l": "Content-Length", "e":
           "Content-Encoding", "c": "Content-Type", "k": "Supported", "s": "Subject", "o": "Event", "r": "Refer-To"}
REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 403: "Forbidden", 404: "Not Found",
           408: "Request Timeout", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
           486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error",
           503: "Service Unavailable", 504: "Server Time-out", 603: "Decline"}
_serial = itertools.count(1)


def token(prefix):
    return f"{prefix}{next(_serial)}{uuid.uuid4().hex[:10]}"


def sdp(host="127.0.0.1", port=40000, profile="RTP/AVP", lines=()):
    extra = "".join(f"{line}\r\n" for line in lines)
    return (f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} {profile} 8\r\n"
            f"a=rtpmap:8 PCMA/8000\r\n{extra}")


class Message:
    """A SIP message: first (the start line), headers ([name, value] pairs in order), body (text)."""

    def __init__(self, first, headers=(), body=""):
        self.first = first
        self.headers = [[name, str(value)] for name, value in headers]
        self.body = body
        self.source = None
        self.time = None
        self.connection = None
        self.taken = False  # somebody waited for it

    @classmethod
    def parse(cls, data):
        head, _, body = data.partition(b"\r\n\r\n")
        lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "replace").split("\r\n")
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip()
            headers.append((COMPACT.get(name.lower(), name), value.strip()))
        return cls(lines[0], headers, body.decode("utf-8", "replace"))

    def __bytes__(self):
        body = self.body.encode()
        lines = [self.first] + [f"{name}: {value}" for name, value in self.headers if name != "Content-Length"]
        return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body

    def __repr__(self):
        return f"<{self.first} | {self.get('CSeq')} | {self.call_id}>"

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def set(self, name, value):
        for header in self.headers:
            if header[0].lower() == name.lower():
                header[1] = str(value)
                return
        self.headers.append([name, str(value)])

    def remove(self, name):
        self.headers = [header for header in self.headers if header[0].lower() != name.lower()]

    @property
    def is_request(self):
        return not self.first.startswith("SIP/2.0 ")

    @property
    def method(self):
        """Of a request, or of the request that a response answers."""
        return self.first.split(" ")[0] if self.is_request else (self.get("CSeq") or " ").split()[-1]

    @property
    def uri(self):
        return self.first.split(" ")[1] if self.is_request else None

    @property
    def status(self):
        return None if self.is_request else int(self.first.split(" ")[1])

    @property
    def reason(self):
        return self.first.split(" ", 2)[2]

    @property
    def call_id(self):
        return self.get("Call-ID")

    @property
    def cseq(self):
        return int(self.get("CSeq").split()[0])

    @property
    def branch(self):
        return parameter(self.get("Via"), "branch")

    def routes(self, name="Record-Route"):
        """The single values of Record-Route or Route headers, in order."""
        return [value.strip() for line in self.all(name) for value in re.split(r",(?=\s*(?:<|\"))", line)]

    def tag(self, name):
        return parameter(self.get(name), "tag")


def parameter(value, name):
    found = re.search(rf";\s*{name}=([^;,>\s]+)", value or "")
    return found.group(1) if found else None


def uri_of(value):
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


class Endpoint:
    """A socket with SIP on it. Every message that arrives is kept in .messages; OPTIONS are answered with 200.

    transport "udp", "tcp" or "tls" (then tls_server and tls_client are SSL contexts). answer_options may be a status,
    None (silence) or a function of the request. With behave, a function of (endpoint, message), a test can answer
    at once in the receiving thread.
    """

    def __init__(self, host="127.0.0.1", port=0, transport="udp", user="endpoint", tls_server=None, tls_client=None):
        self.host, self.port, self.transport, self.user = host, port, transport, user
        self.tls_server, self.tls_client = tls_server, tls_client
        self.answer_options = 200
        self.behave = None
        self.messages = []
        self.options = []
        self._changed = threading.Condition()
        self._sock = None
        self._connections = {}
        self._stream_lock = threading.Lock()
        self._threads = []
        self._closing = False

    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        self._closing = False
        self._sock = socket.socket(family, kind)
        if kind == socket.SOCK_STREAM:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind((self.host, self.port))
        self.port = self._sock.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            self._sock.listen(32)
        self._run(self._read_datagrams if kind == socket.SOCK_DGRAM else self._accept)
        return self

    def stop(self):
        self._closing = True
        for sock in [self._sock, *self._connections.values()]:
            if sock is None:
                continue
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        self._sock = None
        self._connections.clear()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2)
        self._threads = []

    def _run(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def contact(self):
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"<sip:{self.user}@{self.address}{suffix}>"

    # --- receiving ---

    def _read_datagrams(self):
        sock = self._sock
        sock.settimeout(0.2)
        while not self._closing:
            try:
                data, source = sock.recvfrom(65535)
            except socket.timeout:
                continue
            except OSError:
                if self._closing:
                    return
                continue
            self._arrived(data, source[:2], None)

    def _accept(self):
        while not self._closing:
            try:
                connection, source = self._sock.accept()
                if self.transport == "tls":
                    connection = self.tls_server.wrap_socket(connection, server_side=True)
            except (OSError, AttributeError):
                if self._closing:
                    return
                continue
            connection.setblocking(False)
            self._connections[source[:2]] = connection
            self._run(self._read_stream, connection, source[:2])

    def _read_stream(self, connection, source):
        buffer = b""
        while not self._closing:
            data = self._receive(connection)
            if not data:
                self._connections.pop(source, None)
                return
            buffer = (buffer + data).lstrip(b"\r\n")
            while b"\r\n\r\n" in buffer:
                head, _, rest = buffer.partition(b"\r\n\r\n")
                found = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                length = int(found.group(1)) if found else 0
                if len(rest) < length:
                    break
                self._arrived(head + b"\r\n\r\n" + rest[:length], source, connection)
                buffer = rest[length:].lstrip(b"\r\n")

    def _receive(self, connection):
        """Waits outside the lock, so that another thread can send: OpenSSL takes one thread a connection."""
        while not self._closing:
            try:
                with self._stream_lock:
                    return connection.recv(65535)
            except (ssl.SSLWantReadError, BlockingIOError):
                try:
                    select.select([connection], [], [], 0.2)
                except (OSError, ValueError):
                    return b""
            except OSError:
                return b""
        return b""

    def _arrived(self, data, source, connection):
        if not data.strip(b"\r\n\0 "):
            return
        message = Message.parse(data)
        message.source, message.time, message.connection = source, time.monotonic(), connection
        if message.is_request and message.method == "OPTIONS" and not self.behave:
            self.options.append(message)
            answer = self.answer_options(message) if callable(self.answer_options) else self.answer_options
            if answer is not None:
                self.reply(message, answer)
            return
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        if self.behave:
            self.behave(self, message)

    def wait(self, match, timeout=5.0, what="message", take=True):
        """The first message not taken yet for which match(message) is true."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for message in self.messages:
                    if not message.taken and match(message):
                        message.taken = take
                        return message
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = "\n  ".join(map(repr, self.messages)) or "nothing"
                    raise AssertionError(f"{self.address} got no {what} within {timeout} s; it got:\n  {seen}")
                self._changed.wait(left)

    def request(self, method, timeout=5.0, call_id=None):
        return self.wait(lambda m: m.is_request and m.method == method and call_id in (None, m.call_id), timeout,
                         f"{method} request")

    def response(self, status, method=None, timeout=5.0, call_id=None):
        """A response of that status; a range as (low, high)."""
        low, high = status if isinstance(status, tuple) else (status, status)
        return self.wait(lambda m: not m.is_request and low <= m.status <= high and method in (None, m.method)
                         and call_id in (None, m.call_id), timeout, f"{low}-{high} response to {method}")

    def seen(self, match):
        with self._changed:
            return [message for message in self.messages if match(message)]

    def requests(self, method, call_id=None):
        """All that came, one for each branch (retransmissions left out)."""
        found = {}
        for message in self.seen(lambda m: m.is_request and m.method == method and call_id in (None, m.call_id)):
            found.setdefault((message.branch, message.call_id, message.cseq), message)
        return list(found.values())

    def statuses(self, method="INVITE", call_id=None):
        """The statuses of the responses that came, in order."""
        return [m.status for m in self.seen(
            lambda m: not m.is_request and m.method == method and call_id in (None, m.call_id))]

    def served(self, timeout=5.0, call_id=None):
        """The next INVITE that starts a dialog, to be answered by the test."""
        return Served(self, self.wait(
            lambda m: m.is_request and m.method == "INVITE" and not m.tag("To") and call_id in (None, m.call_id),
            timeout, "INVITE"))

    # --- sending ---

    def send(self, data, destination, connection=None):
        data = data if isinstance(data, bytes) else bytes(data)
        if self.transport == "udp":
            self._sock.sendto(data, destination)
            return
        connection = connection or self._connections.get(destination) or self._connect(destination)
        while data:
            try:
                with self._stream_lock:
                    data = data[connection.send(data):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                select.select([], [connection], [], 1)

    def _connect(self, destination):
        connection = socket.create_connection(destination, 5, source_address=(self.host, 0))
        connection.settimeout(None)
        if self.transport == "tls":
            connection = self.tls_client.wrap_socket(connection)
        connection.setblocking(False)
        self._connections[destination] = connection
        self._run(self._read_stream, connection, destination)
        return connection

    def via(self, branch=None):
        return f"SIP/2.0/{self.transport.upper()} {self.address};branch={branch or token('z9hG4bK')};rport"

    def reply(self, request, status, to_tag=None, headers=(), body="", reason=None):
        """Sends a response to a request; copies what RFC 3261 8.2.6 says."""
        response = Message(f"SIP/2.0 {status} {reason or REASONS.get(status, 'Other')}")
        for name in ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route"):
            for value in request.all(name):
                if name == "To" and to_tag and not parameter(value, "tag"):
                    value += f";tag={to_tag}"
                response.headers.append([name, value])
        response.headers += [[name, str(value)] for name, value in headers]
        if body:
            response.headers.append(["Content-Type", "application/sdp"])
        response.body = body
        self.send(response, request.source, request.connection)
        return response

    def invite(self, proxy, to, caller="+15550009999", body=None, headers=(), uri=None, call_id=None, changes=None):
        """Sends an INVITE to proxy (host, port); returns the Call. changes: a function of the Message before sending."""
        call = Call(self, proxy, to, caller, uri, call_id)
        call.start(sdp(self.host) if body is None else body, headers, changes)
        return call


class Call:
    """The caller's view of a dialog."""

    def __init__(self, endpoint, proxy, to, caller, uri=None, call_id=None):
        self.endpoint, self.proxy = endpoint, proxy
        host = f"[{proxy[0]}]" if ":" in proxy[0] else proxy[0]
        self.uri = uri or f"sip:{to}@{host}:{proxy[1]}"
        self.call_id = call_id or token("call")
        self.local = f"<sip:{caller}@{endpoint.host}>;tag={token('from')}"
        self.remote = f"<{self.uri.split(';')[0]}>"
        self.cseq = 1
        self.sent = None
        self.answer = None

    def message(self, method, uri, cseq, routes=(), branch=None, headers=(), body="", remote=None):
        return Message(f"{method} {uri} SIP/2.0", [
            ("Via", self.endpoint.via(branch)), ("Max-Forwards", 70), *(("Route", route) for route in routes),
            ("From", self.local), ("To", remote or self.remote), ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"), *headers,
            *([("Contact", self.endpoint.contact)] if method not in ("ACK", "CANCEL", "BYE") else []),
            *([("Content-Type", "application/sdp")] if body else [])], body)

    def start(self, body, headers=(), changes=None):
        self.sent = self.message("INVITE", self.uri, self.cseq, headers=headers, body=body)
        if changes:
            changes(self.sent)
        self.endpoint.send(self.sent, self.proxy)

    def provisional(self, status, timeout=5.0):
        return self.endpoint.response(status, "INVITE", timeout, self.call_id)

    def final(self, timeout=5.0, status=(200, 699)):
        """The final answer; a negative one is acknowledged."""
        answer = self.endpoint.response(status, "INVITE", timeout, self.call_id)
        if answer.status < 300:
            self.answer = answer
        else:
            ack = self.message("ACK", self.sent.uri, self.cseq, self.sent.all("Route"), self.sent.branch,
                               remote=answer.get("To"))
            self.endpoint.send(ack, self.proxy)
        return answer

    def finals(self):
        """The final answers to the INVITE that came, retransmissions left out."""
        found = {}
        for message in self.endpoint.seen(lambda m: not m.is_request and m.method == "INVITE" and m.status >= 200
                                          and m.call_id == self.call_id and m.cseq == 1):
            found.setdefault((message.status, message.tag("To")), message)
        return list(found.values())

    def cancel(self, headers=()):
        cancel = self.message("CANCEL", self.sent.uri, 1, self.sent.all("Route"), self.sent.branch, headers)
        cancel.headers[0][1] = self.sent.get("Via")
        self.endpoint.send(cancel, self.proxy)
        return cancel

    def dialog_request(self, method, headers=(), body="", changes=None, send=True):
        """A request within the answered dialog; ACK has the INVITE's CSeq."""
        if method != "ACK":
            self.cseq += 1
        routes = list(reversed(self.answer.routes()))
        request = self.message(method, uri_of(self.answer.get("Contact")), self.cseq, routes, None, headers, body,
                               self.answer.get("To"))
        if changes:
            changes(request)
        if send:
            self.endpoint.send(request, self.proxy)
        return request

    def ack(self):
        return self.dialog_request("ACK")

    def bye(self, timeout=5.0):
        self.dialog_request("BYE")
        return self.endpoint.response((200, 699), "BYE", timeout, self.call_id)


class Served:
    """The callee's view of a dialog."""

    def __init__(self, endpoint, invite):
        self.endpoint, self.invite = endpoint, invite
        self.call_id = invite.call_id
        self.tag = token("to")
        self.cseq = 100

    def reply(self, status, headers=(), body=None, tag=None):
        """Sends a response to the INVITE; a 2xx has SDP unless body is ""."""
        if body is None:
            body = sdp(self.endpoint.host) if 200 <= status < 300 or status == 183 else ""
        headers = list(headers)
        if 100 < status < 300:
            headers.append(("Contact", self.endpoint.contact))
        return self.endpoint.reply(self.invite, status, None if status == 100 else tag or self.tag, headers, body)

    def cancelled(self, timeout=5.0, answer=True):
        """Waits for CANCEL, answers it with 200 and the INVITE with 487."""
        cancel = self.endpoint.request("CANCEL", timeout, self.call_id)
        if answer:
            self.endpoint.reply(cancel, 200, self.tag)
            self.reply(487)
        return cancel

    def acked(self, timeout=5.0):
        return self.endpoint.request("ACK", timeout, self.call_id)

    def ended(self, timeout=5.0):
        """Waits for BYE and answers it."""
        bye = self.endpoint.request("BYE", timeout, self.call_id)
        self.endpoint.reply(bye, 200)
        return bye

    def dialog_request(self, method, destination, headers=(), body="", changes=None, send=True):
        """A request from the callee within the dialog; destination: where the first Route leads."""
        self.cseq += 1
        to = self.invite.get("To") + f";tag={self.tag}"
        request = Message(f"{method} {uri_of(self.invite.get('Contact'))} SIP/2.0", [
            ("Via", self.endpoint.via()), ("Max-Forwards", 70),
            *(("Route", route) for route in self.invite.routes()), ("From", to), ("To", self.invite.get("From")),
            ("Call-ID", self.call_id), ("CSeq", f"{self.cseq} {method}"), *headers,
            *([("Contact", self.endpoint.contact)] if method != "BYE" else []),
            *([("Content-Type", "application/sdp")] if body else [])], body)
        if changes:
            changes(request)
        if send:
            self.endpoint.send(request, destination)
        return request

    def bye(self, destination, timeout=5.0):
        self.dialog_request("BYE", destination)
        return self.endpoint.response((200, 699), "BYE", timeout, self.call_id)


def insecure_tls(certificate=None, key=None, server=False):
    """An SSL context for a test endpoint that checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if not server:
        context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
