# SPDX-License-Identifier: GPL-2.0-or-later
"""The second command of the README, as a new user runs it."""

import os
import re
import unittest

from harness.case import Case
from harness.daemon import processes_of, run
from harness.paths import ROOT


class TestDemo(Case):
    def test_each_call_is_as_it_should_be(self):
        folder = self.folder / "demo"
        status, out, err = run([ROOT / "scripts" / "demo"], timeout=120, env={**os.environ, "TRUNKGATE_DEMO": folder})
        self.assertEqual(status, 0, out[-2000:] + err[-2000:])
        calls, fine = re.search(r"^demo: (\d+) calls, (\d+) ok", out, re.M).groups()
        self.assertGreater(int(calls), 5)
        self.assertEqual(calls, fine)
        self.assertEqual(processes_of(mentioning=str(folder)), {})


if __name__ == "__main__":
    unittest.main()
