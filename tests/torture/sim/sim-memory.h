/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an allocation costs the heap, for what is to be told apart from what the daemons hold. */

#include <glib.h>
#include <malloc.h>
#include <stdint.h>

/** memory_of() - bytes of the heap that @block takes, which malloc() gave; of NULL none. */
static inline uint64_t memory_of(void *block)
{
	return block ? malloc_usable_size(block) + sizeof(size_t) : 0;
}

/** memory_of_pointers() - of the room of @array, used or not. */
static inline uint64_t memory_of_pointers(const GPtrArray *array)
{
	return memory_of(array->pdata);
}
