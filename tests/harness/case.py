# SPDX-License-Identifier: GPL-2.0-or-later
"""A unittest case with a folder of its own: what it starts is ended, checked to be gone, and its logs kept if it fails."""

import unittest

from .daemon import Folder, processes_of
from .wait import wait_until


class Case(unittest.TestCase):
    """self.start(x) starts a daemon or endpoint for one test; cls.start_for_all(x) in setUpClass for all of a class."""

    folder = None
    _shared = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Folder(cls.__name__)
        cls._shared = []
        cls.addClassCleanup(cls._end_all)
        cls.prepare()

    @classmethod
    def prepare(cls):
        """What all tests of the class share."""

    @classmethod
    def start_for_all(cls, thing):
        cls._shared.append(thing)
        thing.start()
        return thing

    @classmethod
    def _end_all(cls):
        faults = []
        for thing in reversed(cls._shared):
            try:
                thing.stop()
            except AssertionError as error:
                faults.append(str(error))
        try:
            wait_until(lambda: not processes_of(mentioning=str(cls.folder)), 3)
        except AssertionError:
            faults.append(f"left running: {processes_of(mentioning=str(cls.folder))}")
        if faults:
            cls.folder.keep()
        cls.folder.remove()
        if faults:
            raise AssertionError("\n".join(faults))

    def start(self, thing):
        self.addCleanup(thing.stop)
        thing.start()
        return thing

    def run(self, result=None):
        faults = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > faults:
            self.folder.keep()
            print(f"    logs of {self.id()}: {self.folder}", flush=True)
        return result
