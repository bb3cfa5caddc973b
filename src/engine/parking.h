/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Readers that must see the effect of calls received before them: each waits until the call of its
 * number, and all before that, are settled.
 */

#include <stdint.h>

struct parking;

struct parking *parking_new(void);
/** parking_free() - nobody may wait any more. Return: NULL. */
struct parking *parking_free(struct parking *parking);

/** parking_add() - run @func, once, by the parking_run() that reaches @number. */
void parking_add(struct parking *parking, uint64_t number, void (*func)(void *data), void *data);

/** parking_run() - every call up to @upto is settled: run those who waited for no more. */
void parking_run(struct parking *parking, uint64_t upto);
