/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A quiet client beside a flood; see rival.h. The flood is a process of its own (flood.h), so that
 * the two share nothing but the bus and the daemon. Phases take turns:
 *
 *	idle	the quiet client alone
 *	fill	beside writes that are accepted, up to the quota of the flood's area
 *	full	beside writes that are refused
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "flood.h"
#include "rival.h"
#include "samples.h"

/* Calls that the quiet client makes at most until the flood has met its quota. */
#define FILL_CALLS 1000000

struct quiet {
	sd_bus *connection;
	char *path;
	uint64_t calls;
	struct samples bus, ping, get, set;
};

static void quiet_init(struct quiet *quiet, const char *area)
{
	quiet->connection = client_open();
	quiet->path = client_open_area(quiet->connection, area);
	quiet->calls = 0;
	samples_init(&quiet->bus);
	samples_init(&quiet->ping);
	samples_init(&quiet->get);
	samples_init(&quiet->set);
}

static void quiet_deinit(struct quiet *quiet)
{
	sd_bus_flush_close_unref(quiet->connection);
	free(quiet->path);
	samples_deinit(&quiet->bus);
	samples_deinit(&quiet->ping);
	samples_deinit(&quiet->get);
	samples_deinit(&quiet->set);
}

/* Takes over @m. */
static void quiet_call(struct quiet *quiet, sd_bus_message *m, struct samples *samples)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	uint64_t began = now_usec();

	if (sd_bus_call(quiet->connection, m, CALL_TIMEOUT, &error, NULL) < 0)
		fatal("%s of the quiet client: %s: %s", sd_bus_message_get_member(m), error.name,
		      error.message);
	samples_add(samples, now_usec() - began);
	sd_bus_message_unref(m);
}

/* Ping is answered by libsystemd: what it takes is the bus's doing, and the daemon's loop's. */
static void quiet_round(struct quiet *quiet)
{
	sd_bus_message *m = NULL;
	char value[32];

	g_snprintf(value, sizeof(value), "%" G_GUINT64_FORMAT, ++quiet->calls);
	m = client_call(quiet->connection, quiet->path, "SetItem");
	sd_bus_message_append(m, "ss", "key", value);
	quiet_call(quiet, m, &quiet->set);
	m = client_call(quiet->connection, quiet->path, "GetItem");
	sd_bus_message_append(m, "s", "key");
	quiet_call(quiet, m, &quiet->get);
	if (sd_bus_message_new_method_call(quiet->connection, &m, HF_NAME, HF_ROOT,
					   "org.freedesktop.DBus.Peer", "Ping") < 0)
		fatal("no message");
	quiet_call(quiet, m, &quiet->ping);
	if (sd_bus_message_new_method_call(quiet->connection, &m, "org.freedesktop.DBus",
					   "/org/freedesktop/DBus", "org.freedesktop.DBus",
					   "GetId") < 0)
		fatal("no message");
	quiet_call(quiet, m, &quiet->bus);
}

/* "phase <phase>", then for each method its name, p50, p99 and the longest, usec. */
static void quiet_measure(struct quiet *quiet, const char *phase, uint64_t rounds)
{
	struct samples *all[] = { &quiet->bus, &quiet->ping, &quiet->get, &quiet->set };
	static const char *const names[] = { "Bus", "Ping", "GetItem", "SetItem" };

	for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
		samples_clear(all[i]);
	for (uint64_t i = 0; i < rounds; i++)
		quiet_round(quiet);
	printf("phase %s", phase);
	for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
		printf(" %s %" PRIu64 " %" PRIu64 " %" PRIu64, names[i], samples_at(all[i], 500),
		       samples_at(all[i], 990), samples_at(all[i], 1000));
	printf("\n");
	fflush(stdout);
}

static void until_full(struct quiet *quiet, const struct flood_counts *counts, uint64_t before)
{
	for (int i = 0; i < FILL_CALLS; i++) {
		if (counts->quota > before)
			return;
		quiet_round(quiet);
	}
	fatal("the flood never met its quota");
}

int rival_main(char **args)
{
	uint64_t rounds = option_number(args, "--samples", 500);
	uint64_t turns = option_number(args, "--turns", 5);
	struct flood *flood = flood_start(option_number(args, "--window", 64));
	const struct flood_counts *counts = flood_counts(flood);
	uint64_t before, mixed = 0; /* turns that met the quota before "fill" was measured */
	struct quiet quiet;

	quiet_init(&quiet, "quiet");
	for (uint64_t i = 0; i < 100; i++)
		quiet_round(&quiet);
	for (uint32_t i = 1; i <= turns; i++) {
		quiet_measure(&quiet, "idle", rounds);
		before = counts->quota;
		flood_run(flood, i);
		quiet_measure(&quiet, "fill", rounds);
		mixed += counts->quota > before;
		until_full(&quiet, counts, before);
		quiet_measure(&quiet, "full", rounds);
		flood_rest(flood);
	}
	printf("accepted %" PRIu64 "\nquota %" PRIu64 "\nlimits %" PRIu64 "\nmixed %" PRIu64 "\n",
	       (uint64_t)counts->accepted, (uint64_t)counts->quota, (uint64_t)counts->limits, mixed);
	flood_end(flood);
	quiet_deinit(&quiet);
	return 0;
}

int probe_main(char **args)
{
	struct quiet quiet;

	quiet_init(&quiet, option_text(args, "--area", "quiet"));
	quiet_measure(&quiet, "probe", option_number(args, "--samples", 500));
	quiet_deinit(&quiet);
	return 0;
}
