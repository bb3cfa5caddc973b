/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The load generator of tests/torture/load: one program, as several mean the same by a client.
 *
 * usage: busload crowd [--clients=N] [--calls=N] [--window=N] [--seed=N] [--prefix=NAME]
 *			[--patience=USEC] [--report=N] [--expected=FILE]
 *	N clients make N calls in all, each with `window` under way. Prints "answered N" lines on
 *	the way, and at the end counts and the time that answers took, in usec.
 * usage: busload rival [--turns=N] [--samples=N] [--window=N]
 *	a quiet client beside a flood, in turns without it: a line of figures per phase.
 * usage: busload probe [--samples=N] [--area=NAME]
 *	the quiet client alone.
 * usage: busload lurk [--await=N] [--flush=N] [--get=N] [--key=KEY] [--subscribe=1] [--half=1]
 *			[--area=NAME]
 *	makes calls, says "ready" when the daemon has them, and never reads again.
 */

#include <string.h>

#include "client.h"
#include "crowd.h"
#include "lurker.h"
#include "rival.h"

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "crowd") == 0)
		return crowd_main(argv + 2);
	if (argc >= 2 && strcmp(argv[1], "rival") == 0)
		return rival_main(argv + 2);
	if (argc >= 2 && strcmp(argv[1], "probe") == 0)
		return probe_main(argv + 2);
	if (argc >= 2 && strcmp(argv[1], "lurk") == 0)
		return lurker_main(argv + 2);
	fatal("usage: busload crowd|rival|probe|lurk [OPTION…]");
}
