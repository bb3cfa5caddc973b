/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The configuration's keys, and the reading of a file; see config.h. What a single value may be is
 * config-field.c and config-value.c.
 *
 * GKeyFile is not used: it rejects a whole file for one bad line and gives no line numbers. The
 * syntax is its own all the same: groups, key=value, comments, the escapes \s \n \t \r \\.
 *
 * Every key is a row of fields[]; reading, range check, complaint and override work from the row
 * alone. A row whose place is inside config.area may also stand in an [Area NAME] section. The
 * overrides keep which rows were set, and not a copy of the rest: a later file may still change
 * what all areas share.
 */

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "core/config-field.h"
#include "core/config.h"
#include "core/key.h"
#include "core/limits.h"

#define AREA_SECTION "Area"
#define QUOTE_BYTES  64 /* of a bad value that a warning repeats */

#define MSEC USEC_PER_MSEC
#define SEC  USEC_PER_SEC
#define MIB  (UINT64_C(1) << 20)

#define FIELD(section, key, type, member, ...)                                                     \
	{ section, key, FIELD_##type, offsetof(struct config, member), __VA_ARGS__ }
#define AT_LEAST(min) (min), UINT64_MAX
#define COUNT_FROM(min) (min), UINT_MAX

/* The lower bounds keep a timer from running hot; the rest is the user's own choice. */
static const struct field fields[] = {
	FIELD("Parent", "Address", STRING, parent_address, 0, 0),
	FIELD("Parent", "ParentUser", STRING, parent_user, 0, 0),
	FIELD("Parent", "TokenFile", STRING, parent_token_file, 0, 0),
	FIELD("Parent", "TLSCAFile", STRING, parent_tls_ca_file, 0, 0),
	FIELD("Parent", "RequestTimeout", TIME, parent_request_timeout, AT_LEAST(MSEC)),
	FIELD("Parent", "BatchTimeout", TIME, parent_batch_timeout, AT_LEAST(MSEC)),
	FIELD("Parent", "DialTimeout", TIME, parent_dial_timeout, AT_LEAST(MSEC)),
	FIELD("Heartbeat", "Interval", TIME, heartbeat_interval, AT_LEAST(10 * MSEC)),
	FIELD("Heartbeat", "Timeout", TIME, heartbeat_timeout, AT_LEAST(10 * MSEC)),
	FIELD("Heartbeat", "MaxFailedPings", COUNT, heartbeat_max_failed, COUNT_FROM(1)),
	FIELD("Heartbeat", "AutoRecover", BOOL, heartbeat_auto_recover, 0, 1),
	FIELD("Retry", "MaxAttempts", COUNT, area.retry_max_attempts, COUNT_FROM(1)),
	FIELD("Retry", "InitialDelay", TIME, retry_initial_delay, AT_LEAST(0)),
	FIELD("Retry", "MaxDelay", TIME, retry_max_delay, AT_LEAST(0)),
	FIELD("Retry", "Multiplier", FACTOR, retry_multiplier, AT_LEAST(1)),
	FIELD("Reconnect", "InitialDelay", TIME, reconnect_initial_delay, AT_LEAST(MSEC)),
	FIELD("Reconnect", "MaxDelay", TIME, reconnect_max_delay, AT_LEAST(MSEC)),
	FIELD("Cache", "TTL", TIME, area.cache_ttl, AT_LEAST(0)),
	FIELD("Cache", "MaxBytes", SIZE, cache_max_bytes, AT_LEAST(0)),
	FIELD("Debounce", "Delay", TIME, area.debounce_delay, AT_LEAST(0)),
	FIELD("Debounce", "MaxDelay", TIME, area.debounce_max_delay, AT_LEAST(0)),
	FIELD("Queue", "Limit", COUNT, area.queue_limit, COUNT_FROM(1)),
	FIELD("Queue", "MaxBytes", SIZE, area.queue_max_bytes, AT_LEAST(1)),
	FIELD("Queue", "Overflow", OVERFLOW, area.queue_overflow, 0, CONFIG_OVERFLOW_DROP_OLDEST),
	FIELD("Storage", "Durability", DURABILITY, storage_durability, 0, CONFIG_DURABILITY_MEMORY),
	FIELD("Storage", "MaxValueSize", SIZE, storage_max_value_size, 1, LIMIT_VALUE_BYTES),
	FIELD("Storage", "MaxBytes", SIZE, storage_max_bytes, AT_LEAST(1)),
	FIELD("Limits", "AreasPerUser", COUNT, limits_areas_per_user, COUNT_FROM(1)),
	FIELD("Limits", "BytesPerUser", SIZE, limits_bytes_per_user, AT_LEAST(1)),
};

G_STATIC_ASSERT(G_N_ELEMENTS(fields) <= 64); /* area_override.set has a bit for each */

struct area_override {
	uint64_t set;		   /* bit n: fields[n] was given */
	struct config_area values; /* only of the given ones */
};

/* The reading of one file. */
struct loader {
	struct config *config;
	const char *file;
	unsigned int line;
	config_warn_t warn;
	void *data;
	unsigned int warnings;
	bool in_section;	    /* a header was seen, known or not */
	const char *section;	    /* of fields[]; NULL: unknown, its lines are skipped */
	struct area_override *area; /* in [Area NAME] */
};

/*
 * The design's table. Not in fields[] as text: a default that does not parse could then only be
 * found at run time.
 */
void config_init(struct config *config)
{
	*config = (struct config){
		.parent_request_timeout = 1 * SEC,
		.parent_batch_timeout = 10 * SEC,
		.parent_dial_timeout = 2 * SEC,
		.heartbeat_interval = 5 * SEC,
		.heartbeat_timeout = 2 * SEC,
		.heartbeat_max_failed = 3,
		.heartbeat_auto_recover = true,
		.retry_initial_delay = 100 * MSEC,
		.retry_max_delay = 2 * SEC,
		.retry_multiplier = 2,
		.reconnect_initial_delay = 100 * MSEC,
		.reconnect_max_delay = 5 * SEC,
		.cache_max_bytes = 8 * MIB,
		.storage_durability = CONFIG_DURABILITY_FULL,
		.storage_max_value_size = 1 * MIB,
		.storage_max_bytes = 64 * MIB,
		.limits_areas_per_user = 256,
		.limits_bytes_per_user = 256 * MIB,
		.area = {
			.debounce_delay = 300 * MSEC,
			.debounce_max_delay = 2 * SEC,
			.cache_ttl = 5 * SEC,
			.queue_max_bytes = 16 * MIB,
			.queue_limit = 10000,
			.queue_overflow = CONFIG_OVERFLOW_REJECT,
			.retry_max_attempts = 3,
		},
	};
}

/* The table knows which members own memory; all zero afterwards, so that twice is fine. */
void config_deinit(struct config *config)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(fields); i++)
		if (fields[i].type == FIELD_STRING)
			g_free(*(char **)((char *)config + fields[i].offset));
	if (config->overrides)
		g_hash_table_unref(config->overrides);
	memset(config, 0, sizeof(*config));
}

