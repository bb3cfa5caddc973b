/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The seam between the engine and its driver: the real driver, with an ear on each batch that is
 * handed to it, so that the parent's side knows which writes the bytes stand for, and on each answer.
 */

#include "sim-daemon.h"

/** batch_register() - @daemon's driver is to be listened to. */
void batch_register(struct sim_daemon *daemon);

/** batch_make_parent() - as parent_new(). */
int batch_make_parent(const struct parent_params *params, struct parent **ret_parent);

/** batch_forget_all() - free what is kept of @daemon's batches. */
void batch_forget_all(struct sim_daemon *daemon);

/** batch_memory() - bytes that what is kept of them takes. */
uint64_t batch_memory(const struct sim_daemon *daemon);

/** batch_value_hash() - what is kept of a value; 0 of NULL alone. */
uint32_t batch_value_hash(const char *value);
