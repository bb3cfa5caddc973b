/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A parent that speaks the wire protocol of design §5, version 1, on a unix socket
 * ("unix:/path") or over TLS ("tls:host:port").
 */

struct parent;
struct parent_params;

/** parent_json_check() - Return: 0, or as address_parse(). */
int parent_json_check(const char *text);

/** parent_json_new() - @params: as parent_json_check() takes it. Return: 0, or as that. */
int parent_json_new(const struct parent_params *params, struct parent **ret_parent);
