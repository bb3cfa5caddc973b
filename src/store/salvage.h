/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Carrying over what can be read of a damaged database into a new one.
 */

#include <stdint.h>

struct salvage_report {
	uint64_t kept;	/* rows carried over */
	uint64_t lost;	/* rows seen and not carried over, and one per unreadable stretch */
	char *detail;	/* what was kept and lost, a clause; to be freed */
};

/**
 * salvage_run() - read @path and its log, write the new database @into.
 * @copy: where a working copy may be; removed afterwards
 *
 * The old files are only read. Reservations of numbers that cannot be trusted are replaced by ones
 * far above every number seen. Of a group all or nothing is kept; a batch under way is kept only if
 * no outbox row was lost.
 *
 * Return: 0, or a negative errno: then @into is to be removed.
 */
int salvage_run(const char *path, const char *copy, const char *into,
		struct salvage_report *ret_report);
