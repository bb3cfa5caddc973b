/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The calls of a crowd; see shot.h. A kind is a row of the table at the end: how to ask, and how to
 * judge.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "crowd.h"
#include "shot.h"

#define TOO_LARGE (1024 * 1024 + 1) /* bytes of a value: one more than may be */

void shot_fail(const struct shot *shot, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	fatal("client %u, its call %" G_GUINT64_FORMAT ", %s of %s: %.300s", shot->actor->id,
	      shot->number, shot->kind->name, own_key(shot->key), text);
}

static unsigned int roll(struct actor *actor, unsigned int n)
{
	return (unsigned int)g_rand_int_range(actor->rand, 0, (gint32)n);
}

static sd_bus_message *own_call(const struct shot *shot, const char *member)
{
	return client_call(shot->actor->bus, shot->actor->own_path, member);
}

static sd_bus_message *shared_call(const struct shot *shot, const char *member)
{
	return client_call(shot->actor->bus, shot->actor->shared_path, member);
}

/* ---- answers ---- */

/* Whether a read may show @key as @version (0: absent). */
static bool may_be(const struct shot *shot, unsigned int key, uint32_t version)
{
	const GArray *changes = shot->actor->changes;

	if (shot->own[key] == version)
		return true;
	for (guint i = shot->changes; i < changes->len; i++) {
		const struct change *change = &g_array_index(changes, struct change, i);

		if (change->key == key && change->version == version)
			return true;
	}
	return false;
}

/* Whether a read may show that @key has a value. */
static bool may_be_there(const struct shot *shot, unsigned int key)
{
	const GArray *changes = shot->actor->changes;

	if (shot->own[key])
		return true;
	for (guint i = shot->changes; i < changes->len; i++) {
		const struct change *change = &g_array_index(changes, struct change, i);

		if (change->key == key && change->version)
			return true;
	}
	return false;
}

static void want_value(const struct shot *shot, unsigned int key, const char *value)
{
	unsigned int writer;
	uint32_t version;

	if (!value_parse(value, own_key(key), &writer, &version) || writer != shot->actor->id)
		shot_fail(shot, "\"%s\" was never written to %s", value, own_key(key));
	if (!may_be(shot, key, version))
		shot_fail(shot, "%s is \"%s\", wanted version %u or a newer one", own_key(key),
			  value, shot->own[key]);
}

static void judge_value(struct shot *shot, sd_bus_message *reply)
{
	const char *value = NULL;

	if (sd_bus_message_read(reply, "s", &value) <= 0)
		shot_fail(shot, "no value in the answer");
	want_value(shot, shot->key, value);
}

static bool absent_is_right(const struct shot *shot, const char *name)
{
	return may_be(shot, shot->key, 0) && strcmp(name, HF_ERROR "NoSuchItem") == 0;
}

static uint64_t read_serial(const struct shot *shot, sd_bus_message *reply)
{
	uint64_t serial = 0;

	if (sd_bus_message_read(reply, "t", &serial) <= 0 || serial == 0)
		shot_fail(shot, "no serial in the answer");
	return serial;
}

static void judge_write(struct shot *shot, sd_bus_message *reply)
{
	uint64_t serial = read_serial(shot, reply);

	if (serial <= shot->actor->serial)
		shot_fail(shot, "serial %" G_GUINT64_FORMAT " after %" G_GUINT64_FORMAT, serial,
			  shot->actor->serial);
	shot->actor->serial = serial;
}

static void judge_nothing(struct shot *shot, sd_bus_message *reply)
{
	if (!sd_bus_message_is_empty(reply))
		shot_fail(shot, "an answer with something in it");
}

/* ---- reading ---- */

static sd_bus_message *make_get(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "GetItem");

	sd_bus_message_append(m, "s", own_key(shot->key));
	return m;
}

static sd_bus_message *make_get_full(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "GetItemFull");

	sd_bus_message_append(m, "sa{sv}", own_key(shot->key), 1, "source", "s", "any");
	return m;
}

static sd_bus_message *make_get_many(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "GetItems");

	sd_bus_message_open_container(m, 'a', "s");
	for (unsigned int i = 0; i < OWN_KEYS; i++)
		sd_bus_message_append(m, "s", own_key(i));
	sd_bus_message_close_container(m);
	return m;
}

static unsigned int key_number(const struct shot *shot, const char *key)
{
	int number = g_str_has_prefix(key, "own") ? atoi(key + strlen("own")) : -1;

	if (number < 0 || number >= OWN_KEYS)
		shot_fail(shot, "a key that was not asked for: %s", key);
	return (unsigned int)number;
}

static void want_found(const struct shot *shot, const bool found[static OWN_KEYS])
{
	for (unsigned int i = 0; i < OWN_KEYS; i++)
		if (!found[i] && !may_be(shot, i, 0))
			shot_fail(shot, "%s is left out", own_key(i));
}

