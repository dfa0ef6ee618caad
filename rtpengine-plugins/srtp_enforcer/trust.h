/* SPDX-License-Identifier: GPL-2.0-or-later */
/** May others change a file? */
#ifndef TRUNKGATE_TRUST_H
#define TRUNKGATE_TRUST_H

/** The file and each folder above it belong to root or to us, and no group (but root's) and nobody else may write
 *  there; in a folder with the sticky bit others may. Returns 0, or -EPERM or another -errno with @p text saying where.
 */
int trust_check(const char *path, char *text, unsigned long size);

#endif
