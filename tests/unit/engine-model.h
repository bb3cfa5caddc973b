/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a client knows and may rely on: every write it made, what it was told of it, and from that
 * what a queue may hold, a read may answer and a parent must end up with. It knows the outbox's
 * entries as they are, but nothing of how the engine works.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine-parent.h"

struct outbox;

enum fate {
	FATE_ASKED,	/* no answer yet */
	FATE_FAILED,	/* an error: never was */
	FATE_QUEUED,	/* answered with a serial */
	FATE_REPLACED,	/* a newer write of its key took its place: `heir` */
	FATE_ACKED,	/* the parent has it, and the daemon heard so */
	FATE_REFUSED,
	FATE_DROPPED,
};

struct model_key;

struct model_write {
	struct model_key *key;
	char *value;		/* NULL: a remove */
	bool group;
	uint64_t arrival;	/* of its call, over all calls */
	uint64_t serial, first;
	uint64_t maybe_first;	/* the same, should those in doubt have been replaced */
	enum fate fate;
	struct model_write *heir;
	bool acked, refused, dropped;	/* was told so, before the queue is looked at */
	bool lost;		/* answered into the void of a crash: may be or not */
	bool doubt;		/* replaced, or dropped in that void */
	bool retry;		/* it is a refused one again */
	bool retried;		/* refused, and queued again or forgotten since */
};

struct model_key {
	struct model_area *area;
	char *name;
	GPtrArray *writes;	/* struct model_write by arrival */
	uint64_t disturbed;	/* arrivals when something else touched it, or the parent lost it */
	bool watched;		/* something else ever did */
};

struct model_area {
	char *name;
	GPtrArray *keys;
	GPtrArray *writes;	/* all, by arrival */
	GPtrArray *queued;	/* FATE_QUEUED, by serial */
	GHashTable *early;	/* serials that were dropped before their answer */
	uint64_t last_serial;
};

struct model {
	GPtrArray *areas;
	uint64_t arrivals;
};

struct model *model_new(void);
struct model *model_free(struct model *model);
struct model_area *model_add_area(struct model *model, const char *name, unsigned int keys);
struct model_area *model_area(const struct model *model, const char *name);
struct model_key *model_key(const struct model_area *area, const char *name);

/** model_write() - a call comes; its arrival is model->arrivals. */
struct model_write *model_write(struct model *model, struct model_key *key, const char *value,
				bool group);
/** model_answered() - @serial: of this one write; 0: it failed. */
void model_answered(struct model_write *write, uint64_t serial);

/** model_dropped_early() - @serial, which nobody was told yet, was dropped. */
void model_dropped_early(struct model_area *area, uint64_t serial);

/** model_find() - the queued write with this serial; NULL: none. */
struct model_write *model_find(const struct model_area *area, uint64_t serial);

/** model_check_queue() - @outbox holds exactly what it must. @was_dropped: after a crash, what
 * the store remembers of a serial: drops nobody was told of. Else NULL. */
void model_check_queue(struct model_area *area, const struct outbox *outbox,
		       bool (*was_dropped)(void *data, uint64_t serial), void *data);

/** model_adopt() - after a crash: whatever of the unanswered writes is in @outbox is queued, the
 * rest never was. */
void model_adopt(struct model_area *area, const struct outbox *outbox);

/** model_disturb() - something else touched @key (NULL: all of @area, by a loss of the parent). */
void model_disturb(struct model *model, struct model_area *area, const char *key);

/** model_last() - what the parent must hold last of @key: the newest acked write; NULL: none. */
const struct model_write *model_last(const struct model_key *key);

/**
 * model_check_read() - whether a read that came as @arrival may be answered so, now.
 * @value: NULL: no such item; @unavailable: no answer
 */
void model_check_read(const struct model_key *key, uint64_t arrival, const char *value,
		      bool unavailable);
