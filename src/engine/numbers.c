/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Blocks of batch numbers; see numbers.h. A number taken for a commit that fails is not used. */

#include <glib.h>

#include "core/limits.h"
#include "engine/numbers.h"
#include "store/store.h"

void numbers_init(struct numbers *numbers, uint64_t first)
{
	numbers->next = first;
	numbers->reserved = first;
	numbers->planned = 0;
}

void numbers_begin(struct numbers *numbers)
{
	numbers->planned = 0;
}

uint64_t numbers_take(struct numbers *numbers, struct store_tx *tx)
{
	uint64_t number = numbers->next++;

	if (number >= numbers->reserved) {
		numbers->planned = number + LIMIT_NUMBER_BLOCK;
		store_tx_reserve_batches(tx, numbers->planned);
		store_tx_require_sync(tx);
	}
	return number;
}

void numbers_settled(struct numbers *numbers)
{
	numbers->reserved = MAX(numbers->reserved, numbers->planned);
}
