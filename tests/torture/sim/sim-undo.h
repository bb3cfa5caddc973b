/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a file has been told since it was last synced, and how to take any part of it back: a loss
 * of power keeps of these writes whatever it likes, sector by sector.
 */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

struct undo;

/** undo_new() - @fd: of the file, for reading and writing; stays the caller's and open. */
struct undo *undo_new(int fd);
/** undo_free() - Return: NULL. */
struct undo *undo_free(struct undo *undo);

/** undo_note_write() - before @len bytes are written at @offset, or the first ones of them. */
void undo_note_write(struct undo *undo, uint64_t offset, size_t len);
/** undo_note_truncate() - before the file is cut, or grown, to @size. */
void undo_note_truncate(struct undo *undo, uint64_t size);
/** undo_memory() - bytes that what can be taken back takes. */
uint64_t undo_memory(const struct undo *undo);
/** undo_settle() - the file was synced: nothing can be taken back any more. */
void undo_settle(struct undo *undo);

/**
 * undo_lose() - the power goes. What was synced stays; of the writes since, each is there, or not,
 * or some of its sectors are, in whatever combination @rand says.
 */
void undo_lose(struct undo *undo, GRand *rand);
