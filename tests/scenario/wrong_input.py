# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of wrong inputs: what is sent, and the documented answer (code, field, words of the reason)."""

A100, A101 = "a" * 100, "a" * 101
NUMBER, ACCOUNT, SERVICE = "+15551230001", "acme", "teamsOperatorConnect"
GOOD = [NUMBER, ACCOUNT, SERVICE, "gold"]

# The operations through any door: words, code, field, words of the reason. Arguments are text here; the test sends them
# through the command line as they are, and through kamcmd with s: before each.
OPERATIONS = [
    # numbers
    (["number_set", "", ACCOUNT, SERVICE], 400, "number", "is empty"),
    (["number_set", "15551230001", ACCOUNT, SERVICE], 400, "number", "must start with '+'"),
    (["number_set", "0015551230001", ACCOUNT, SERVICE], 400, "number", "must start with '+'"),
    (["number_set", "+0155512300", ACCOUNT, SERVICE], 400, "number", "0 as its first digit"),
    (["number_set", "+1", ACCOUNT, SERVICE], 400, "number", "at least two digits"),
    (["number_set", "+", ACCOUNT, SERVICE], 400, "number", "at least two digits"),
    (["number_set", "+1555123000123456", ACCOUNT, SERVICE], 400, "number", "longer than 16"),
    (["number_set", "+1555-123-0001", ACCOUNT, SERVICE], 400, "number", "only digits"),
    (["number_set", "+1555123000x", ACCOUNT, SERVICE], 400, "number", "only digits"),
    (["number_set", "+1555 1230001", ACCOUNT, SERVICE], 400, "number", "only digits"),
    (["number_set", "sip:+15551230001", ACCOUNT, SERVICE], 400, "number", "must start with '+'"),
    (["number_set", "+1555\u0661\u0662\u0663", ACCOUNT, SERVICE], 400, "number", "only digits"),
    (["number_get", "nan"], 400, "number", "must start with '+'"),
    (["number_get", "+15550000000"], 404, "number", ""),
    (["number_delete", "+15550000000"], 404, "number", ""),
    (["number_delete", "1e5"], 400, "number", "must start with '+'"),
    # accounts
    (["account_set", ""], 400, "account", "is empty"),
    (["account_set", A101], 400, "account", "longer than 100"),
    (["account_set", "a b"], 400, "account", "only letters, digits"),
    (["account_set", "a;DROP TABLE number"], 400, "account", "only letters, digits"),
    (["account_set", "caf\u00e9"], 400, "account", "only letters, digits"),
    (["account_set", "-"], 400, "account", "all accounts"),
    (["account_get", "nobody"], 404, "account", ""),
    (["account_delete", "nobody"], 404, "account", ""),
    (["account_delete", ACCOUNT], 409, "account", ""),
    (["number_set", NUMBER, "nobody", SERVICE], 404, "account", ""),
    # services and header values
    (["number_set", NUMBER, ACCOUNT, "teamsoperatorconnect"], 400, "service", "not a service"),
    (["number_set", NUMBER, ACCOUNT, ""], 400, "service", "not a service"),
    (["number_set", NUMBER, ACCOUNT, SERVICE, ""], 400, "header", "is empty"),
    (["number_set", NUMBER, ACCOUNT, SERVICE, A101], 400, "header", "longer than 100"),
    (["number_set", NUMBER, ACCOUNT, SERVICE, "gold silver"], 400, "header", "only letters, digits"),
    (["number_set", NUMBER, ACCOUNT, SERVICE, "gold\r\nX-Evil: 1"], 400, "header", "only letters, digits"),
    (["number_set", NUMBER, ACCOUNT, SERVICE, "g\u00f6ld"], 400, "header", "only letters, digits"),
    # missing and extra arguments
    (["number_set"], 400, "number", "is missing"),
    (["number_set", NUMBER], 400, "account", "is missing"),
    (["number_set", NUMBER, ACCOUNT], 400, "service", "is missing"),
    (["number_set", *GOOD, "extra"], 400, "argument 5", "too much"),
    (["account_set"], 400, "account", "is missing"),
    (["account_set", "acme", "extra"], 400, "argument 2", "too much"),
    (["status", "now"], 400, "argument 1", "too much"),
    # lists
    (["account_list", "0"], 400, "limit", "from 1 to 500"),
    (["account_list", "501"], 400, "limit", "from 1 to 500"),
    (["account_list", "-1"], 400, "limit", "from 1 to 500"),
    (["account_list", "1e2"], 400, "limit", "from 1 to 500"),
    (["account_list", "007"], 400, "limit", "from 1 to 500"),
    (["number_list", "acme", "ten"], 400, "limit", "from 1 to 500"),
    (["number_list", "acme", "10", "5"], 400, "after", "must start with '+'"),
    # peers
    (["peer_set", "west", "off"], 400, "state", "auto, drain or disabled"),
    (["peer_set", "nowhere", "drain"], 404, "peer", ""),
    (["peer_set", "west"], 400, "state", "is missing"),
]

