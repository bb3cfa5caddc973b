/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The verbs that read and write items. As every verb they return 0, or a negative errno with the
 * sentence in the client.
 */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int items_get(struct client *client, const struct options *options);
int items_set(struct client *client, const struct options *options);
int items_remove(struct client *client, const struct options *options);
int items_list(struct client *client, const struct options *options);
int items_areas(struct client *client, const struct options *options);
