/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tables: how they are made, and whether those of a file are ours and whole.
 *
 *	meta		one row: client id, generation, reservations, the last epoch met
 *	area		name and reserved serials of each area
 *	outbox		pending writes, in serial order
 *	batch		the batch under way, at most one row
 *	batch_part	what it holds: of each area, the outbox rows up to a serial
 *	items		what the parent is known to hold; seq rises with every write of a row
 *	rejected	what the parent refused
 *	outcome		what became of serials that were refused or dropped
 *	epoch		stores of the parent met so far, and what they acked
 *
 * Every rule a single row must keep is a constraint, so that SQLite's own check finds rows that
 * break it, and the salvage cannot carry one over.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEMA_HEADER_SIZE 100	/* bytes of an SQLite file's header */
#define SCHEMA_LENGTH_OFFSET 28	/* in that: how many pages there are, four bytes */
#define SCHEMA_WAL_HEADER_SIZE 32
#define SCHEMA_PAGE_SIZE 4096

enum schema_state {
	SCHEMA_GOOD,
	SCHEMA_NEWER,	/* a later version's: not to be touched */
	SCHEMA_DAMAGED,
};

/** schema_create() - make the empty database @path, mode 0600, in place of what is there;
 * whole only on success. */
int schema_create(const char *path);

/**
 * schema_check_header() - look at a file's first bytes, before SQLite does.
 * @ret_problem: with SCHEMA_DAMAGED, a sentence; static
 *
 * Return: enum schema_state; GOOD says no more than that schema_check() can look.
 */
enum schema_state schema_check_header(const uint8_t *header, size_t len, const char **ret_problem);

/** schema_check_wal() - whether a write-ahead log begins as one does; an empty one is fine. */
bool schema_check_wal(const uint8_t *header, size_t len);

/** schema_check_tables() - whether they are exactly ours. Return: SCHEMA_GOOD, SCHEMA_DAMAGED or a
 * negative errno. */
int schema_check_tables(sqlite3 *db);

/**
 * schema_check() - whether the tables are ours and every row can be read.
 * @ret_problem: with SCHEMA_DAMAGED, a sentence to be freed
 *
 * Return: enum schema_state, or a negative errno that says nothing about the file's contents.
 */
int schema_check(sqlite3 *db, char **ret_problem);
