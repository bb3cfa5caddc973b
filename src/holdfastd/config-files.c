/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The search path of holdfastd.conf(5): the vendor's directory, the administrator's, the user's.
 * Main files come first, lowest first; then the drop-ins of all directories in the order of their
 * names, of which one in a higher directory replaces its namesake in a lower one, so that a
 * vendor's drop-in can be edited by copying it.
 *
 * Only here is it known both what a file says and what an address is, so addresses are checked
 * here.
 */

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "core/limits.h"
#include "holdfastd/config-files.h"
#include "parent/parent.h"

#define CONFIG_NAME "holdfastd.conf"

struct loader {
	struct config *config;
	config_warn_t warn;
	void *data;
	bool bad_address;
};

/* The last line of @text that assigns Address, from 1; 0: none. Only to show. */
static unsigned int find_address_line(const char *text)
{
	unsigned int line = 1, found = 0;

	while (text) {
		text += strspn(text, " \t");
		if (g_str_has_prefix(text, "Address") && strchr(" \t=", text[7]))
			found = line;
		text = strchr(text, '\n');
		if (text)
			text++;
		line++;
	}
	return found;
}

static void load_text(struct loader *loader, const char *name, const char *text, size_t len)
{
	struct config *config = loader->config;
	g_autofree char *before = g_strdup(config->parent_address);

	config_load_text(config, name, text, len, loader->warn, loader->data);
	if (!config->parent_address || parent_check_address(config->parent_address) >= 0)
		return;

	/* Not repeated: an address may hold a secret one day, and this goes to the log. */
	loader->bad_address = true;
	loader->warn(loader->data, name, find_address_line(text),
		     before ? "Address= is not an address of a parent (unix:/PATH, tls:HOST:PORT or "
			      "local:); not taken; the one given before counts"
			    : "Address= is not an address of a parent (unix:/PATH, tls:HOST:PORT or "
			      "local:); not taken: a start uses the socket of this machine's own parent");
	g_free(config->parent_address);
	config->parent_address = g_steal_pointer(&before);
}

static int load_file(struct loader *loader, const char *name)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	GStatBuf st;
	gsize len;

	if (g_stat(name, &st) < 0)
		return -errno;
	if (st.st_size > LIMIT_CONFIG_BYTES)
		return -EFBIG;
	if (!g_file_get_contents(name, &text, &len, &error))
		return g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ISDIR) ? -EISDIR : -EACCES;
	load_text(loader, name, text, len);
	return 0;
}

/* A file that was found but cannot be read is worth a warning; one that is not there is not. */
static void try_file(struct loader *loader, const char *name)
{
	g_autofree char *message = NULL;
	int r;

	r = load_file(loader, name);
	if (r >= 0 || r == -ENOENT || r == -ENOTDIR)
		return;
	message = g_strdup_printf("cannot be read, ignored: %s", g_strerror(-r));
	loader->warn(loader->data, name, 0, message);
}

/* Lowest first. */
static GPtrArray *list_directories(bool system)
{
	GPtrArray *dirs = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(dirs, g_strdup("/usr/lib/holdfast"));
	g_ptr_array_add(dirs, g_strdup("/etc/holdfast"));
	if (!system)
		g_ptr_array_add(dirs, g_build_filename(g_get_user_config_dir(), "holdfast", NULL));
	return dirs;
}

/* @found: name → path; an entry of a directory listed later replaces its namesake. */
static void find_drop_ins(GTree *found, const char *directory)
{
	g_autofree char *path = g_build_filename(directory, CONFIG_NAME ".d", NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)))
		if (name[0] != '.' && g_str_has_suffix(name, ".conf"))
			g_tree_replace(found, g_strdup(name), g_build_filename(path, name, NULL));
}

static gboolean load_drop_in(gpointer name, gpointer path, gpointer loader)
{
	(void)name;
	try_file(loader, path);
	return FALSE;
}

static int compare_names(gconstpointer a, gconstpointer b, gpointer data)
{
	(void)data;
	return strcmp(a, b);
}

static void search(struct loader *loader, bool system)
{
	g_autoptr(GTree) drop_ins = g_tree_new_full(compare_names, NULL, g_free, g_free);
	g_autoptr(GPtrArray) dirs = list_directories(system);

	for (guint i = 0; i < dirs->len; i++) {
		const char *dir = g_ptr_array_index(dirs, i);
		g_autofree char *name = g_build_filename(dir, CONFIG_NAME, NULL);

		try_file(loader, name);
		find_drop_ins(drop_ins, dir);
	}
	g_tree_foreach(drop_ins, load_drop_in, loader);
}

int config_files_load(const struct config_files *files, struct config *config, config_warn_t warn,
		      void *data, bool *ret_bad_address)
{
	struct config loaded = { 0 };
	struct loader loader = { .config = &loaded, .warn = warn, .data = data };
	int r = 0;

	config_init(&loaded);
	if (files->file)
		r = load_file(&loader, files->file);
	else
		search(&loader, files->system);
	if (r < 0) {
		config_deinit(&loaded);
		return r;
	}
	*config = loaded;
	*ret_bad_address = loader.bad_address;
	return 0;
}
