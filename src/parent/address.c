/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Strict on purpose: what getaddrinfo(3) would make of "127.1", "0x7f.1" or " host" is not what the
 * certificate is checked against, and a typing error is better found by --test-config than by a
 * dial.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/un.h>

#include "parent/address.h"

#define UNIX_SCHEME "unix:"
#define TLS_SCHEME  "tls:"

#define HOST_BYTES  253 /* of a name, RFC 1035 */
#define LABEL_BYTES 63	/* between two of its dots */

static int parse_path(const char *path, struct address *address)
{
	if (path[0] != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -EINVAL;
	address->kind = ADDRESS_UNIX;
	address->path = g_strdup(path);
	return 0;
}

static bool label_valid(const char *label)
{
	size_t len = strlen(label);

	if (len == 0 || len > LABEL_BYTES || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (const char *c = label; *c; c++)
		if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_')
			return false;
	return true;
}

/* A name whose last label begins with a digit is meant as an IPv4 address, and must be one. */
static bool host_valid(const char *host)
{
	g_auto(GStrv) labels = g_strsplit(host, ".", -1);
	struct in_addr v4;
	guint n = g_strv_length(labels);

	if (n == 0 || strlen(host) > HOST_BYTES)
		return false;
	for (guint i = 0; i < n; i++)
		if (!label_valid(labels[i]))
			return false;
	return !g_ascii_isdigit(labels[n - 1][0]) || inet_pton(AF_INET, host, &v4) == 1;
}

static bool v6_valid(const char *host)
{
	struct in6_addr v6;

	return inet_pton(AF_INET6, host, &v6) == 1;
}

static bool parse_port(const char *text, uint16_t *ret_port)
{
	guint64 port;

	if (!g_ascii_isdigit(text[0]) || strlen(text) > 5 ||
	    !g_ascii_string_to_unsigned(text, 10, 1, UINT16_MAX, &port, NULL))
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static int parse_host_port(const char *text, struct address *address)
{
	bool v6 = text[0] == '[';
	const char *end = v6 ? strchr(text, ']') : strchr(text, ':');
	g_autofree char *host = NULL;
	uint16_t port;

	if (!end)
		return -EINVAL;
	host = g_strndup(text + v6, (gsize)(end - text) - v6);
	if (!(v6 ? v6_valid(host) : host_valid(host)))
		return -EINVAL;
	end += v6;
	if (*end != ':' || !parse_port(end + 1, &port))
		return -EINVAL;
	address->kind = ADDRESS_TLS;
	address->host = g_steal_pointer(&host);
	address->port = port;
	return 0;
}

int address_parse(const char *text, struct address *ret_address)
{
	struct address address = { 0 };
	int r = -EPROTONOSUPPORT;

	if (g_str_has_prefix(text, UNIX_SCHEME))
		r = parse_path(text + strlen(UNIX_SCHEME), &address);
	else if (g_str_has_prefix(text, TLS_SCHEME))
		r = parse_host_port(text + strlen(TLS_SCHEME), &address);
	if (r < 0)
		return r;
	*ret_address = address;
	return 0;
}

void address_deinit(struct address *address)
{
	g_free(address->path);
	g_free(address->host);
	*address = (struct address){ 0 };
}
