/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ground: the few helpers every floor needs.
 *
 * Memory comes from GLib's allocators, which abort when there is none: what was answered as safe
 * is on disk, so a restart loses nothing, and no path has to be written that can never be tested.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USEC_PER_MSEC ((uint64_t)1000)
#define USEC_PER_SEC  ((uint64_t)1000000)
#define USEC_INFINITY UINT64_MAX

/* An identifier on the wire and on disk: 128 random bits as 32 lower-case hex digits. */
#define UTIL_ID_LEN 32
#define UTIL_ID_SIZE (UTIL_ID_LEN + 1)

/**
 * util_random_id() - make a new identifier from the kernel's random source (getrandom(2)).
 * @ret_id: 32 lower-case hex digits and a NUL
 */
void util_random_id(char ret_id[static UTIL_ID_SIZE]);

/** util_id_valid() - whether @id is 32 lower-case hex digits. NULL is not. */
bool util_id_valid(const char *id);

/**
 * util_text_valid() - whether @text can be sent over a bus: it is UTF-8 without the noncharacters of
 * Unicode (U+FFFF and its like), which sd-bus does not take for UTF-8.
 */
bool util_text_valid(const char *text);

/**
 * util_make_valid() - a text of foreign origin, fit to be sent over a bus.
 * @max: bytes of it that are taken at most, in whole characters
 *
 * What util_text_valid() would not take is replaced.
 *
 * Return: to be freed.
 */
char *util_make_valid(const char *text, size_t max);

/** usec_add() - @a + @b, saturating at USEC_INFINITY. */
uint64_t usec_add(uint64_t a, uint64_t b);

/** usec_sub() - @a - @b, or 0 where that would be negative. */
uint64_t usec_sub(uint64_t a, uint64_t b);
