/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Each look is a job of its own, with all it needs: the thread may outlive who asked. The first
 * look also loads GIO's TLS backend, a module that may not be installed.
 *
 * The file is looked at before it is read: one that changes in between is found changed by the next
 * look.
 */

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "core/limits.h"
#include "parent/credential.h"
#include "parent/trust.h"

struct trust {
	char *ca_file;		/* as configured; NULL: the system's */
	GTlsDatabase *database; /* NULL: none was loaded yet … */
	struct stat found;	/* … from a file that looked like this */
};

struct job {
	char *ca_file;
	GTlsDatabase *database; /* before: what there was; after: what to use */
	struct stat found;
};

struct trust *trust_new(const char *ca_file)
{
	struct trust *trust = g_new0(struct trust, 1);

	trust->ca_file = g_strdup(ca_file);
	return trust;
}

struct trust *trust_free(struct trust *trust)
{
	if (!trust)
		return NULL;

	g_clear_object(&trust->database);
	g_free(trust->ca_file);
	g_free(trust);
	return NULL;
}

/* ---- in the thread; errors are sentences ---- */

static void job_free(void *data)
{
	struct job *job = data;

	g_clear_object(&job->database);
	g_free(job->ca_file);
	g_free(job);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static GTlsDatabase *load_file(const char *path, GError **error)
{
	g_autoptr(GError) cause = NULL;
	GList *list = g_tls_certificate_list_new_from_file(path, &cause);
	GTlsDatabase *database = NULL;
	bool empty = !list;

	g_list_free_full(list, g_object_unref);
	if (!cause && !empty)
		database = g_tls_file_database_new(path, &cause);
	if (cause)
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
			    "the TLSCAFile= %s cannot be used: %s", path, cause->message);
	else if (empty)
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
			    "the TLSCAFile= %s has no certificate in it", path);
	return database;
}

/* A pipe would never end. */
static int look_at(const char *path, struct stat *ret_st)
{
	if (stat(path, ret_st) < 0)
		return -errno;
	if (!S_ISREG(ret_st->st_mode))
		return S_ISDIR(ret_st->st_mode) ? -EISDIR : -EINVAL;
	return ret_st->st_size > LIMIT_CA_FILE_BYTES ? -EFBIG : 0;
}

static void job_load_file(struct job *job, GError **error)
{
	g_autofree char *path = credential_path(job->ca_file);
	struct stat st;
	int r;

	if (!path) {
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
			    "TLSCAFile=%s is looked up in $CREDENTIALS_DIRECTORY, which is not "
			    "set: name an absolute path, or use LoadCredential=", job->ca_file);
		return;
	}
	r = look_at(path, &st);
	if (r < 0) {
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
			    "the TLSCAFile= %s cannot be used: %s", path, g_strerror(-r));
		return;
	}
	if (job->database && same_file(&st, &job->found))
		return;
	g_clear_object(&job->database);
	job->database = load_file(path, error);
	job->found = st;
}

static void job_run(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
	GTlsBackend *backend = g_tls_backend_get_default();
	struct job *job = data;
	GError *error = NULL;

	(void)source;
	(void)cancellable;
	if (!g_tls_backend_supports_tls(backend))
		g_set_error(&error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
			    "TLS is not available here: install the package glib-networking, then "
			    "restart holdfastd");
	else if (job->ca_file)
		job_load_file(job, &error);
	else if (!job->database)
		job->database = g_tls_backend_get_default_database(backend);
	if (error)
		g_task_return_error(task, error);
	else
		g_task_return_boolean(task, TRUE);
}

/* ---- on the loop ---- */

void trust_load(struct trust *trust, GCancellable *cancellable, GAsyncReadyCallback done,
		void *data)
{
	g_autoptr(GTask) task = g_task_new(NULL, cancellable, done, data);
	struct job *job = g_new0(struct job, 1);

	job->ca_file = g_strdup(trust->ca_file);
	job->found = trust->found;
	job->database = trust->database ? g_object_ref(trust->database) : NULL;
	g_task_set_task_data(task, job, job_free);
	g_task_set_return_on_cancel(task, TRUE);
	g_task_run_in_thread(task, job_run);
}

GTlsDatabase *trust_finish(struct trust *trust, GAsyncResult *result, char **ret_why)
{
	GTask *task = G_TASK(result);
	g_autoptr(GError) error = NULL;
	struct job *job;

	if (!g_task_propagate_boolean(task, &error)) {
		*ret_why = g_strdup(error->message);
		return NULL;
	}
	job = g_task_get_task_data(task);
	g_set_object(&trust->database, job->database);
	trust->found = job->found;
	return trust->database;
}
