/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What may be a key, a value and an area's name. Keys are 1–512 bytes of UTF-8 without control
 * characters (U+0000–1F, 7F–9F); values are UTF-8 up to a limit; area names are 1–255 bytes of
 * A-Z a-z 0-9 . _ - that do not start with a dot.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * key_check() - whether @key may name an item.
 *
 * Return: HF_OK or HF_INVALID_KEY.
 */
int key_check(const char *key);

/**
 * value_check() - whether @value may be stored.
 * @max_bytes: the most bytes it may have, without the NUL
 *
 * Return: HF_OK, HF_TOO_LARGE, or HF_INVALID_VALUE where it is not UTF-8.
 */
int value_check(const char *value, size_t max_bytes);

/** area_name_valid() - whether @name may name an area. */
bool area_name_valid(const char *name);

/*
 * A daemon that serves many users gives each area to one of them: its full name, in the store and
 * on the wire, is then "<uid>/<name>", and else just "<name>".
 */

/** area_full_name_valid() - whether @full is one or the other. */
bool area_full_name_valid(const char *full);

/** area_full_name_own() - the <name> within a full name. */
const char *area_full_name_own(const char *full);

/** area_full_name_owner() - the <uid> of a full name; -1 where it has none. */
int64_t area_full_name_owner(const char *full);
