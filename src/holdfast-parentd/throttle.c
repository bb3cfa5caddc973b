/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See throttle.h. */

#include "base/util.h"
#include "throttle.h"

bool throttle_allows(struct throttle *throttle, uint64_t now, unsigned int *ret_untold)
{
	if (throttle->began == 0 || now >= usec_add(throttle->began, THROTTLE_USEC)) {
		throttle->began = now;
		throttle->lines = 0;
	}
	if (throttle->lines >= THROTTLE_LINES) {
		throttle->untold++;
		return false;
	}
	throttle->lines++;
	*ret_untold = throttle->untold;
	throttle->untold = 0;
	return true;
}
