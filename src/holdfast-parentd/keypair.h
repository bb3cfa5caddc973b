/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The certificate we show and its key: read from their files, and tried out before anybody is shown
 * them, since a key that is not the certificate's own is noticed by nobody but the client.
 */

#include <gio/gio.h>

#include "base/clock.h"
#include "base/util.h"

#define KEYPAIR_BYTES	   (1 << 20)		/* of either file: read on the main loop */
#define KEYPAIR_TRIAL_USEC (5 * USEC_PER_SEC)	/* for the trial: both ends of it are ours */

/**
 * keypair_load() - read both files, which may be one and the same.
 * @ret_why: on failure a sentence, to be freed
 *
 * Logs a warning where others may read the key, or the certificate is not valid now.
 * Return: NULL on failure.
 */
GTlsCertificate *keypair_load(const char *certificate, const char *key, char **ret_why);

struct trial;

/** trial_done_t - told once, not from within trial_new(); @why: NULL where the pair is good, else
 * borrowed. May call trial_free(), and nothing else of the trial. */
typedef void (*trial_done_t)(void *data, const char *why);

/** trial_new() - shake hands with ourselves by way of @certificate. Return: NULL where no
 * descriptor is left for it. */
struct trial *trial_new(GTlsCertificate *certificate, struct clock *clock, trial_done_t done,
			void *data);

/** trial_free() - of one that was told, or at the stop: one under way is ended, and the main loop
 * runs until it is. Return: NULL. */
struct trial *trial_free(struct trial *trial);
