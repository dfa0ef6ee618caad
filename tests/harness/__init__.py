# SPDX-License-Identifier: GPL-2.0-or-later
"""What the module and scenario tests share: real daemons on free ports, raw SIP endpoints, waiting for conditions.

Python's standard library only. A test does:

    from harness import Case, Kamailio, Endpoint, wait_until

    class TestThing(Case):
        def test_claim(self):
            kamailio = self.start(Kamailio(self.folder, cfg))
"""

from .case import Case
from .daemon import Daemon, Failure, Folder
from .kamailio import Kamailio, Worker, kamcmd_text
from .load import Calls, SiteLoad
from .network import Network
from .paths import BUILD, ROOT, binary, module_path
from .ports import free_port, free_ports
from .rtpengine import Rtpengine
from .sip import Call, Endpoint, Message, Served, sdp
from .sipp import Sipp
from .sites import TwoSites
from .wait import wait_until

__all__ = [
    "BUILD", "Call", "Calls", "Case", "Daemon", "Endpoint", "Failure", "Folder", "Kamailio", "Message", "Network", "ROOT",
    "Rtpengine", "Served", "Sipp", "SiteLoad", "TwoSites", "Worker", "binary", "free_port", "free_ports", "kamcmd_text", "module_path", "sdp", "wait_until",
]