# Words that look strange and are right: the answer is 200 and they come back as they went in.
TAKEN = ["0012", "1e5", "nan", "007", "0x10", "inf", "-5", "true", "null", "_", A100]

# kamcmd without s: it sends integers and doubles; none may be taken for text. field and the hint that is shown.
TYPED = [
    (["provisioning.number_set", "+15551230001", ACCOUNT, SERVICE], "number", "s:"),
    (["provisioning.number_set", "s:" + NUMBER, "0012", SERVICE], "account", "s:"),
    (["provisioning.number_set", "s:" + NUMBER, ACCOUNT, "7"], "service", "s:"),
    (["provisioning.number_set", "s:" + NUMBER, ACCOUNT, SERVICE, "0012"], "header", "s:"),
    (["provisioning.number_set", "s:" + NUMBER, ACCOUNT, SERVICE, "007"], "header", "s:"),
    (["provisioning.number_set", "s:" + NUMBER, ACCOUNT, SERVICE, "1e5"], "header", "s:"),
    (["provisioning.number_set", "s:" + NUMBER, ACCOUNT, SERVICE, "1.5"], "header", "s:"),
    (["provisioning.account_set", "007"], "account", "s:"),
    (["provisioning.account_set", "1e5"], "account", "s:"),
    (["provisioning.number_get", "+15551230001"], "number", "s:"),
    (["number_route.lookup", "+15551230001"], "number", "s:"),
    (["site_failover.set", "12", "drain"], "peer", "s:"),
]


def put(path, value):
    """A change of a document: sets what the path names ("peerGroups.0.peers.0.port")."""
    def change(document):
        *parents, last = path.split(".")
        place = document
        for word in parents:
            place = place[int(word) if word.isdigit() else word]
        if last.isdigit() and int(last) < len(place):
            place[int(last)] = value
        elif last.isdigit():
            place.append(value)
        else:
            place[last] = value
    return change


def drop(path):
    def change(document):
        *parents, last = path.split(".")
        place = document
        for word in parents:
            place = place[int(word) if word.isdigit() else word]
        del place[int(last) if last.isdigit() else last]
    return change


def same_source(document):
    """The address of a service's peer as a source of the operator's group too."""
    address = document["peerGroups"][1]["peers"][0]["host"]
    document["peerGroups"][0]["peers"][0]["allowedSignalingSourceAddressPrefixes"] = [f"{address}/32"]


