/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* queue, and its --rejected, --show, --retry and --drop; see queue.h. */

#include <glib.h>
#include <stdio.h>

#include "holdfastctl/queue.h"

static const struct field queue_columns[] = {
	{ "serial", FIELD_NUMBER }, { "operation", FIELD_TEXT }, { "key", FIELD_TEXT },
	{ "state", FIELD_TEXT },    { "queued", FIELD_TIME },	 { "attempts", FIELD_NUMBER },
};

static const struct field rejected_columns[] = {
	{ "serial", FIELD_NUMBER }, { "operation", FIELD_TEXT },  { "key", FIELD_TEXT },
	{ "rejected", FIELD_TIME }, { "message", FIELD_TEXT },
};

/* Return: as sd_bus_message_read(). */
static int read_queued(sd_bus_message *m, struct table *table)
{
	const char *operation, *key, *state;
	uint64_t serial, queued_at;
	uint32_t attempts;
	int r;

	r = sd_bus_message_read(m, "(tssstu)", &serial, &operation, &key, &state, &queued_at,
				&attempts);
	if (r <= 0)
		return r;
	table_add(table, (const struct field[]){
		{ "serial", FIELD_NUMBER, .number = serial },
		{ "operation", FIELD_TEXT, operation },
		{ "key", FIELD_TEXT, key },
		{ "state", FIELD_TEXT, state },
		{ "queued", FIELD_TIME, .number = queued_at },
		{ "attempts", FIELD_NUMBER, .number = attempts },
	});
	return r;
}

/* Return: as sd_bus_message_read(). */
static int read_rejected(sd_bus_message *m, struct table *table)
{
	const char *operation, *key, *message;
	uint64_t serial, rejected_at;
	int r;

	r = sd_bus_message_read(m, "(tssst)", &serial, &operation, &key, &message, &rejected_at);
	if (r <= 0)
		return r;
	table_add(table, (const struct field[]){
		{ "serial", FIELD_NUMBER, .number = serial },
		{ "operation", FIELD_TEXT, operation },
		{ "key", FIELD_TEXT, key },
		{ "rejected", FIELD_TIME, .number = rejected_at },
		{ "message", FIELD_TEXT, message },
	});
	return r;
}

static int print_table(struct client *client, const char *member, const char *row_type,
		       int (*read_row)(sd_bus_message *m, struct table *table),
		       struct table *table, enum output_mode mode)
{
	g_autoptr(sd_bus_message) reply = NULL;
	int r;

	r = client_call(client, CLIENT_STORAGE, member, 0, &reply, "");
	if (r < 0)
		return r;
	r = sd_bus_message_enter_container(reply, 'a', row_type);
	while (r > 0)
		r = read_row(reply, table);
	if (r < 0)
		return client_fail_reply(client, member, r);
	table_print(table, mode);
	return 0;
}

static int queue_list(struct client *client, enum output_mode mode)
{
	struct table *table = table_new(queue_columns, G_N_ELEMENTS(queue_columns));
	int r;

	r = print_table(client, "ListQueue", "(tssstu)", read_queued, table, mode);
	table_free(table);
	return r;
}

static int queue_list_rejected(struct client *client, enum output_mode mode)
{
	struct table *table = table_new(rejected_columns, G_N_ELEMENTS(rejected_columns));
	int r;

	r = print_table(client, "ListRejected", "(tssst)", read_rejected, table, mode);
	table_free(table);
	return r;
}

static int queue_show(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	const char *value;
	int r;

	r = client_call(client, CLIENT_STORAGE, "GetRejected", 0, &reply, "t", options->serial);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "s", &value);
	if (r <= 0)
		return client_fail_reply(client, "GetRejected", r);
	if (options->mode == OUTPUT_TEXT) {
		output_value(value, options->raw);
	} else {
		const struct field fields[] = {
			{ "serial", FIELD_NUMBER, .number = options->serial },
			{ "value", FIELD_TEXT, value },
		};

		output_record(options->mode, fields, G_N_ELEMENTS(fields));
	}
	return 0;
}

static int queue_retry(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	uint64_t serial;
	int r;

	r = client_call(client, CLIENT_STORAGE, "RetryRejected", 0, &reply, "t", options->serial);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "t", &serial);
	if (r <= 0)
		return client_fail_reply(client, "RetryRejected", r);
	output_serial(options->mode, serial);
	return 0;
}

int queue_run(struct client *client, const struct options *options)
{
	switch (options->queue_action) {
	case QUEUE_LIST:
		return queue_list(client, options->mode);
	case QUEUE_REJECTED:
		return queue_list_rejected(client, options->mode);
	case QUEUE_SHOW:
		return queue_show(client, options);
	case QUEUE_RETRY:
		return queue_retry(client, options);
	case QUEUE_DROP:
		return client_call(client, CLIENT_STORAGE, "DropRejected", 0, NULL, "t",
				   options->serial);
	}
	return 0;
}
