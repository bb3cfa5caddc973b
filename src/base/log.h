/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The log. Where standard error is the journal's ($JOURNAL_STREAM, systemd.exec(5)) an event goes
 * to the journal with its fields, of which MESSAGE_ID leads to the catalogue; elsewhere it is one
 * line of text on standard error. Nothing here waits for journald.
 *
 * Never a value and never a token: areas, serials and numbers, keys only where they help. What a
 * peer chose to say may be either, so it does not belong here.
 *
 * Safe to use from any thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* Where the log goes; the names are those of org.freedesktop.LogControl1(5). */
enum log_target {
	LOG_TARGET_AUTO,    /* the journal where standard error is its stream, else the console */
	LOG_TARGET_CONSOLE, /* standard error, which may block where its reader does */
	LOG_TARGET_JOURNAL, /* the journal; standard error where it cannot be had */
	LOG_TARGET_NULL,    /* nowhere */
	_LOG_TARGET_MAX,
};

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

void log_set_target(enum log_target target);
enum log_target log_get_target(void);

/** log_target_from_string() - auto, console, journal, null. Return: the target, or -EINVAL. */
int log_target_from_string(const char *name);
const char *log_target_to_string(enum log_target target);

/** log_identifier() - the program's name, as SYSLOG_IDENTIFIER= of each entry has it. */
const char *log_identifier(void);

/* One field of an event. @name: HOLDFAST_… in upper case, one that base/log-message.h lists. */
struct log_field {
	const char *name;
	const char *text; /* NULL: @number counts */
	uint64_t number;
};

static inline struct log_field log_text(const char *name, const char *text)
{
	return (struct log_field){ .name = name, .text = text ? text : "" };
}

static inline struct log_field log_number(const char *name, uint64_t number)
{
	return (struct log_field){ .name = name, .number = number };
}

/* The list that log_event() takes: LOG_FIELDS(log_text("HOLDFAST_AREA", name), …). */
#define LOG_FIELDS(...) ((const struct log_field[]){ __VA_ARGS__, { .name = NULL } })

/**
 * log_write() - log one event; use the macros below.
 * @id: of base/log-message.h; NULL: none
 * @fields: ends with one without a name; NULL: none
 * @format: the MESSAGE. Control characters become spaces, as they do in the fields
 */
void log_write(int level, const char *id, const struct log_field *fields, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#define log_event(level, id, fields, ...)                                                          \
	do {                                                                                       \
		if ((level) <= log_get_max_level())                                                \
			log_write((level), (id), (fields), __VA_ARGS__);                           \
	} while (0)

#define log_full(level, ...) log_event(level, NULL, NULL, __VA_ARGS__)

#define log_debug(...)	 log_full(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)	 log_full(LOG_INFO, __VA_ARGS__)
#define log_notice(...)	 log_full(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_error(...)	 log_full(LOG_ERR, __VA_ARGS__)
