/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Five steps, each an asynchronous call of GIO of which one is under way at any time: load whom we
 * trust, resolve and connect, make the TLS connection, handshake, look at the outcome. The call
 * under way holds a reference: GIO tells its end even after it was cancelled, when the owner is
 * long gone. So each step begins with a look at whether anyone still wants to know.
 *
 * The certificate is judged by GIO against the database and the host of the address; no handler of
 * "accept-certificate" is connected, so nothing can overrule it. The base stream is a tap, not a
 * socket's, and that is also what keeps the backend from resuming an earlier session: in one, no
 * certificate is shown, and one that has expired or lost our trust since would go on being good.
 */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>

#include "parent/address.h"
#include "parent/dial-tls.h"
#include "parent/tap.h"
#include "parent/trust.h"

struct dial_tls {
	unsigned int refs; /* the owner's, and that of the call under way */
	struct trust *trust;
	GMainContext *context;
	GCancellable *cancellable;
	GSocketConnectable *identity; /* the host and port, which the certificate must be for */
	char *name;		      /* likewise, for sentences */
	GTlsDatabase *database;
	GIOStream *tap;
	GTlsConnection *tls;
	dial_tls_done_t done; /* NULL: the owner is gone */
	void *data;
};

static void dial_unref(struct dial_tls *dial)
{
	if (--dial->refs > 0)
		return;
	g_clear_object(&dial->tls);
	g_clear_object(&dial->tap);
	g_clear_object(&dial->database);
	g_object_unref(dial->identity);
	g_object_unref(dial->cancellable);
	g_main_context_unref(dial->context);
	g_free(dial->name);
	g_free(dial);
}

/* GIO tells the end of a call on the context that is the thread's default when it begins. */
static void call_begins(struct dial_tls *dial)
{
	dial->refs++;
	g_main_context_push_thread_default(dial->context);
}

static void call_began(struct dial_tls *dial)
{
	g_main_context_pop_thread_default(dial->context);
}

