/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_threads.c: the loader and the executor used by several threads at
 * once.  One context, one dataset and one int8 network are shared; what each
 * thread trains and computes is the same, bit for bit, as alone.  Built with
 * --enable-tsan it is also the proof that they do so without a race. */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <qatkit/backend.h>
#include <qatkit/context.h>

#include "data/batches.h"
#include "lib/network.h"

#define SIDE 16
#define CLASSES 10
#define BATCH 10
#define STEPS 5
#define THREADS 4

/* What all threads use at the same time. */
struct shared {
  struct qk_context *ctx;
  const struct qk_dataset_class *dataset;
  void *samples;
  struct qk_graph *int8;
  pthread_barrier_t start;
  int logged; /* by the lock of the context's log */
};

/* One thread and what it came to. */
struct work {
  struct shared *all;
  struct qk_graph *trained;
  float loss;
  float logits[BATCH * CLASSES];
  char message[300];
};

static void
on_log (void *cookie, enum qk_log_level level, const char *message)
{
  struct shared *all = cookie;

  (void) level;
  (void) message;
  all->logged++;
}

static int
open_samples (struct shared *all)
{
  const struct qk_dataset_request req = { all->ctx, "train", true, 3 };
  const struct qk_class *cls;
  struct qk_config *cfg;
  int r = qk_context_class (all->ctx, QK_KIND_DATASET, "shapes", &cls);

  if (r < 0)
    return r;
  all->dataset = (const struct qk_dataset_class *) cls;
  r = qk_config_parse (cls->options, "size=16 train_count=60", "test", &cfg);
  if (r < 0)
    return r;
  r = all->dataset->open (cfg, &req, &all->samples);
  qk_config_free (cfg);
  return r;
}

static int
loader (struct shared *all, struct qk_batches **out)
{
  const struct qk_batches_options o = { .ctx = all->ctx,
                                        .dataset = all->dataset,
                                        .self = all->samples,
                                        .batch = BATCH,
                                        .threads = 2,
                                        .seed = 11,
                                        .shuffle = true };
  int r = qk_batches_new (&o, out);

  return r < 0 ? r : qk_batches_start (*out, 0, 0);
}

/* A network of its own, prepared, and the plugins it needs. */
static int
build (struct shared *all, struct qk_graph **out)
{
  const struct network_quant how
    = { .per_channel = true, .quantize_outputs = true };
  struct qk_graph *g;
  int r = network_build (all->ctx, "mobilenet_v2", "width=0.25", SIDE, CLASSES,
                         &g);

  if (r < 0)
    return r;
  if ((r = network_fill (g)) == 0)
    r = network_prepare_as (g, &how, out);
  qk_graph_free (g);
  if (r == 0)
    qk_graph_set_observing (*out, true, true);
  return r;
}

/* QAT on batches of the loader, whose threads read ahead meanwhile. */
static int
train (struct work *w)
{
  struct qk_exec_loss loss = { NULL };
  const struct qk_exec_options opt = {
    .batch = BATCH, .threads = 2, .train = true, .n_losses = 1, .loss = &loss
  };
  struct qk_batches *batches = NULL;
  struct qk_optimize *o = NULL;
  struct qk_exec *ex = NULL;
  struct qk_batch batch;
  const float *logits;
  int r = build (w->all, &w->trained);

  if (r == 0)
    r = loader (w->all, &batches);
  if (r == 0)
    r = network_loss (w->all->ctx, "softmax_cross_entropy", "", &loss);
  if (r == 0)
    r = qk_exec_new (w->trained, &opt, &ex);
  if (r == 0)
    r = network_sgd (w->trained, "lr=0.05 momentum=0.9", &o);
  for (int step = 0; r == 0 && step < STEPS; step++) {
    if ((r = qk_batches_next (batches, &batch)) <= 0)
      break;
    qk_exec_set_step (ex, 5, (uint64_t) step);
    r = network_forward (ex, batch.input[0], batch.n,
                         QK_PASS_TRAIN | QK_PASS_BATCH_STATS, &logits);
    if (r == 0)
      r = network_backward (ex, batch.target[0], &w->loss);
    if (r == 0)
      r = qk_optimize_step (o, STEPS, STEPS);
  }
  qk_optimize_free (o);
  qk_exec_free (ex);
  network_loss_free (&loss);
  qk_batches_free (batches);
  return r;
}

/* The int8 network that all threads share, on an executor of its own. */
static int
infer (struct work *w)
{
  const struct qk_exec_options opt
    = { .batch = BATCH, .threads = 2, .backend = "fbgemm" };
  struct qk_batches *batches = NULL;
  struct qk_exec *ex = NULL;
  struct qk_batch batch;
  const float *logits;
  int r = qk_exec_new (w->all->int8, &opt, &ex);

  if (r == 0)
    r = loader (w->all, &batches);
  while (r == 0 && (r = qk_batches_next (batches, &batch)) == 1) {
    r = network_forward (ex, batch.input[0], batch.n, 0, &logits);
    if (r == 0)
      memcpy (w->logits, logits, sizeof w->logits);
  }
  qk_batches_free (batches);
  qk_exec_free (ex);
  return r;
}