static void judge_many(struct shot *shot, sd_bus_message *reply)
{
	bool found[OWN_KEYS] = { false };
	const char *key, *value;

	sd_bus_message_enter_container(reply, 'a', "{ss}");
	while (sd_bus_message_read(reply, "{ss}", &key, &value) > 0) {
		want_value(shot, key_number(shot, key), value);
		found[key_number(shot, key)] = true;
	}
	want_found(shot, found);
}

static sd_bus_message *make_list(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "ListKeys");

	sd_bus_message_append(m, "s", "own");
	return m;
}

static void judge_list(struct shot *shot, sd_bus_message *reply)
{
	bool found[OWN_KEYS] = { false };
	const char *key, *last = "";

	sd_bus_message_enter_container(reply, 'a', "s");
	while (sd_bus_message_read(reply, "s", &key) > 0) {
		unsigned int number = key_number(shot, key);

		if (strcmp(key, last) <= 0)
			shot_fail(shot, "%s is listed behind %s", key, last);
		if (!may_be_there(shot, number))
			shot_fail(shot, "%s is listed", key);
		found[number] = true;
		last = key;
	}
	want_found(shot, found);
}

/* ---- writing ---- */

static uint32_t next_version(struct actor *actor, unsigned int key)
{
	actor_change(actor, key, ++actor->versions);
	return actor->versions;
}

static sd_bus_message *make_set(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "SetItem");
	char value[VALUE_SIZE];

	value_text(shot->actor->id, own_key(shot->key), next_version(shot->actor, shot->key),
		   value);
	sd_bus_message_append(m, "ss", own_key(shot->key), value);
	return m;
}

static sd_bus_message *make_set_group(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "SetItems");
	unsigned int n = 1 + roll(shot->actor, 5);
	char value[VALUE_SIZE];

	sd_bus_message_open_container(m, 'a', "{ss}");
	for (unsigned int i = 0; i < n; i++) {
		unsigned int key = (shot->key + i) % OWN_KEYS;

		value_text(shot->actor->id, own_key(key), next_version(shot->actor, key), value);
		sd_bus_message_append(m, "{ss}", own_key(key), value);
	}
	sd_bus_message_close_container(m);
	return m;
}

static sd_bus_message *make_remove(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "RemoveItem");

	actor_change(shot->actor, shot->key, 0);
	sd_bus_message_append(m, "s", own_key(shot->key));
	return m;
}

/* ---- waiting ---- */

static sd_bus_message *make_await(struct shot *shot)
{
	sd_bus_message *m;

	/* Before the first serial there is nothing to wait for. */
	if (shot->actor->serial == 0) {
		m = own_call(shot, "Flush");
		sd_bus_message_append(m, "t", UINT64_MAX);
		return m;
	}
	m = own_call(shot, "Await");
	sd_bus_message_append(m, "tt", shot->actor->serial, UINT64_MAX);
	return m;
}

/* ---- the shared area ---- */

static sd_bus_message *make_shared_set(struct shot *shot)
{
	sd_bus_message *m = shared_call(shot, "SetItem");
	char value[VALUE_SIZE];

	shot->key %= SHARED_KEYS;
	shot->version = ++shot->actor->shared_versions;
	value_text(shot->actor->id, shared_key(shot->key), shot->version, value);
	sd_bus_message_append(m, "ss", shared_key(shot->key), value);
	return m;
}

static void judge_shared_set(struct shot *shot, sd_bus_message *reply)
{
	uint64_t serial = read_serial(shot, reply);

	if (!crowd_note_shared(shot->actor->crowd, serial, shot->actor->id, shot->key,
			       shot->version))
		shot_fail(shot, "serial %" G_GUINT64_FORMAT " was given twice", serial);
	shot->actor->shared_acked[shot->key] = MAX(shot->actor->shared_acked[shot->key],
						   shot->version);
}

static sd_bus_message *make_shared_get(struct shot *shot)
{
	sd_bus_message *m = shared_call(shot, "GetItem");

	shot->key %= SHARED_KEYS;
	/* A second one at the same time: its answer could be overtaken, and judge nothing. */
	shot->version = shot->actor->reads_shared ? UINT32_MAX :
						    shot->actor->shared_acked[shot->key];
	shot->actor->reads_shared = true;
	sd_bus_message_append(m, "s", shared_key(shot->key));
	return m;
}

