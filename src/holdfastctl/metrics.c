/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* metrics; see metrics.h. What is printed is OpenMetrics, as the daemon made it; what goes into a
 * file is in the older format that the file's reader knows. */

#include <errno.h>
#include <glib.h>

#include "holdfastctl/metrics.h"
#include "holdfastctl/textfile.h"

static int write_file(struct client *client, const char *path, const char *metrics)
{
	g_autofree char *text = textfile_convert(metrics);
	int r;

	r = textfile_write(path, text);
	if (r == -EEXIST)
		return client_fail(client, "'%s' is not a file that could be replaced", path);
	return r < 0 ? client_fail(client, "'%s' cannot be written: %s", path, g_strerror(-r)) : 0;
}

int metrics_run(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	const char *metrics;
	int r;

	r = client_call(client, CLIENT_MANAGER, "GetMetrics", 0, &reply, "");
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "s", &metrics);
	if (r <= 0)
		return client_fail_reply(client, "GetMetrics", r);
	if (options->textfile)
		return write_file(client, options->textfile, metrics);
	output_value(metrics, true);
	return 0;
}
