/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Versions of each key; see sim-truth.h. */

#include <string.h>

#include "sim-memory.h"
#include "sim-truth.h"

struct version {
	uint64_t id, since;
};

/* Before the first version it held nothing. */
struct history {
	GArray *versions;
	uint64_t pruned;
};

struct truth {
	struct history keys[SIM_AREAS][SIM_KEYS];
};

static const char *const area_names[SIM_AREAS] = { "default", "a1", "a2" };

struct truth *truth_new(void)
{
	struct truth *truth = g_new0(struct truth, 1);

	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++) {
		struct history *history = &truth->keys[i / SIM_KEYS][i % SIM_KEYS];

		history->versions = g_array_new(FALSE, FALSE, sizeof(struct version));
		truth_put(truth, i / SIM_KEYS, i % SIM_KEYS, 0, 0);
	}
	return truth;
}

struct truth *truth_free(struct truth *truth)
{
	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++)
		g_array_unref(truth->keys[i / SIM_KEYS][i % SIM_KEYS].versions);
	g_free(truth);
	return NULL;
}

unsigned int truth_area(const char *name)
{
	for (unsigned int i = 0; i < SIM_AREAS; i++)
		if (strcmp(area_names[i], name) == 0)
			return i;
	g_error("there is no area %s", name);
}

unsigned int truth_key(const char *name)
{
	unsigned int key = name[0] == 'k' && name[1] && !name[2] ? (unsigned int)(name[1] - '0')
								 : SIM_KEYS;

	if (key >= SIM_KEYS)
		g_error("there is no key %s", name);
	return key;
}

const char *truth_area_name(unsigned int area)
{
	return area_names[area];
}

uint64_t truth_id(const char *value)
{
	return value ? g_ascii_strtoull(value + strcspn(value, "0123456789"), NULL, 10) : 0;
}

uint64_t truth_put(struct truth *truth, unsigned int area, unsigned int key, uint64_t id,
		   uint64_t now)
{
	struct history *history = &truth->keys[area][key];
	const struct version version = { id, now };

	g_array_append_val(history->versions, version);
	return history->pruned + history->versions->len;
}

static const struct version *history_newest(const struct history *history)
{
	return &g_array_index(history->versions, struct version, history->versions->len - 1);
}

uint64_t truth_now(const struct truth *truth, unsigned int area, unsigned int key)
{
	return history_newest(&truth->keys[area][key])->id;
}

bool truth_held(const struct truth *truth, unsigned int area, unsigned int key, uint64_t id,
		uint64_t from, uint64_t since)
{
	const struct history *history = &truth->keys[area][key];
	uint64_t until = G_MAXUINT64;

	for (unsigned int i = history->versions->len; i-- > 0;) {
		const struct version *version =
			&g_array_index(history->versions, struct version, i);

		if (until < since || history->pruned + i + 1 < from)
			return false;
		if (version->id == id)
			return true;
		until = version->since;
	}
	return since == 0 && from <= history->pruned;
}

uint64_t truth_place(const struct truth *truth, unsigned int area, unsigned int key, uint64_t id,
		     uint64_t from)
{
	const struct history *history = &truth->keys[area][key];

	for (unsigned int i = 0; i < history->versions->len; i++)
		if (history->pruned + i + 1 >= from &&
		    g_array_index(history->versions, struct version, i).id == id)
			return history->pruned + i + 1;
	return 0;
}

uint64_t truth_last(const struct truth *truth, unsigned int area, unsigned int key)
{
	const struct history *history = &truth->keys[area][key];

	return history->pruned + history->versions->len;
}

void truth_prune(struct truth *truth)
{
	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++) {
		struct history *history = &truth->keys[i / SIM_KEYS][i % SIM_KEYS];
		struct version newest = *history_newest(history);

		history->pruned += history->versions->len - 1;
		g_array_unref(history->versions);
		history->versions = g_array_new(FALSE, FALSE, sizeof(struct version));
		g_array_append_val(history->versions, newest);
	}
}

uint64_t truth_memory(const struct truth *truth)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++)
		bytes += memory_of(truth->keys[i / SIM_KEYS][i % SIM_KEYS].versions->data);
	return bytes;
}

char *truth_show(const struct truth *truth, unsigned int area, unsigned int key)
{
	const struct history *history = &truth->keys[area][key];
	GString *text = g_string_new(NULL);
	unsigned int n = MIN(history->versions->len, 12);

	for (unsigned int i = history->versions->len - n; i < history->versions->len; i++) {
		const struct version *version =
			&g_array_index(history->versions, struct version, i);

		g_string_append_printf(text, " %" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT
				       " since %.6f s", history->pruned + i + 1, version->id,
				       (double)version->since / 1e6);
	}
	return g_string_free(text, FALSE);
}
