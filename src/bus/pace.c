/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers that wait; see pace.h. One queue for all callers, and one timer. */

#include <assert.h>

#include "base/clock.h"
#include "base/util.h"
#include "bus/pace.h"

#define FEW	 16		      /* calls under way of one who is not put off: an app's start */
#define MEMORY	 (10 * USEC_PER_MSEC) /* after its last answer such a caller counts as about, … */
#define PATIENCE (100 * USEC_PER_MSEC) /* … and so long while it waits for one: not for ever, as
					* Await may */
#define TICK	 (1 * USEC_PER_MSEC)
#define PER_TICK 2		      /* answers: 2,000 calls a second, a tenth of what a bus does */
#define TICKS	 64		      /* … or as many as go in so many ticks, where that is more */
#define LONGEST	 (250 * USEC_PER_MSEC) /* that an answer waits, however late the ticks come */

struct pace {
	struct clock *clock;
	struct timer timer;
	GQueue entries; /* oldest first */
	/* Who called last with few calls under way, and who did before it; two, so that nobody is
	 * hidden by the one he is to be spared from, who begins with few as well. */
	struct modest {
		const void *who; /* NULL: nobody yet */
		uint64_t until;	 /* counts as about, monotonic usec */
	} modest[2];
};

/* Whether somebody but @who is about. */
static bool pace_is_wanted(const struct pace *pace, const void *who)
{
	uint64_t now = clock_monotonic(pace->clock);

	for (size_t i = 0; i < G_N_ELEMENTS(pace->modest); i++)
		if (pace->modest[i].who && pace->modest[i].who != who &&
		    now < pace->modest[i].until)
			return true;
	return false;
}

/* The @n oldest, and whatever waits since @since or longer. */
static void pace_send(struct pace *pace, unsigned int n, uint64_t since)
{
	struct pace_entry *entry;

	while ((entry = g_queue_peek_head(&pace->entries)) && (n > 0 || entry->since <= since)) {
		n -= n > 0;
		pace_drop(entry);
		entry->send(entry);
	}
}

static void pace_on_tick(void *data)
{
	struct pace *pace = data;
	struct pace_entry *first = g_queue_peek_head(&pace->entries);
	unsigned int n = pace->entries.length;

	if (first && pace_is_wanted(pace, first->who))
		n = MAX(PER_TICK, n / TICKS);
	pace_send(pace, n, usec_sub(clock_monotonic(pace->clock), LONGEST));
	if (!g_queue_is_empty(&pace->entries))
		timer_arm_in(&pace->timer, TICK);
}

struct pace *pace_new(struct clock *clock)
{
	struct pace *pace = g_new0(struct pace, 1);

	pace->clock = clock;
	timer_init(&pace->timer, clock, pace_on_tick, pace);
	g_queue_init(&pace->entries);
	return pace;
}

struct pace *pace_free(struct pace *pace)
{
	if (!pace)
		return NULL;

	assert(g_queue_is_empty(&pace->entries));
	timer_deinit(&pace->timer);
	g_free(pace);
	return NULL;
}

/* A burst began with few calls, as any does, and is none of a modest caller. */
static void pace_forget(struct pace *pace, const void *who)
{
	for (size_t i = 0; i < G_N_ELEMENTS(pace->modest); i++)
		if (pace->modest[i].who == who)
			pace->modest[i].who = NULL;
}

void pace_note_call(struct pace *pace, const void *who, unsigned int under_way)
{
	if (under_way > FEW) {
		pace_forget(pace, who);
		return;
	}
	if (pace->modest[0].who != who)
		pace->modest[1] = pace->modest[0];
	pace->modest[0] = (struct modest){ who, clock_monotonic(pace->clock) + PATIENCE };
}

void pace_note_end(struct pace *pace, const void *who, unsigned int under_way)
{
	if (under_way > 0)
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(pace->modest); i++)
		if (pace->modest[i].who == who)
			pace->modest[i].until = clock_monotonic(pace->clock) + MEMORY;
}

bool pace_put_off(struct pace *pace, const void *who, unsigned int under_way,
		  struct pace_entry *entry, void (*send)(struct pace_entry *entry))
{
	if (under_way <= FEW || !pace_is_wanted(pace, who))
		return false;

	*entry = (struct pace_entry){ { .data = entry }, pace, who, send,
				      clock_monotonic(pace->clock) };
	g_queue_push_tail_link(&pace->entries, &entry->link);
	if (!timer_is_armed(&pace->timer))
		timer_arm_in(&pace->timer, TICK);
	return true;
}

void pace_drop(struct pace_entry *entry)
{
	if (!entry->pace)
		return;

	g_queue_unlink(&entry->pace->entries, &entry->link);
	entry->pace = NULL;
}

void pace_send_all(struct pace *pace)
{
	pace_send(pace, pace->entries.length, 0);
}
