/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a parent says in its own words is shown to users: to all of the system bus, and to apps in
 * a sandbox. A parent that repeats our token in them must not publish it.
 */

#include "wire/message.h"

/**
 * redaction_apply() - take the words of @message away where they hold @secret: those of an error,
 * and of each result of a batch. Items are left alone; whose they are may see them.
 * @secret: NULL: there is none
 */
void redaction_apply(struct message *message, const char *secret);
