/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How the line, the queue and the daemon are, as the daemon tells it: its properties and its
 * statistics, gathered in one struct.
 */

#include <stdint.h>
#include <systemd/sd-bus.h>

struct overview {
	/* Monitor; texts are NULL until they were read, times are usec */
	char *state, *reason, *parent, *last_error, *storage_error;
	uint64_t state_since, last_ping, last_pong, total_pings, total_pongs, latency, interval;
	uint32_t failed, max_failed;
	/* Storage and Manager */
	char *area, *version;
	uint32_t queue_size;
	uint64_t queue_bytes;
};

/** overview_deinit() - free the texts; the struct may be used again after it was cleared. */
void overview_deinit(struct overview *overview);

/**
 * overview_read() - take what a reply says: a GetAll of any of our interfaces, or GetStats.
 * @m: stands before an a{sv}; members that are not known here are skipped, so that a newer daemon
 *     can say more
 *
 * Return: 0, or a negative errno where the reply cannot be read.
 */
int overview_read(struct overview *overview, sd_bus_message *m);