# Changes of a good document: change, code, path that the error names, words of the reason.
DOCUMENTS = [
    (put("mode", "test"), 400, "mode", "production or lab"),
    (drop("mode"), 400, "mode", "is missing"),
    (put("mode", 1), 400, "mode", "must be text"),
    (put("mode", None), 400, "mode", "is null"),
    (drop("peerGroups"), 400, "peerGroups", "is missing"),
    (put("peerGroups", {}), 400, "peerGroups", "must be a list"),
    (put("peerGroups.0", "operator"), 400, "peerGroups[0]", "must be an object"),
    (put("colour", "red"), 400, "colour", "no key"),
    (put("settings.colour", "red"), 400, "settings.colour", "no key"),
    (put("settings.customSipHeader", "Via"), 400, "settings.customSipHeader", "SIP itself"),
    (put("settings.customSipHeader", "X Y"), 400, "settings.customSipHeader", "only letters"),
    (put("settings.customSipHeader", "X" * 33), 400, "settings.customSipHeader", "longer than 32"),
    (put("settings.maskNumbers", "yes"), 400, "settings.maskNumbers", "true or false"),
    (put("settings.probeIntervalMs", -1), 400, "settings.probeIntervalMs", "whole number"),
    (put("settings.probeIntervalMs", "5000"), 400, "settings.probeIntervalMs", "whole number"),
    (put("settings.silenceLimitMs", 1.5), 400, "settings.silenceLimitMs", "whole number"),
    (put("settings.maxTries", 0), 400, "settings.maxTries", "whole number"),
    (put("settings.downAfter", 1000), 400, "settings.downAfter", "whole number"),
    (put("services.0.name", "fax"), 400, "services[0].name", "not a service"),
    (put("services.0.peerGroup", "nowhere"), 400, "services[0].peerGroup", "not in peerGroups"),
    (put("services.0.operatorPeerGroup", "teams-oc"), 400, "services[0].operatorPeerGroup", "operator side"),
    (put("peerGroups.0.side", "left"), 400, "peerGroups[0].side", "operator or service"),
    (put("peerGroups.0.signalling", "udp"), 400, "peerGroups[0].signalling", "UDP, TCP or TLS"),
    (put("peerGroups.0.media", "ZRTP"), 400, "peerGroups[0].media", "RTP or SRTP"),
    (put("peerGroups.0.defaultService", "zoomPhoneCloudPeering"), 400, "peerGroups[0].defaultService", "services"),
    (put("peerGroups.1.defaultService", "teamsOperatorConnect"), 400, "peerGroups[1].defaultService", "operator side"),
    (put("peerGroups.0.localSocket", "udp:nowhere"), 400, "peerGroups[0].localSocket", "must be"),
    (put("peerGroups.0.localSocket", "tls:127.0.0.1:5061"), 400, "peerGroups[0].localSocket", "fit"),
    (put("peerGroups.1.name", "operator"), 409, "peerGroups[1].name", "another peer group"),
    (put("peerGroups.1.peers.0.name", "west"), 409, "peerGroups[1].peers[0].name", "another peer"),
    (put("peerGroups.0.peers.0.prot", "udp"), 400, "peerGroups[0].peers[0].prot", "no key"),
    (drop("peerGroups.0.peers.0.host"), 400, "peerGroups[0].peers[0].host", "is missing"),
    (put("peerGroups.0.peers.0.host", ""), 400, "peerGroups[0].peers[0].host", "empty"),
    (put("peerGroups.0.peers.0.host", "999.1.2.3"), 400, "peerGroups[0].peers[0].host", "must be"),
    (put("peerGroups.0.peers.0.host", "a b"), 400, "peerGroups[0].peers[0].host", "must be"),
    (put("peerGroups.0.peers.0.port", 0), 400, "peerGroups[0].peers[0].port", "whole number"),
    (put("peerGroups.0.peers.0.port", 65536), 400, "peerGroups[0].peers[0].port", "whole number"),
    (put("peerGroups.0.peers.0.port", "5060"), 400, "peerGroups[0].peers[0].port", "whole number"),
    (put("peerGroups.0.peers.0.weight", -1), 400, "peerGroups[0].peers[0].weight", "whole number"),
    (put("peerGroups.0.peers.0.priority", 256), 400, "peerGroups[0].peers[0].priority", ""),
    (put("peerGroups.0.peers.0.priority", {"north": "1"}), 400, "peerGroups[0].peers[0].priority", ""),
    (put("peerGroups.0.peers.0.allowedSignalingSourceAddressPrefixes", "127.0.0.1/32"), 400,
     "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes", "list"),
    (put("peerGroups.0.peers.0.allowedSignalingSourceAddressPrefixes", ["127.0.1.10/24"]), 400,
     "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes[0]", "host bits"),
    (put("peerGroups.0.peers.0.allowedSignalingSourceAddressPrefixes", ["10.0.0.0/33"]), 400,
     "peerGroups[0].peers[0].allowedSignalingSourceAddressPrefixes[0]", "prefix"),
    (same_source, 409, "allowedSignalingSourceAddressPrefixes", "source of group"),
]

# Whole texts of a topology file: name, bytes, code, words of the answer.
FILES = [
    ("empty", b"", 400, "empty"),
    ("spaces only", b"  \n", 400, ""),
    ("truncated", b'{"mode":"lab","peerGroups":[{"name":', 400, "not whole JSON"),
    ("not JSON", b"mode = lab\n", 400, "not JSON"),
    ("a list", b"[]", 400, "must be an object"),
    ("a text", b'"lab"', 400, "must be an object"),
    ("comment", b'{/* x */"mode":"lab","peerGroups":[]}', 400, "not JSON"),
    ("comma at the end", b'{"mode":"lab","peerGroups":[],}', 400, "not JSON"),
    ("two documents", b'{"mode":"lab","peerGroups":[]}{}', 400, ""),
    ("UTF-16", '{"mode":"lab","peerGroups":[]}'.encode("utf-16"), 400, ""),
    ("Latin-1", '{"mode":"lab","peerGroups":[{"name":"\u00e9"}]}'.encode("latin-1"), 400, ""),
    ("NUL byte", b'{"mode":"lab\0","peerGroups":[]}', 400, ""),
    ("escaped NUL", b'{"mode":"lab\\u0000","peerGroups":[]}', 400, "mode"),
    ("deep nesting", b"[" * 100000, 400, ""),
    ("huge", b'{"mode":"' + b"x" * (31 << 20) + b'"}', 400, ""),
]
