/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An answer that is put off, on a bus of two ends without a bus daemon. That a call's message is
 * still kept is seen by the descriptor it carries, of which it holds the last copy here.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "bus/call.h"
#include "bus/caller.h"

#define MANY 20 /* more than one has under way who is not put off */

struct world {
	uint64_t now;
	struct clock *clock;
	sd_bus *here, *there;
	struct callers *callers;
	GPtrArray *calls; /* struct call, as they came */
	unsigned int answers;
};

static uint64_t world_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct world *)data)->now;
}

static void world_set_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static int on_call(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct world *world = data;
	struct call *call;

	if (!sd_bus_message_is_method_call(m, "org.example", "Wait"))
		return 0;
	g_assert_cmpint(call_new(world->callers, m, NULL, &call, error), ==, 0);
	g_ptr_array_add(world->calls, call);
	return 1;
}

static int on_answer(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)error;
	g_assert_false(sd_bus_message_is_method_error(m, NULL));
	((struct world *)data)->answers++;
	return 1;
}

/* Both ends, until nothing is left to do. */
static void world_turn(struct world *world)
{
	while (sd_bus_process(world->here, NULL) > 0 || sd_bus_process(world->there, NULL) > 0)
		;
}

static sd_bus *end_new(int fd, bool server)
{
	sd_id128_t id = SD_ID128_MAKE(01, 23, 45, 67, 89, ab, cd, ef, 01, 23, 45, 67, 89, ab, cd, ef);
	sd_bus *bus;

	g_assert_cmpint(sd_bus_new(&bus), >=, 0);
	g_assert_cmpint(sd_bus_set_fd(bus, fd, fd), >=, 0);
	g_assert_cmpint(sd_bus_negotiate_fds(bus, true), >=, 0);
	if (server)
		g_assert_cmpint(sd_bus_set_server(bus, true, id), >=, 0);
	g_assert_cmpint(sd_bus_set_anonymous(bus, true), >=, 0);
	g_assert_cmpint(sd_bus_start(bus), >=, 0);
	return bus;
}

static void world_init(struct world *world)
{
	static const struct clock_ops ops = { .now = world_now, .set_alarm = world_set_alarm };
	int fds[2];

	*world = (struct world){ .now = USEC_PER_SEC, .calls = g_ptr_array_new() };
	world->clock = clock_new(&ops, world);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==,
			0);
	world->here = end_new(fds[0], true);
	world->there = end_new(fds[1], false);
	g_assert_cmpint(callers_new(world->here, world->clock, false, &world->callers), ==, 0);
	g_assert_cmpint(sd_bus_add_filter(world->here, NULL, on_call, world), >=, 0);
	world_turn(world);
}

static void world_deinit(struct world *world)
{
	callers_free(world->callers);
	sd_bus_flush_close_unref(world->here);
	sd_bus_flush_close_unref(world->there);
	clock_free(world->clock);
	g_ptr_array_unref(world->calls);
}

/* A call with the end of a pipe, whose other end is returned. */
static int make_call(struct world *world, const char *sender)
{
	sd_bus_message *m;
	int ends[2];

	g_assert_cmpint(pipe2(ends, O_CLOEXEC | O_NONBLOCK), ==, 0);
	g_assert_cmpint(sd_bus_message_new_method_call(world->there, &m, NULL, "/",
						       "org.example", "Wait"), >=, 0);
	g_assert_cmpint(sd_bus_message_set_sender(m, sender), >=, 0);
	g_assert_cmpint(sd_bus_message_append(m, "h", ends[1]), >=, 0);
	g_assert_cmpint(sd_bus_call_async(world->there, NULL, m, on_answer, world, 0), >=, 0);
	sd_bus_message_unref(m);
	close(ends[1]);
	world_turn(world);
	return ends[0];
}

/* Whether nobody has the pipe's other end any more. */
static bool is_closed(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	g_assert_true(n == 0 || (n < 0 && errno == EAGAIN));
	return n == 0;
}

/* What waits takes the memory of an answer, and not of the value that the call brought. */
static void test_put_off(void)
{
	struct world world;
	int fds[MANY], other;

	world_init(&world);
	for (int i = 0; i < MANY; i++)
		fds[i] = make_call(&world, ":1.1");
	other = make_call(&world, ":1.2");
	g_assert_cmpuint(world.calls->len, ==, MANY + 1);
	g_assert_false(is_closed(fds[0]));

	call_reply(world.calls->pdata[0], 0, NULL);
	world_turn(&world);
	g_assert_cmpuint(world.answers, ==, 0);
	g_assert_true(is_closed(fds[0]));
	g_assert_false(is_closed(fds[1]));
	for (int i = 1; i <= MANY; i++)
		call_reply(world.calls->pdata[i], 0, NULL);
	for (int i = 0; i < 300; i++, world.now += USEC_PER_MSEC)
		clock_dispatch(world.clock);
	world_turn(&world);
	g_assert_cmpuint(world.answers, ==, MANY + 1);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	close(other);
	world_deinit(&world);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/call/put-off", test_put_off);
	return g_test_run();
}
