/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Time and timers, with the source of time given from outside.
 *
 * A clock keeps all its timers in one binary heap and asks its ops for a single alarm at the
 * earliest deadline, so on GLib's loop a thousand deadlines are one GSource. Tests give ops of
 * their own and move the time by hand; nothing here sleeps.
 *
 * Units: microseconds. Deadlines are on CLOCK_MONOTONIC; ages that must count a suspend are
 * measured on CLOCK_BOOTTIME; CLOCK_REALTIME is only ever shown.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct clock;
struct timer;

struct clock_ops {
	/** now - the time of CLOCK_MONOTONIC, CLOCK_BOOTTIME or CLOCK_REALTIME, in usec */
	uint64_t (*now)(void *data, int clock_id);
	/** set_alarm - call clock_dispatch() at @deadline; USEC_INFINITY: never */
	void (*set_alarm)(void *data, uint64_t deadline);
	/** free - release @data; may be NULL */
	void (*free)(void *data);
};

typedef void (*timer_func_t)(void *data);

/* Embedded in its owner; every field is the clock's. */
struct timer {
	struct clock *clock;
	timer_func_t func;
	void *data;
	uint64_t deadline;
	unsigned int slot;	/* place in the heap + 1; 0 = not armed */
};

/**
 * clock_new() - a clock on the given source of time.
 * @ops: must outlive the clock
 * @data: handed to every op
 */
struct clock *clock_new(const struct clock_ops *ops, void *data);

/** clock_new_glib() - the real clock, its alarm a GSource on @context (NULL: the default). */
struct clock *clock_new_glib(GMainContext *context);

/** clock_free() - NULL is fine. No timer may be armed any more. Return: NULL. */
struct clock *clock_free(struct clock *clock);

uint64_t clock_monotonic(struct clock *clock);
uint64_t clock_boottime(struct clock *clock);
uint64_t clock_realtime(struct clock *clock);

/** clock_dispatch() - run every timer whose deadline has come, earliest first. */
void clock_dispatch(struct clock *clock);

/** clock_next() - the earliest deadline, or USEC_INFINITY. */
uint64_t clock_next(struct clock *clock);

/**
 * timer_init() - prepare a timer; it is not armed.
 * @func: called once per arming, with @data; may arm it again or free its owner
 */
void timer_init(struct timer *timer, struct clock *clock, timer_func_t func, void *data);

/** timer_deinit() - disarm; needed before the owner is freed. */
void timer_deinit(struct timer *timer);

/** timer_arm() - fire at @deadline (monotonic usec), moving it if armed; USEC_INFINITY disarms. */
void timer_arm(struct timer *timer, uint64_t deadline);

/** timer_arm_in() - fire @delay usec from now. */
void timer_arm_in(struct timer *timer, uint64_t delay);

void timer_disarm(struct timer *timer);

bool timer_is_armed(const struct timer *timer);

/** timer_deadline() - when it will fire, or USEC_INFINITY if it is not armed. */
uint64_t timer_deadline(const struct timer *timer);
