/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A client that makes calls and never reads again, until it is killed.
 */

/** lurker_main() - make the calls that the options say; see main.c. Return: an exit status. */
int lurker_main(char **args);