/* The place says it: no second list of what an area may override. */
static bool field_of_area(const struct field *f)
{
	return f->offset >= offsetof(struct config, area) &&
	       f->offset < offsetof(struct config, area) + sizeof(struct config_area);
}

/* Its bit in area_override.set. */
static uint64_t field_bit(const struct field *f)
{
	return UINT64_C(1) << (f - fields);
}

static void *area_place(struct config_area *area, const struct field *f)
{
	return (char *)area + (f->offset - offsetof(struct config, area));
}

/* A file of nothing but errors must not fill the log. */
static void loader_warn(struct loader *l, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void loader_warn(struct loader *l, const char *format, ...)
{
	g_autofree char *message = NULL;
	va_list args;

	l->warnings++;
	if (!l->warn || l->warnings > LIMIT_CONFIG_WARNINGS)
		return;
	if (l->warnings == LIMIT_CONFIG_WARNINGS) {
		l->warn(l->data, l->file, l->line,
			"too many errors in this file; no more of them are shown");
		return;
	}
	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	l->warn(l->data, l->file, l->line, message);
}

/* How many bytes of @text a warning repeats: whole characters only. */
static int quoted(const char *text)
{
	size_t len = strnlen(text, QUOTE_BYTES + 1);

	if (len > QUOTE_BYTES)
		for (len = QUOTE_BYTES; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	return (int)len;
}

/* What stays in force where a value is refused. */
static char *used_text(const struct loader *l, const struct field *f)
{
	if (!l->area)
		return field_text(f, (char *)l->config + f->offset);
	if (l->area->set & field_bit(f))
		return field_text(f, area_place(&l->area->values, f));
	return g_strdup_printf("that of [%s]", f->section);
}

static void warn_value(struct loader *l, const struct field *f, const char *text, int error)
{
	g_autofree char *used = used_text(l, f);
	g_autofree char *range = NULL;

	if (f->type == FIELD_STRING) { /* perhaps a secret: not repeated */
		loader_warn(l, "%s= is not %s; using %s", f->key, field_type_text(f), used);
	} else if (error == -ERANGE) {
		range = field_range_text(f);
		loader_warn(l, "%s=%.*s is out of range, it must be %s; using %s", f->key,
			    quoted(text), text, range, used);
	} else {
		loader_warn(l, "%s=%.*s is not %s; using %s", f->key, quoted(text), text,
			    field_type_text(f), used);
	}
}

/* MaxDelay and MaxBytes stand in several sections; in [Area NAME] only one of each can be meant. */
static const struct field *field_find(const struct loader *l, const char *key)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(fields); i++) {
		const struct field *f = &fields[i];

		if (strcmp(f->key, key) != 0)
			continue;
		if (l->area ? field_of_area(f) : strcmp(f->section, l->section) == 0)
			return f;
	}
	return NULL;
}

