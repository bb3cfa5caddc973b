/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whose signature makes a parent's certificate good: the authorities in TLSCAFile=, and no others,
 * or those of the system. The file is read again when it has changed, so that mending it needs no
 * restart; looking and reading is done by a thread, for a bundle takes a while and a disk may too.
 */

#include <gio/gio.h>

struct trust;

/** trust_new() - @ca_file: absolute or a credential's name; NULL: the system's authorities. Nothing
 * is read yet. */
struct trust *trust_new(const char *ca_file);
struct trust *trust_free(struct trust *trust);

/**
 * trust_load() - have the authorities ready, in a thread.
 * @done, @data: told on the thread-default main context, also when cancelled; where the trust is
 *               gone by then, trust_finish() must not be called
 */
void trust_load(struct trust *trust, GCancellable *cancellable, GAsyncReadyCallback done,
		void *data);

/**
 * trust_finish() - within @done.
 * @ret_why: on failure a sentence, to be freed; else untouched
 *
 * Return: borrowed, until the next trust_finish(); NULL where there is nothing to trust.
 */
GTlsDatabase *trust_finish(struct trust *trust, GAsyncResult *result, char **ret_why);
