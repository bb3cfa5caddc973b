/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may have how much under way on a line to a parent. */

#include <glib.h>

#include "core/limits.h"
#include "parent/requests.h"

static void ask(struct requests *requests, int64_t owner, size_t bytes)
{
	const char *id = requests_add(requests, (struct request){ .owner = owner });

	requests_weigh(requests, id, bytes);
}

/* Ask for @owner, @bytes each time. Return: how often it may. */
static unsigned int ask_until_refused(struct requests *requests, int64_t owner, size_t bytes)
{
	unsigned int n = 0;

	for (; requests_has_share(requests, owner, bytes); n++) {
		ask(requests, owner, bytes);
		g_assert_cmpuint(n, <, LIMIT_PARENT_REQUESTS);
	}
	return n;
}

static void answer(struct requests *requests, unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++) {
		g_autofree char *id = g_strdup_printf("r%u", i);
		struct request *request = requests_take(requests, id);

		g_assert_nonnull(request);
		request_free(request);
	}
}

/* One who takes all he can leaves as much, and so does the next. */
static void test_many(void)
{
	const unsigned int all = LIMIT_PARENT_REQUESTS;
	uint64_t last = 0;
	struct requests *requests = requests_new(&last);

	g_assert_cmpuint(ask_until_refused(requests, 1000, 0), ==, all / 2);
	g_assert_cmpuint(ask_until_refused(requests, 1001, 0), ==, all / 4);
	g_assert_cmpuint(ask_until_refused(requests, 1002, 0), ==, all / 8);
	g_assert_false(requests_has_share(requests, 1000, 0));

	/* What is answered is under way no more. */
	answer(requests, 1, all / 2 + all / 4);
	g_assert_cmpuint(ask_until_refused(requests, 1000, 0), ==, (all - all / 8) / 2);
	g_assert_cmpuint(requests_count(requests), ==, all / 8 + (all - all / 8) / 2);
	requests_free(requests);
}

static void test_large(void)
{
	const size_t all = LIMIT_PARENT_UNSENT_BYTES;
	uint64_t last = 0;
	struct requests *requests = requests_new(&last);

	g_assert_cmpuint(ask_until_refused(requests, 1000, all / 16), ==, 8);
	g_assert_cmpuint(ask_until_refused(requests, 1001, all / 16), ==, 4);
	g_assert_true(requests_has_share(requests, 1002, all / 16));
	g_assert_true(requests_has_share(requests, 1001, 0));
	g_assert_false(requests_has_share(requests, 1001, all / 8));
	answer(requests, 1, 8);
	g_assert_cmpuint(ask_until_refused(requests, 1000, all / 16), ==, 6);
	requests_free(requests);
}

/* On a user bus, where no area has an owner, there is nobody to share with. */
static void test_nobodys(void)
{
	uint64_t last = 0;
	struct requests *requests = requests_new(&last);

	for (unsigned int i = 0; i < LIMIT_PARENT_REQUESTS; i++) {
		g_assert_true(requests_has_share(requests, -1, LIMIT_VALUE_BYTES));
		ask(requests, -1, LIMIT_VALUE_BYTES);
	}
	g_assert_true(requests_has_share(requests, -1, LIMIT_VALUE_BYTES));
	requests_free(requests);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/requests/many", test_many);
	g_test_add_func("/requests/large", test_large);
	g_test_add_func("/requests/nobodys", test_nobodys);
	return g_test_run();
}
