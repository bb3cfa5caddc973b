/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What was asked on one connection and is not answered yet, by requestId. The ids are "r1", "r2" …
 * and go on where those of the connection before ended: none is used twice, so an answer can only
 * mean one question, even where a network repeats bytes of an older connection.
 */

#include <stddef.h>
#include <stdint.h>

struct requests;

enum request_kind {
	REQUEST_GET,
	REQUEST_WRITE,
	REQUEST_BATCH,
};

struct request {
	enum request_kind kind;
	uint64_t tag;		/* the asker's; not of a batch */
	char *key;		/* of a get: the answer must name it. Owned */
	uint64_t number;	/* of a batch: likewise */
};

/** requests_new() - nothing is asked yet. @last: the number in the newest id of any connection, at
 * first 0; borrowed and kept up to date. */
struct requests *requests_new(uint64_t *last);
struct requests *requests_free(struct requests *requests);

/** requests_add() - @request: copied, its key taken over. Return: its id, borrowed while it is in
 * here. */
const char *requests_add(struct requests *requests, struct request request);

/** requests_take() - take one out. @id may be NULL. Return: for request_free(); NULL where nothing of
 * that id is unanswered. */
struct request *requests_take(struct requests *requests, const char *id);
struct request *request_free(struct request *request);

size_t requests_count(const struct requests *requests);
