/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One thread that does what may block (a disk's sync), in the order asked, and tells the main
 * loop when each job is done. The only thread we start.
 * The order of ends is the order of submissions.
 */

#include <glib.h>
#include <stdbool.h>

struct worker;

/** worker_run_t - runs on the thread. Touches only @job. Return: 0 or a negative errno. */
typedef int (*worker_run_t)(void *job);
/** worker_done_t - runs on the main loop, once per job, with what worker_run_t returned. */
typedef void (*worker_done_t)(void *job, int result);

/**
 * worker_new() - start the thread.
 * @name: the thread's name, at most 15 bytes (pthread_setname_np(3))
 * @context: where worker_done_t runs (NULL: the default main context)
 */
struct worker *worker_new(const char *name, GMainContext *context);

/**
 * worker_new_manual() - a worker without a thread: jobs wait until worker_step(). For tests and
 * simulation, which own the disk's time as they own the clock's.
 */
struct worker *worker_new_manual(void);

/**
 * worker_step() - run the oldest queued job of a manual worker and tell its end.
 * @inject: 0, or a negative errno to end it with, without running it: the disk refused
 *
 * Return: false where nothing was queued.
 */
bool worker_step(struct worker *worker, int inject);

/** worker_free() - run what is still queued, tell each job's end, end the thread. Return: NULL. */
struct worker *worker_free(struct worker *worker);

/** worker_submit() - queue a job; @job stays the caller's and must live until @done. */
void worker_submit(struct worker *worker, worker_run_t run, worker_done_t done, void *job);

/** worker_drain() - block until every queued job has run and was told. For start and stop only. */
void worker_drain(struct worker *worker);
