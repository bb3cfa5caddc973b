/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who hears an area's signals: those who subscribed, and nobody else. A subscription is of one
 * caller to one area, and ends with Unsubscribe, with the caller, or with the connection; or with a
 * warning, where signals cannot be delivered.
 */

#include <systemd/sd-bus.h>

struct area;
struct caller;
struct storage;
struct subscriptions;

/**
 * subscriptions_new() - nobody has subscribed yet.
 * @bus: the connection, which outlives it
 *
 * Return: 0 or a negative errno
 */
int subscriptions_new(sd_bus *bus, struct storage *storage, struct subscriptions **ret_subs);
struct subscriptions *subscriptions_free(struct subscriptions *subscriptions);

/**
 * subscription_add() - @caller wants to hear of @area; again is fine.
 * @path: the object it asked at, and where its signals come from
 */
void subscription_add(struct subscriptions *subscriptions, struct caller *caller, struct area *area,
		      const char *path);

/** subscription_remove() - it does not any more; fine where there is none. */
void subscription_remove(struct subscriptions *subscriptions, struct caller *caller,
			 struct area *area);
