/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which parent we talk to, and what it must still know; see lineage.h.
 *
 * The record on disk may be older than the one here: it is written along with trims and copies,
 * never for its own sake. That only makes the detection of a parent's loss a little blinder after
 * a crash, never wrong.
 */

#include <string.h>

#include "engine/lineage.h"
#include "store/store.h"

struct lineage {
	struct store *store;
	char epoch[UTIL_ID_SIZE];	/* "" before the first welcome, and of the local parent */
	char client[UTIL_ID_SIZE];
	uint64_t acked;		/* last batch acked to this client in this epoch */
	uint64_t revision;	/* highest seen in this epoch */
	uint64_t batch_high;	/* highest number persisted for this client */
	uint64_t last_batch;	/* of this connection's welcome */
	uint64_t generation;
	bool first_revision;	/* no revision was told on this connection yet */
	bool epoch_dirty, generation_dirty;
};

struct lineage *lineage_new(struct store *store, uint64_t generation, uint64_t batch_high)
{
	struct lineage *lineage = g_new0(struct lineage, 1);

	lineage->store = store;
	lineage->generation = generation;
	lineage->batch_high = batch_high;
	return lineage;
}

struct lineage *lineage_free(struct lineage *lineage)
{
	g_free(lineage);
	return NULL;
}

static void lineage_distrust(struct lineage *lineage)
{
	lineage->generation++;
	lineage->generation_dirty = true;
}

/* Take over what the disk knows of @epoch, unless it is the one we have at hand. */
static int lineage_recall(struct lineage *lineage, const char *client, const char *epoch,
			  bool *ret_other)
{
	char last[UTIL_ID_SIZE] = "";
	uint64_t acked, revision;
	int r;

	*ret_other = false;
	if (strcmp(lineage->epoch, epoch) == 0 && strcmp(lineage->client, client) == 0)
		return 0;

	if (lineage->epoch[0]) {
		g_strlcpy(last, lineage->epoch, sizeof(last));
	} else {
		r = store_get_last_epoch(lineage->store, last);
		if (r < 0)
			return r;
	}
	r = store_get_epoch(lineage->store, epoch, client, &acked, &revision);
	if (r < 0)
		return r;

	*ret_other = last[0] && strcmp(last, epoch) != 0;
	g_strlcpy(lineage->epoch, epoch, sizeof(lineage->epoch));
	g_strlcpy(lineage->client, client, sizeof(lineage->client));
	lineage->acked = acked;
	lineage->revision = revision;
	lineage->epoch_dirty = true;
	return 0;
}

int lineage_welcome(struct lineage *lineage, const char *client, const char *epoch,
		    uint64_t last_batch, enum lineage_verdict *ret_verdict)
{
	bool other;
	int r;

	*ret_verdict = LINEAGE_SAME;
	if (last_batch > lineage->batch_high) {
		*ret_verdict = LINEAGE_ROLLED_BACK;
		return 0;
	}
	r = lineage_recall(lineage, client, epoch, &other);
	if (r < 0)
		return r;

	lineage->last_batch = last_batch;
	lineage->first_revision = true;
	if (last_batch < lineage->acked) {
		lineage->acked = last_batch;
		lineage->revision = 0;
		lineage->epoch_dirty = true;
		lineage_distrust(lineage);
		*ret_verdict = LINEAGE_LOST_DATA;
	} else if (other) {
		lineage_distrust(lineage);
		*ret_verdict = LINEAGE_OTHER;
	}
	return 0;
}

bool lineage_revision(struct lineage *lineage, uint64_t revision)
{
	bool lost = lineage->first_revision && revision < lineage->revision;

	lineage->first_revision = false;
	if (lost)
		lineage_distrust(lineage);
	if (lost || revision > lineage->revision) {
		lineage->revision = revision;
		lineage->epoch_dirty = true;
	}
	return !lost;
}

void lineage_persisted(struct lineage *lineage, uint64_t number)
{
	lineage->batch_high = MAX(lineage->batch_high, number);
}

void lineage_acked(struct lineage *lineage, uint64_t number)
{
	lineage->acked = MAX(lineage->acked, number);
	lineage->epoch_dirty = true;
}

void lineage_reset_client(struct lineage *lineage)
{
	lineage->batch_high = 0;
	lineage->acked = 0;
	lineage->client[0] = '\0';
}

void lineage_plan(struct lineage *lineage, struct store_tx *tx)
{
	if (lineage->generation_dirty)
		store_tx_generation(tx, lineage->generation);
	if (lineage->epoch_dirty && lineage->epoch[0] && lineage->client[0])
		store_tx_epoch(tx, lineage->epoch, lineage->client, lineage->acked,
			       lineage->revision);
	lineage->generation_dirty = false;
	lineage->epoch_dirty = false;
}

void lineage_unsaved(struct lineage *lineage)
{
	lineage->generation_dirty = true;
	lineage->epoch_dirty = true;
}

uint64_t lineage_last_batch(const struct lineage *lineage)
{
	return lineage->last_batch;
}

uint64_t lineage_generation(const struct lineage *lineage)
{
	return lineage->generation;
}
