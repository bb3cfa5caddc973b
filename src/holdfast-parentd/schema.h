/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tables, version 1.
 *
 * store: one row: which store this is, and how many operations it has applied.
 * principal: who may own items, and how much they own, kept up to date with every batch so that a
 *            quota costs no count.
 * client: of each client of a principal the last batch: its number, its id and what became of its
 *         operations, as the verdict letters of plan.h. The applied ones have the revisions after
 *         `base`, one by one. `seen` orders clients by how long they have been away.
 * item: the values; `bytes` is that of key and value, in front of the value so that reading it
 *       leaves the value's pages alone.
 */

#define SCHEMA_APPLICATION_ID 0x68667064	/* "hfpd" */
#define SCHEMA_VERSION 1

#define SCHEMA_SQL                                                                                 \
	"CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,"        \
	" revision INTEGER NOT NULL);"                                                             \
	"CREATE TABLE principal (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"               \
	" keys INTEGER NOT NULL, bytes INTEGER NOT NULL);"                                         \
	"CREATE TABLE client (principal INTEGER NOT NULL, client TEXT NOT NULL,"                   \
	" batch INTEGER NOT NULL, id TEXT NOT NULL, base INTEGER NOT NULL, seen INTEGER NOT NULL," \
	" verdicts TEXT NOT NULL, PRIMARY KEY (principal, client)) WITHOUT ROWID;"                 \
	"CREATE TABLE item (principal INTEGER NOT NULL, area TEXT NOT NULL, key TEXT NOT NULL,"    \
	" revision INTEGER NOT NULL, bytes INTEGER NOT NULL, value TEXT NOT NULL,"                 \
	" PRIMARY KEY (principal, area, key)) WITHOUT ROWID;"
#define SCHEMA_NAMES "'store', 'principal', 'client', 'item'"
