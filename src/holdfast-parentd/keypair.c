/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See keypair.h. A trial is a handshake over a socket pair, both ends ours. GIO has no other way to
 * tell whether a key belongs to a certificate.
 */

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "keypair.h"

/* ---- the files ---- */

/* A regular file of bounded size: what reads it then neither waits nor fills the memory. */
static bool file_check(const char *path, struct stat *st, char **ret_why)
{
	if (stat(path, st) < 0)
		*ret_why = g_strdup_printf("%s cannot be read: %s.", path, g_strerror(errno));
	else if (!S_ISREG(st->st_mode))
		*ret_why = g_strdup_printf("%s is not a regular file.", path);
	else if (st->st_size > KEYPAIR_BYTES)
		*ret_why = g_strdup_printf("%s is larger than 1 MiB.", path);
	else
		return true;
	return false;
}

static void warn_of_dates(const char *path, GTlsCertificate *certificate)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	g_autoptr(GDateTime) after = g_tls_certificate_get_not_valid_after(certificate);
	g_autoptr(GDateTime) before = g_tls_certificate_get_not_valid_before(certificate);

	if (after && g_date_time_compare(now, after) > 0)
		log_warning("The certificate in %s has expired: clients will refuse it.", path);
	if (before && g_date_time_compare(now, before) < 0)
		log_warning("The certificate in %s is not valid yet: clients will refuse it.",
			    path);
}

GTlsCertificate *keypair_load(const char *certificate, const char *key, char **ret_why)
{
	g_autoptr(GError) error = NULL;
	GTlsCertificate *pair;
	struct stat st;

	if (!file_check(certificate, &st, ret_why) || !file_check(key, &st, ret_why))
		return NULL;
	pair = g_tls_certificate_new_from_files(certificate, key, &error);
	if (!pair) {
		*ret_why = g_strdup_printf("The certificate in %s with the key in %s cannot be "
					   "used: %s.",
					   certificate, key, error->message);
		return NULL;
	}
	if (st.st_mode & S_IROTH)
		log_warning("The key file %s can be read by every user of this machine; "
			    "take that away with chmod o-r.",
			    key);
	warn_of_dates(certificate, pair);
	return pair;
}

/* ---- the trial ---- */

struct trial {
	trial_done_t done;	/* NULL: nobody listens any more */
	void *data;
	GCancellable *cancellable;
	struct timer deadline;
	unsigned int under_way;	/* ends that have not ended */
	char *why;		/* the first thing that failed */
};

static void trial_on_handshake(GObject *source, GAsyncResult *result, gpointer data)
{
	struct trial *trial = data;
	g_autoptr(GError) error = NULL;

	if (!g_tls_connection_handshake_finish(G_TLS_CONNECTION(source), result, &error)) {
		if (!trial->why)
			trial->why = g_strdup(error->message);
		/* The other end would wait for ever. */
		g_cancellable_cancel(trial->cancellable);
	}
	trial->under_way--;
	if (trial->under_way == 0 && trial->done)
		trial->done(trial->data, trial->why);
}

static gboolean trial_on_certificate(GTlsConnection *connection, GTlsCertificate *peer,
				     GTlsCertificateFlags errors, gpointer data)
{
	(void)connection;
	(void)peer;
	(void)errors;
	(void)data;
	return TRUE;
}

static void trial_on_deadline(void *data)
{
	g_cancellable_cancel(((struct trial *)data)->cancellable);
}

static GIOStream *stream_of(int fd)
{
	g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);

	g_socket_set_blocking(socket, FALSE);
	return G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
}

/* On a thread each, which the handshakes of clients leave free: those may be in no hurry. */
static void trial_start(struct trial *trial, GIOStream *connection)
{
	trial->under_way++;
	g_tls_connection_handshake_async(G_TLS_CONNECTION(connection), G_PRIORITY_DEFAULT,
					 trial->cancellable, trial_on_handshake, trial);
}

/* Whether clients trust it is for them to say: the system's CAs, which take long to load, are left
 * out. */
static void trial_connect(struct trial *trial, GTlsCertificate *certificate, const int pair[2])
{
	GTlsBackend *backend = g_tls_backend_get_default();
	g_autoptr(GIOStream) server_end = stream_of(pair[0]);
	g_autoptr(GIOStream) client_end = stream_of(pair[1]);
	g_autoptr(GIOStream) server = g_initable_new(
		g_tls_backend_get_server_connection_type(backend), NULL, NULL, "base-io-stream",
		server_end, "certificate", certificate, "database", NULL, NULL);
	g_autoptr(GIOStream) client = g_initable_new(
		g_tls_backend_get_client_connection_type(backend), NULL, NULL, "base-io-stream",
		client_end, "database", NULL, NULL);

	g_signal_connect(client, "accept-certificate", G_CALLBACK(trial_on_certificate), NULL);
	trial_start(trial, server);
	trial_start(trial, client);
}

struct trial *trial_new(GTlsCertificate *certificate, struct clock *clock, trial_done_t done,
			void *data)
{
	struct trial *trial;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return NULL;
	trial = g_new0(struct trial, 1);
	trial->done = done;
	trial->data = data;
	trial->cancellable = g_cancellable_new();
	timer_init(&trial->deadline, clock, trial_on_deadline, trial);
	timer_arm_in(&trial->deadline, KEYPAIR_TRIAL_USEC);
	trial_connect(trial, certificate, pair);
	return trial;
}

struct trial *trial_free(struct trial *trial)
{
	if (!trial)
		return NULL;

	trial->done = NULL;
	g_cancellable_cancel(trial->cancellable);
	while (trial->under_way > 0)
		g_main_context_iteration(NULL, TRUE);
	timer_deinit(&trial->deadline);
	g_object_unref(trial->cancellable);
	g_free(trial->why);
	g_free(trial);
	return NULL;
}
