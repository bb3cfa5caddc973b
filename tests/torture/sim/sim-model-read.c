/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a read may have been answered so; see sim-model.h. */

#include <string.h>

#include "sim-model.h"

static bool came_to_nothing(const struct model_write *write)
{
	while (write->fate == FATE_REPLACED && !write->doubt)
		write = write->heir;
	return write->doubt || write->refused || write->dropped || write->fate == FATE_REFUSED ||
	       write->fate == FATE_DROPPED;
}

/* The last own write the read must see, and whether it must see that or something newer. */
static const struct model_write *find_base(const struct model_read *read, bool *ret_strict)
{
	const GPtrArray *writes = read->key->writes;

	*ret_strict = true;
	for (unsigned int i = writes->len; i-- > 0;) {
		const struct model_write *write = writes->pdata[i];

		if (write->fate == FATE_FAILED)
			continue;
		/* Received before it. (A retry of what is refused no more will fail.) */
		if (write->arrival < read->arrival && !write->retry)
			g_assert_cmpint(write->fate, !=, FATE_ASKED);
		if (write->fate != FATE_ASKED && came_to_nothing(write))
			*ret_strict = false;
		if (write->arrival < read->arrival && write->fate != FATE_ASKED)
			return write;
	}
	return NULL;
}

/* It waits for the parent, which has not told of it: nothing but it, or a newer one, is seen. */
static bool is_pending(const struct model_write *write)
{
	while (write->fate == FATE_REPLACED)
		write = write->heir;
	return write->fate == FATE_QUEUED && !write->told;
}

/* While the read was under way it was in the queue, or may have been. */
static bool was_visible(const struct model_write *write, const struct model_read *read)
{
	switch (write->fate) {
	case FATE_ASKED:
	case FATE_FAILED:
		return false;
	case FATE_REFUSED:
		return write->ended >= read->arrival;
	case FATE_QUEUED:
	case FATE_REPLACED:
	case FATE_ACKED:
	case FATE_DROPPED:
		return true;
	}
	return false;
}

/* An own write's value, as they are seen at once; @base and newer ones where @strict. */
static bool is_own(const struct model_read *read, const struct model_write *base, bool strict)
{
	const GPtrArray *writes = read->key->writes;

	for (unsigned int i = writes->len; i-- > 0;) {
		const struct model_write *write = writes->pdata[i];

		if (was_visible(write, read) && g_strcmp0(write->value, read->value) == 0)
			return true;
		if (write == base && strict)
			break;
	}
	return false;
}

static void complain(const struct model_read *read, const struct model_write *base,
		     const struct truth *truth, const char *why)
{
	unsigned int area = read->key->area->index, key = read->key->index;
	g_autofree char *shown = truth_show(truth, area, key);
	char got[32], own[32];

	g_snprintf(got, sizeof(got), "%.20s", read->value ? read->value : "nothing");
	g_snprintf(own, sizeof(own), "%.20s", base && base->value ? base->value : "nothing");
	g_error("area %u: a read of %s (%s%s) got %s: %s. Own: %s (fate %d, version %" G_GUINT64_FORMAT
		"); floor %" G_GUINT64_FORMAT ", since %.6f s; held%s",
		area, read->key->name, read->source ? read->source : "?",
		read->stale ? ", stale" : "", read->unavailable ? "unavailable" : got, why, own,
		base ? (int)base->fate : -1, base ? base->version : 0, read->floor,
		(double)read->since / 1e6, shown);
}

void model_check_listed(const struct model_key *key, bool listed)
{
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate == FATE_FAILED)
			continue;
		if (is_pending(write) && !came_to_nothing(write) && listed != !!write->value)
			g_error("area %u: an own write of %s waits, and it is %slisted",
				key->area->index, key->name, listed ? "" : "not ");
		return;
	}
}

static bool was_held(const struct model_read *read, const struct truth *truth, uint64_t since)
{
	return truth_held(truth, read->key->area->index, read->key->index, truth_id(read->value),
			  read->floor, since);
}

static bool is_source(const struct model_read *read, const char *source)
{
	return read->source && strcmp(read->source, source) == 0;
}

void model_check_read(const struct model_read *read, const struct truth *truth)
{
	struct model_checks *checks = &read->key->area->model->checks;
	bool strict = true;
	const struct model_write *base = read->past_overlay ? NULL : find_base(read, &strict);

	if (read->unavailable) {
		checks->unavailable++;
		if (base && !read->key->unsure && strict && base->arrival > read->key->forgotten)
			complain(read, base, truth, "it was written");
		return;
	}
	if (is_source(read, "queue")) {
		checks->queued++;
		if (!is_own(read, base, strict))
			complain(read, base, truth, "no own write waits so");
		return;
	}
	checks->fresh += read->source && !read->stale && read->since;
	if (read->source && !read->stale && !was_held(read, truth, read->since))
		complain(read, base, truth, "the parent did not hold that lately");
	if (base && strict && is_pending(base)) {
		checks->waiting++;
		if (!is_own(read, base, true))
			complain(read, base, truth, "an own write waits");
		return;
	}
	checks->held += !read->key->unsure;
	if (!read->key->unsure && !was_held(read, truth, 0) && !is_own(read, base, strict))
		complain(read, base, truth, "the parent did not hold that");
}
