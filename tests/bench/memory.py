# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory files as Kamailio's shared region, and how much of them is there."""

import os
import subprocess

from harness import binary

from report import values_of

REGION_SIZE = 32 << 30  # region_size_default; sparse


class Region:
    """A memfd that other processes open by path."""

    def __init__(self, size=REGION_SIZE):
        self.fd = os.memfd_create("trunkgate-bench", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    def fill(self, layout, *words, timeout=3600):
        """Runs bench_region on it; what that printed."""
        done = subprocess.run([binary("bench_region"), layout, self.path, *map(str, words)], capture_output=True,
                              text=True, timeout=timeout)
        if done.returncode:
            raise RuntimeError(f"bench_region {layout}: {done.stderr.strip()}")
        return values_of(done.stdout)

    def resident(self):
        return os.fstat(self.fd).st_blocks * 512

    def close(self):
        os.close(self.fd)


def private_bytes(pid):
    """Memory of a process's own (not shared, not files); 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