/* The owner may free the dial in there. */
static void dial_fail(struct dial_tls *dial, enum parent_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void dial_fail(struct dial_tls *dial, enum parent_reason reason, const char *format, ...)
{
	g_autofree char *why = NULL;
	va_list args;

	va_start(args, format);
	why = g_strdup_vprintf(format, args);
	va_end(args);
	dial->done(dial->data, NULL, reason, why);
}

/* ---- the outcome of the handshake ---- */

char *dial_tls_flaws(GTlsCertificateFlags flags)
{
	static const struct {
		GTlsCertificateFlags flag;
		const char *words;
	} rows[] = {
		{ G_TLS_CERTIFICATE_EXPIRED, "it has expired" },
		{ G_TLS_CERTIFICATE_NOT_ACTIVATED, "it is not valid yet (is the clock right?)" },
		{ G_TLS_CERTIFICATE_BAD_IDENTITY, "it is for another host" },
		{ G_TLS_CERTIFICATE_REVOKED, "it was revoked" },
		{ G_TLS_CERTIFICATE_INSECURE, "its algorithm is insecure" },
		{ G_TLS_CERTIFICATE_UNKNOWN_CA,
		  "it is not issued by an authority that is trusted here (see TLSCAFile=)" },
	};
	GString *text = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (flags & rows[i].flag)
			g_string_append_printf(text, "%s%s", text->len ? ", and " : "",
					       rows[i].words);
	return g_string_free(text->len ? text : g_string_append(text, "it cannot be verified"),
			     FALSE);
}

/* GIO's error says little of a peer that is not what it should be; what was heard of it says more. */
static void dial_explain(struct dial_tls *dial, const GError *error)
{
	switch (tap_heard(dial->tap)) {
	case TAP_NOTHING:
	case TAP_TLS_THEN_END:
		dial_fail(dial, PARENT_REASON_CLOSED,
			  "%s hung up in the TLS handshake", dial->name);
		break;
	case TAP_OTHER:
		dial_fail(dial, PARENT_REASON_PROTOCOL,
			  "what answers at %s does not speak TLS, and nothing is sent in clear",
			  dial->name);
		break;
	case TAP_TLS:
		dial_fail(dial, PARENT_REASON_PROTOCOL, "the TLS handshake with %s failed: %s",
			  dial->name, error->message);
		break;
	}
}

static void dial_handshake_failed(struct dial_tls *dial, const GError *error)
{
	GTlsCertificateFlags flags = g_tls_connection_get_peer_certificate_errors(dial->tls);
	g_autofree char *flaws = NULL;

	if (g_error_matches(error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE)) {
		flaws = dial_tls_flaws(flags);
		dial_fail(dial, PARENT_REASON_AUTH, "the certificate of %s is not good: %s",
			  dial->name, flaws);
	} else if (g_error_matches(error, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED)) {
		dial_fail(dial, PARENT_REASON_AUTH,
			  "%s asks for a certificate of ours; we have a token only", dial->name);
	} else {
		dial_explain(dial, error);
	}
}

/* The backend offers nothing older by itself, but an administrator's priority string may. */
static bool version_is_safe(GTlsConnection *tls)
{
	switch (g_tls_connection_get_protocol_version(tls)) {
	case G_TLS_PROTOCOL_VERSION_TLS_1_2:
	case G_TLS_PROTOCOL_VERSION_TLS_1_3:
		return true;
	case G_TLS_PROTOCOL_VERSION_UNKNOWN:
	case G_TLS_PROTOCOL_VERSION_SSL_3_0:
	case G_TLS_PROTOCOL_VERSION_TLS_1_0:
	case G_TLS_PROTOCOL_VERSION_TLS_1_1:
	case G_TLS_PROTOCOL_VERSION_DTLS_1_0:
	case G_TLS_PROTOCOL_VERSION_DTLS_1_2:
		return false;
	}
	return false;
}

static void dial_on_handshake(GObject *source, GAsyncResult *result, void *data)
{
	struct dial_tls *dial = data;
	g_autoptr(GError) error = NULL;
	bool good = g_tls_connection_handshake_finish(G_TLS_CONNECTION(source), result, &error);

	if (!dial->done)
		; /* nobody wants to know */
	else if (!good)
		dial_handshake_failed(dial, error);
	else if (!version_is_safe(dial->tls))
		dial_fail(dial, PARENT_REASON_PROTOCOL,
			  "%s speaks a TLS older than 1.2, which is not safe", dial->name);
	else
		dial->done(dial->data, G_IO_STREAM(dial->tls), PARENT_REASON_OK, "");
	dial_unref(dial);
}

/* ---- the steps before it ---- */

static void dial_shake_hands(struct dial_tls *dial)
{
	call_begins(dial);
	g_tls_connection_handshake_async(dial->tls, G_PRIORITY_DEFAULT, dial->cancellable,
					 dial_on_handshake, dial);
	call_began(dial);
}

/* What the thread works with: nothing of the dial's own, which may be freed meanwhile. */
struct making {
	GIOStream *tap;
	GSocketConnectable *identity;
	GTlsDatabase *database;
};

static void making_free(void *data)
{
	struct making *making = data;

	g_object_unref(making->tap);
	g_object_unref(making->identity);
	g_object_unref(making->database);
	g_free(making);
}

/* In a thread: the backend copies every authority of the database, 12 ms for those of a system. */
static void make_connection(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
	const struct making *making = data;
	GError *error = NULL;
	GObject *tls = g_initable_new(
		g_tls_backend_get_client_connection_type(g_tls_backend_get_default()), cancellable,
		&error, "base-io-stream", making->tap, "server-identity", making->identity,
		"database", making->database, NULL);

	(void)source;
	if (tls)
		g_task_return_pointer(task, tls, g_object_unref);
	else
		g_task_return_error(task, error);
}

static void dial_on_made(GObject *source, GAsyncResult *result, void *data)
{
	struct dial_tls *dial = data;
	g_autoptr(GError) error = NULL;
	GTlsConnection *tls = g_task_propagate_pointer(G_TASK(result), &error);

	(void)source;
	dial->tls = tls;
	if (!dial->done)
		; /* nobody wants to know */
	else if (tls)
		dial_shake_hands(dial);
	else
		dial_fail(dial, PARENT_REASON_PROTOCOL, "TLS cannot be used: %s", error->message);
	dial_unref(dial);
}

static void dial_make(struct dial_tls *dial, GSocketConnection *connection)
{
	struct making *making = g_new0(struct making, 1);
	g_autoptr(GTask) task = NULL;

	/* Small lines that are waited for: none is to wait for more. */
	g_socket_set_option(g_socket_connection_get_socket(connection), IPPROTO_TCP, TCP_NODELAY, 1,
			    NULL);
	dial->tap = tap_new(connection);
	making->tap = g_object_ref(dial->tap);
	making->identity = g_object_ref(dial->identity);
	making->database = g_object_ref(dial->database);
	call_begins(dial);
	task = g_task_new(NULL, dial->cancellable, dial_on_made, dial);
	g_task_set_task_data(task, making, making_free);
	g_task_run_in_thread(task, make_connection);
	call_began(dial);
}

static void dial_on_connected(GObject *source, GAsyncResult *result, void *data)
{
	struct dial_tls *dial = data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocketConnection) connection =
		g_socket_client_connect_finish(G_SOCKET_CLIENT(source), result, &error);

	if (!dial->done)
		; /* nobody wants to know */
	else if (connection)
		dial_make(dial, connection);
	else if (error->domain == G_RESOLVER_ERROR)
		dial_fail(dial, PARENT_REASON_REFUSED, "the name of %s does not resolve: %s",
			  dial->name, error->message);
	else
		dial_fail(dial, PARENT_REASON_REFUSED, "%s: %s", dial->name, error->message);
	dial_unref(dial);
}

