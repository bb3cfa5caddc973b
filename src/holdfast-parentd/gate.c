/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See gate.h. A new pair comes into force when its trial has ended well; one that is written while
 * a trial is under way is read after it.
 */

#include <string.h>

#include "base/log.h"
#include "file-watch.h"
#include "gate.h"
#include "keypair.h"

struct gate {
	struct gate_files files;
	struct clock *clock;
	struct handshakes *handshakes;
	void (*changed)(void *data);
	void *data;
	struct tokens *tokens;
	GTlsCertificate *candidate; /* on trial; else NULL */
	struct trial *trial;
	bool again;		    /* the files have changed since it began */
	char *why;		    /* the last candidate was refused */
	struct file_watch *watches[3];
};

/* ---- certificate and key ---- */

static void gate_on_trial(void *data, const char *why)
{
	struct gate *gate = data;

	g_clear_pointer(&gate->why, g_free);
	if (why)
		gate->why = g_strdup_printf("The certificate in %s and the key in %s do not work "
					    "together: %s.",
					    gate->files.certificate, gate->files.key, why);
	else
		handshakes_use(gate->handshakes, gate->candidate);
	gate->trial = trial_free(gate->trial);
	g_clear_object(&gate->candidate);
}

/* Return: NULL, or why there will be no trial. */
static char *gate_try_pair(struct gate *gate, trial_done_t done)
{
	char *why = NULL;

	gate->candidate = keypair_load(gate->files.certificate, gate->files.key, &why);
	if (!gate->candidate)
		return why;
	gate->trial = trial_new(gate->candidate, gate->clock, done, gate);
	if (gate->trial)
		return NULL;
	g_clear_object(&gate->candidate);
	return g_strdup("No descriptor is left to try the certificate out.");
}

static void gate_reload_pair(void *data);

static void gate_on_retrial(void *data, const char *why)
{
	struct gate *gate = data;

	gate_on_trial(gate, why);
	if (gate->why)
		log_error("%s The ones before stay in force.", gate->why);
	else
		log_notice("New connections are shown the certificate that is in %s now.",
			   gate->files.certificate);
	if (gate->again) {
		gate->again = false;
		gate_reload_pair(gate);
	}
}

static void gate_reload_pair(void *data)
{
	struct gate *gate = data;
	g_autofree char *why = NULL;

	if (gate->trial) {
		gate->again = true;
		return;
	}
	why = gate_try_pair(gate, gate_on_retrial);
	if (why)
		log_error("%s The certificate and key before stay in force.", why);
}

/* ---- tokens ---- */

static void gate_reload_tokens(void *data)
{
	struct gate *gate = data;
	struct tokens *before = gate->tokens;
	g_autofree char *why = NULL;

	if (tokens_load(gate->files.tokens, false, &gate->tokens, &why) < 0) {
		log_error("%s The tokens before stay in force.", why);
		return;
	}
	log_notice("The tokens in %s are in force: %u.", gate->files.tokens,
		   tokens_count(gate->tokens));
	gate->changed(gate->data);
	tokens_free(before);
}

/* ---- both ---- */

void gate_reload(struct gate *gate)
{
	gate_reload_pair(gate);
	gate_reload_tokens(gate);
}

void gate_accept(struct gate *gate, GSocketConnection *connection)
{
	handshakes_begin(gate->handshakes, connection);
}

const struct tokens *gate_tokens(const struct gate *gate)
{
	return gate->tokens;
}

static void gate_watch(struct gate *gate)
{
	const struct gate_files *files = &gate->files;

	gate->watches[0] = file_watch_new(files->tokens, gate->clock, gate_reload_tokens, gate);
	gate->watches[1] = file_watch_new(files->certificate, gate->clock, gate_reload_pair, gate);
	if (strcmp(files->certificate, files->key) != 0)
		gate->watches[2] = file_watch_new(files->key, gate->clock, gate_reload_pair, gate);
	if (!gate->watches[0] || !gate->watches[1])
		log_warning("The files for TLS cannot be watched; send SIGHUP when they change.");
}

/* Return: NULL, or what is wrong. */
static char *gate_load(struct gate *gate)
{
	char *why = NULL;

	if (tokens_load(gate->files.tokens, true, &gate->tokens, &why) < 0)
		return why;
	if (tokens_count(gate->tokens) == 0)
		log_warning("There is no token in %s: nobody can come in by TLS.",
			    gate->files.tokens);
	why = gate_try_pair(gate, gate_on_trial);
	while (gate->trial)
		g_main_context_iteration(NULL, TRUE);
	return why ? why : g_steal_pointer(&gate->why);
}

struct gate *gate_new(const struct gate_files *files, struct clock *clock, handshake_done_t done,
		      void (*changed)(void *data), void *data, char **ret_why)
{
	struct gate *gate = g_new0(struct gate, 1);
	char *why;

	gate->files = *files;
	gate->clock = clock;
	gate->changed = changed;
	gate->data = data;
	gate->handshakes = handshakes_new(clock, done, data);
	why = gate_load(gate);
	if (why) {
		*ret_why = why;
		return gate_free(gate);
	}
	gate_watch(gate);
	return gate;
}

struct gate *gate_free(struct gate *gate)
{
	if (!gate)
		return NULL;

	for (unsigned int i = 0; i < G_N_ELEMENTS(gate->watches); i++)
		file_watch_free(gate->watches[i]);
	trial_free(gate->trial);
	handshakes_free(gate->handshakes);
	g_clear_object(&gate->candidate);
	tokens_free(gate->tokens);
	g_free(gate->why);
	g_free(gate);
	return NULL;
}
