/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the clients of one daemon know and may rely on: every write they made, what they were told of
 * it, and from that what a queue may hold and a read may answer. It knows the outbox's entries as
 * they are, but nothing of how the engine works.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim-truth.h"

struct outbox;

enum fate {
	FATE_ASKED,	/* no answer yet */
	FATE_FAILED,	/* an error: never was */
	FATE_QUEUED,	/* answered with a serial */
	FATE_REPLACED,	/* a newer write of its key took its place: `heir` */
	FATE_ACKED,	/* the parent has it, and told so */
	FATE_REFUSED,
	FATE_DROPPED,	/* and told; or lost where Durability= allows it */
};

struct model_write {
	struct model_key *key;
	char *value;		/* NULL: a remove */
	uint64_t group;		/* 0: single; else equal for the members of a group … */
	unsigned int members;	/* … of so many */
	uint64_t arrival;	/* of its call, over all calls */
	uint64_t serial, first;
	uint64_t maybe_first;	/* the same, should those in doubt have been replaced */
	enum fate fate;
	uint64_t ended;		/* arrivals when it left the queue */
	struct model_write *heir;
	uint64_t version;	/* its place in the truth, once applied; 0: not yet */
	bool sent;		/* a batch with it was handed to the line */
	/* What the daemon was told of it, before the queue is looked at. */
	bool told;		/* acked */
	bool refused, dropped;
	bool announced;		/* as ItemRejected */
	bool doubt;		/* replaced, or dropped in the void of a crash */
	bool unsure;		/* the disk refused it, perhaps after it was written */
	bool retry;		/* it is a refused one again */
	bool retried;		/* refused, and queued again or forgotten since */
};

struct model_key {
	struct model_area *area;
	unsigned int index;
	char name[4];
	GPtrArray *writes;	/* struct model_write by arrival */
	uint64_t forgotten;	/* arrivals when all copies of it may have gone */
	bool unsure;		/* a power loss took copies back to who knows when */
	uint64_t floor;		/* no read may see a version before this one again */
	uint64_t seen;		/* nor one before this, which the cache held, while all that is
				 * learnt can be noted */
	uint64_t direct, direct_version; /* the last write of Direct that the parent took */
};

struct model_area {
	struct model *model;
	unsigned int index;
	struct model_key keys[SIM_KEYS];
	GPtrArray *writes;	/* all, by arrival */
	GPtrArray *queued;	/* FATE_QUEUED, by serial */
	GHashTable *early;	/* serials that were dropped before their answer */
	uint64_t last_serial;
};

/* How often each rule for reads was what decided. */
struct model_checks {
	uint64_t queued;	/* it was said to come from the queue */
	uint64_t fresh;		/* it was said to be what the parent has, lately */
	uint64_t waiting;	/* an own write waits */
	uint64_t held;		/* some version that could still be seen */
	uint64_t unavailable;
};

struct model {
	struct model_area areas[SIM_AREAS];
	struct model_checks checks;
	uint64_t arrivals;
	uint64_t committed;	/* arrival of the newest write that was answered as done */
	uint64_t groups;
};

struct model *model_new(void);
struct model *model_free(struct model *model);

/** model_write() - a call comes; its arrival is model->arrivals. */
struct model_write *model_write(struct model *model, struct model_key *key, const char *value);
/** model_answered() - @serial: of this one write; 0: it failed. */
void model_answered(struct model_write *write, uint64_t serial);

/** model_dropped() - ItemDropped was told. */
void model_dropped(struct model_area *area, uint64_t serial, const char *key);

/** model_rejected() - ItemRejected was told. */
void model_rejected(struct model_area *area, uint64_t serial, const char *key);

/** model_find() - the queued write with this serial; NULL: none. */
struct model_write *model_find(const struct model_area *area, uint64_t serial);

/** model_check_queue() - @outbox holds exactly what it must. @was_dropped: after a crash, what
 * the store remembers of a serial: drops nobody was told of. Else NULL. */
void model_check_queue(struct model_area *area, const struct outbox *outbox,
		       bool (*was_dropped)(void *data, uint64_t serial), void *data);

/** model_adopt() - after a crash: whatever of the unanswered writes is in @outbox is queued, the
 * rest never was. Nor was what the disk refused last, but for a commit that was all there when its
 * sync failed: nothing wrote over it, and nobody can tell it from one that was synced. */
void model_adopt(struct model_area *area, const struct outbox *outbox);

/** model_rewind() - after a power loss that may cost what no batch was made of: the queue is what
 * @outbox says. */
void model_rewind(struct model_area *area, const struct outbox *outbox);

/** model_untrim() - after a power loss: what the parent acked may be in the queue again, for a trim
 * is not synced by itself. */
void model_untrim(struct model_area *area, const struct outbox *outbox);

/** model_note_seen() - the cache held @value. */
void model_note_seen(struct model_key *key, const char *value, const struct truth *truth);

/** model_forget_shown() - what the cache held may not be on disk. */
void model_forget_shown(struct model *model);

/** model_forget_seen() - copies of what others wrote may be older than they were. */
void model_forget_seen(struct model_area *area);

/** model_forget_copies() - they may be gone, or as old as can be. */
void model_forget_copies(struct model_area *area);

/** model_forget_acks() - what the daemon had heard of these and not noted is forgotten. */
void model_forget_acks(struct model_area *area);

/** model_prune() - everything is settled: forget what no check needs. */
void model_prune(struct model *model);

/** model_bytes() - of the heap that its writes take. */
uint64_t model_bytes(const struct model *model);

/* A read that was answered. */
struct model_read {
	const struct model_key *key;
	uint64_t arrival, floor;	/* as they were when it came */
	const char *value;		/* NULL: no such item */
	const char *source;		/* NULL: not told */
	bool stale, unavailable;
	bool past_overlay;		/* source=parent was asked for */
	uint64_t since;			/* a fresh answer was true at some time since then */
};

/** model_check_listed() - whether a list of keys may (not) name it now; no write of it is asked. */
void model_check_listed(const struct model_key *key, bool listed);

/** model_check_read() - whether it may be answered so, now. */
void model_check_read(const struct model_read *read, const struct truth *truth);
