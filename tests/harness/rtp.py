# SPDX-License-Identifier: GPL-2.0-or-later
"""RTP endpoints of the tests: tones out, tones recognised, plain or SRTP (libsrtp2, an implementation of its own)."""

import base64
import ctypes
import itertools
import math
import os
import socket
import struct
import threading

RATE, FRAME = 8000, 160  # G.711, 20 ms
KEY_LENGTH = 30          # AES_CM_128_HMAC_SHA1_80: master key and salt
_ssrcs = itertools.count(0x51000001)


# ----- sound -----


def alaw(sample):
    """G.711 A-law of a 16-bit sample."""
    sign, level = (0x80, sample) if sample >= 0 else (0, -sample - 1)
    level >>= 3
    segment = max(level.bit_length() - 5, 0)
    code = segment << 4 | (level >> max(segment, 1)) & 0x0F
    return (code | sign) ^ 0x55


def linear(code):
    """The 16-bit sample of a G.711 A-law code."""
    code ^= 0x55
    segment, low = code >> 4 & 7, code & 0x0F
    level = (low << 4) + 8 if segment == 0 else ((low << 4) + 0x108) << (segment - 1)
    return level if code & 0x80 else -level


_LINEAR = [linear(code) for code in range(256)]


def tone_samples(frequency, count, level=8000):
    return [int(level * math.sin(2 * math.pi * frequency * i / RATE)) for i in range(count)]


def tone(frequency, frames):
    """That many frames of A-law."""
    codes = bytes(alaw(sample) for sample in tone_samples(frequency, frames * FRAME))
    return [codes[i * FRAME:(i + 1) * FRAME] for i in range(frames)]


def samples_of(payloads):
    return [_LINEAR[code] for payload in payloads for code in payload]


def share_of(frequency, samples):
    """Which part of the power of the samples is at this frequency (Goertzel)."""
    power = sum(sample * sample for sample in samples)
    if power == 0:
        return 0.0
    turn = 2 * math.cos(2 * math.pi * frequency / RATE)
    before, now = 0.0, 0.0
    for sample in samples:
        before, now = now, sample + turn * now - before
    return 2 * (now * now + before * before - turn * now * before) / (len(samples) * power)


# ----- SRTP -----


class _CryptoPolicy(ctypes.Structure):
    _fields_ = [("cipher_type", ctypes.c_uint32), ("cipher_key_len", ctypes.c_int), ("auth_type", ctypes.c_uint32),
                ("auth_key_len", ctypes.c_int), ("auth_tag_len", ctypes.c_int), ("services", ctypes.c_int)]


class _Policy(ctypes.Structure):
    _fields_ = [("ssrc_type", ctypes.c_int), ("ssrc_value", ctypes.c_uint), ("rtp", _CryptoPolicy),
                ("rtcp", _CryptoPolicy), ("key", ctypes.c_char_p), ("keys", ctypes.c_void_p),
                ("num_master_keys", ctypes.c_ulong), ("deprecated_ekt", ctypes.c_void_p),
                ("window_size", ctypes.c_ulong), ("allow_repeat_tx", ctypes.c_int), ("enc_xtn_hdr", ctypes.c_void_p),
                ("enc_xtn_hdr_count", ctypes.c_int), ("next", ctypes.c_void_p)]


_libsrtp = None


def libsrtp():
    global _libsrtp
    if _libsrtp is None:
        _libsrtp = ctypes.CDLL("libsrtp2.so.1")
        if _libsrtp.srtp_init():
            raise OSError("libsrtp2 does not start")
    return _libsrtp


class Srtp:
    """One direction of AES_CM_128_HMAC_SHA1_80: a session of libsrtp2 that either protects or unprotects."""

    def __init__(self, key, inbound):
        library = libsrtp()
        self.call = library.srtp_unprotect if inbound else library.srtp_protect
        self.buffer = ctypes.create_string_buffer(2048)
        self.length = ctypes.c_int()
        policy = _Policy(ssrc_type=2 if inbound else 3, key=key, window_size=1024)
        library.srtp_crypto_policy_set_rtp_default(ctypes.byref(policy.rtp))
        library.srtp_crypto_policy_set_rtp_default(ctypes.byref(policy.rtcp))
        self.session = ctypes.c_void_p()
        if library.srtp_create(ctypes.byref(self.session), ctypes.byref(policy)):
            raise OSError("libsrtp2 refuses the key")

    def __call__(self, packet):
        """The packet, protected or unprotected; None if it is not authentic."""
        ctypes.memmove(self.buffer, packet, len(packet))
        self.length.value = len(packet)
        if self.call(self.session, self.buffer, ctypes.byref(self.length)):
            return None
        return ctypes.string_at(self.buffer, self.length.value)


