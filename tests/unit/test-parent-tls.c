/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Dialling over TLS and giving it up: a server in the same process, a certificate made on the spot,
 * and a dial that is freed after each number of turns of the loop that it can take. What each
 * failure is called is tested through the daemon, in tests/bus/test_tls.py.
 */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "parent/address.h"
#include "parent/dial-tls.h"
#include "parent/trust.h"

struct bench {
	char *dir, *file;
	GTlsCertificate *certificate;
	GSocketService *service;
	struct address address;
	struct trust *trust;
	struct dial_tls *dial;
	unsigned int told;
	bool free_when_told;
	enum parent_reason reason;
	char *why;
	GIOStream *stream;
};

/* A certificate that is its own authority; key and certificate in one file. */
static void make_certificate(struct bench *bench)
{
	const char *argv[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
			       "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", bench->file,
			       "-out", NULL, "-days", "2", "-subj", "/CN=test", "-addext",
			       "subjectAltName=DNS:localhost", NULL };
	g_autofree char *public = g_strconcat(bench->file, ".pub", NULL);
	g_autofree char *key = NULL, *certificate = NULL, *both = NULL;
	GError *error = NULL;
	int status;

	argv[11] = public;
	g_spawn_sync(NULL, (char **)argv, NULL,
		     G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL,
		     &status, &error);
	g_assert_no_error(error);
	g_assert_cmpint(status, ==, 0);
	g_assert_true(g_file_get_contents(bench->file, &key, NULL, NULL));
	g_assert_true(g_file_get_contents(public, &certificate, NULL, NULL));
	both = g_strconcat(certificate, key, NULL);
	g_assert_true(g_file_set_contents(bench->file, both, -1, NULL));
	g_unlink(public);
	bench->certificate = g_tls_certificate_new_from_file(bench->file, &error);
	g_assert_no_error(error);
}

static void on_server_handshake(GObject *tls, GAsyncResult *result, void *data)
{
	(void)data;
	g_tls_connection_handshake_finish(G_TLS_CONNECTION(tls), result, NULL);
}

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection,
			    GObject *source, void *data)
{
	struct bench *bench = data;
	GIOStream *tls = g_tls_server_connection_new(G_IO_STREAM(connection), bench->certificate,
						     NULL);

	(void)service;
	(void)source;
	g_object_set_data_full(G_OBJECT(bench->service), "last", tls, g_object_unref);
	g_tls_connection_handshake_async(G_TLS_CONNECTION(tls), 0, NULL, on_server_handshake, NULL);
	return TRUE;
}

static struct bench *bench_new(void)
{
	struct bench *bench = g_new0(struct bench, 1);

	bench->dir = g_dir_make_tmp("holdfast-XXXXXX", NULL);
	bench->file = g_build_filename(bench->dir, "certificate.pem", NULL);
	make_certificate(bench);
	bench->service = g_socket_service_new();
	bench->address.kind = ADDRESS_TLS;
	bench->address.host = g_strdup("localhost");
	bench->address.port =
		g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(bench->service), NULL, NULL);
	g_signal_connect(bench->service, "incoming", G_CALLBACK(on_incoming), bench);
	bench->trust = trust_new(bench->file);
	return bench;
}

static void bench_forget(struct bench *bench)
{
	g_clear_pointer(&bench->why, g_free);
	g_clear_object(&bench->stream);
	bench->told = 0;
}

static void bench_free(struct bench *bench)
{
	bench_forget(bench);
	g_socket_service_stop(bench->service);
	g_socket_listener_close(G_SOCKET_LISTENER(bench->service));
	g_object_unref(bench->service);
	g_object_unref(bench->certificate);
	trust_free(bench->trust);
	address_deinit(&bench->address);
	g_unlink(bench->file);
	g_rmdir(bench->dir);
	g_free(bench->file);
	g_free(bench->dir);
	g_free(bench);
}

static void on_done(void *data, GIOStream *stream, enum parent_reason reason, const char *why)
{
	struct bench *bench = data;

	bench->told++;
	bench->reason = reason;
	bench->why = g_strdup(why);
	bench->stream = stream ? g_object_ref(stream) : NULL;
	if (bench->free_when_told)
		bench->dial = dial_tls_free(bench->dial);
}

