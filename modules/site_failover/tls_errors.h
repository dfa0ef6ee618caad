/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What OpenSSL says of one TLS connection ends no other. */
#ifndef TRUNKGATE_SITE_FAILOVER_TLS_ERRORS_H
#define TRUNKGATE_SITE_FAILOVER_TLS_ERRORS_H

/** Before the fork. Without the module tls it does nothing. */
void tls_errors_init(void);

#endif