def new_key():
    return os.urandom(KEY_LENGTH)


def crypto_line(key, tag=1, suite="AES_CM_128_HMAC_SHA1_80"):
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(key).decode()}"


def key_of(sdp):
    """The key in the first a=crypto of an SDP, or None."""
    for line in sdp.splitlines():
        if line.startswith("a=crypto:"):
            return base64.b64decode(line.split("inline:")[1].split("|")[0].split()[0])
    return None


def media_of(sdp):
    """(address, port) of the first stream."""
    lines = sdp.splitlines()
    stream = next(i for i, line in enumerate(lines) if line.startswith("m="))
    address = next(line for line in lines[stream:] + lines if line.startswith("c=")).split()[-1]
    return address, int(lines[stream].split()[1])


# ----- an endpoint -----


class RtpEndpoint:
    """A media socket: what arrives is kept, as (source, packet) if it is authentic, else counted in .foreign."""

    def __init__(self, host):
        self.host = host
        self.received, self.foreign, self.count = [], 0, 0
        self.keep = True
        self.protect = self.unprotect = None
        self.sequence, self.time, self.ssrc = 1000, 0, next(_ssrcs)
        self.remote = None
        self._closing = False

    def start(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        port = 0
        while port % 2 or not port:  # RTP's is even
            self.sock.close()
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.sock.bind((self.host, 0))
            port = self.sock.getsockname()[1]
        self.port = port
        self.sock.settimeout(0.2)
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self._closing = True
        self.thread.join(2)
        self.sock.close()

    def secured(self, sent, received):
        """SRTP with these keys from now on."""
        self.protect, self.unprotect = Srtp(sent, inbound=False), Srtp(received, inbound=True)

    def _receive(self):
        while not self._closing:
            try:
                packet, source = self.sock.recvfrom(2048)
            except socket.timeout:
                continue
            except OSError:
                return
            unprotect = self.unprotect
            plain = unprotect(packet) if unprotect else packet
            if plain is None:
                self.foreign += 1
                continue
            self.count += 1
            if self.keep:
                self.received.append((source, plain))

    def send(self, payload, step=FRAME):
        """One packet of PCMA to .remote; step: how far time goes."""
        packet = struct.pack("!BBHII", 0x80, 8, self.sequence & 0xFFFF, self.time & 0xFFFFFFFF, self.ssrc) + payload
        self.sequence += 1
        self.time += step
        self.sock.sendto(self.protect(packet) if self.protect else packet, self.remote)

    def payloads(self, since=0):
        return [packet[12:] for _, packet in self.received[since:]]

    def hears(self, frequency, since=0, frames=10, share=0.9):
        """True if the last frames that came are this tone."""
        payloads = self.payloads(since)[-frames:]
        return len(payloads) == frames and share_of(frequency, samples_of(payloads)) > share


# ----- what is on the wire -----


class Capture:
    """All UDP datagrams of this machine's loopback between start() and stop(): [(source, destination, payload)]."""

    def start(self):
        self.packets = []
        self._closing = False
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.sock.bind(("lo", 0x0800))
        self.sock.settimeout(0.2)
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()
        return self

    def _receive(self):
        while not self._closing:
            try:
                data, where = self.sock.recvfrom(65535)
            except socket.timeout:
                continue
            except OSError:
                return
            if where[2] == socket.PACKET_OUTGOING or len(data) < 28 or data[9] != 17:  # lo shows each packet twice
                continue
            head = (data[0] & 15) * 4
            source, destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
            ports = struct.unpack("!HH", data[head:head + 4])
            self.packets.append(((source, ports[0]), (destination, ports[1]), data[head + 8:]))

    def stop(self):
        self._closing = True
        self.thread.join(2)
        self.sock.close()

    def rtp(self, host=None, port=None, source_port=None, ports=None):
        """
        G.711 (one frame, with or without SRTP's tag of 10 or 16 bytes) from or to a host or a port, or from a port: the
        payloads. ports: only what comes from or goes to one of these.
        """
        return [payload[12:] for source, destination, payload in list(self.packets)
                if (host in (source[0], destination[0]) or port in (source[1], destination[1])
                    or source_port == source[1])
                and (ports is None or source[1] in ports or destination[1] in ports)
                and len(payload) - FRAME in (12, 22, 28) and payload[0] == 0x80 and payload[1] & 0x7F == 8]
