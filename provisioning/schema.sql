-- SPDX-License-Identifier: GPL-2.0-or-later
-- The store of one gateway, schema version 1. Migrations to later versions are files of their own, see store.c.

-- What this store is. One row.
CREATE TABLE store (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	id TEXT NOT NULL,                                  -- UUID; a restored copy gets a new one
	revision INTEGER NOT NULL,                         -- changes so far
	digest BLOB NOT NULL CHECK (length(digest) = 16),  -- of all rows of the digest tables (store.c)
	role TEXT NOT NULL CHECK (role IN ('primary', 'replica')),
	dialog_key BLOB NOT NULL CHECK (length(dialog_key) = 32)
) STRICT;

-- Every change as a whole operation, in order: a copy of the store can be made from it.
CREATE TABLE change_log (
	revision INTEGER PRIMARY KEY,
	time TEXT NOT NULL,       -- UTC
	user TEXT NOT NULL,       -- who, from the credentials of the socket
	via TEXT NOT NULL,        -- through which door
	operation TEXT NOT NULL,
	arguments TEXT NOT NULL,  -- JSON array
	document TEXT,            -- what topology_load put in force
	digest BLOB NOT NULL      -- of the store after it
) STRICT;

CREATE TABLE account (
	name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What numbers have in common. Calls name a set by its id, so an id never comes back with other content.
CREATE TABLE attribute_set (
	id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
	account TEXT NOT NULL REFERENCES account (name),
	service INTEGER NOT NULL,  -- lib/service.c
	header TEXT NOT NULL,      -- '' = none
	UNIQUE (account, service, header)
) STRICT;

CREATE TABLE number (
	e164 INTEGER PRIMARY KEY CHECK (e164 BETWEEN 10 AND 999999999999999),  -- '+' and 2-15 digits
	attribute_set INTEGER NOT NULL REFERENCES attribute_set (id)
) STRICT;
CREATE INDEX number_by_attribute_set ON number (attribute_set);

-- The topology. position keeps the order of the document.
CREATE TABLE setting (
	name TEXT PRIMARY KEY,
	value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE peer_group (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	position INTEGER NOT NULL,
	name TEXT NOT NULL UNIQUE,
	side TEXT NOT NULL,
	signalling TEXT NOT NULL,
	media TEXT NOT NULL,
	default_service INTEGER NOT NULL,  -- 0 = none
	local_socket TEXT NOT NULL         -- '' = any
) STRICT;

CREATE TABLE peer (
	id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 16777215),  -- 24 bits of a dialog token
	peer_group INTEGER NOT NULL REFERENCES peer_group (id),
	position INTEGER NOT NULL,
	name TEXT NOT NULL UNIQUE,
	site TEXT NOT NULL,
	host TEXT NOT NULL,
	port INTEGER NOT NULL,    -- 0 = the transport's default
	weight INTEGER NOT NULL
) STRICT;

CREATE TABLE peer_priority (
	peer INTEGER NOT NULL REFERENCES peer (id) ON DELETE CASCADE,
	region TEXT NOT NULL,  -- '' = all regions
	priority INTEGER NOT NULL,
	PRIMARY KEY (peer, region)
) STRICT, WITHOUT ROWID;

CREATE TABLE peer_prefix (
	peer INTEGER NOT NULL REFERENCES peer (id) ON DELETE CASCADE,
	kind TEXT NOT NULL CHECK (kind IN ('signalling', 'media')),
	position INTEGER NOT NULL,
	prefix TEXT NOT NULL,
	PRIMARY KEY (peer, kind, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE service (
	id INTEGER PRIMARY KEY,  -- lib/service.c
	position INTEGER NOT NULL,
	peer_group INTEGER NOT NULL REFERENCES peer_group (id),
	operator_peer_group INTEGER NOT NULL REFERENCES peer_group (id)
) STRICT;

-- This node's own: not in the digest, not in the log, not shipped to other nodes.
CREATE TABLE administrative_state (
	peer INTEGER PRIMARY KEY REFERENCES peer (id) ON DELETE CASCADE,
	state TEXT NOT NULL CHECK (state IN ('auto', 'drain', 'disabled')),
	time TEXT NOT NULL,
	user TEXT NOT NULL,
	via TEXT NOT NULL
) STRICT;
