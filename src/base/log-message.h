/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The MESSAGE_ID of each event that someone may want to find or act upon: made once at random,
 * never changed and never used for anything else. data/systemd/holdfast.catalog explains each to
 * the reader of `journalctl -x`; a test holds the two against each other. The fields sent beside an
 * id are those its comment names; the catalogue uses no others.
 */

/* We are on the bus and serve. HOLDFAST_PARENT HOLDFAST_BUS */
#define LOG_MESSAGE_READY	     "c82a38b53ba445ccb88ab2bc57ed289b"
/* We were asked to stop. */
#define LOG_MESSAGE_STOPPING	     "2b1e387081504542b3944a16ba3efdda"

/* The line was up and broke. HOLDFAST_PARENT HOLDFAST_OLD_STATE HOLDFAST_STATE HOLDFAST_REASON */
#define LOG_MESSAGE_PARENT_LOST	     "9453e359e0c34a4894f0ff69cd207af1"
/* It is up again after that. The same fields */
#define LOG_MESSAGE_PARENT_RESTORED  "35e0d50c54164bccadd74c3a836ab8f0"
/* It could not be had at start. The same fields */
#define LOG_MESSAGE_PARENT_AWAY	     "8fc47c42bd33441fb8161de464565a56"
/* The parent forgot what it had acked. HOLDFAST_PARENT */
#define LOG_MESSAGE_PARENT_LOST_DATA "3117471838c34d9d91b94e014707cafc"
/* Another parent store than last time answers. HOLDFAST_PARENT */
#define LOG_MESSAGE_PARENT_OTHER     "ba1cd471d8a647d9add383fffa9233d1"
/* A new client id: what was in flight may be applied twice. HOLDFAST_REASON */
#define LOG_MESSAGE_NEW_CLIENT	     "8a8343e1671b430c9f8cd297dd99ccc6"

/* A write was refused with QuotaExceeded. HOLDFAST_AREA HOLDFAST_REASON HOLDFAST_SUPPRESSED */
#define LOG_MESSAGE_QUOTA	     "507e7f7e20f644bcbbdae353df32d8ad"
/* A queued or refused write went for want of room. HOLDFAST_AREA HOLDFAST_SERIAL
 * HOLDFAST_SUPPRESSED */
#define LOG_MESSAGE_DROPPED	     "89649674671043528eaa9208de9548a8"
/* The parent refused a write. HOLDFAST_AREA HOLDFAST_SERIAL HOLDFAST_REASON HOLDFAST_SUPPRESSED */
#define LOG_MESSAGE_REJECTED	     "7cab3c71285d43768f850ee5ad17ed07"
/* Writes that were in memory alone ended with us. HOLDFAST_QUEUE_ENTRIES */
#define LOG_MESSAGE_QUEUE_LOST	     "b1a5e3b513274272889d4f9cb183e4a3"

/* A damaged database was set aside. HOLDFAST_PATH HOLDFAST_ROWS_KEPT HOLDFAST_ROWS_LOST */
#define LOG_MESSAGE_CORRUPTION	     "18bd2b407e004197bb41b18aef6b3971"
/* Commits begin to fail. HOLDFAST_REASON */
#define LOG_MESSAGE_DISK_FAILED	     "6a46e3dbea4d4c86ad94344ec7d2dfd9"
/* They work again. HOLDFAST_FAILURES */
#define LOG_MESSAGE_DISK_WORKS	     "a395a0c795634e719619bb49070de1ba"

/* A line of a configuration file was not taken. HOLDFAST_CONFIG_FILE HOLDFAST_CONFIG_LINE
 * HOLDFAST_REASON */
#define LOG_MESSAGE_CONFIG_PROBLEM   "6b2a455cf30c44e4950d7bcf4a160b32"
/* A reload was applied. HOLDFAST_PARENT */
#define LOG_MESSAGE_CONFIG_RELOADED  "896b9e4d37774523bafd0becfbb3b571"
/* A reload was not applied, as a whole. HOLDFAST_REASON */
#define LOG_MESSAGE_CONFIG_REFUSED   "ec228432cd224581983da050f99510a4"

/* The bus is gone. HOLDFAST_REASON */
#define LOG_MESSAGE_BUS_LOST	     "14497cd00f474f4ca9a4e628f268f0bb"
/* We are on it again. */
#define LOG_MESSAGE_BUS_RESTORED     "dfab243d269243faa3583170897cd468"
