/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One batch: what goes to the parent as a whole, under one number, until it is settled. It borrows
 * entries in flight of the areas' outboxes, those of an area together and in serial order.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "engine/engine.h"
#include "parent/parent.h"
#include "wire/message.h"

struct batch;
struct outbox_entry;
struct rejects;
struct store_tx;

/** batch_new() - an empty batch. @id: NULL: a new random one. */
struct batch *batch_new(uint64_t number, const char *id);
/** batch_free() - the entries stay the outboxes'. Return: NULL. */
struct batch *batch_free(struct batch *batch);

void batch_add(struct batch *batch, struct area *area, struct outbox_entry *entry);

/**
 * batch_form() - plan a batch of what is due at @now, from the areas in turn until it is full.
 * @areas: struct area *; @first: which of them begins, modulo their number
 *
 * Return: a batch that still needs its number; NULL where nothing is due.
 */
struct batch *batch_form(const GPtrArray *areas, unsigned int first, uint64_t now);
void batch_set_number(struct batch *batch, uint64_t number);

uint64_t batch_number(const struct batch *batch);
const char *batch_id(const struct batch *batch);
unsigned int batch_length(const struct batch *batch);

/** batch_plan_persist() - plan to keep its number, id and content, in place of any other batch. */
void batch_plan_persist(const struct batch *batch, struct store_tx *tx);

/** batch_note_refusal() - the parent refuses it for now, with an error of @class; logged, in full
 * only where it is the @first time on this connection, or the first for want of room. */
void batch_note_refusal(struct batch *batch, enum wire_class class, bool first);

/** batch_send() - hand it to the parent; counts as an attempt of every entry. */
void batch_send(struct batch *batch, struct parent *parent);

/**
 * batch_take_ack() - what became of each operation; of a group with an error every member has it.
 *
 * Return: NULL, or a phrase that says why this is no ack of this batch; then nothing was taken.
 */
const char *batch_take_ack(struct batch *batch, const struct message *ack);

/** batch_refuse() - the parent refuses all of it for good. */
void batch_refuse(struct batch *batch, const char *message);

/** batch_settle() - it was answered: gets of its keys that are under way are no news any more, and
 * what it brings is of the parent as it is now. */
void batch_settle(struct batch *batch, struct engine *engine);

/** batch_first_revision() - of the results: the first that has one, or 0. */
uint64_t batch_first_revision(const struct batch *batch);
/** batch_last_revision() - the highest of the results, or 0. */
uint64_t batch_last_revision(const struct batch *batch);

/** batch_units() - single entries and groups: what can be parted. */
unsigned int batch_units(const struct batch *batch);

/** batch_first_half() - a batch of the first half of its units, under a new number. @batch keeps
 * all; at least two units. */
struct batch *batch_first_half(const struct batch *batch, uint64_t number);

/** batch_plan_trim() - plan what its results say: rows leave the outbox for the items or the
 * rejected ones. Return: 0, or a negative errno of the store. */
int batch_plan_trim(const struct batch *batch, struct engine *engine, struct store_tx *tx,
		    struct rejects *rejects);

/** batch_trim() - that is settled: the entries leave the outboxes, the copies take their values. */
void batch_trim(struct batch *batch, struct engine *engine);

/** batch_release() - it is dissolved: its entries wait again, but for the first @keep of them. */
void batch_release(struct batch *batch, unsigned int keep);

/** batch_each_area() - once for each area it has entries of; the batch may be freed before
 * @func is called for the first time. */
void batch_each_area(const struct batch *batch, void (*func)(void *data, struct area *area),
		     void *data);
