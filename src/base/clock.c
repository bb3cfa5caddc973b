/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A binary heap of timers over an injected source of time; see clock.h. The GLib source of time
 * is clock-glib.c.
 */

#include <assert.h>
#include <time.h>

#include "base/clock.h"
#include "base/util.h"

struct clock {
	const struct clock_ops *ops;
	void *data;
	GPtrArray *heap;	/* struct timer *, owned by their embedders */
	uint64_t alarm;		/* what set_alarm was last told */
	uint64_t dispatch_now;	/* the time clock_dispatch() works up to */
	bool dispatching;
};

struct clock *clock_new(const struct clock_ops *ops, void *data)
{
	struct clock *clock = g_new0(struct clock, 1);

	clock->ops = ops;
	clock->data = data;
	clock->heap = g_ptr_array_new();
	clock->alarm = USEC_INFINITY;
	return clock;
}

struct clock *clock_free(struct clock *clock)
{
	if (!clock)
		return NULL;

	assert(clock->heap->len == 0);
	if (clock->ops->free)
		clock->ops->free(clock->data);
	g_ptr_array_unref(clock->heap);
	g_free(clock);
	return NULL;
}

uint64_t clock_monotonic(struct clock *clock)
{
	return clock->ops->now(clock->data, CLOCK_MONOTONIC);
}

uint64_t clock_boottime(struct clock *clock)
{
	return clock->ops->now(clock->data, CLOCK_BOOTTIME);
}

uint64_t clock_realtime(struct clock *clock)
{
	return clock->ops->now(clock->data, CLOCK_REALTIME);
}

static struct timer *heap_get(struct clock *clock, unsigned int slot)
{
	return g_ptr_array_index(clock->heap, slot - 1);
}

static void heap_set(struct clock *clock, unsigned int slot, struct timer *timer)
{
	g_ptr_array_index(clock->heap, slot - 1) = timer;
	timer->slot = slot;
}

static void heap_up(struct clock *clock, struct timer *timer)
{
	unsigned int slot = timer->slot;

	while (slot > 1 && heap_get(clock, slot / 2)->deadline > timer->deadline) {
		heap_set(clock, slot, heap_get(clock, slot / 2));
		slot /= 2;
	}
	heap_set(clock, slot, timer);
}

static void heap_down(struct clock *clock, struct timer *timer)
{
	unsigned int slot = timer->slot, child;

	while ((child = 2 * slot) <= clock->heap->len) {
		if (child < clock->heap->len &&
		    heap_get(clock, child + 1)->deadline < heap_get(clock, child)->deadline)
			child++;
		if (heap_get(clock, child)->deadline >= timer->deadline)
			break;
		heap_set(clock, slot, heap_get(clock, child));
		slot = child;
	}
	heap_set(clock, slot, timer);
}

static void heap_remove(struct clock *clock, struct timer *timer)
{
	unsigned int slot = timer->slot;
	struct timer *last = heap_get(clock, clock->heap->len);

	g_ptr_array_set_size(clock->heap, (int)clock->heap->len - 1);
	timer->slot = 0;
	if (last == timer)
		return;
	heap_set(clock, slot, last);
	heap_up(clock, last);
	heap_down(clock, last);
}

uint64_t clock_next(struct clock *clock)
{
	return clock->heap->len ? heap_get(clock, 1)->deadline : USEC_INFINITY;
}

/* While timers run, the alarm is set once, after the last of them. */
static void clock_update_alarm(struct clock *clock)
{
	uint64_t next = clock_next(clock);

	if (clock->dispatching || next == clock->alarm)
		return;
	clock->alarm = next;
	clock->ops->set_alarm(clock->data, next);
}

void clock_dispatch(struct clock *clock)
{
	uint64_t now = clock_monotonic(clock);
	struct timer *timer;

	clock->dispatching = true;
	clock->dispatch_now = now;
	while (clock_next(clock) <= now) {
		timer = heap_get(clock, 1);
		heap_remove(clock, timer);
		timer->func(timer->data);
	}
	clock->dispatching = false;
	clock->alarm = clock_next(clock);
	clock->ops->set_alarm(clock->data, clock->alarm);
}

void timer_init(struct timer *timer, struct clock *clock, timer_func_t func, void *data)
{
	*timer = (struct timer){ .clock = clock, .func = func, .data = data };
}

void timer_deinit(struct timer *timer)
{
	timer_disarm(timer);
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	if (deadline == USEC_INFINITY) {
		timer_disarm(timer);
		return;
	}
	/* A timer that arms itself for "now" waits for the next turn, or it would run for ever. */
	if (timer->clock->dispatching && deadline <= timer->clock->dispatch_now)
		deadline = timer->clock->dispatch_now + 1;
	if (timer->slot && timer->deadline == deadline)
		return;

	timer->deadline = deadline;
	if (timer->slot == 0) {
		g_ptr_array_add(timer->clock->heap, timer);
		timer->slot = timer->clock->heap->len;
	}
	heap_up(timer->clock, timer);
	heap_down(timer->clock, timer);
	clock_update_alarm(timer->clock);
}

void timer_arm_in(struct timer *timer, uint64_t delay)
{
	timer_arm(timer, usec_add(clock_monotonic(timer->clock), delay));
}

void timer_disarm(struct timer *timer)
{
	if (timer->slot == 0)
		return;
	heap_remove(timer->clock, timer);
	clock_update_alarm(timer->clock);
}

bool timer_is_armed(const struct timer *timer)
{
	return timer->slot != 0;
}

uint64_t timer_deadline(const struct timer *timer)
{
	return timer->slot ? timer->deadline : USEC_INFINITY;
}
