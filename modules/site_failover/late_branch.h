/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Branches of INVITEs that were given up, by their Via branch, for when tm has forgotten the transaction; and which
 * late answers got their BYE already. Shared memory, bounded, each entry with an end of its own.
 */
#ifndef TRUNKGATE_LATE_BRANCH_H
#define TRUNKGATE_LATE_BRANCH_H

#include <stdbool.h>

#include <core/str.h>

int late_branch_init(void);
void late_branch_finish(void);

/** Remembers a branch; @p uri is the Request-URI that was sent (for a CANCEL), @p cause the status it ended with. */
void late_branch_add(str branch, str uri, int cause);

/** True if the branch was given up; @p uri (at most @p size with NUL) and @p cause may be NULL. */
bool late_branch_known(str branch, char *uri, int size, int *cause);

/** True once for each To tag of a branch: this answer has had no BYE yet. Makes the entry if there is none. */
bool late_branch_end(str branch, str to_tag, int cause);

/** Takes late_branch_end() back: the BYE could not be sent. */
void late_branch_reopen(str branch, str to_tag);

/** Forgets what is over; called once a second by the prober. */
void late_branch_expire(void);

#endif
