/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See client-words.h. */

#include <string.h>

#include "client-words.h"
#include "core/limits.h"

#define TEXT(maker, name, list) maker_text(maker, name, (list)[input_pick((maker)->input, \
								 G_N_ELEMENTS(list))])

const char *const client_words_tokens[4] = { "alpha", "beta", "gamma", "nobody's" };

static const char *const areas[] = { "a", "b", "a", "a", "1/a", ".a", "", "a b" };

GString *client_words_hello(unsigned int which, const char *token)
{
	g_autofree char *id = g_strdup_printf("%032x", which + 1);
	GString *line = g_string_new(NULL);

	message_format_hello(line, id, token, false);
	return line;
}

static void put_request(struct maker *maker)
{
	unsigned int which = input_pick(maker->input, 32);
	g_autofree char *id = NULL;

	if (which == 31)
		return;
	id = which == 30 ? g_strnfill(LIMIT_REQUEST_ID_BYTES + input_pick(maker->input, 2), 'i')
			 : g_strdup_printf("q%u", which);
	maker_text(maker, "requestId", id);
}

static void put_key(struct maker *maker)
{
	static const char *const odd[] = {
		"", "\\u0001", "\\u0000", "\\u0085", "k\\/0", "\\ud83d\\ude00",
	};
	unsigned int which = input_pick(maker->input, 32);
	g_autofree char *key = NULL;

	if (which < G_N_ELEMENTS(odd))
		key = g_strdup(odd[which]);
	else if (which < 8)
		key = g_strnfill(LIMIT_KEY_BYTES + which - 6, 'k');
	else
		key = g_strdup_printf("k%u", which % 8);
	maker_text(maker, "key", key);
}

/* The quota of a principal is some hundred bytes. */
static void put_value(struct maker *maker)
{
	static const size_t sizes[] = { 0, 1, 2, 10, 50, 100, 200, 590, 3, 4, 5, 6, 7, 8 };
	unsigned int which = input_pick(maker->input, 64);
	g_autofree char *value = NULL;

	if (which < G_N_ELEMENTS(sizes))
		value = g_strnfill(sizes[which], 'v');
	else if (which == 14)
		value = g_strdup("\\u0000");
	else if (which == 15)
		value = g_strdup("\\ud800");
	else if (which == 16 && input_pick(maker->input, 16) == 0)
		value = g_strnfill(LIMIT_VALUE_BYTES + input_pick(maker->input, 2), 'V');
	else if (which == 17)
		value = g_strdup("\\n\\\"\\u00e9");
	else if (which > 40)
		value = g_strnfill((which - 40) * 25, 'w');
	else
		value = g_strdup_printf("v%u", which);
	maker_text(maker, "value", value);
}

static void make_hello(struct maker *maker, const struct client_peer *peer)
{
	g_autofree char *id = g_strdup_printf("%032x", 1 + input_pick(maker->input, 4));
	unsigned int token = input_pick(maker->input, 8);

	(void)peer;
	maker_number(maker, "protocol", 1);
	maker_text(maker, "client", id);
	if (token < G_N_ELEMENTS(client_words_tokens))
		maker_text(maker, "token", client_words_tokens[token]);
	maker_json(maker, "features", token == 4 ? "[\"watch\"]" : "[]");
}

static void make_ping(struct maker *maker, const struct client_peer *peer)
{
	(void)peer;
	maker_number(maker, "pingTime", 1 + input_pick(maker->input, 4));
}

static void make_get(struct maker *maker, const struct client_peer *peer)
{
	(void)peer;
	put_request(maker);
	TEXT(maker, "area", areas);
	put_key(maker);
}

static void make_save(struct maker *maker, const struct client_peer *peer)
{
	make_get(maker, peer);
	put_value(maker);
}

static void make_watch(struct maker *maker, const struct client_peer *peer)
{
	(void)peer;
	put_request(maker);
	TEXT(maker, "area", areas);
	maker_number(maker, "since", 0);
}

static void make_op(struct maker *maker)
{
	static const char *const types[] = {
		"saveToParentStorage", "removeFromParentStorage", "saveToParentStorage",
		"saveToParentStorage", "removeFromParentStorage", "getFromParentStorage", "",
		"batch",
	};
	unsigned int type = input_pick(maker->input, 32), group;

	g_string_append_printf(maker->out, "{\"type\":\"%s\"", types[type < 8 ? type : type % 2]);
	TEXT(maker, "area", areas);
	put_key(maker);
	if (type < 8 || type % 2 == 0)
		put_value(maker);
	group = input_pick(maker->input, 8);
	if (group < 4)
		maker_number(maker, "group", group % 3);
	g_string_append_c(maker->out, '}');
}

/* The ops so far again and again, unless they are large. */
static void repeat_ops(struct maker *maker, size_t from, unsigned int times)
{
	g_autofree char *op = g_strdup(maker->out->str + from);

	for (unsigned int i = 1; i < times && i * strlen(op) < 200000; i++)
		g_string_append_printf(maker->out, ",%s", op);
}

static void make_ops(struct maker *maker)
{
	static const unsigned int many[] = { 300, LIMIT_BATCH_OPS, LIMIT_BATCH_OPS + 1 };
	unsigned int n = input_pick(maker->input, 64);
	size_t from;

	g_string_append(maker->out, ",\"ops\":[");
	from = maker->out->len;
	for (unsigned int i = 0; i < n % 8; i++) {
		if (i > 0)
			g_string_append_c(maker->out, ',');
		make_op(maker);
	}
	if (n >= 61 && n % 8 > 0)
		repeat_ops(maker, from, many[n - 61] / (n % 8));
	g_string_append_c(maker->out, ']');
}

static void make_batch(struct maker *maker, const struct client_peer *peer)
{
	uint64_t number = client_peer_next(peer);
	unsigned int which = input_pick(maker->input, 16);
	g_autofree char *id = NULL;

	if (which == 1)
		number--;
	else if (which == 2)
		number = MAX(number, 3) - 2;
	else if (which == 3)
		number += 5;
	put_request(maker);
	maker_number(maker, "batch", number);
	id = g_strdup_printf("%032" G_GINT64_MODIFIER "x", number + (which == 4));
	maker_text(maker, "id", which == 5 ? "F" : id);
	make_ops(maker);
}

static void make_other(struct maker *maker, const struct client_peer *peer)
{
	static const char *const classes[] = { "transient", "auth", "x" };

	make_save(maker, peer);
	TEXT(maker, "class", classes);
	maker_number(maker, "revision", 1);
}

static const struct {
	const char *type;
	void (*make)(struct maker *maker, const struct client_peer *peer);
} makers[] = {
	{ "batch", make_batch },
	{ "batch", make_batch },
	{ "batch", make_batch },
	{ "batch", make_batch },
	{ "getFromParentStorage", make_get },
	{ "getFromParentStorage", make_get },
	{ "saveToParentStorage", make_save },
	{ "removeFromParentStorage", make_get },
	{ "ping", make_ping },
	{ "hello", make_hello },
	{ "watch", make_watch },
	{ "error", make_other },
	{ "storageResponse", make_other },
	{ "pong", make_ping },
	{ "news", make_other },
	{ "batch", make_batch },
};

GString *client_words_message(const struct client_peer *peer, struct input *input)
{
	unsigned int which = input_pick(input, G_N_ELEMENTS(makers));
	struct maker maker;

	maker_begin(&maker, input, makers[which].type);
	makers[which].make(&maker, peer);
	return maker_end(&maker);
}
