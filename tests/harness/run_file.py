# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one file of tests and reports each as a line of JSON. usage: run_file.py FILE REPORT PATTERN"""

import importlib.util
import json
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


class Reporter(unittest.TestResult):
    """Subtests count as one test with the texts of all that failed."""

    def __init__(self, report):
        super().__init__()
        self.report = report
        self.texts = []

    def startTest(self, test):
        super().startTest(test)
        self.texts = []
        self.skip = None
        self.begin = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        result = "fail" if self.texts else "skip" if self.skip is not None else "ok"
        self.write(test, result, "\n".join(self.texts) or self.skip or "")

    def write(self, test, result, text):
        name = test.id().replace("__main__.", "")
        self.report.write(json.dumps({"name": name, "result": result, "text": text}) + "\n")
        self.report.flush()

    def _fault(self, test, error, name=""):
        text = name + self._exc_info_to_string(error, test)
        if isinstance(test, unittest.TestCase):
            self.texts.append(text)
        else:
            self.write(test, "fail", text)

    def addError(self, test, err):
        super().addError(test, err)
        self._fault(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._fault(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fault(test, err, f"[{subtest._subDescription()}] ")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skip = reason
        if not isinstance(test, unittest.TestCase):
            self.write(test, "skip", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.skip = f"expected failure: {err[1]}"


def main():
    path, report_name, pattern = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    sys.path.insert(0, str(path.parent))
    with open(report_name, "w") as report:
        result = Reporter(report)
        try:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        except Exception:
            import traceback
            report.write(json.dumps({"name": path.stem, "result": "fail", "text": traceback.format_exc()}) + "\n")
            return 1
        loader = unittest.TestLoader()
        if pattern:
            loader.testNamePatterns = [pattern if "*" in pattern else f"*{pattern}*"]
        loader.loadTestsFromModule(module).run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
