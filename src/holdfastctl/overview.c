/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon tells of itself; see overview.h. Properties and statistics both are an a{sv}; one
 * table says where each member goes. */

#include <glib.h>
#include <stddef.h>
#include <string.h>

#include "holdfastctl/overview.h"

static const struct member {
	const char *name;
	char type;
	size_t offset;
} members[] = {
	{ "State", 's', offsetof(struct overview, state) },
	{ "Reason", 's', offsetof(struct overview, reason) },
	{ "Parent", 's', offsetof(struct overview, parent) },
	{ "HeartbeatInterval", 't', offsetof(struct overview, interval) },
	{ "MaxFailedPings", 'u', offsetof(struct overview, max_failed) },
	{ "last-error", 's', offsetof(struct overview, last_error) },
	{ "storage-error", 's', offsetof(struct overview, storage_error) },
	{ "state-since", 't', offsetof(struct overview, state_since) },
	{ "last-ping-time", 't', offsetof(struct overview, last_ping) },
	{ "last-pong-time", 't', offsetof(struct overview, last_pong) },
	{ "total-pings", 't', offsetof(struct overview, total_pings) },
	{ "total-pongs", 't', offsetof(struct overview, total_pongs) },
	{ "average-latency", 't', offsetof(struct overview, latency) },
	{ "failed-pings", 'u', offsetof(struct overview, failed) },
	{ "Area", 's', offsetof(struct overview, area) },
	{ "QueueSize", 'u', offsetof(struct overview, queue_size) },
	{ "QueueBytes", 't', offsetof(struct overview, queue_bytes) },
	{ "Version", 's', offsetof(struct overview, version) },
};

void overview_deinit(struct overview *overview)
{
	for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
		if (members[i].type == 's')
			g_free(G_STRUCT_MEMBER(char *, overview, members[i].offset));
}

static const struct member *find_member(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
		if (strcmp(members[i].name, name) == 0)
			return &members[i];
	return NULL;
}

static int read_member(struct overview *overview, sd_bus_message *m, const char *name)
{
	const struct member *member = find_member(name);
	const char type[] = { member ? member->type : '\0', '\0' };
	const char *text;
	int r;

	if (!member)
		return sd_bus_message_skip(m, "v");
	if (member->type != 's')
		return sd_bus_message_read(m, "v", type,
					   G_STRUCT_MEMBER_P(overview, member->offset));
	r = sd_bus_message_read(m, "v", "s", &text);
	if (r > 0) {
		g_free(G_STRUCT_MEMBER(char *, overview, member->offset));
		G_STRUCT_MEMBER(char *, overview, member->offset) = g_strdup(text);
	}
	return r;
}

int overview_read(struct overview *overview, sd_bus_message *m)
{
	const char *name;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r > 0)
			r = read_member(overview, m, name);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : 0;
}
