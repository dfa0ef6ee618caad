# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of wrong SIP: what an operator site sends, and the documented final answer (None: none, it is dropped).

Each row: name, change of a good INVITE (a function of the Message, or bytes sent instead), status.
"""


def without(name):
    return lambda message: message.remove(name)


def having(name, value):
    return lambda message: message.set(name, value)


def uri(text):
    def change(message):
        message.first = f"INVITE {text} SIP/2.0"
    return change


def start_line(text):
    def change(message):
        message.first = text
    return change


def body(text):
    def change(message):
        message.body = text
    return change


SDP_NO_MEDIA = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"

INVITES = [
    ("number without +", uri("sip:15551230001@127.0.0.1"), 404),
    ("number not provisioned", uri("sip:+15559999999@127.0.0.1"), 404),
    ("number too long", uri("sip:+1555123000123456789@127.0.0.1"), 404),
    ("number with letters", uri("sip:+1555abc@127.0.0.1"), 404),
    ("no user", uri("sip:127.0.0.1"), 404),
    ("empty user", uri("sip:@127.0.0.1"), (400, 404, 484)),
    ("tel URI not provisioned", uri("tel:+15559999999"), (404, 416)),
    ("unknown scheme", uri("http://example.com"), (400, 416)),
    ("no To", without("To"), (400, None)),
    ("no From", without("From"), (400, None)),
    ("no Call-ID", without("Call-ID"), (400, None)),
    ("no CSeq", without("CSeq"), (400, None)),
    ("CSeq of another method", having("CSeq", "1 BYE"), (400, None)),
    ("CSeq not a number", having("CSeq", "x INVITE"), (400, None)),
    ("no Via", without("Via"), None),
    ("Max-Forwards 0", having("Max-Forwards", "0"), 483),
    ("Max-Forwards not a number", having("Max-Forwards", "x"), (400, 483, 488)),
    ("SIP/3.0", start_line("INVITE sip:+15551230001@127.0.0.1 SIP/3.0"), (400, 505, None)),
    ("Proxy-Require of something unknown", having("Proxy-Require", "teleport"), 420),
    ("bad SDP", body("v=0\r\nthis is no sdp\r\n"), 488),
    ("SDP without media", body(SDP_NO_MEDIA), 488),
    ("another method", start_line("SUBSCRIBE sip:+15551230001@127.0.0.1 SIP/2.0"), (400, 405)),
    ("in-dialog without Route", having("To", "<sip:+15551230001@127.0.0.1>;tag=none"), 481),
]

# Bytes that are no SIP: nothing may come back, and the next call goes through.
DATAGRAMS = [
    ("nothing", b"\0"),
    ("a line", b"hello\r\n\r\n"),
    ("half a start line", b"INVITE sip:"),
    ("binary", bytes(range(256))),
    ("no end of headers", b"INVITE sip:+15551230001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.1.10"),
    ("a response to nothing", b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\nFrom: <sip:a@b>;"
     b"tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: stray\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"),
    ("sixty thousand bytes", b"INVITE sip:+15551230001@127.0.0.1 SIP/2.0\r\nX: " + b"x" * 60000 + b"\r\n\r\n"),
]
