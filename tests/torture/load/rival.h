/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A quiet client beside one that floods: what does the quiet one feel?
 */

/** rival_main() - measure it as the options say; see main.c. Return: an exit status. */
int rival_main(char **args);

/** probe_main() - the quiet client alone, whatever goes on beside it. Return: an exit status. */
int probe_main(char **args);
