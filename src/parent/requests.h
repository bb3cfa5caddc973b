/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What was asked on one connection and is not answered yet, by requestId. The ids are "r1", "r2" …
 * and go on where those of the connection before ended: none is used twice, so an answer can only
 * mean one question, even where a network repeats bytes of an older connection.
 *
 * A connection takes so many requests and so many bytes of them, and they are shared by all users:
 * one may have under way no more than is left free. So one who asks for all there is has half, of
 * two each a third, and who comes next always finds room.
 */

#include <stdbool.h>
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
	int64_t owner;		/* whose area it is about; -1: nobody's share */
	size_t bytes;		/* of its line: requests_weigh() */
};

/** requests_new() - nothing is asked yet. @last: the number in the newest id of any connection, at
 * first 0; borrowed and kept up to date. */
struct requests *requests_new(uint64_t *last);
struct requests *requests_free(struct requests *requests);

/** requests_add() - @request: copied, its key taken over. Return: its id, borrowed while it is in
 * here. */
const char *requests_add(struct requests *requests, struct request request);

/** requests_has_share() - whether @owner may ask one thing more, of about @bytes. -1 always may. */
bool requests_has_share(const struct requests *requests, int64_t owner, size_t bytes);

/** requests_weigh() - the line of @id, which was just added, has @bytes. */
void requests_weigh(struct requests *requests, const char *id, size_t bytes);

/** requests_take() - take one out. @id may be NULL. Return: for request_free(); NULL where nothing of
 * that id is unanswered. */
struct request *requests_take(struct requests *requests, const char *id);
struct request *request_free(struct request *request);

size_t requests_count(const struct requests *requests);
