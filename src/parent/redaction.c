/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Words without our token; see redaction.h. */

#include <stddef.h>
#include <string.h>

#include "parent/redaction.h"

/* All of them go: what is left of a sentence could tell where the secret was cut out. */
#define WITHHELD "what the parent says has our token in it and is not shown"

static const char *redact(const char *words, const char *secret)
{
	return words && strstr(words, secret) ? WITHHELD : words;
}

void redaction_apply(struct message *message, const char *secret)
{
	/* Const for those who read it; the array is the message's own, on the heap. */
	struct wire_result *results = (struct wire_result *)message->batch_ack.results;

	if (!secret)
		return;
	if (message->type == MESSAGE_ERROR)
		message->error.message = redact(message->error.message, secret);
	else if (message->type == MESSAGE_BATCH_ACK)
		for (size_t i = 0; i < message->batch_ack.n_results; i++)
			results[i].message = redact(results[i].message, secret);
}