/* Only the first = splits: a value may have more of them. */
static void load_pair(struct loader *l, char *text)
{
	char *equals = strchr(text, '=');
	const struct field *f;
	const char *value;
	int r;

	if (!equals || equals == text) {
		loader_warn(l, "neither [Section], Key=value nor a # comment; line ignored");
		return;
	}
	if (!l->in_section)
		loader_warn(l, "stands before the first [Section]; line ignored");
	if (!l->section && !l->area)
		return; /* the section was complained about */

	*equals = '\0';
	g_strchomp(text);
	value = g_strchug(equals + 1);
	f = field_find(l, text);
	if (!f) {
		loader_warn(l, "unknown key %.*s in [%s]; line ignored", quoted(text), text,
			    l->area ? AREA_SECTION " NAME" : l->section);
		return;
	}
	r = field_set(f, value, l->area ? area_place(&l->area->values, f)
					: (char *)l->config + f->offset);
	if (r < 0)
		warn_value(l, f, value, r);
	else if (l->area)
		l->area->set |= field_bit(f);
}

/* The same name again, in this file or another, goes on with what it has. */
static void load_area_section(struct loader *l, const char *name)
{
	GHashTable *overrides = l->config->overrides;

	if (!area_name_valid(name)) {
		loader_warn(l, "[Area NAME] needs a name of 1-%d characters A-Z a-z 0-9 . _ - that "
			       "does not start with a dot; section ignored", LIMIT_AREA_NAME_BYTES);
		return;
	}
	if (!overrides) {
		overrides = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
		l->config->overrides = overrides;
	}
	l->area = g_hash_table_lookup(overrides, name);
	if (l->area)
		return;
	if (g_hash_table_size(overrides) >= LIMIT_CONFIG_AREAS) {
		loader_warn(l, "more than %d [Area NAME] sections; section ignored",
			    LIMIT_CONFIG_AREAS);
		return;
	}
	l->area = g_new0(struct area_override, 1);
	g_hash_table_insert(overrides, g_strdup(name), l->area);
}

/*
 * Whatever is wrong with a header, the lines below it must not land in the section above: one
 * complaint, and all up to the next header is skipped.
 */
static void load_section(struct loader *l, char *text)
{
	const size_t prefix = strlen(AREA_SECTION);
	size_t len = strlen(text);
	char *name = text + 1;

	l->in_section = true;
	l->section = NULL;
	l->area = NULL;
	if (text[len - 1] != ']') {
		loader_warn(l, "a section's header must end with ]; section ignored");
		return;
	}
	text[len - 1] = '\0';
	g_strstrip(name);
	if (strncmp(name, AREA_SECTION, prefix) == 0 &&
	    (!name[prefix] || g_ascii_isspace(name[prefix]))) {
		load_area_section(l, g_strchug(name + prefix));
		return;
	}
	for (unsigned int i = 0; i < G_N_ELEMENTS(fields) && !l->section; i++)
		if (strcmp(fields[i].section, name) == 0)
			l->section = fields[i].section;
	if (!l->section)
		loader_warn(l, "unknown section [%.*s]; section ignored", quoted(name), name);
}

/* A comment may hold what it likes, Latin-1 from an old editor included. */
static void load_line(struct loader *l, const char *line, size_t len)
{
	g_autofree char *text = NULL;

	while (len > 0 && g_ascii_isspace(line[len - 1])) /* a carriage return, too */
		len--;
	while (len > 0 && g_ascii_isspace(*line))
		line++, len--;
	if (len == 0 || *line == '#' || *line == ';')
		return;
	/* Refuses a NUL, too. */
	if (!g_utf8_validate_len(line, len, NULL)) {
		loader_warn(l, "not UTF-8 text; line ignored");
		return;
	}
	text = g_strndup(line, len);
	if (*text == '[')
		load_section(l, text);
	else
		load_pair(l, text);
}

void config_load_text(struct config *config, const char *file, const char *text, size_t len,
		      config_warn_t warn, void *data)
{
	/* Some editors put it before the text; it would make the first header unknown. */
	static const char bom[] = { '\xef', '\xbb', '\xbf' };
	struct loader l = { .config = config, .file = file, .warn = warn, .data = data };
	const char *end = text + len, *newline;

	if (len >= sizeof(bom) && memcmp(text, bom, sizeof(bom)) == 0)
		text += sizeof(bom);
	while (text < end) {
		newline = memchr(text, '\n', (size_t)(end - text));
		if (!newline)
			newline = end;
		l.line++;
		load_line(&l, text, (size_t)(newline - text));
		text = newline < end ? newline + 1 : end;
	}
}

void config_area(const struct config *config, const char *name, struct config_area *ret_area)
{
	struct area_override *override = NULL;

	if (config->overrides)
		override = g_hash_table_lookup(config->overrides, name);
	/* Laid over at each asking, so that what is not overridden follows a later file. */
	*ret_area = config->area;
	for (unsigned int i = 0; override && i < G_N_ELEMENTS(fields); i++) {
		const struct field *f = &fields[i];

		if (override->set & field_bit(f))
			field_copy(f, area_place(ret_area, f), area_place(&override->values, f));
	}
}
