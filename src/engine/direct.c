/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Direct: one request, one answer; see direct.h.
 *
 * A direct write goes past the outbox, so whatever storage knows of the key is forgotten as it is
 * sent, and again at its ack, for a get that went out in between may have brought the old value
 * back. With the store itself as parent a direct write is an ordinary one.
 */

#include <errno.h>

#include "base/clock.h"
#include "base/util.h"
#include "core/config.h"
#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/copies.h"
#include "engine/direct.h"
#include "engine/fetcher.h"
#include "engine/lineage.h"
#include "engine/monitor.h"
#include "engine/reader.h"

#define DETAIL_AWAY                                                                                \
	"The parent cannot be reached, and Direct asks nobody else; try again when the Monitor's "  \
	"State is \"connected\", or use Storage."
#define DETAIL_UNKNOWN "The parent did not answer in time; whether it applied the write is not known."
#define DETAIL_LOST "The connection was lost before the answer; whether the write was applied is " \
		    "not known."

#define DETAIL_SHARE "What the parent has not answered you yet is all that one user may have under way; " \
		     "wait for some of it."

#define DETAIL_BEHIND "The disk here does not keep up; try again later."

struct request {
	struct direct *direct;
	struct area *area;
	char *key;
	uint64_t tag;
	struct timer timer;
	direct_got_t got;	/* a get … */
	area_done_t done;	/* … or a write */
	bool late;		/* a write that was answered with a timeout: its ack still counts */
	void *data;
};

struct direct {
	struct engine *engine;
	GHashTable *by_tag;	/* &request->tag → struct request */
};

struct direct *direct_new(struct engine *engine)
{
	struct direct *direct = g_new0(struct direct, 1);

	direct->engine = engine;
	direct->by_tag = g_hash_table_new(g_int64_hash, g_int64_equal);
	return direct;
}

struct direct *direct_free(struct direct *direct)
{
	if (!direct)
		return NULL;

	g_hash_table_unref(direct->by_tag);
	g_free(direct);
	return NULL;
}

static void request_answer(struct request *request, int error, const char *detail,
			   const char *value)
{
	timer_deinit(&request->timer);
	g_hash_table_remove(request->direct->by_tag, &request->tag);
	if (request->got)
		request->got(request->data, error, detail, value);
	else if (!request->late)
		request->done(request->data, error, detail);
	g_free(request->key);
	g_free(request);
}

/* A write stays listed: should its ack still come, the key is to be forgotten once more. */
static void request_timeout(void *data)
{
	struct request *request = data;

	if (request->got) {
		request_answer(request, HF_TIMEOUT, NULL, NULL);
		return;
	}
	request->late = true;
	request->done(request->data, HF_TIMEOUT, DETAIL_UNKNOWN);
}

static struct request *request_new(struct area *area, const char *key, void *data)
{
	struct engine *engine = area_engine(area);
	struct request *request = g_new0(struct request, 1);

	request->direct = engine->direct;
	request->area = area;
	request->key = g_strdup(key);
	request->tag = ++engine->last_tag;
	request->data = data;
	timer_init(&request->timer, engine->clock, request_timeout, request);
	timer_arm_in(&request->timer,
		     MIN(engine->config->parent_request_timeout, LIMIT_GET_USEC));
	g_hash_table_insert(engine->direct->by_tag, &request->tag, request);
	return request;
}

/* The parent took no request: @r says why. */
static void request_refused(struct request *request, int r)
{
	bool over_share = r == -EDQUOT;

	request_answer(request, over_share ? HF_LIMITS_EXCEEDED : HF_UNAVAILABLE,
		       over_share ? DETAIL_SHARE : DETAIL_AWAY, NULL);
}

/* ---- local: ---- */

struct local_get {
	direct_got_t done;
	void *data;
};

static void local_got(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct local_get *get = data;

	get->done(get->data, error, detail, item ? item->value : NULL);
	g_free(get);
}

static void direct_get_local(struct area *area, const char *key, direct_got_t done, void *data)
{
	struct local_get *get = g_new0(struct local_get, 1);

	get->done = done;
	get->data = data;
	reader_get(area, key, NULL, local_got, get);
}

struct local_write {
	area_done_t done;
	void *data;
};

static void local_wrote(void *data, int error, const char *detail, uint64_t serial)
{
	struct local_write *write = data;

	(void)serial;
	write->done(write->data, error, detail);
	g_free(write);
}

static void direct_write_local(struct area *area, const char *key, const char *value,
			       area_done_t done, void *data)
{
	const struct outbox_write write = {
		.op = value ? OUTBOX_SET : OUTBOX_REMOVE,
		.key = key,
		.value = value,
	};
	struct local_write *local = g_new0(struct local_write, 1);

	local->done = done;
	local->data = data;
	area_write(area, &write, 1, false, local_wrote, local);
}

