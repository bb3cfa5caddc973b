/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Every bound on what a client, a parent or a file can make grow, in one place: its unit and why
 * it is what it is. The design fixes the ones users see; the rest bound memory.
 */

#define LIMIT_KEY_BYTES		 512		 /* bytes of a key; fits an index page of SQLite */
#define LIMIT_VALUE_BYTES	 (1024 * 1024)	 /* bytes of a value; MaxValueSize can only lower it */
#define LIMIT_AREA_NAME_BYTES	 255		 /* bytes of an area's own name (NAME_MAX) */
#define LIMIT_AREAS_PER_APP	 16		 /* areas of one sandboxed app, which else takes all its user may have */
#define LIMIT_GROUP_ITEMS	 1000		 /* items of one SetItems; an unsplit group fits a batch */
#define LIMIT_GROUP_BYTES	 (1024 * 1024)	 /* keys + values of one SetItems */
#define LIMIT_BULK_KEYS		 1000		 /* keys of one GetItems */
#define LIMIT_BULK_REPLY_BYTES	 (8 * 1024 * 1024) /* bytes of one bulk reply; a bus cuts at 32 MiB */
#define LIMIT_CALLS_PER_CALLER	 128		 /* unanswered calls; dbus-daemon's own default */
#define LIMIT_CALLER_BACKLOG_BYTES (144 * 1024 * 1024) /* a caller's untaken answers: 128 largest values fit */
#define LIMIT_BACKLOG_BYTES	 (512 * 1024 * 1024) /* of all callers'; over it each may have LIMIT_BULK_REPLY_BYTES */
#define LIMIT_BUS_NAME_BYTES	 255		 /* bytes of an interface's or a property's name, as D-Bus has it */
#define LIMIT_QUEUED_SIGNALS	 16384		 /* messages the bus has not taken; over it subscriptions end */
#define LIMIT_UNSURE_SIGNALS	 131072		 /* signals the bus may still refuse, 16 bytes each; as above */
#define LIMIT_PROC_BYTES	 (64 * 1024)	 /* bytes of a file about a caller's process: it may choose them */
#define LIMIT_CONFIG_BYTES	 (1024 * 1024)	 /* bytes of one configuration file */
#define LIMIT_BATCH_OPS		 1000		 /* operations of a batch */
#define LIMIT_BATCH_BYTES	 (1024 * 1024)	 /* keys + values of a batch */
#define LIMIT_LINE_BYTES	 (8 * 1024 * 1024) /* bytes of a line on the wire, without the newline */
#define LIMIT_JSON_DEPTH	 8		 /* nested objects and arrays in a line */
#define LIMIT_JSON_VALUES	 65536		 /* values of a line that are read: bounds its tree */
#define LIMIT_JSON_VALUE_BYTES	 300		 /* what json-glib takes for one of them, its text aside */
#define LIMIT_REQUEST_ID_BYTES	 256		 /* bytes of a requestId: it is echoed and kept per request */
#define LIMIT_WIRE_INTEGER	 (INT64_C(1) << 53) /* integers on the wire: what a double holds */
#define LIMIT_NUMBER_BLOCK	 1000		 /* serials or batch numbers reserved by one synced commit */
#define LIMIT_REJECTED_ROWS	 1000		 /* refused entries kept per area */
#define LIMIT_REJECTED_BYTES	 (16 * 1024 * 1024) /* their keys + values per area */
#define LIMIT_OUTCOMES		 1000		 /* refused and dropped serials remembered per area */
#define LIMIT_EPOCHS		 64		 /* (store of the parent, client id) pairs remembered */
#define LIMIT_CACHES		 16		 /* times [Cache] MaxBytes that the caches of all users may take */
#define LIMIT_PARENT_REQUESTS	 4096		 /* requests a connection may leave unanswered */
#define LIMIT_PARENT_UNSENT_BYTES (16 * 1024 * 1024) /* untaken bytes over which requests are -EBUSY */
#define LIMIT_PARENT_COMPLAINTS	 64		 /* untaken errors of ours about unknown types */
#define LIMIT_TOKEN_BYTES	 4096		 /* bytes of a token file */
#define LIMIT_CA_FILE_BYTES	 (4 * 1024 * 1024) /* bytes of a TLSCAFile=; a system's whole bundle is 0.2 MiB */
#define LIMIT_REASON_BYTES	 512		 /* bytes of a Reason; a parent chooses its sentence */
#define LIMIT_CONFIG_AREAS	 1024		 /* [Area NAME] sections; four users' worth of areas */
#define LIMIT_CONFIG_WARNINGS	 100		 /* complaints about one file: the log is bounded, too */
#define LIMIT_AREA_EVENTS	 10		 /* log entries of one kind an area may cause in … */
#define LIMIT_AREA_EVENTS_USEC	 (UINT64_C(30000000)) /* … this time: clients and parents decide how often */
#define LIMIT_GET_USEC		 (UINT64_C(4500000)) /* a get in all, so that it is answered in 5 s */
#define LIMIT_RETRY_AFTER_MSEC	 (UINT64_C(3600000)) /* the longest wait a parent can ask for */
