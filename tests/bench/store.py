# SPDX-License-Identifier: GPL-2.0-or-later
"""A store of COUNT numbers and the real trunkgate-worker on it: import, export, start, rebuild."""

import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import uuid

from harness import Worker, binary, wait_until
from harness.kamailio import socket_answers

import series
from memory import Region, private_bytes
from report import note, values_of

STARTS = 5
START_LIMIT_S = 3600
COLUMNS = ("telephoneNumber", "accountName", f"serviceDetails_{series.SERVICE}_enabled",
           "configuration_customSipHeader")


def operation_names():
    done = subprocess.run([binary("trunkgate"), "--operations"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in done.stdout.splitlines() if line.strip()}


class RegionWorker:
    """trunkgate-worker with a region, as Kamailio's supervisor starts it."""

    def __init__(self, store, region):
        self.store, self.region = store, region
        self.process = None

    def start(self):
        """Seconds from the start until the table is published and the socket answers."""
        store, fd = self.store, self.region.fd
        with subprocess.Popen([binary("bench_region"), "wait", self.region.path, str(store.count)],
                              stdout=subprocess.PIPE, text=True) as waiter:
            try:
                with open(store.folder / "worker.log", "ab") as log:
                    begun = time.monotonic_ns()
                    self.process = subprocess.Popen(
                        [binary("trunkgate-worker"), "--store", store.path, "--socket", store.socket, "--region-fd",
                         str(fd)], pass_fds=[fd], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
                self._wait()
                answered = time.monotonic_ns()
                out, _ = waiter.communicate(timeout=60)
            finally:
                waiter.kill()
        published = values_of(out)["published_ns"]
        return (max(published, answered) - begun) / 1e9

    def _wait(self):
        wait_until(lambda: self.process.poll() is not None or socket_answers(self.store.socket), START_LIMIT_S,
                   "the worker serves", interval=0.001)
        if self.process.poll() is not None:
            raise RuntimeError(f"trunkgate-worker ended:\n{(self.store.folder / 'worker.log').read_text()[-2000:]}")

    def end(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(120)
        if number == signal.SIGKILL:
            self.store.socket.unlink(missing_ok=True)


class Peak:
    """The most memory that region and worker had together, looked at each millisecond."""

    def __init__(self, region, pid):
        self.region, self.pid = region, pid
        self.bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._ended.wait(0.001):
            self.bytes = max(self.bytes, self.region.resident() + private_bytes(self.pid()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()


class Store:
    """The store in a folder of its own."""

    def __init__(self, folder, count):
        self.count = count
        self.folder = pathlib.Path(str(folder)) / f"store-{count}"
        self.path = self.folder / "trunkgate.db"
        self.socket = self.folder / "worker.sock"
        self.csv = self.folder / "numbers.csv"
        self.operations = operation_names()
        self.import_s = None

    def __truediv__(self, name):
        return self.folder / name

    def __str__(self):
        return str(self.folder)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def __enter__(self):
        self.folder.mkdir()
        with self.worker() as worker:
            for number in range(series.SETS):
                worker.cli("account_set", f"acct-{number:04d}")
            if "import" in self.operations:
                self.csv_write()
                begun = time.monotonic()
                worker.cli("import", str(self.csv))
                self.import_s = time.monotonic() - begun
        if "import" not in self.operations:
            note("there is no operation `import`: the store is filled with SQL")
            self._fill()
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.folder, ignore_errors=True)

    def worker(self):
        return StoreWorker(self)

    def csv_write(self, tag="", name="numbers.csv"):
        """Unsorted; the header values end in tag."""
        path = self.folder / name
        tails = [f",{series.account(i)},true,{series.header(i)}{tag}\n" for i in range(1, series.SETS + 1)]
        with open(path, "w", newline="", encoding="ascii") as file:
            file.write(",".join(COLUMNS) + "\n")
            for start in range(0, self.count, series.SETS):
                file.write("".join([f"+{series.number(i)}{tails[i % series.SETS]}"
                                    for i in range(start, min(start + series.SETS, self.count))]))
        return path

    def _fill(self):
        database = sqlite3.connect(self.path)
        database.execute("PRAGMA synchronous = OFF")
        database.executemany("INSERT INTO attribute_set (id, account, service, header) VALUES (?, ?, ?, ?)",
                             [(i, series.account(i), series.SERVICE_ID, series.header(i))
                              for i in range(1, series.SETS + 1)])
        accounts = dict(database.execute("SELECT name, id FROM account"))
        rows = sorted((series.number(i), series.set_id(i)) for i in range(self.count))
        database.executemany("INSERT INTO number (e164, attribute_set, account) VALUES (?, ?, ?)",
                             ((number, set_id, accounts[series.account(set_id)]) for number, set_id in rows))
        database.execute("UPDATE store SET number_count = ?", (self.count,))
        database.commit()
        database.close()

    # --- the snapshot: whatever the worker keeps beside the store ---

    def snapshots(self):
        ours = {"worker.log", "worker.sock", "numbers.csv", "other.csv", "exported.csv", "synced"}
        known = {self.path.name + suffix for suffix in ("", "-wal", "-shm", "-journal", ".lock")}
        return [path for path in self.folder.iterdir()
                if path.is_file() and path.name not in ours | known and self.path.stem in path.name]

    def snapshots_remove(self):
        for path in self.snapshots():
            path.unlink(missing_ok=True)

    def renew(self):
        """As after a restore: another id and no snapshot, so the worker must build the table again."""
        self.snapshots_remove()
        database = sqlite3.connect(self.path, timeout=60)
        database.execute("UPDATE store SET id = ?", (str(uuid.uuid4()),))
        database.commit()
        database.close()

    def cool(self):
        """Takes the files out of the page cache."""
        os.sync()
        for path in self.folder.iterdir():
            if path.is_file():
                with open(path, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class StoreWorker:
    """A worker without a region, for filling."""

    def __init__(self, store):
        self.store = store
        self.daemon = Worker(store, store.path, store.socket, "worker")

    def __enter__(self):
        self.daemon.start(timeout=60)
        return self

    def __exit__(self, *error):
        self.daemon.stop(timeout=600)

    def cli(self, *words):
        return cli(self.store.socket, *words)


def cli(socket, *words, timeout=7200):
    done = subprocess.run([binary("trunkgate"), "--socket", socket, *words], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"trunkgate {words[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def rebuild_measure(report, store):
    """Once into an empty region, then while another table is in use there."""
    region = Region()
    worker = RegionWorker(store, region)
    try:
        store.snapshots_remove()
        seconds = [worker.start()]
        idle = private_bytes(worker.process.pid)
        ratios = []
        for _ in range(3):
            worker.end(signal.SIGKILL)
            store.renew()
            before = region.resident()
            with Peak(region, lambda: worker.process.pid) as peak:
                seconds.append(worker.start())
            ratios.append((peak.bytes - idle - before) / region.resident())
        report.emit_spread("rebuild_s_per_million", [value / store.count * 1e6 for value in seconds], "s")
        report.emit_spread("rebuild_peak_ratio", ratios, "ratio")
    finally:
        worker.end(signal.SIGKILL)
        region.close()


def start_once(store, stop=signal.SIGTERM):
    region = Region()
    worker = RegionWorker(store, region)
    try:
        return worker.start() * 1e3
    finally:
        worker.end(stop)
        region.close()


def snapshot_make(store):
    """Lets a worker write its snapshot: while it runs, or when it ends."""
    region = Region()
    worker = RegionWorker(store, region)
    try:
        worker.start()
        wait_until(store.snapshots, 10 + store.count / 500_000, "a snapshot")
    except AssertionError:
        pass
    finally:
        worker.end()
        region.close()
    return bool(store.snapshots())


def start_measure(report, store):
    if not snapshot_make(store):
        note("the worker writes no snapshot: start_snapshot_ms is not measured")
        return
    start_once(store)
    report.emit_spread("start_snapshot_ms", [start_once(store) for _ in range(STARTS)], "ms")
    cold = []
    for _ in range(3):
        store.cool()
        cold.append(start_once(store))
    report.emit_spread("start_snapshot_cold_ms", cold, "ms")


def export_measure(report, store):
    if "export" not in store.operations:
        note("there is no operation `export`")
        return
    target = store.folder / "exported.csv"
    seconds = []
    with store.worker() as worker:
        for _ in range(3):
            target.unlink(missing_ok=True)
            begun = time.monotonic()
            worker.cli("export", str(target))
            seconds.append(time.monotonic() - begun)
    with open(target, "rb") as file:
        rows = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1
    if rows != store.count:
        raise RuntimeError(f"export wrote {rows} rows, not {store.count}")
    report.emit_spread("export_rows_per_s", [store.count / value for value in seconds], "rows/s")


def measure(report, store):
    note("import, export, rebuild, start")
    if store.import_s:
        report.emit("import_rows_per_s", store.count / store.import_s, "rows/s")
    export_measure(report, store)
    rebuild_measure(report, store)
    start_measure(report, store)
