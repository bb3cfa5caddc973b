/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "control.h"

#define WORDS 4 /* of a command, at most; the last takes the rest of the line */

/* A command at work: one direction of it, where it has one. */
struct command {
	struct proxy *proxy;
	uint64_t now;
	char **words;
	enum direction direction;
};

/* Each returns to how many connections something was done, or a negative errno. */
typedef int (*deed_t)(const struct command *command);

static uint64_t number(const struct command *command, int word)
{
	return g_ascii_strtoull(command->words[word], NULL, 10);
}

static bool is(const struct command *command, int word, const char *text)
{
	return strcmp(command->words[word], text) == 0;
}

static struct flow_faults *faults(const struct command *command)
{
	return proxy_faults(command->proxy, command->direction);
}

static int do_cut(const struct command *command)
{
	return (int)proxy_cut(command->proxy);
}

static int do_reset(const struct command *command)
{
	return (int)proxy_reset(command->proxy);
}

static int do_shut(const struct command *command)
{
	return (int)proxy_shut(command->proxy, command->direction);
}

static int do_hole(const struct command *command)
{
	if (is(command, 2, "stop"))
		faults(command)->hole = FLOW_STOPPED;
	else if (is(command, 2, "swallow"))
		faults(command)->hole = FLOW_SWALLOWING;
	else if (is(command, 2, "off"))
		faults(command)->hole = FLOW_OPEN;
	else
		return -EINVAL;
	return 0;
}

static int do_throttle(const struct command *command)
{
	faults(command)->rate = number(command, 2);
	return 0;
}

static int do_delay(const struct command *command)
{
	faults(command)->delay = number(command, 2) * 1000;
	faults(command)->jitter = number(command, 3) * 1000;
	return 0;
}

static int do_dribble(const struct command *command)
{
	faults(command)->dribble = (unsigned int)MIN(number(command, 2), FLOW_BYTES);
	return 0;
}

static int do_random(const struct command *command)
{
	return (int)proxy_add_random(command->proxy, command->now, command->direction,
				     MIN(number(command, 2), FLOW_ADD_BYTES));
}

static int do_line(const struct command *command)
{
	g_autofree char *text = g_strjoinv(" ", command->words + 2);
	g_autofree char *line = g_strconcat(text, "\n", NULL);

	return (int)proxy_add(command->proxy, command->now, command->direction, line, strlen(line),
			      true);
}

static int do_filler(const struct command *command)
{
	return (int)proxy_add_filler(command->proxy, command->now, command->direction,
				     number(command, 2));
}

static int do_replay(const struct command *command)
{
	return (int)proxy_replay(command->proxy, command->now, command->direction,
				 is(command, 2, "older"));
}

static int do_anew(const struct command *command)
{
	return (int)proxy_replay_anew(command->proxy, command->now, is(command, 1, "older"));
}

static int do_refuse(const struct command *command)
{
	if (is(command, 1, "on"))
		return proxy_refuse(command->proxy, REFUSE_ALL);
	if (is(command, 1, "gone"))
		return proxy_refuse(command->proxy, REFUSE_GONE);
	return proxy_refuse(command->proxy, REFUSE_NOBODY);
}

static int do_mute(const struct command *command)
{
	proxy_mute(command->proxy, is(command, 1, "on"));
	return 0;
}

static int do_heal(const struct command *command)
{
	return proxy_heal(command->proxy);
}

static const struct verb {
	const char *name;
	unsigned int words;	/* at least, its own included */
	bool directed;
	deed_t deed;
} verbs[] = {
	{ "cut", 1, false, do_cut },	     { "reset", 1, false, do_reset },
	{ "shut", 2, true, do_shut },	     { "hole", 3, true, do_hole },
	{ "throttle", 3, true, do_throttle }, { "delay", 4, true, do_delay },
	{ "dribble", 3, true, do_dribble },   { "random", 3, true, do_random },
	{ "line", 3, true, do_line },	     { "filler", 3, true, do_filler },
	{ "replay", 3, true, do_replay },    { "anew", 2, false, do_anew },
	{ "refuse", 2, false, do_refuse },   { "mute", 2, false, do_mute },
	{ "heal", 1, false, do_heal },
};

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Once per direction where the command has one. */
static int verb_run(const struct verb *verb, struct command *command)
{
	static const char *const names[DIRECTIONS] = { "up", "down" };
	int r = -EINVAL, n = 0;

	if (!verb->directed)
		return verb->deed(command);
	for (enum direction i = UP; i < DIRECTIONS; i++) {
		if (!is(command, 1, names[i]) && !is(command, 1, "both"))
			continue;
		command->direction = i;
		r = verb->deed(command);
		if (r < 0)
			return r;
		n += r;
	}
	return r < 0 ? r : n;
}

void control_line(struct proxy *proxy, uint64_t now, const char *line, GString *answer)
{
	g_auto(GStrv) words = g_strsplit(line, " ", WORDS);
	struct command command = { .proxy = proxy, .now = now, .words = words };
	const struct verb *verb;
	int r;

	if (words[0] && strcmp(words[0], "stats") == 0) {
		g_string_append(answer, "ok ");
		proxy_stats(proxy, answer);
		return;
	}
	verb = words[0] ? verb_find(words[0]) : NULL;
	r = verb && g_strv_length(words) >= verb->words ? verb_run(verb, &command) : -EINVAL;
	if (r < 0)
		g_string_append_printf(answer, "error %s", g_strerror(-r));
	else
		g_string_append_printf(answer, "ok %d", r);
}
