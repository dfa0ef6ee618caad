# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench failover prints its lines, ours and stock's, and its page holds what it measures."""

import os
import re
import sys
import unittest

from harness import BUILD, Case, ROOT
from harness.daemon import run

BENCH = ROOT / "tests" / "bench"
FIGURES = ("lost_calls", "ringing_lost", "established_lost", "pdd_ms_p99", "pdd_ms_max", "detect_ms", "recover_ms")


class TestBenchFailover(Case):
    def bench(self, *words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "TRUNKGATE_BUILD": str(BUILD),
                       "TMPDIR": str(self.folder)}
        status, out, err = run([sys.executable, BENCH / "bench_failover.py", *words], timeout=120, env=environment)
        self.assertEqual(status, 0, err)
        return dict(re.findall(r"^(\w+) (\S+) \w+$", out, re.MULTILINE)), err

    def test_each_figure_is_printed(self):
        values, remarks = self.bench("--quick", "--parts", "outages", "--kinds", "blackholed", "--transports", "tcp")
        for system in ("", "dispatcher_"):
            for figure in FIGURES:
                self.assertIn(f"{system}tcp_blackholed_{figure}", values)
        self.assertEqual(float(values["tcp_blackholed_lost_calls"]), 0, f"{values}\n{remarks}")
        self.assertGreater(float(values["tcp_blackholed_pdd_ms_max"]), 400, "somebody waited for the silence limit")
        self.assertNotIn("not measured", remarks)

    def test_processor_time_is_printed(self):
        values, _ = self.bench("--quick", "--parts", "cpu", "--ratios", "cpu_ratio_bare_relay")
        self.assertGreater(float(values["cpu_ratio_bare_relay"]), 0)

    def test_the_page_has_each_kind(self):
        sys.path.insert(0, str(BENCH))
        from outages import KINDS
        page = (ROOT / "docs" / "failover.md").read_text()
        for kind, (transports, *_) in KINDS.items():
            self.assertIn(f"`{kind}`", page)
            for transport in transports:
                self.assertRegex(page, rf"(?m)^\| `{transport}_{kind}` \| \d+ / \d+ \| \d+ \| \d+ \(of ")


if __name__ == "__main__":
    unittest.main()
