/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hears when a file that is there was written, replaced or renamed over. */

#include "base/clock.h"
#include "base/util.h"

/* From the first sign to the reading: whoever writes it in several steps, or a certificate and its
 * key one after the other, is through by then. */
#define FILE_WATCH_USEC (250 * USEC_PER_MSEC)

struct file_watch;

/** file_watch_new() - @changed hears of it, at most once in FILE_WATCH_USEC.
 * Return: NULL where the kernel does not let us watch. */
struct file_watch *file_watch_new(const char *path, struct clock *clock,
				  void (*changed)(void *data), void *data);
struct file_watch *file_watch_free(struct file_watch *watch);
