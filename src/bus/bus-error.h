/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Errors as callers see them: a D-Bus name, and a sentence that says what to do. `error` is an
 * enum hf_error, or a negative errno of the disk.
 */

#include <systemd/sd-bus.h>

/** bus_error_name() - the D-Bus name of @error, which is not 0. */
const char *bus_error_name(int error);

/** bus_error_sentence() - its usual sentence. */
const char *bus_error_sentence(int error);

/**
 * bus_error_set() - fill @ret for a handler that answers at once.
 * @detail: a sentence that replaces the usual one, or NULL; what is no text in it, such as a part of
 *          a file's name, is replaced
 *
 * Return: a negative errno, to be returned by the handler.
 */
int bus_error_set(sd_bus_error *ret, int error, const char *detail);

/**
 * bus_error_unread() - the same for arguments that could not be read.
 * @r: what sd_bus_message_read() returned; -EBADMSG also means text that the bus lets pass and
 *     sd-bus does not
 */
int bus_error_unread(sd_bus_error *ret, int r);
