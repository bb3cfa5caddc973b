/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What all parents share: addresses, reason words, whom we trust behind a socket; and the parent
 * that is not there ("local:").
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "parent/address.h"
#include "parent/dial.h"
#include "parent/parent.h"
#include "parent/token.h"

static void test_addresses(void)
{
	g_autofree char *fits = g_strnfill(107, 'x'), *too_long = g_strnfill(108, 'x');
	g_autofree char *good = NULL, *bad = NULL;

	fits[0] = too_long[0] = '/';
	good = g_strconcat("unix:", fits, NULL);
	bad = g_strconcat("unix:", too_long, NULL);
	g_assert_cmpint(parent_check_address(good), ==, 0);
	g_assert_cmpint(parent_check_address(bad), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("unix:/run/user/1000/holdfast/parent.sock"), ==, 0);
	g_assert_cmpint(parent_check_address("unix:relative"), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("unix:"), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("local:"), ==, 0);
	g_assert_cmpint(parent_check_address("local:here"), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("local"), ==, -EINVAL);
	g_assert_cmpint(parent_check_address(""), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("/run/parent.sock"), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("gopher:x"), ==, -EPROTONOSUPPORT);
	g_assert_cmpint(parent_check_address("UNIX:/x"), ==, -EPROTONOSUPPORT);
}

/* A host of @bytes: labels of 63, the last one shorter. */
static char *make_host(size_t bytes)
{
	char *host = g_strnfill(bytes, 'x');

	for (size_t i = 63; i < bytes - 1; i += 64)
		host[i] = '.';
	return host;
}

static void test_tls_addresses(void)
{
	static const char *const good[] = {
		"tls:localhost:1",	  "tls:store.example.org:65535", "tls:127.0.0.1:4711",
		"tls:[::1]:4711",	  "tls:[2001:db8::7]:443",	 "tls:a_b-c.4.d2:80",
		"tls:4th.example.org:80",
	};
	static const char *const bad[] = {
		"tls:",		    "tls:host",		  "tls:host:",	      "tls::1",
		"tls:host:0",	    "tls:host:65536",	  "tls:host:+1",      "tls:host: 1",
		"tls:host:1 ",	    "tls:host:1/x",	  "tls:host:99999999999999999999",
		"tls:host:-1",	    "tls:host:1:2",	  "tls:ho st:1",      "tls:me@host:1",
		"tls:me:pw@host:1", "tls://host:1",	  "tls:::1:443",      "tls:[::1]",
		"tls:[::1]443",	    "tls:[::1:443",	  "tls:[host]:1",     "tls:[127.0.0.1]:1",
		"tls:[]:1",	    "tls:[fe80::1%lo]:1", "tls:.host:1",      "tls:host.:1",
		"tls:a..b:1",	    "tls:-a:1",		  "tls:a-.b:1",	      "tls:127.1:1",
		"tls:1.2.3.4.5:1",  "tls:256.1.1.1:1",	  "tls:0x7f.1:1",     "tls:h\xc3\xb6st:1",
		"tls:host:1\n",	    "tls:*:1",
	};
	g_autofree char *longest = make_host(253), *too_long = make_host(254);
	g_autofree char *label = g_strnfill(64, 'x');
	g_autofree char *fits = g_strdup_printf("tls:%s:1", longest);
	g_autofree char *over = g_strdup_printf("tls:%s:1", too_long);
	g_autofree char *wide = g_strdup_printf("tls:%s:1", label);

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		g_assert_cmpint(parent_check_address(good[i]), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		if (parent_check_address(bad[i]) != -EINVAL)
			g_error("%s is taken for an address", bad[i]);
	g_assert_cmpint(parent_check_address(fits), ==, 0);
	g_assert_cmpint(parent_check_address(over), ==, -EINVAL);
	g_assert_cmpint(parent_check_address(wide), ==, -EINVAL);
	g_assert_cmpint(parent_check_address("TLS:host:1"), ==, -EPROTONOSUPPORT);
}

static void test_address_parts(void)
{
	struct address address;

	g_assert_cmpint(address_parse("tls:[::1]:65535", &address), ==, 0);
	g_assert_cmpint(address.kind, ==, ADDRESS_TLS);
	g_assert_cmpstr(address.host, ==, "::1");
	g_assert_cmpuint(address.port, ==, 65535);
	address_deinit(&address);
	g_assert_cmpint(address_parse("unix:/p", &address), ==, 0);
	g_assert_cmpint(address.kind, ==, ADDRESS_UNIX);
	g_assert_cmpstr(address.path, ==, "/p");
	address_deinit(&address);
}

/* TokenFile= and what becomes of it with and without credentials. */
static void test_token_paths(void)
{
	g_autofree char *absolute = token_path("/etc/token"), *none = token_path(NULL);
	g_autofree char *lost = token_path("our.token"), *named = NULL, *by_default = NULL;

	g_assert_cmpstr(absolute, ==, "/etc/token");
	g_assert_null(none);
	g_assert_null(lost);
	g_setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", TRUE);
	named = token_path("our.token");
	by_default = token_path(NULL);
	g_unsetenv("CREDENTIALS_DIRECTORY");
	g_assert_cmpstr(named, ==, "/run/credentials/x/our.token");
	g_assert_cmpstr(by_default, ==, "/run/credentials/x/holdfast.token");
}

static void test_new_refuses(void)
{
	struct parent_params params = { .address = "unix:x", .client = "", .peer_uid = -1 };
	struct parent *parent = NULL;

	g_assert_cmpint(parent_new(&params, &parent), ==, -EINVAL);
	params.address = "gopher:x";
	g_assert_cmpint(parent_new(&params, &parent), ==, -EPROTONOSUPPORT);
	g_assert_null(parent);
	g_assert_null(parent_free(NULL));
}

static void test_reason_words(void)
{
	static const char *const words[] = { "start",	 "ok",	     "refused",
					     "closed",	 "timeout",  "protocol",
					     "auth",	 "version",  "parent-lost-data",
					     "stopped" };

	for (unsigned int i = 0; i < G_N_ELEMENTS(words); i++)
		g_assert_cmpstr(parent_reason_to_string((enum parent_reason)i), ==, words[i]);
}

static void test_whom_we_trust(void)
{
	g_assert_true(dial_uid_allowed(0, 1000, -1));
	g_assert_true(dial_uid_allowed(1000, 1000, -1));
	g_assert_true(dial_uid_allowed(970, 1000, 970));
	g_assert_false(dial_uid_allowed(970, 1000, -1));
	g_assert_false(dial_uid_allowed(1001, 1000, 970));
	/* -1 as a uid is no one's, and not what "none" says. */
	g_assert_false(dial_uid_allowed((uid_t)-1, 1000, -1));
}

/* ---- local: ---- */

struct told {
	uint64_t now;
	struct parent *parent;
	GString *words;
	bool hang_up;	/* at the next word */
};

static uint64_t told_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct told *)data)->now;
}