/* ---- requests ---- */

void direct_get(struct area *area, const char *key, direct_got_t done, void *data)
{
	struct engine *engine = area_engine(area);
	struct request *request;
	int error = key_check(key), r;

	if (!error && engine->parent->local) {
		direct_get_local(area, key, done, data);
		return;
	}
	if (!error && !monitor_ready(engine->monitor))
		error = HF_UNAVAILABLE;
	if (error) {
		done(data, error, error == HF_UNAVAILABLE ? DETAIL_AWAY : NULL, NULL);
		return;
	}
	engine->metrics.direct[METRICS_OPERATION_GET]++;
	request = request_new(area, key, data);
	request->got = done;
	r = engine->parent->ops->get(engine->parent, request->tag, area_name(area), key);
	if (r < 0)
		request_refused(request, r);
}

static bool direct_forget(struct area *area, const char *key)
{
	struct engine *engine = area_engine(area);

	fetcher_touch(engine->fetcher, area_id(area), key);
	return copies_forget(engine->copies, area_id(area), key);
}

static int write_check(struct area *area, const char *key, const char *value,
		       const char **ret_detail)
{
	struct engine *engine = area_engine(area);
	int error = key_check(key);

	if (!error && value)
		error = value_check(value, engine->config->storage_max_value_size);
	if (error || engine->parent->local)
		return error;
	if (!area_key_is_settled(area, key) || outbox_find(area_outbox(area), key)) {
		*ret_detail = "A queued write of this key waits for the parent; flush first.";
		return HF_UNAVAILABLE;
	}
	if (monitor_ready(engine->monitor))
		return HF_OK;
	*ret_detail = DETAIL_AWAY;
	return HF_UNAVAILABLE;
}

void direct_write(struct area *area, const char *key, const char *value, area_done_t done,
		  void *data)
{
	struct engine *engine = area_engine(area);
	const char *detail = NULL;
	struct request *request;
	int error = write_check(area, key, value, &detail), r;

	if (error) {
		done(data, error, detail);
		return;
	}
	if (engine->parent->local) {
		direct_write_local(area, key, value, done, data);
		return;
	}
	if (!direct_forget(area, key)) {
		done(data, HF_UNAVAILABLE, DETAIL_BEHIND);
		return;
	}
	engine->metrics.direct[value ? METRICS_OPERATION_SET : METRICS_OPERATION_REMOVE]++;
	request = request_new(area, key, data);
	request->done = done;
	r = engine->parent->ops->write(engine->parent, request->tag, area_name(area), key, value);
	if (r < 0)
		request_refused(request, r);
}

/* ---- answers ---- */

static int error_of(const struct parent_error *error)
{
	return error->class == WIRE_PERMANENT ? HF_REJECTED :
	       error->class == WIRE_CAPACITY  ? HF_QUOTA_EXCEEDED :
						HF_UNAVAILABLE;
}

static void note_revision(struct engine *engine, uint64_t revision)
{
	if (!lineage_revision(engine->lineage, revision))
		engine->ops->lost_data(engine->ops_data);
}

bool direct_got(struct direct *direct, uint64_t tag, const struct parent_error *error,
		const char *value, bool unclean, uint64_t revision)
{
	struct request *request = g_hash_table_lookup(direct->by_tag, &tag);

	(void)revision;
	if (!request || !request->got)
		return false;
	if (error)
		request_answer(request, HF_UNAVAILABLE, error->message, NULL);
	else if (unclean)
		request_answer(request, HF_INVALID_VALUE, NULL, NULL);
	else
		request_answer(request, value ? HF_OK : HF_NO_SUCH_ITEM, NULL, value);
	return true;
}

bool direct_wrote(struct direct *direct, uint64_t tag, const struct parent_error *error,
		  uint64_t revision)
{
	struct request *request = g_hash_table_lookup(direct->by_tag, &tag);

	if (!request || !request->done)
		return false;
	if (error) {
		request_answer(request, error_of(error), error->message, NULL);
		return true;
	}
	note_revision(direct->engine, revision);
	direct_forget(request->area, request->key);
	request_answer(request, HF_OK, NULL, NULL);
	return true;
}

void direct_link_down(struct direct *direct)
{
	g_autoptr(GList) requests = g_hash_table_get_values(direct->by_tag);

	for (GList *link = requests; link; link = link->next) {
		struct request *request = link->data;

		request_answer(request, request->got ? HF_UNAVAILABLE : HF_TIMEOUT,
			       request->got ? DETAIL_AWAY : DETAIL_LOST, NULL);
	}
}
