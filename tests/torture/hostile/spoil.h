/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ways a disk, a copy or a person spoils a database. */

#include "image.h"

/**
 * spoil() - one way, or two of them, chosen by @rand.
 * @other: where a foreign log comes from
 *
 * Return: what was done, for a report; to be freed.
 */
char *spoil(struct image *image, const struct image *other, GRand *rand);
