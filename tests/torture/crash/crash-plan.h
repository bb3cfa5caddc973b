/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The file that HOLDFAST_TEST_CRASH names, which crash-shim.c maps and shim.py writes and reads:
 * its head, and from PLAN_HEADER on the journal. Everything is in native order.
 */

#include <stdint.h>

enum mode {
	MODE_BEFORE,
	MODE_AFTER,
	MODE_HALF,
};

enum call {
	CALL_WRITE,
	CALL_WRITEV,
	CALL_PWRITE,
	CALL_SEND,
	CALL_SENDMSG,
	CALL_TRUNCATE,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_CREATE,
	CALL_RENAME,
	CALL_UNLINK,
	CALL_MKDIR,
	_CALL_MAX,
};

#define PLAN_HEADER 4096	/* bytes before the journal */
#define PLAN_OVERFLOW UINT64_MAX

struct plan {
	uint64_t kill_at;	/* the number of the call; 0: none */
	uint32_t mode;
	uint32_t lie;		/* from this call on syncs make nothing durable; 0: never */
	uint64_t size;		/* of the file */
	uint64_t used;		/* bytes of the journal; PLAN_OVERFLOW: it was too short */
	uint64_t count;		/* calls so far */
	uint32_t fired;		/* 1 + enum call of the one that killed */
	uint32_t pid;		/* whom it killed */
	uint64_t calls[_CALL_MAX];
	char directory[512];	/* whose files are recorded; "": none */
};

enum change {
	CHANGE_DATA,
	CHANGE_CREATE,
	CHANGE_RENAME,
	CHANGE_UNLINK,
	CHANGE_MKDIR,		/* of the recorded directory itself */
};

/* What a change waits for to be durable. */
enum sync {
	SYNC_FILE,
	SYNC_DIRECTORY,
	SYNC_PARENT,		/* of the directory above */
};

/* An entry of the journal; `before`, `after` and the two names follow it, padded to 8 bytes. */
struct entry {
	uint32_t size;		/* with all that follows */
	uint32_t change;
	uint32_t durable;
	uint32_t sync;		/* enum sync: of what */
	uint64_t inode;
	uint64_t offset;
	uint64_t size_before, size_after;	/* of the file */
	uint32_t before, after;			/* bytes */
	uint32_t name, name2;			/* bytes, without NUL */
};