static void *
work_main (void *arg)
{
  struct work *w = arg;
  int r;

  pthread_barrier_wait (&w->all->start);
  r = train (w);
  if (r == 0 && w->all->int8)
    r = infer (w);
  if (r < 0)
    snprintf (w->message, sizeof w->message, "%s", qk_error_message ());
  return NULL;
}

static void
at_once (struct shared *all, struct work *w, int n)
{
  pthread_t thread[THREADS];

  pthread_barrier_init (&all->start, NULL, (unsigned) n);
  memset (w, 0, (size_t) n * sizeof *w);
  for (int i = 0; i < n; i++) {
    w[i].all = all;
    ck_assert_int_eq (pthread_create (&thread[i], NULL, work_main, &w[i]), 0);
  }
  for (int i = 0; i < n; i++)
    pthread_join (thread[i], NULL);
  for (int i = 0; i < n; i++)
    ck_assert_msg (w[i].message[0] == 0, "thread %d: %s", i, w[i].message);
  pthread_barrier_destroy (&all->start);
}

static void
open_shared (struct shared *all)
{
  memset (all, 0, sizeof *all);
  all->ctx = qk_context_new ();
  ck_assert_ptr_nonnull (all->ctx);
  qk_context_set_log (all->ctx, on_log, all, QK_LOG_DEBUG);
  ck_assert_msg (open_samples (all) == 0, "%s", qk_error_message ());
}

static void
close_shared (struct shared *all)
{
  qk_graph_free (all->int8);
  all->dataset->close (all->samples);
  qk_context_free (all->ctx);
}

static void
same_networks (const struct qk_graph *a, const struct qk_graph *b)
{
  ck_assert_int_eq (a->n_params, b->n_params);
  for (int i = 0; i < a->n_params; i++) {
    const struct qk_tensor *x = &a->param[i].value;
    const struct qk_tensor *y = &b->param[i].value;

    ck_assert_mem_eq (x->data, y->data,
                      (size_t) qk_shape_count (&x->shape) * sizeof (float));
  }
}

#ifdef _OPENMP
/* What a loop that says nothing of threads would take. */
static int
see_threads (void *cookie, int value, const struct qk_tensor *t)
{
  int *most = cookie;

  (void) value;
  (void) t;
  *most = omp_get_max_threads () > *most ? omp_get_max_threads () : *most;
  return 0;
}

/* An executor's threads hold for the loops of plugins too, and the caller's
 * setting is as before afterwards. */
START_TEST (threads_of_plugins)
{
  const struct qk_exec_options opt
    = { .batch = BATCH, .threads = 1, .train = true };
  static float x[BATCH * 3 * SIDE * SIDE];
  struct qk_graph *g;
  struct qk_exec *ex;
  struct shared all;
  const float *logits;
  int most = 0;

  open_shared (&all);
  ck_assert_msg (build (&all, &g) == 0, "%s", qk_error_message ());
  ck_assert_msg (qk_exec_new (g, &opt, &ex) == 0, "%s", qk_error_message ());
  qk_exec_set_hook (ex, see_threads, &most);
  omp_set_num_threads (3);
  ck_assert_msg (network_forward (ex, x, BATCH, QK_PASS_TRAIN, &logits) == 0,
                 "%s", qk_error_message ());
  ck_assert_int_eq (most, 1);
  ck_assert_int_eq (omp_get_max_threads (), 3);
  qk_exec_free (ex);
  qk_graph_free (g);
  close_shared (&all);
}
END_TEST
#endif

START_TEST (shared_by_threads)
{
  static struct work alone, w[THREADS];
  struct shared one, many;

  /* alone: what the others are to get, and the int8 network for all */
  open_shared (&one);
  at_once (&one, &alone, 1);
  ck_assert_msg (qk_pass_convert (alone.trained, &one.int8) == 0, "%s",
                 qk_error_message ());
  ck_assert_msg (infer (&alone) == 0, "%s", qk_error_message ());

  /* in the other context the threads load the plugins, too */
  open_shared (&many);
  ck_assert_msg (qk_pass_convert (alone.trained, &many.int8) == 0, "%s",
                 qk_error_message ());
  at_once (&many, w, THREADS);
  for (int i = 0; i < THREADS; i++) {
    ck_assert (w[i].loss == alone.loss);
    same_networks (w[i].trained, alone.trained);
    ck_assert_mem_eq (w[i].logits, alone.logits, sizeof alone.logits);
    qk_graph_free (w[i].trained);
  }
  close_shared (&many);
  qk_graph_free (alone.trained);
  close_shared (&one);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("threads");
  TCase *tc = tcase_create ("threads");
  SRunner *sr;
  int failed;

#ifdef _OPENMP
  tcase_add_test (tc, threads_of_plugins);
#endif
  tcase_add_test (tc, shared_by_threads);
  suite_add_tcase (s, tc);
  sr = srunner_create (s);
  srunner_run_all (sr, CK_ENV);
  failed = srunner_ntests_failed (sr);
  srunner_free (sr);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
