/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Areas in the making; see opener.h. Who asks for one that is being made joins in. */

#include <string.h>

#include "core/config.h"
#include "core/error.h"
#include "engine/committer.h"
#include "engine/opener.h"
#include "store/store.h"

struct opening {
	char *name;
	int64_t id;
	bool first;	/* the one that puts it into the transaction */
	opener_done_t done;
	void *data;
};

struct opener {
	struct engine *engine;
	const struct opener_ops *ops;
	void *data;
	int64_t next_id;
	GQueue calls;		/* struct opening, not planned yet */
	GQueue planned;
	unsigned int planned_new;	/* areas among them; the others join in */
	struct commit_member member;
};

static void opening_end(struct opening *opening, int error, const char *detail, struct area *area)
{
	opening->done(opening->data, error, detail, area);
	g_free(opening->name);
	g_free(opening);
}

static bool is_planned(const struct opener *opener, const char *name)
{
	for (const GList *link = opener->planned.head; link; link = link->next)
		if (strcmp(((const struct opening *)link->data)->name, name) == 0)
			return true;
	return false;
}

static void opening_plan(struct opener *opener, struct opening *opening, struct store_tx *tx)
{
	struct area *area = opener->ops->find(opener->data, opening->name);
	unsigned int limit = opener->engine->config->limits_areas_per_user;

	if (area) {
		opening_end(opening, HF_OK, NULL, area);
		return;
	}
	opening->first = !is_planned(opener, opening->name);
	if (opening->first &&
	    opener->ops->count(opener->data) + opener->planned_new >= limit) {
		opening_end(opening, HF_QUOTA_EXCEEDED,
			    "There are as many areas as [Limits] AreasPerUser allows.", NULL);
		return;
	}
	if (opening->first) {
		opening->id = opener->next_id++;
		opener->planned_new++;
		store_tx_add_area(tx, opening->id, opening->name);
		store_tx_require_sync(tx);
	}
	g_queue_push_tail(&opener->planned, opening);
}

static bool opener_plan(void *data, struct store_tx *tx)
{
	struct opener *opener = data;
	unsigned int n = opener->calls.length;

	opener->planned_new = 0;
	while (n-- > 0)
		opening_plan(opener, g_queue_pop_head(&opener->calls), tx);
	return opener->planned.length > 0;
}

static void opener_settled(void *data, int result)
{
	struct opener *opener = data;
	GQueue planned = opener->planned;
	struct opening *opening;

	g_queue_init(&opener->planned);
	while ((opening = g_queue_pop_head(&planned))) {
		struct area *area = NULL;

		if (result == 0 && opening->first)
			area = opener->ops->add(opener->data, opening->id, opening->name);
		else if (result == 0)
			area = opener->ops->find(opener->data, opening->name);
		opening_end(opening, result, NULL, area);
	}
}

struct opener *opener_new(struct engine *engine, int64_t next_id, const struct opener_ops *ops,
			  void *data)
{
	struct opener *opener = g_new0(struct opener, 1);

	opener->engine = engine;
	opener->next_id = next_id;
	opener->ops = ops;
	opener->data = data;
	g_queue_init(&opener->calls);
	g_queue_init(&opener->planned);
	commit_member_init(&opener->member, opener_plan, opener_settled, opener);
	return opener;
}

struct opener *opener_free(struct opener *opener)
{
	if (!opener)
		return NULL;

	committer_forget(opener->engine->committer, &opener->member);
	g_free(opener);
	return NULL;
}

void opener_open(struct opener *opener, const char *name, opener_done_t done, void *data)
{
	struct opening *opening = g_new0(struct opening, 1);

	opening->name = g_strdup(name);
	opening->done = done;
	opening->data = data;
	g_queue_push_tail(&opener->calls, opening);
	committer_want(opener->engine->committer, &opener->member);
}
