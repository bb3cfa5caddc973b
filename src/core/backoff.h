/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How long to wait before trying again: the growing delay of [Retry], and the full jitter of
 * [Reconnect] (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), which
 * keeps a thousand daemons from dialling a parent that comes back at the same instant.
 */

#include <glib.h>
#include <stdint.h>

/**
 * backoff_delay() - min(@initial × @multiplier^@attempt, @max), never overflowing.
 * @attempt: 0 for the wait after the first failure
 *
 * Return: usec.
 */
uint64_t backoff_delay(uint64_t initial, uint64_t max, double multiplier, unsigned int attempt);

/**
 * backoff_jitter() - a delay drawn evenly from [0, backoff_delay(@initial, @max, 2, @attempt)].
 * @rand: where chance comes from, so that a test can replay it
 *
 * Return: usec.
 */
uint64_t backoff_jitter(GRand *rand, uint64_t initial, uint64_t max, unsigned int attempt);
