/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * "local:": no parent at all. The store on this machine is the parent, so the line to it is always
 * up (design §5; the origin's "not in an iframe").
 */

struct parent;
struct parent_params;

/** parent_local_check() - Return: 0, or -EINVAL where anything follows "local:". */
int parent_local_check(const char *address);

/** parent_local_new() - Return: 0. Its `local` is true: storage answers from its own store and
 * never calls get, write or apply. */
int parent_local_new(const struct parent_params *params, struct parent **ret_parent);
