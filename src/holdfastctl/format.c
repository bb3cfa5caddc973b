/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Figures and foreign text as a person reads them; see format.h. */

#include <glib.h>
#include <inttypes.h>

#include "base/util.h"
#include "holdfastctl/format.h"

char *format_time(uint64_t usec)
{
	g_autoptr(GDateTime) when = NULL;

	if (usec == 0)
		return g_strdup("never");
	when = g_date_time_new_from_unix_local((gint64)(usec / USEC_PER_SEC));
	return when ? g_date_time_format(when, "%Y-%m-%d %H:%M:%S") : g_strdup("?");
}

/* Below a second one unit with a decimal says most; above it, two whole units do. */
static char *format_short_span(uint64_t usec)
{
	if (usec < USEC_PER_MSEC)
		return g_strdup_printf("%" PRIu64 "us", usec);
	return g_strdup_printf("%" PRIu64 ".%" PRIu64 "ms", usec / USEC_PER_MSEC,
			       usec % USEC_PER_MSEC / 100);
}

char *format_span(uint64_t usec)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
	uint64_t seconds = usec / USEC_PER_SEC;
	size_t i = 0;

	if (seconds == 0)
		return format_short_span(usec);
	while (seconds < units[i].seconds)
		i++;
	if (i + 1 < G_N_ELEMENTS(units)) {
		uint64_t rest = seconds % units[i].seconds / units[i + 1].seconds;

		if (rest > 0)
			return g_strdup_printf("%" PRIu64 "%s %" PRIu64 "%s",
					       seconds / units[i].seconds, units[i].name, rest,
					       units[i + 1].name);
	}
	return g_strdup_printf("%" PRIu64 "%s", seconds / units[i].seconds, units[i].name);
}

static char *format_bytes(uint64_t bytes)
{
	static const char suffixes[] = "KMGTPE";
	double value = (double)bytes;
	size_t i = 0;

	if (bytes < 1024)
		return g_strdup_printf("%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
	for (value /= 1024; value >= 1024; value /= 1024)
		i++;
	return g_strdup_printf("%.1f%c", value, suffixes[i]);
}

char *format_queue(unsigned int entries, uint64_t bytes)
{
	g_autofree char *size = format_bytes(bytes);

	return g_strdup_printf("%u %s, %s", entries, entries == 1 ? "entry" : "entries", size);
}

/* Marks of direction, U+202A–E and U+2066–9, can make a line read as another. */
static bool steers(gunichar c)
{
	return g_unichar_iscntrl(c) || c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

char *format_clean(const char *text)
{
	GString *clean = g_string_new(NULL);

	for (const char *p = text; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (steers(c))
			g_string_append_c(clean, '?');
		else
			g_string_append_unichar(clean, c);
	}
	return g_string_free(clean, FALSE);
}

char *format_ascii(const char *text)
{
	GString *ascii = g_string_new(NULL);

	for (const char *p = text; *p; p = g_utf8_next_char(p))
		g_string_append_c(ascii, g_utf8_get_char(p) < 0x80 ? *p : '?');
	return g_string_free(ascii, FALSE);
}

static size_t char_width(gunichar c)
{
	if (g_unichar_iszerowidth(c))
		return 0;
	return g_unichar_iswide(c) ? 2 : 1;
}

size_t format_width(const char *text)
{
	size_t width = 0;

	for (const char *p = text; *p; p = g_utf8_next_char(p))
		width += char_width(g_utf8_get_char(p));
	return width;
}

char *format_cut(const char *text, size_t columns, const char *mark)
{
	const char *end = text;
	size_t width = 0;

	if (format_width(text) <= columns)
		return g_strdup(text);
	if (columns == 0)
		return g_strdup("");
	while (width + char_width(g_utf8_get_char(end)) < columns) {
		width += char_width(g_utf8_get_char(end));
		end = g_utf8_next_char(end);
	}
	return g_strdup_printf("%.*s%s", (int)(end - text), text, mark);
}
