-- SPDX-License-Identifier: GPL-2.0-or-later
-- Schema version 1 to 2: ranges, accounts by number, a kept count of numbers, the rows of an import in the change log.

-- Numbers of an account are listed by (account, e164), so each number names its account by an integer. That integer is
-- this file's own: it is not in the digest.
CREATE TABLE account_2 (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO account_2 (name) SELECT name FROM account ORDER BY name;
DROP TABLE account;
ALTER TABLE account_2 RENAME TO account;

-- attribute_set is held by the trigger below and not by a foreign key: that would need an index of its own on the
-- largest table.
CREATE TABLE number_2 (
	e164 INTEGER PRIMARY KEY CHECK (e164 BETWEEN 10 AND 999999999999999),
	attribute_set INTEGER NOT NULL,
	account INTEGER NOT NULL REFERENCES account (id)
) STRICT;
INSERT INTO number_2 (e164, attribute_set, account)
	SELECT n.e164, n.attribute_set, a.id FROM number n
	CROSS JOIN attribute_set s ON s.id = n.attribute_set CROSS JOIN account a ON a.name = s.account
	ORDER BY n.e164;
DROP TABLE number;
ALTER TABLE number_2 RENAME TO number;
CREATE INDEX number_by_account ON number (account);

CREATE TRIGGER attribute_set_in_use BEFORE DELETE ON attribute_set
	WHEN EXISTS (SELECT 1 FROM number WHERE account = (SELECT id FROM account WHERE name = OLD.account)
		AND attribute_set = OLD.id)
	BEGIN SELECT raise(ABORT, 'attribute set in use'); END;

-- In the order in which the number table takes them: at the same first the wider one before the narrower.
CREATE TABLE number_range (
	first INTEGER NOT NULL CHECK (first BETWEEN 10 AND 999999999999999),
	last INTEGER NOT NULL CHECK (last BETWEEN first AND 999999999999999),
	attribute_set INTEGER NOT NULL REFERENCES attribute_set (id),
	PRIMARY KEY (first, last DESC)
) STRICT, WITHOUT ROWID;
CREATE INDEX number_range_by_attribute_set ON number_range (attribute_set);

-- Counted by the same triggers that keep the digest.
ALTER TABLE store ADD COLUMN number_count INTEGER NOT NULL DEFAULT 0;
UPDATE store SET number_count = (SELECT count(*) FROM number);

-- What an import put in force: pieces of its rows, see bulk_log.c.
CREATE TABLE change_rows (
	revision INTEGER NOT NULL,
	position INTEGER NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (revision, position)
) STRICT;
