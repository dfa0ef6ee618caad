-- SPDX-License-Identifier: GPL-2.0-or-later
-- Schema version 3 to 4: a number or range is in the digest with its account, service and header value, no longer with
-- the id of an attribute set, so that two stores with the same rows have the same digest (digest.c). The log's last line
-- has the digest of now: a snapshot of the number table is known by it.
UPDATE store SET digest = digest_computed();
UPDATE change_log SET digest = (SELECT digest FROM store) WHERE revision = (SELECT revision FROM store);
