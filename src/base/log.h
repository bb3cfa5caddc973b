/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The log: one line per event on standard error, with the priority prefix of sd-daemon(3) when
 * the journal reads it. Never a value and never a token: keys and numbers only.
 */

#include <stdbool.h>
#include <syslog.h>

/**
 * log_set_max_level() - drop everything less urgent than @level.
 * @level: LOG_EMERG … LOG_DEBUG of syslog(3)
 */
void log_set_max_level(int level);

int log_get_max_level(void);

/**
 * log_level_from_string() - parse a level's name.
 * @name: emerg, alert, crit, err, warning, notice, info or debug, or its number 0–7
 *
 * Return: the level, or -EINVAL.
 */
int log_level_from_string(const char *name);

/** log_level_to_string() - the name of @level, as log_level_from_string() takes it. */
const char *log_level_to_string(int level);

/** log_write() - write one line; use the macros below. Newlines in the text become spaces. */
void log_write(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_full(level, ...)                                                                       \
	do {                                                                                       \
		if ((level) <= log_get_max_level())                                                \
			log_write((level), __VA_ARGS__);                                           \
	} while (0)

#define log_debug(...)	 log_full(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)	 log_full(LOG_INFO, __VA_ARGS__)
#define log_notice(...)	 log_full(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_error(...)	 log_full(LOG_ERR, __VA_ARGS__)
