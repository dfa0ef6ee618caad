/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What OpenSSL says of one TLS connection ends no other. It puts errors into a queue of the process, and
 * SSL_get_error() takes whatever stands there for an error of the connection that is asked for. tls of Kamailio 5.6
 * leaves errors there if an alert cannot be sent: then the next read in this process, of the site that is well, ends
 * its connection, and calls that ring there are lost. (Kamailio 6 empties the queue itself.)
 */
#include "tls_errors.h"

#include <openssl/err.h>

#include <core/tls_hooks.h>

static struct tls_hooks stock;

static int read_clean(struct tcp_connection *connection, rd_conn_flags_t *flags)
{
	ERR_clear_error();
	return stock.read(connection, flags);
}

static int encode_clean(struct tcp_connection *connection, const char **bytes, unsigned *length, const char **rest,
			unsigned *rest_length, snd_flags_t *flags)
{
	ERR_clear_error();
	return stock.encode(connection, bytes, length, rest, rest_length, flags);
}

void tls_errors_init(void)
{
	stock = tls_hook;
	if (stock.read)
		tls_hook.read = read_clean;
	if (stock.encode)
		tls_hook.encode = encode_clean;
}
