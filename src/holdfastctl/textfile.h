/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Metrics as a file for the textfile collector of Prometheus' node_exporter. */

/**
 * textfile_convert() - what the collector reads, of @openmetrics.
 *
 * The collector knows the text format of before OpenMetrics: there a counter's family is named as
 * its samples are, with _total, and a type it has never heard of makes it refuse the whole file.
 *
 * Return: the text, to be freed.
 */
char *textfile_convert(const char *openmetrics);

/**
 * textfile_write() - put @text into the file @path, all of it or nothing: a reader sees the old file
 * or the new one, also after a power failure. Its mode is 0644, whatever the umask.
 *
 * Return: 0, or a negative errno, -EEXIST where @path is a link, a device or the like; the old file
 * is then as it was, but where only the last step failed that makes the new one survive a power
 * failure.
 */
int textfile_write(const char *path, const char *text);
