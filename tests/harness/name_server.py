# SPDX-License-Identifier: GPL-2.0-or-later
"""A real name server for names of peers, and one that is silent."""

import os
import signal
import socket
import subprocess

SOA = "@ 60 SOA ns hostmaster {serial} 3600 600 86400 5\n@ 60 NS ns\nns 60 A 127.0.0.1\n"


def silent_server(port=0, host="127.0.0.1"):
    """A bound socket that nobody reads: a name server that is silent."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind((host, port))
    return bound


class NameServer:
    """nsd with one zone, `example`, and one that it cannot answer for, `broken`.

    write() before start(); change() puts other records in force; prefix: words before the command (nsenter ...).
    """

    def __init__(self, folder, port, address="127.0.0.1", prefix=()):
        self.folder, self.port, self.serial = folder, port, 1
        self.conf = os.path.join(folder, "nsd.conf")
        with open(self.conf, "w") as file:
            file.write(f"""server:
    ip-address: {address}@{port}
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    zonelistfile: "{folder}/zone.list"
    database: ""
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    pidfile: ""
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: example
    zonefile: example.zone
zone:
    name: broken
    zonefile: missing.zone
""")
        self.prefix, self.process = prefix, None

    def write(self, records):
        self.serial += 1
        path = os.path.join(self.folder, "example.zone")
        with open(path + ".new", "w") as file:
            file.write("$ORIGIN example.\n" + SOA.format(serial=self.serial) + records + "\n")
        os.rename(path + ".new", path)

    def change(self, records):
        self.write(records)
        self.process.send_signal(signal.SIGHUP)

    def start(self):
        log = open(os.path.join(self.folder, "nsd.log"), "ab")
        self.process = subprocess.Popen([*self.prefix, "/usr/sbin/nsd", "-d", "-c", self.conf], stdout=log, stderr=log)
        log.close()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        self.process = None
