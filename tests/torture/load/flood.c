/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A flood of writes; see flood.h. Orders are numbers on a socket, each answered by the same. */

#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "client.h"
#include "flood.h"

#define REST 0 /* an order; others are numbers of areas */

struct flood {
	struct flood_counts *counts; /* shared by both processes */
	int channel;
	pid_t pid;
};

/* The process itself. */
struct flooder {
	struct flood_counts *counts;
	int channel;
	uint64_t window, under_way, written;
	bool running;
	sd_bus *bus;
	char *path; /* of the area */
};

static void answer(int channel, uint32_t order)
{
	if (send(channel, &order, sizeof(order), MSG_NOSIGNAL) != sizeof(order))
		_exit(1);
}

static void flooder_fill(struct flooder *flooder);

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const sd_bus_error *refused = sd_bus_message_get_error(reply);
	struct flooder *flooder = data;

	(void)error;
	flooder->under_way--;
	if (!refused)
		flooder->counts->accepted++;
	else if (strcmp(refused->name, HF_ERROR "QuotaExceeded") == 0)
		flooder->counts->quota++;
	else if (strcmp(refused->name, DBUS_ERROR "LimitsExceeded") == 0)
		flooder->counts->limits++;
	else
		fatal("a write of the flood: %s: %s", refused->name, refused->message);
	if (flooder->running)
		flooder_fill(flooder);
	else if (flooder->under_way == 0)
		answer(flooder->channel, REST);
	return 0;
}

static void flooder_fill(struct flooder *flooder)
{
	sd_bus_message *m;
	char key[32];

	while (flooder->under_way < flooder->window) {
		g_snprintf(key, sizeof(key), "key-%" G_GUINT64_FORMAT, ++flooder->written);
		m = client_call(flooder->bus, flooder->path, "SetItem");
		sd_bus_message_append(m, "ss", key, "a value of some forty bytes, as an app's");
		if (sd_bus_call_async(flooder->bus, NULL, m, on_reply, flooder, CALL_TIMEOUT) < 0)
			fatal("the flood cannot call");
		sd_bus_message_unref(m);
		flooder->under_way++;
	}
}

static int on_order(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct flooder *flooder = data;
	g_autofree char *name = NULL;
	uint32_t order;

	(void)source;
	(void)events;
	if (recv(fd, &order, sizeof(order), 0) != sizeof(order))
		_exit(0); /* the other end is gone */
	flooder->running = order != REST;
	if (!flooder->running) {
		if (flooder->under_way == 0)
			answer(fd, REST);
		return 0;
	}
	name = g_strdup_printf("flood-%u", order);
	free(flooder->path);
	flooder->path = client_open_area(flooder->bus, name);
	flooder_fill(flooder);
	sd_bus_flush(flooder->bus);
	answer(fd, order);
	return 0;
}

G_GNUC_NORETURN static void flooder_main(struct flooder *flooder)
{
	sd_event *event = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	flooder->bus = client_open();
	if (sd_event_new(&event) < 0 ||
	    sd_event_add_io(event, NULL, flooder->channel, EPOLLIN, on_order, flooder) < 0 ||
	    sd_bus_attach_event(flooder->bus, event, SD_EVENT_PRIORITY_NORMAL) < 0)
		fatal("the flood has no loop");
	sd_event_loop(event);
	_exit(1);
}

struct flood *flood_start(uint64_t window)
{
	struct flood *flood = g_new0(struct flood, 1);
	struct flooder flooder = { .window = window };
	int fds[2];

	flood->counts = mmap(NULL, sizeof(*flood->counts), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (flood->counts == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		fatal("no memory or socket to share");
	flood->pid = fork();
	if (flood->pid < 0)
		fatal("cannot fork");
	if (flood->pid == 0) {
		close(fds[0]);
		flooder.counts = flood->counts;
		flooder.channel = fds[1];
		flooder_main(&flooder);
	}
	close(fds[1]);
	flood->channel = fds[0];
	return flood;
}

const struct flood_counts *flood_counts(const struct flood *flood)
{
	return flood->counts;
}

static void flood_order(struct flood *flood, uint32_t order)
{
	uint32_t answered;

	answer(flood->channel, order);
	if (recv(flood->channel, &answered, sizeof(answered), 0) != sizeof(answered) ||
	    answered != order)
		fatal("the flood died");
}

void flood_run(struct flood *flood, uint32_t area)
{
	flood_order(flood, area);
}

void flood_rest(struct flood *flood)
{
	flood_order(flood, REST);
}

void flood_end(struct flood *flood)
{
	close(flood->channel);
	waitpid(flood->pid, NULL, 0);
	munmap(flood->counts, sizeof(*flood->counts));
	g_free(flood);
}