static void told_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static void told_word(struct told *told, const char *word)
{
	g_string_append_printf(told->words, "%s ", word);
	if (told->hang_up)
		told->parent->ops->disconnect(told->parent);
}

static void told_up(void *data)
{
	told_word(data, "up");
}

static void told_welcome(void *data, const struct parent_welcome *welcome)
{
	g_assert_cmpstr(welcome->epoch, ==, "");
	g_assert_cmpuint(welcome->last_batch, ==, 0);
	told_word(data, "welcome");
}

static void told_pong(void *data, int64_t id)
{
	g_assert_cmpint(id, ==, 4711);
	told_word(data, "pong");
}

static void turn(struct clock *clock, struct told *told)
{
	for (int i = 0; i < 5; i++) {
		clock_dispatch(clock);
		told->now++;
	}
}

static void test_local(void)
{
	static const struct clock_ops clock_ops = { .now = told_now, .set_alarm = told_alarm };
	static const struct parent_link_ops link = {
		.up = told_up, .welcome = told_welcome, .pong = told_pong,
	};
	struct told told = { .now = 1, .words = g_string_new(NULL) };
	struct clock *clock = clock_new(&clock_ops, &told);
	struct parent_params params = { .address = "local:", .client = "", .clock = clock };
	uint64_t progress;

	g_assert_cmpint(parent_new(&params, &told.parent), ==, 0);
	g_assert_true(told.parent->local);
	g_assert_null(told.parent->ops->path(told.parent));
	g_assert_false(told.parent->ops->busy(told.parent, &progress));
	told.parent->link = &link;
	told.parent->link_data = &told;

	told.parent->ops->connect(told.parent);
	g_assert_cmpstr(told.words->str, ==, "");
	turn(clock, &told);
	told.parent->ops->ping(told.parent, 4711);
	g_assert_cmpstr(told.words->str, ==, "up welcome ");
	turn(clock, &told);
	g_assert_cmpstr(told.words->str, ==, "up welcome pong ");
	g_assert_cmpint(told.parent->ops->get(told.parent, 1, "a", "k"), ==, -ENOSYS);

	/* Given up, in the call or from a callback: nothing more is told. */
	told.parent->ops->ping(told.parent, 4711);
	told.parent->ops->disconnect(told.parent);
	told.hang_up = true;
	told.parent->ops->connect(told.parent);
	turn(clock, &told);
	g_assert_cmpstr(told.words->str, ==, "up welcome pong up ");
	told.parent->ops->connect(told.parent);
	parent_free(told.parent);
	clock_free(clock);
	g_string_free(told.words, TRUE);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_unsetenv("CREDENTIALS_DIRECTORY");
	g_test_add_func("/parent/addresses", test_addresses);
	g_test_add_func("/parent/tls-addresses", test_tls_addresses);
	g_test_add_func("/parent/address-parts", test_address_parts);
	g_test_add_func("/parent/token-paths", test_token_paths);
	g_test_add_func("/parent/new-refuses", test_new_refuses);
	g_test_add_func("/parent/reason-words", test_reason_words);
	g_test_add_func("/parent/whom-we-trust", test_whom_we_trust);
	g_test_add_func("/parent/local", test_local);
	return g_test_run();
}
