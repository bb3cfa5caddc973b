/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The messages of the wire protocol, version 1 (design §5), as C structs: parsing of untrusted
 * lines and formatting of our own. The only users of json-glib are message.c and its kin.
 *
 * Parsing is strict about what we use and blind to what we do not: a line must be one JSON object
 * (RFC 8259) within the bounds of core/limits.h; unknown members are ignored; a known member of the
 * wrong type, a missing one, or an integer outside ±2^53 makes the message malformed. What may be
 * missing may be null.
 *
 * Text that is not clean (a NUL, bad UTF-8, a lone surrogate) does not spoil the line's framing:
 * such a string is parsed as NULL with the message's `unclean` set, so that one bad value costs one
 * item and not the connection. That goes for the values of save, storageResponse and itemChanged
 * and for the messages of errors and results; any other unclean string is malformed.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define WIRE_PROTOCOL 1

enum message_type {
	MESSAGE_HELLO,
	MESSAGE_WELCOME,
	MESSAGE_PING,
	MESSAGE_PONG,
	MESSAGE_GET,		/* getFromParentStorage */
	MESSAGE_RESPONSE,	/* storageResponse */
	MESSAGE_BATCH,
	MESSAGE_BATCH_ACK,
	MESSAGE_SAVE,		/* saveToParentStorage, outside a batch */
	MESSAGE_REMOVE,		/* removeFromParentStorage, outside a batch */
	MESSAGE_ACK,		/* storageAck */
	MESSAGE_WATCH,
	MESSAGE_WATCHING,
	MESSAGE_ITEM_CHANGED,
	MESSAGE_ERROR,
	MESSAGE_UNKNOWN,	/* well-formed, of a type we do not know; requestId is parsed */
};

enum wire_class {
	WIRE_TRANSIENT,
	WIRE_CAPACITY,
	WIRE_AUTH,
	WIRE_PERMANENT,
};

/* One operation of a batch. */
struct wire_op {
	const char *area;
	const char *key;
	const char *value;	/* NULL: remove */
	bool grouped;		/* member of a group … */
	uint64_t group;		/* … this one: equal ones are all applied or none is */
};

enum wire_op_error {
	WIRE_OP_OK,
	WIRE_OP_REJECTED,
	WIRE_OP_QUOTA,
};

/* What became of one operation. */
struct wire_result {
	enum wire_op_error error;
	uint64_t revision;	/* with WIRE_OP_OK */
	const char *message;	/* else; may be NULL */
};

/*
 * A parsed message. Only the members of its type are set; strings are borrowed from the message and
 * live as long as it does.
 */
struct message {
	enum message_type type;
	bool unclean;			/* a string member was not clean text and is NULL */
	const char *request_id;		/* NULL: none. At most LIMIT_REQUEST_ID_BYTES */
	size_t held;			/* bytes of memory it takes, at most */
	union {
		struct {
			int64_t protocol;	/* if not WIRE_PROTOCOL nothing else is set: "" */
			const char *client;	/* 32 hex, checked */
			const char *token;	/* NULL: none */
			bool watch;		/* features (may be left out) has "watch" */
		} hello;
		struct {
			int64_t protocol;	/* as in hello */
			const char *epoch;	/* 32 hex, checked */
			uint64_t last_batch;
			bool watch;
		} welcome;
		struct {
			int64_t time;		/* not 0, checked */
		} ping, pong;
		struct {
			const char *area;
			const char *key;
			const char *value;	/* save, response, itemChanged; NULL: absent */
			uint64_t revision;	/* response, ack, itemChanged */
			const char *client;	/* itemChanged; NULL: not given */
		} item;				/* get, response, save, remove, ack, itemChanged */
		struct {
			uint64_t number;	/* at least 1, checked */
			/* The number is compared before any other check, so what is wrong with
			 * the rest does not make the message malformed. NULL: nothing. */
			const char *bad;
			const char *id;		/* 32 hex; "" where it is what is bad */
			const struct wire_op *ops;
			size_t n_ops;		/* 1–LIMIT_BATCH_OPS; 0 of a bad one */
		} batch;
		struct {
			uint64_t number;
			const char *id;		/* 32 hex, checked */
			bool duplicate;
			bool has_results;	/* a duplicate may come without */
			const struct wire_result *results;
			size_t n_results;
		} batch_ack;
		struct {
			const char *area;
			uint64_t since;		/* watch */
			uint64_t revision;	/* watching */
			bool gap;		/* watching */
		} watch;			/* watch, watching */
		struct {
			enum wire_class class;
			const char *message;	/* "" where it was left out or unclean */
			uint64_t retry_after;	/* ms; 0: none. At most LIMIT_RETRY_AFTER_MSEC */
		} error;
	};
	void *tree;	/* private: what the strings are borrowed from */
};

/**
 * message_parse() - parse one line, without its newline.
 * @line, @len: any bytes; at most LIMIT_LINE_BYTES
 * @ret: to be released with message_deinit(); untouched on failure
 * @ret_why: on failure a static phrase that says what is wrong; may be NULL
 * @ret_request_id: on failure the requestId if the line was JSON and had one, else NULL, to be
 *                  freed; may be NULL
 *
 * Return: 0; -EBADMSG where it is not a JSON object within bounds; -EPROTO where it is one but not
 * a well-formed message; -ENOMSG where that message calls itself an error, which is never answered.
 */
int message_parse(const char *line, size_t len, struct message *ret, const char **ret_why,
		  char **ret_request_id);

/** message_deinit() - release what a message borrows from; an all-zero message is fine. */
void message_deinit(struct message *message);

/*
 * Formatting: each appends one line with its newline to @out. Strings must be valid UTF-8 without
 * NUL; they are escaped as RFC 8259 asks. The order of members is that of design §5.
 */
void message_format_hello(GString *out, const char *client, const char *token, bool watch);
void message_format_welcome(GString *out, const char *epoch, uint64_t last_batch, bool watch);
void message_format_ping(GString *out, int64_t time);
void message_format_pong(GString *out, int64_t time);
void message_format_get(GString *out, const char *request_id, const char *area, const char *key);
void message_format_response(GString *out, const char *request_id, const char *key,
			     const char *value, uint64_t revision);
void message_format_save(GString *out, const char *request_id, const char *area, const char *key,
			 const char *value);
void message_format_remove(GString *out, const char *request_id, const char *area, const char *key);
void message_format_ack(GString *out, const char *request_id, uint64_t revision);
/** message_format_error() - @request_id NULL: none; @retry_after in ms, 0: none. */
void message_format_error(GString *out, const char *request_id, enum wire_class class,
			  const char *message, uint64_t retry_after);
/** message_format_batch() - @n operations, in order. */
void message_format_batch(GString *out, const char *request_id, uint64_t number, const char *id,
			  const struct wire_op *ops, size_t n);
/** message_format_batch_ack() - @results NULL: without results. */
void message_format_batch_ack(GString *out, const char *request_id, uint64_t number, const char *id,
			      bool duplicate, const struct wire_result *results, size_t n);

const char *wire_class_to_string(enum wire_class class);
