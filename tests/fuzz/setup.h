/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** fuzz_setup() - before anything else: complaints of GLib's are findings; SQLite takes its memory
 * from a pool of its own, as its thousands of small pieces would cost the fuzzer half its time. */
void fuzz_setup(void);

/** fuzz_directory() - a new directory in memory; to be freed. */
char *fuzz_directory(void);
