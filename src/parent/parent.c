/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What every kind of parent shares: the words for a reason, and the way a driver ends. It knows no
 * driver; the list of them is parent-driver.c, which stands above them as this stands below.
 */

#include "parent/parent.h"

/* A switch, not a table: a reason without a word does not compile. */
const char *parent_reason_to_string(enum parent_reason reason)
{
	switch (reason) {
	case PARENT_REASON_START:
		return "start";
	case PARENT_REASON_OK:
		return "ok";
	case PARENT_REASON_REFUSED:
		return "refused";
	case PARENT_REASON_CLOSED:
		return "closed";
	case PARENT_REASON_TIMEOUT:
		return "timeout";
	case PARENT_REASON_PROTOCOL:
		return "protocol";
	case PARENT_REASON_AUTH:
		return "auth";
	case PARENT_REASON_VERSION:
		return "version";
	case PARENT_REASON_LOST_DATA:
		return "parent-lost-data";
	case PARENT_REASON_STOPPED:
		return "stopped";
	}
	return "";
}

struct parent *parent_free(struct parent *parent)
{
	if (!parent)
		return NULL;

	parent->ops->disconnect(parent);
	parent->ops->free(parent);
	return NULL;
}
