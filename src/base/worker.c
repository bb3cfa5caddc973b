/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A thread fed by a GAsyncQueue. Ended jobs go into a second queue and wake a GSource of the main
 * loop by its ready time, which GLib lets any thread set.
 */

#include "base/worker.h"

struct task {
	worker_run_t run;	/* NULL: end the thread */
	worker_done_t done;
	void *job;
	int result;
};

struct worker {
	GThread *thread;
	GAsyncQueue *todo;
	GAsyncQueue *ended;
	GSource *source;
	unsigned int queued;	/* submitted and not yet told; main thread only */
	bool manual;		/* no thread and no source: worker_step() does it all */
};

struct worker_source {
	GSource source;
	struct worker *worker;
};

static void *worker_main(void *data)
{
	struct worker *worker = data;
	struct task *task;

	while ((task = g_async_queue_pop(worker->todo))->run) {
		task->result = task->run(task->job);
		g_async_queue_push(worker->ended, task);
		g_source_set_ready_time(worker->source, 0);
	}
	g_free(task);
	return NULL;
}

static void worker_tell(struct worker *worker, struct task *task)
{
	worker->queued--;
	task->done(task->job, task->result);
	g_free(task);
}

static gboolean worker_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
	struct worker *worker = ((struct worker_source *)source)->worker;
	struct task *task;

	(void)func;
	(void)data;
	/* Unset first: a job that ends from here on sets it again. */
	g_source_set_ready_time(source, -1);
	while (!g_source_is_destroyed(source) && (task = g_async_queue_try_pop(worker->ended)))
		worker_tell(worker, task);
	return G_SOURCE_CONTINUE;
}

struct worker *worker_new(const char *name, GMainContext *context)
{
	static GSourceFuncs funcs = { .dispatch = worker_dispatch };
	struct worker *worker = g_new0(struct worker, 1);

	worker->todo = g_async_queue_new();
	worker->ended = g_async_queue_new();
	worker->source = g_source_new(&funcs, sizeof(struct worker_source));
	((struct worker_source *)worker->source)->worker = worker;
	g_source_set_name(worker->source, name);
	g_source_set_ready_time(worker->source, -1);
	g_source_attach(worker->source, context);
	worker->thread = g_thread_new(name, worker_main, worker);
	return worker;
}

struct worker *worker_new_manual(void)
{
	struct worker *worker = g_new0(struct worker, 1);

	worker->todo = g_async_queue_new();
	worker->ended = g_async_queue_new();
	worker->manual = true;
	return worker;
}

bool worker_step(struct worker *worker, int inject)
{
	struct task *task = g_async_queue_try_pop(worker->todo);

	if (!task)
		return false;
	task->result = inject ? inject : task->run(task->job);
	worker_tell(worker, task);
	return true;
}

void worker_submit(struct worker *worker, worker_run_t run, worker_done_t done, void *job)
{
	struct task *task = g_new0(struct task, 1);

	task->run = run;
	task->done = done;
	task->job = job;
	worker->queued++;
	g_async_queue_push(worker->todo, task);
}

void worker_drain(struct worker *worker)
{
	while (worker->manual && worker_step(worker, 0))
		;
	while (worker->queued > 0)
		worker_tell(worker, g_async_queue_pop(worker->ended));
}

struct worker *worker_free(struct worker *worker)
{
	if (!worker)
		return NULL;

	worker_drain(worker);
	if (!worker->manual) {
		g_async_queue_push(worker->todo, g_new0(struct task, 1));
		g_thread_join(worker->thread);
		g_source_destroy(worker->source);
		g_source_unref(worker->source);
	}
	g_async_queue_unref(worker->todo);
	g_async_queue_unref(worker->ended);
	g_free(worker);
	return NULL;
}