static void bench_dial(struct bench *bench)
{
	bench_forget(bench);
	bench->dial = dial_tls_new(&bench->address, bench->trust, NULL, on_done, bench);
	g_assert_cmpuint(bench->told, ==, 0);
}

static void bench_wait(struct bench *bench)
{
	while (!bench->told)
		g_main_context_iteration(NULL, TRUE);
}

/* One dial that ends: bounds the time in which the calls of those before it have ended, too. */
static void bench_settle(struct bench *bench)
{
	bench->free_when_told = true;
	bench_dial(bench);
	bench_wait(bench);
	bench->free_when_told = false;
	g_assert_cmpint(bench->reason, ==, PARENT_REASON_OK);
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void test_verified(void)
{
	struct bench *bench = bench_new();
	g_autoptr(GIOStream) tap = NULL;

	bench_dial(bench);
	bench_wait(bench);
	g_assert_cmpstr(bench->why, ==, "");
	g_assert_cmpint(bench->reason, ==, PARENT_REASON_OK);
	g_assert_true(G_IS_TLS_CLIENT_CONNECTION(bench->stream));
	g_assert_cmpint(g_tls_connection_get_peer_certificate_errors(
				G_TLS_CONNECTION(bench->stream)), ==, 0);
	bench->dial = dial_tls_free(bench->dial);
	bench_free(bench);
}

/* Each turn of the loop ends a step or a part of one: freed after any of them, nothing is told. */
static void test_freed_at_each_turn(void)
{
	struct bench *bench = bench_new();
	bool through = false;

	for (unsigned int turns = 0; !through; turns++) {
		bench_dial(bench);
		for (unsigned int i = 0; i < turns && !bench->told; i++)
			g_main_context_iteration(NULL, TRUE);
		through = bench->told > 0;
		bench->dial = dial_tls_free(bench->dial);
		bench_settle(bench);
		g_assert_cmpuint(bench->told, ==, 1);
		g_assert_cmpuint(turns, <, 10000);
	}
	bench_free(bench);
}

static void test_freed_when_told(void)
{
	struct bench *bench = bench_new();

	bench_settle(bench);
	g_assert_null(bench->dial);
	/* A failure of each step. */
	bench->free_when_told = true;
	bench->address.port = 1;
	bench_dial(bench);
	bench_wait(bench);
	g_assert_cmpint(bench->reason, ==, PARENT_REASON_REFUSED);
	trust_free(bench->trust);
	bench->trust = trust_new("/nowhere/at/all");
	bench_dial(bench);
	bench_wait(bench);
	g_assert_cmpint(bench->reason, ==, PARENT_REASON_AUTH);
	g_assert_nonnull(strstr(bench->why, "/nowhere/at/all"));
	g_assert_null(bench->dial);
	bench_free(bench);
}

/* What a certificate's flaws are called; also those that no test can make a server show. */
static void test_flaws(void)
{
	static const struct {
		GTlsCertificateFlags flags;
		const char *words;
	} rows[] = {
		{ G_TLS_CERTIFICATE_EXPIRED, "it has expired" },
		{ G_TLS_CERTIFICATE_REVOKED, "it was revoked" },
		{ G_TLS_CERTIFICATE_INSECURE, "its algorithm is insecure" },
		{ G_TLS_CERTIFICATE_GENERIC_ERROR, "it cannot be verified" },
		{ G_TLS_CERTIFICATE_EXPIRED | G_TLS_CERTIFICATE_BAD_IDENTITY,
		  "it has expired, and it is for another host" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *words = dial_tls_flaws(rows[i].flags);

		g_assert_cmpstr(words, ==, rows[i].words);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/parent-tls/verified", test_verified);
	g_test_add_func("/parent-tls/freed-at-each-turn", test_freed_at_each_turn);
	g_test_add_func("/parent-tls/freed-when-told", test_freed_when_told);
	g_test_add_func("/parent-tls/flaws", test_flaws);
	return g_test_run();
}