static void dial_connect(struct dial_tls *dial)
{
	g_autoptr(GSocketClient) client = g_socket_client_new();

	/* A desktop's proxy settings are for the web; asking for them is slow, too. */
	g_socket_client_set_enable_proxy(client, FALSE);
	call_begins(dial);
	g_socket_client_connect_async(client, dial->identity, dial->cancellable, dial_on_connected,
				      dial);
	call_began(dial);
}

static void dial_on_trust(GObject *source, GAsyncResult *result, void *data)
{
	struct dial_tls *dial = data;
	g_autofree char *why = NULL;
	GTlsDatabase *database;

	(void)source;
	if (dial->done) {
		database = trust_finish(dial->trust, result, &why);
		if (database) {
			dial->database = g_object_ref(database);
			dial_connect(dial);
		} else {
			dial_fail(dial, PARENT_REASON_AUTH, "%s", why);
		}
	}
	dial_unref(dial);
}

/* ---- life ---- */

struct dial_tls *dial_tls_new(const struct address *address, struct trust *trust,
			      GMainContext *context, dial_tls_done_t done, void *data)
{
	struct dial_tls *dial = g_new0(struct dial_tls, 1);
	bool v6 = strchr(address->host, ':') != NULL;

	dial->refs = 1;
	dial->trust = trust;
	dial->context = g_main_context_ref(context ? context : g_main_context_default());
	dial->cancellable = g_cancellable_new();
	dial->identity = g_network_address_new(address->host, address->port);
	dial->name = g_strdup_printf(v6 ? "[%s]:%u" : "%s:%u", address->host, address->port);
	dial->done = done;
	dial->data = data;
	call_begins(dial);
	trust_load(trust, dial->cancellable, dial_on_trust, dial);
	call_began(dial);
	return dial;
}

struct dial_tls *dial_tls_free(struct dial_tls *dial)
{
	if (!dial)
		return NULL;

	dial->done = NULL;
	g_cancellable_cancel(dial->cancellable);
	dial_unref(dial);
	return NULL;
}