/* Of each writer a reader sees ever newer versions, and of itself no older than was answered. */
static void judge_shared_get(struct shot *shot, sd_bus_message *reply)
{
	struct actor *self = shot->actor;
	const char *value = NULL;
	unsigned int writer;
	uint32_t version, *seen;

	if (sd_bus_message_read(reply, "s", &value) <= 0 ||
	    !value_parse(value, shared_key(shot->key), &writer, &version))
		shot_fail(shot, "\"%s\" is no value of this key", value ? value : "");
	if (writer >= crowd_size(self->crowd) ||
	    version > crowd_actor(self->crowd, writer)->shared_versions)
		shot_fail(shot, "nobody wrote \"%s\"", value);
	if (shot->version == UINT32_MAX)
		return;
	self->reads_shared = false;
	if (writer == self->id && version < shot->version)
		shot_fail(shot, "read its own version %u after %u", version, shot->version);
	seen = &self->seen[writer * SHARED_KEYS + shot->key];
	if (version < *seen)
		shot_fail(shot, "read version %u of client %u after %u", version, writer, *seen);
	*seen = version;
}

static bool shared_absent_is_right(const struct shot *shot, const char *name)
{
	if (strcmp(name, HF_ERROR "NoSuchItem") != 0)
		return false;
	if (shot->version == UINT32_MAX)
		return true;
	shot->actor->reads_shared = false;
	/* Nobody removes from it: absent only until somebody writes. */
	for (unsigned int i = 0; i < crowd_size(shot->actor->crowd); i++)
		if (shot->actor->seen[i * SHARED_KEYS + shot->key] > 0)
			return false;
	return shot->version == 0;
}

/* ---- mistakes ---- */

static sd_bus_message *make_bad_key(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "SetItem");

	sd_bus_message_append(m, "ss", "", "value");
	return m;
}

static sd_bus_message *make_bad_option(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "GetItemFull");

	sd_bus_message_append(m, "sa{sv}", own_key(shot->key), 1, "colour", "s", "red");
	return m;
}

static sd_bus_message *make_bad_serial(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "Await");

	sd_bus_message_append(m, "tt", UINT64_MAX, UINT64_C(0));
	return m;
}

static sd_bus_message *make_bad_rejected(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "RetryRejected");

	sd_bus_message_append(m, "t", UINT64_C(1));
	return m;
}

static sd_bus_message *make_bad_method(struct shot *shot)
{
	return own_call(shot, "NoSuchMethod");
}

static sd_bus_message *make_too_large(struct shot *shot)
{
	sd_bus_message *m = own_call(shot, "SetItem");
	char *space = NULL;

	sd_bus_message_append(m, "s", own_key(shot->key));
	if (sd_bus_message_append_string_space(m, TOO_LARGE, &space) < 0)
		fatal("no room for a large value");
	memset(space, 'x', TOO_LARGE);
	return m;
}

/* ---- the table ---- */

static const struct shot_kind kinds[] = {
	{ "GetItem", 200, make_get, judge_value, NULL, absent_is_right },
	{ "GetItemFull", 50, make_get_full, judge_value, NULL, absent_is_right },
	{ "GetItems", 40, make_get_many, judge_many },
	{ "ListKeys", 40, make_list, judge_list },
	{ "SetItem", 250, make_set, judge_write },
	{ "SetItems", 50, make_set_group, judge_write },
	{ "RemoveItem", 60, make_remove, judge_write },
	{ "Await", 60, make_await, judge_nothing },
	{ "SetItem (shared)", 60, make_shared_set, judge_shared_set },
	{ "GetItem (shared)", 100, make_shared_get, judge_shared_get, NULL,
	  shared_absent_is_right },
	{ "SetItem without a key", 20, make_bad_key, NULL, HF_ERROR "InvalidKey" },
	{ "GetItemFull with a bad option", 20, make_bad_option, NULL, DBUS_ERROR "InvalidArgs" },
	{ "Await of no serial", 20, make_bad_serial, NULL, HF_ERROR "InvalidValue" },
	{ "RetryRejected of none", 10, make_bad_rejected, NULL, HF_ERROR "InvalidValue" },
	{ "NoSuchMethod", 20, make_bad_method, NULL, DBUS_ERROR "UnknownMethod" },
	{ "SetItem of too much", 1, make_too_large, NULL, HF_ERROR "TooLarge", .large = true },
};

const struct shot_kind *shot_choose(struct actor *actor)
{
	unsigned int sum = 0, chosen;

	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		sum += kinds[i].weight;
	chosen = roll(actor, sum);
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		if (chosen < kinds[i].weight)
			return &kinds[i];
		chosen -= kinds[i].weight;
	}
	g_assert_not_reached();
}

void shot_judge(struct shot *shot, sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	const struct shot_kind *kind = shot->kind;
	bool right;

	if (!error) {
		if (!kind->judge)
			shot_fail(shot, "was answered, wanted %s", kind->error);
		kind->judge(shot, reply);
		return;
	}
	right = kind->judge_error ? kind->judge_error(shot, error->name) :
				    g_strcmp0(kind->error, error->name) == 0;
	if (!right)
		shot_fail(shot, "%s: %s", error->name, error->message);
}
