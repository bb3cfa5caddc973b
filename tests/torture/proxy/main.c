/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A faulty network of one program: it stands between holdfastd and its parent and does to their
 * connections what it is told on its standard input (control.h). It ends with its input.
 *
 * usage: fault-proxy LISTEN PARENT [SEED]
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"

#define COMMAND_BYTES (64 * 1024) /* of a command without its end */

static uint64_t monotonic(void)
{
	return (uint64_t)g_get_monotonic_time();
}

/* Return: false at the end of the input. */
static bool commands_turn(struct proxy *proxy, GString *input)
{
	g_autoptr(GString) answer = g_string_new(NULL);
	char bytes[4096], *end;
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n <= 0 || input->len > COMMAND_BYTES)
		return n < 0 && errno == EINTR;
	g_string_append_len(input, bytes, n);
	while ((end = strchr(input->str, '\n'))) {
		*end = '\0';
		g_string_truncate(answer, 0);
		control_line(proxy, monotonic(), input->str, answer);
		puts(answer->str);
		fflush(stdout);
		g_string_erase(input, 0, end + 1 - input->str);
	}
	return true;
}

static void wait_for_events(GArray *fds, uint64_t now, uint64_t deadline)
{
	uint64_t wait = deadline > now ? deadline - now : 0;
	struct timespec ts = { (time_t)(wait / 1000000), (long)(wait % 1000000) * 1000 };

	if (ppoll((struct pollfd *)fds->data, fds->len, deadline == FLOW_NEVER ? NULL : &ts,
		  NULL) >= 0)
		return;
	for (unsigned int i = 0; i < fds->len; i++)
		g_array_index(fds, struct pollfd, i).revents = 0;
}

static void run(struct proxy *proxy)
{
	const struct pollfd commands = { .fd = STDIN_FILENO, .events = POLLIN };
	g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd));
	g_autoptr(GString) input = g_string_new(NULL);
	const struct pollfd *polled;
	uint64_t now;

	for (;;) {
		now = monotonic();
		g_array_set_size(fds, 0);
		g_array_append_val(fds, commands);
		proxy_prepare(proxy, now, fds);
		wait_for_events(fds, now, proxy_deadline(proxy, now));
		polled = (const struct pollfd *)fds->data;
		proxy_turn(proxy, monotonic(), polled + 1);
		/* Last: a command changes the links that were polled. */
		if (polled[0].revents && !commands_turn(proxy, input))
			return;
	}
}

int main(int argc, char **argv)
{
	struct endpoint at, parent;
	struct proxy *proxy;
	int r;

	if (argc < 3 || endpoint_parse(argv[1], &at) < 0 || endpoint_parse(argv[2], &parent) < 0) {
		fprintf(stderr, "usage: fault-proxy LISTEN PARENT [SEED]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = proxy_new(&at, &parent, argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1, &proxy);
	if (r < 0) {
		fprintf(stderr, "fault-proxy: %s: %s\n", argv[1], strerror(-r));
		return 1;
	}
	puts("ok listening");
	fflush(stdout);
	run(proxy);
	proxy_free(proxy);
	return 0;
}
