/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The methods of org.holdfast1.Storage that list: the keys, the queue, and what the parent refused.
 * Each is an sd_bus_message_handler_t whose userdata is the struct bus_area. They run once what was
 * written before them is settled, and answer LIMIT_BULK_REPLY_BYTES at most.
 */

#include <systemd/sd-bus.h>

int bus_queue_list_keys(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_queue_list_queue(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_queue_list_rejected(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_queue_get_rejected(sd_bus_message *m, void *userdata, sd_bus_error *error);
