/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See salvage-report.h. */

#include <glib.h>
#include <string.h>

#include "store/db.h"
#include "store/salvage-report.h"

static const struct kind {
	const char *table, *what;
	bool once;	/* it is there once: no numbers */
	bool precious;	/* what is kept of it is told, too */
} kinds[] = {
	{ "meta", "the client id and counters", .once = true },
	{ "area", "areas", .precious = true },
	{ "outbox", "queued writes", .precious = true },
	{ "batch", "the batch under way", .once = true },
	{ "batch_part", "what was in the batch under way", .once = true },
	{ "items", "copies of what the parent holds", .precious = true },
	{ "rejected", "refused writes", .precious = true },
	{ "outcome", "outcomes of writes" },
	{ "epoch", "parents known" },
};

static const struct kind *find_kind(const char *table)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (strcmp(kinds[i].table, table) == 0)
			return &kinds[i];
	g_assert_not_reached();
}

const char *salvage_report_word(const char *table)
{
	return find_kind(table)->what;
}

static const char *comma(const GString *list)
{
	return list->len > 0 ? ", " : "";
}

static int add_kept(GString *list, const struct kind *kind, sqlite3 *db)
{
	g_autofree char *sql = g_strconcat("SELECT count(*) FROM ", kind->table, NULL);
	int64_t rows = 0;
	int r;

	if (!kind->precious)
		return 0;
	r = db_query_int(db, sql, &rows);
	g_string_append_printf(list, "%s%" G_GINT64_FORMAT " %s", comma(list), rows, kind->what);
	return MIN(r, 0);
}

static void add_lost(GString *list, const struct kind *kind, const struct salvage_loss *loss)
{
	if (loss->rows == 0)
		return;
	g_string_append_printf(list, "%s%s", comma(list), kind->what);
	if (loss->endless && !kind->once)
		g_string_append(list, " (how many is not known)");
	else if (!kind->once)
		g_string_append_printf(list, " (at least %" G_GUINT64_FORMAT ")", loss->rows);
}

int salvage_report_make(sqlite3 *db, const struct salvage_loss *losses, size_t n,
			const char *stretches, char **ret_report)
{
	g_autoptr(GString) kept = g_string_new(NULL), lost = g_string_new(NULL);

	for (size_t i = 0; i < n; i++) {
		const struct kind *kind = find_kind(losses[i].table);
		int r = add_kept(kept, kind, db);

		if (r < 0)
			return r;
		add_lost(lost, kind, &losses[i]);
	}
	*ret_report = g_strdup_printf("kept: %s; lost: %s%s", kept->str,
				      lost->len > 0 ? lost->str : "nothing that is known of",
				      stretches);
	return 0;
}
