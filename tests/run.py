# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the suites one after the other and counts: called by scripts/test, which builds first.

usage: python3 tests/run.py [unit|sanitised|module|scenario ...] [-k pattern]
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
BUILD = pathlib.Path(os.environ.get("TRUNKGATE_BUILD", ROOT / "build"))
BUILD_SANITISED = pathlib.Path(os.environ.get("TRUNKGATE_BUILD_ASAN", ROOT / "build-asan"))
FILE_TIMEOUT = int(os.environ.get("TRUNKGATE_FILE_TIMEOUT", 600))
FILES_AT_ONCE = int(os.environ.get("TRUNKGATE_TEST_JOBS", 2))

_print_lock = threading.Lock()


def say(text):
    with _print_lock:
        print(text, flush=True)


def cmocka_results(name, entry):
    """One result a cmocka test: (name, "ok" | "fail" | "skip", text); the program itself if it names none."""
    output = entry.get("stdout", "") + entry.get("stderr", "")
    words = {"OK": "ok", "FAILED": "fail", "SKIPPED": "skip"}
    found = {}
    for word, test in re.findall(r"\[\s+(OK|FAILED|SKIPPED)\s+\] (test_\w+)", output):
        found[test] = words[word]
    status = {"OK": "ok", "SKIP": "skip"}.get(entry["result"], "fail")
    if not found or (status == "fail" and "fail" not in found.values()):
        found[f"({entry['result']})" if status == "fail" else name] = status
    return [(f"{name}: {test}", result, output) for test, result in found.items()]


def meson_suite(build):
    def run(pattern, log_folder):
        log = build / "meson-logs" / "testlog.json"
        log.unlink(missing_ok=True)
        options = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1",
                   "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        done = subprocess.run(["meson", "test", "-C", str(build), "--no-rebuild", "--print-errorlogs"],
                              capture_output=True, text=True, env=options)
        results = []
        if log.exists():
            for line in log.read_text().splitlines():
                entry = json.loads(line)
                results += cmocka_results(entry["name"].split(" / ")[-1], entry)
        if not results:
            results = [(f"meson test in {build}", "fail", done.stdout + done.stderr)]
        return [row for row in results if not pattern or pattern in row[0]]
    return run


def file_results(path, pattern, log_folder):
    """Runs one file of Python tests in a process of its own; it writes one line of JSON a test."""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as report:
        command = [sys.executable, str(TESTS / "harness" / "run_file.py"), str(path), report.name, pattern or ""]
        environment = {**os.environ, "TRUNKGATE_BUILD": str(BUILD), "TRUNKGATE_TEST_LOGS": str(log_folder)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   stdin=subprocess.DEVNULL, env=environment)
        try:
            output, _ = process.communicate(timeout=FILE_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                output, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
            output += f"\nstopped after {FILE_TIMEOUT} s"
        rows = [json.loads(line) for line in report.read().splitlines()]
    results = [(row["name"], row["result"], row["text"] + log_note(row, output)) for row in rows]
    failed = any(result == "fail" for _, result, _ in results)
    if process.returncode != 0 and not failed:
        results.append((f"{path.stem} (status {process.returncode})", "fail", output))
    return results


def log_note(row, output):
    """The line that names where the logs of this test are."""
    notes = [line.strip() for line in output.splitlines() if f"logs of {row['name']}:" in line]
    return "\n" + "\n".join(notes) if row["result"] == "fail" and notes else ""


def python_suite(folder):
    def run(pattern, log_folder):
        files = sorted((TESTS / folder).glob("test_*.py"))
        results = []

        def one(path):
            start = time.monotonic()
            rows = file_results(path, pattern, log_folder)
            if rows:
                bad = sum(result == "fail" for _, result, _ in rows)
                say(f"    {path.stem:<28} {len(rows):>4} run {bad:>3} failed {time.monotonic() - start:7.1f} s")
            return rows

        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            for rows in pool.map(one, files):
                results += rows
        return results
    return run


SUITES = {
    "unit": meson_suite(BUILD),
    "sanitised": meson_suite(BUILD_SANITISED),
    "module": python_suite("module"),
    "scenario": python_suite("scenario"),
}


def left_running(text):
    """Processes whose command line names the folder of this run."""
    sys.path.insert(0, str(TESTS))
    from harness.daemon import processes_of
    return processes_of(mentioning=text)


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("words", nargs="*", metavar="unit|sanitised|module|scenario [pattern]")
    parser.add_argument("-k", dest="pattern")
    options = parser.parse_args()
    wanted = [word for word in options.words if word in SUITES] or list(SUITES)
    rest = [word for word in options.words if word not in SUITES]
    pattern = options.pattern or (rest[0] if rest else None)

    log_folder = pathlib.Path(tempfile.mkdtemp(prefix="trunkgate-test-"))
    log_folder.chmod(0o755)
    total = {"ok": 0, "fail": 0, "skip": 0}
    for suite in wanted:
        start = time.monotonic()
        say(f"{suite}:")
        results = SUITES[suite](pattern, log_folder)
        counts = {word: sum(result == word for _, result, _ in results) for word in total}
        for name, result, text in results:
            if result == "fail":
                say(f"--- FAILED {name}\n{text.rstrip()}\n---")
            elif result == "skip":
                say(f"    skipped {name}: {text.strip() or 'no reason given'}")
        for word, count in counts.items():
            total[word] += count
        skipped = f", {counts['skip']} skipped" if counts["skip"] else ""
        say(f"{suite}: {counts['ok']} passed, {counts['fail']} failed{skipped} "
            f"({time.monotonic() - start:.1f} s)")

    left = left_running(str(log_folder))
    if left:
        total["fail"] += 1
        say(f"--- FAILED nothing is left running\n{left}\n---")
    if any(log_folder.iterdir()):
        say(f"logs of the daemons: {log_folder}")
    else:
        shutil.rmtree(log_folder)
    line = f"{total['ok']} passed, {total['fail']} failed"
    say(line + (f", {total['skip']} skipped" if total["skip"] else ""))
    return 1 if total["fail"] or not total["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
