/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon's numbers, asked for once a second: how the line is, how much waits and since when, and
 * each round trip that was measured between two answers.
 *
 * It asks one process, by its unique name, so that it never starts a daemon that was stopped; it
 * never waits, and has no more than one question of a kind under way.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "holdfastctl/client.h"
#include "holdfastctl/overview.h"

struct sample {
	struct overview overview;
	uint64_t oldest;	/* when the oldest entry was queued, realtime usec; 0: none, unknown */
	bool ponged;		/* a round trip was measured since the last sample: */
	uint64_t round_trip;	/* usec */
	bool lost;		/* a ping went unanswered since the last sample */
};

struct sampler_ops {
	/* An answer; what is taken out of @sample's overview is to be zeroed there. */
	void (*sample)(void *data, struct sample *sample);
	/* No answer; @client has the sentence. It is asked again in a second. */
	void (*no_answer)(void *data);
};

struct sampler;

/** sampler_new() - nobody is asked yet. All pointers are borrowed. Return: 0 or a negative errno. */
int sampler_new(struct sampler **ret_sampler, struct client *client, sd_event *event,
		const struct sampler_ops *ops, void *data);
struct sampler *sampler_free(struct sampler *sampler);

/** sampler_ask() - ask @owner now, and then once a second. NULL: ask nobody. */
void sampler_ask(struct sampler *sampler, const char *owner);

/** sampler_refresh() - something changed: ask the same owner now, if there is one. */
void sampler_refresh(struct sampler *sampler);
