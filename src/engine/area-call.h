/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One call that changes an area, from its arrival to its answer. */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "store/store.h"

struct engine;

enum area_call_kind {
	AREA_CALL_WRITE,
	AREA_CALL_RETRY,	/* a refused entry again */
	AREA_CALL_FORGET,	/* a refused entry no more */
};

struct area_call {
	enum area_call_kind kind;
	uint64_t arrival;		/* calls of an area are numbered as they come */
	struct outbox_write *writes;	/* &single, or n of them */
	size_t n;
	bool group;
	struct outbox_write single;
	uint64_t rejected;		/* serial, for the other two kinds */
	char *key, *value;		/* of a retried entry */
	uint64_t serial;		/* of its last write, once staged */
	int error;			/* it was refused; told with the others of its plan … */
	const char *detail;		/* … so that calls are answered in order */
	/* The answer, as area_wrote_t or as area_done_t (area.h). */
	void (*wrote)(void *data, int error, const char *detail, uint64_t serial);
	void (*done)(void *data, int error, const char *detail);
	void *data;
};

struct area_call *area_call_new(enum area_call_kind kind, uint64_t arrival, void *data);

/* Where a call's writes go. */
struct area_call_place {
	int64_t area;		 /* id */
	int64_t owner;		 /* whose BytesPerUser counts */
	struct outbox *outbox;
	int64_t *planned_growth; /* of the items of a local store, by the plan under way */
};

/**
 * area_call_stage() - stage its writes in the outbox, where there is room. What does not grow is
 * always taken: it may be what makes room.
 *
 * Return: HF_OK, or HF_QUOTA_EXCEEDED with call->detail.
 */
int area_call_stage(struct area_call *call, struct engine *engine,
		    const struct area_call_place *place);

/** area_call_answer() - answer and free it. */
void area_call_answer(struct area_call *call, int error, const char *detail);

/** area_call_set_writes() - copied; their strings are not. */
void area_call_set_writes(struct area_call *call, const struct outbox_write *writes, size_t n,
			  bool group);

/** area_call_take_rejected() - the write of a retried entry, from its row; a store_rejected_func_t
 * with the call as data. The first row counts. */
int area_call_take_rejected(void *data, const struct store_rejected *row);

/**
 * area_call_note_keys() - note the call as the last that writes its keys.
 * @unsettled: key → &arrival of the last unanswered call that writes it
 */
void area_call_note_keys(struct area_call *call, GHashTable *unsettled);
/** area_call_forget_keys() - it is about to be answered. */
void area_call_forget_keys(const struct area_call *call, GHashTable *unsettled);
