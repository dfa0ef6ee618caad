-- SPDX-License-Identifier: GPL-2.0-or-later
-- Schema version 2 to 3: limits of peers, SRTP and keepalives of groups, the state of this node. Each new column has a
-- default, which stays out of the digest: a store without the new keys has the same digest as before (digest.c).

ALTER TABLE peer ADD COLUMN capacity INTEGER NOT NULL DEFAULT 0;          -- live dialogs; 0 = no limit
ALTER TABLE peer ADD COLUMN calls_per_second INTEGER NOT NULL DEFAULT 0;  -- 0 = no limit

-- Names with a space between two, in the order of the document.
ALTER TABLE peer_group ADD COLUMN srtp_suites TEXT NOT NULL DEFAULT '';      -- '' = the gateway's own list
ALTER TABLE peer_group ADD COLUMN dtls_profiles TEXT NOT NULL DEFAULT '';    -- '' = the gateway's own list
ALTER TABLE peer_group ADD COLUMN keepalive_names TEXT NOT NULL DEFAULT '';  -- '' = none

-- This node's own: not in the digest, not in the log, not shipped to other nodes.
CREATE TABLE node_state (
	name TEXT PRIMARY KEY,
	value ANY NOT NULL,
	time TEXT NOT NULL,  -- UTC
	user TEXT NOT NULL,
	via TEXT NOT NULL
) STRICT, WITHOUT ROWID;
