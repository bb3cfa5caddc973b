/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What happens to writes and to the disk, as events of the log (base/log-message.h).
 *
 * A client decides how often its writes are refused or dropped, and a parent how often it refuses
 * one; neither may fill the journal. Of each kind an area has LIMIT_AREA_EVENTS entries in
 * LIMIT_AREA_EVENTS_USEC; what comes beyond is counted, and the count told when that time is over.
 */

struct area;
struct area_event;
struct clock;
struct event_log;

struct event_log *event_log_new(struct clock *clock);

/** event_log_free() - tells what was counted and not told yet. NULL is fine. Return: NULL. */
struct event_log *event_log_free(struct event_log *log);

/** event_log_area() - log what of @event belongs there. @area: lives as long as the log */
void event_log_area(struct event_log *log, struct area *area, const struct area_event *event);

/** event_log_commit() - a commit ended with @result, 0 or a negative errno: tell when that begins to
 * fail and when it has worked again for a while. */
void event_log_commit(struct event_log *log, int result);
