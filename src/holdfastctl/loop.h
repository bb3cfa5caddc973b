/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The loop of a verb that goes on until it is told to stop: by a signal (SIGINT, SIGTERM, SIGHUP,
 * SIGQUIT), by the reader of its output, who closed it, or because the bus is gone.
 */

#include <systemd/sd-event.h>

#include "holdfastctl/client.h"

struct loop;

/** loop_new() - with @client's bus attached. Return: 0, or a negative errno and a sentence in
 * @client, which is borrowed. */
int loop_new(struct loop **ret_loop, struct client *client);

/** loop_free() - the client is as before loop_new(). Return: NULL. */
struct loop *loop_free(struct loop *loop);

/** loop_event() - for sources of one's own. Borrowed. */
sd_event *loop_event(struct loop *loop);

/** loop_add_signal() - have @handler hear of @sig, which is blocked, before anything of normal
 * priority is heard. Return: 0 or a negative errno. */
int loop_add_signal(struct loop *loop, int sig, sd_event_signal_handler_t handler, void *data);

/** loop_run() - until loop_end(). Return: what the verb returns: 0 or a negative errno. */
int loop_run(struct loop *loop);

/** loop_end() - @result: of loop_run() */
void loop_end(struct loop *loop, int result);

/** loop_end_output() - end because standard output cannot be written: @r says why, and where nobody
 * reads it any more that is no error. */
void loop_end_output(struct loop *loop, int r);
