/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_comm.c: several processes that train together compute what one
 * computes alone.
 *
 * The processes are threads here, each with a network and an executor of its
 * own, joined by a comm class that adds up in the order of the ranks.  With
 * the arguments FILE FILE TOLERANCE it compares two files of tensors instead,
 * for the test of real processes. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "io/tensorfile.h"
#include "lib/effort.h"
#include "lib/network.h"
#include "quant/quantizer-priv.h"
#include "train/objective.h"

#define MOST 4
#define BATCH 8
#define SIDE 32
#define CLASSES 10

/* ---- a comm class of threads ------------------------------------------------- */

struct shared {
  pthread_barrier_t barrier;
  int size;
  void *data[MOST];
  size_t bytes[MOST];
};

struct member {
  struct shared *all;
  int rank;
};

/* What the next create is to be; read by one thread at a time. */
static _Thread_local struct member next_member;

static int
threads_create (const struct qk_config *cfg, void **self, int *rank, int *size)
{
  struct member *m = malloc (sizeof *m);

  (void) cfg;
  if (m == NULL)
    return -ENOMEM;
  *m = next_member;
  *self = m;
  *rank = m->rank;
  *size = m->all->size;
  return 0;
}

static void
threads_destroy (void *self)
{
  free (self);
}

static double
get (enum qk_comm_type type, const void *data, size_t i)
{
  return type == QK_COMM_F32 ? (double) ((const float *) data)[i]
                             : ((const double *) data)[i];
}

static double
join (enum qk_comm_op op, double a, double b)
{
  switch (op) {
  case QK_COMM_MIN:
    return b < a ? b : a;
  case QK_COMM_MAX:
    return b > a ? b : a;
  default:
    return a + b;
  }
}

static int
threads_reduce (void *self, enum qk_comm_op op, enum qk_comm_type type,
                void *data, size_t count)
{
  struct member *m = self;
  struct shared *all = m->all;
  double *sum = malloc (count * sizeof *sum);
  size_t i;
  int k;

  ck_assert_ptr_nonnull (sum);
  all->data[m->rank] = data;
  pthread_barrier_wait (&all->barrier);
  for (i = 0; i < count; i++) {
    sum[i] = get (type, all->data[0], i);
    for (k = 1; k < all->size; k++)
      sum[i] = join (op, sum[i], get (type, all->data[k], i));
  }
  pthread_barrier_wait (&all->barrier);
  for (i = 0; i < count; i++)
    if (type == QK_COMM_F32)
      ((float *) data)[i] = (float) sum[i];
    else
      ((double *) data)[i] = sum[i];
  free (sum);
  pthread_barrier_wait (&all->barrier);
  return 0;
}

static int
threads_gather (void *self, const void *data, size_t bytes, size_t *sizes,
                void *out)
{
  struct member *m = self;
  struct shared *all = m->all;
  char *to = out;
  int k;

  all->data[m->rank] = (void *) (uintptr_t) data;
  all->bytes[m->rank] = bytes;
  pthread_barrier_wait (&all->barrier);
  for (k = 0; k < all->size; k++) {
    sizes[k] = all->bytes[k];
    if (to != NULL) {
      memcpy (to, all->data[k], sizes[k]);
      to += sizes[k];
    }
  }
  pthread_barrier_wait (&all->barrier);
  return 0;
}

static const struct qk_comm_class threads_class = {
  .cls = QK_CLASS (struct qk_comm_class, QK_KIND_COMM, "threads",
                   "Threads of a test", NULL),
  .create = threads_create,
  .destroy = threads_destroy,
  .reduce = threads_reduce,
  .gather = threads_gather,
};

/* ---- members ------------------------------------------------------------------- */

struct work {
  struct member member;
  void (*run) (struct work *w, struct qk_comm *comm);
  const void *given;
  struct qk_graph *g;  /* what it trained */
  double loss;         /* mean over the whole batch, of the last step */
  char message[200];   /* of an error */
  const char *samples; /* the name of those that it trains on */
};

static void *
member_main (void *arg)
{
  struct work *w = arg;
  struct qk_comm *comm;

  next_member = w->member;
  if (qk_comm_open (&threads_class, NULL, &comm) < 0) {
    snprintf (w->message, sizeof w->message, "%s", qk_error_message ());
    return NULL;
  }
  w->run (w, comm);
  qk_comm_close (comm);
  return NULL;
}

/* Let SIZE members RUN at the same time. */
static void
together (int size, struct work *w,
          void (*run) (struct work *, struct qk_comm *), const void *given,
          const char *samples)
{
  struct shared all;
  pthread_t thread[MOST];
  int i;

  memset (&all, 0, sizeof all);
  all.size = size;
  pthread_barrier_init (&all.barrier, NULL, (unsigned) size);
  memset (w, 0, (size_t) size * sizeof *w);
  for (i = 0; i < size; i++) {
    w[i].member = (struct member){ &all, i };
    w[i].run = run;
    w[i].given = given;
    w[i].samples = samples;
    ck_assert_int_eq (pthread_create (&thread[i], NULL, member_main, &w[i]),
                      0);
  }
  for (i = 0; i < size; i++)
    pthread_join (thread[i], NULL);
  for (i = 0; i < size; i++)
    ck_assert_msg (w[i].message[0] == 0, "member %d: %s", i, w[i].message);
  pthread_barrier_destroy (&all.barrier);
}

/* ---- the operations --------------------------------------------------------------- */

static void
run_operations (struct work *w, struct qk_comm *comm)
{
  const int n = qk_comm_size (comm), rank = qk_comm_rank (comm);
  const float own[3] = { (float) rank, (float) -rank, 1.0f };
  double d = rank + 1;
  float f[3], *all, *large = qk_alloc (100000 * sizeof *large), small[5];
  size_t total, i;
  int k;

  memcpy (f, own, sizeof f);
  ck_assert_int_eq (qk_comm_reduce (comm, QK_COMM_MAX, QK_COMM_F32, f, 3), 0);
  ck_assert (f[0] == (float) (n - 1) && f[1] == 0.0f && f[2] == 1.0f);
  ck_assert_int_eq (qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, &d, 1), 0);
  ck_assert (d == n * (n + 1) / 2.0);

  /* each has one value more than the one before */
  ck_assert_int_eq (
    qk_comm_gather (comm, own, (size_t) rank % 3 + 1, &all, &total), 0);
  for (k = 0, i = 0; k < n; k++) {
    ck_assert (all[i] == (float) k);
    i += (size_t) k % 3 + 1;
  }
  ck_assert_uint_eq (total, i);
  qk_free (all);

  /* small and large sums in one go */
  for (i = 0; i < 100000; i++)
    large[i] = (float) (i % 100) * (float) (rank + 1);
  for (i = 0; i < 5; i++)
    small[i] = (float) rank;
  ck_assert_int_eq (qk_comm_sum_begin (comm, small, 5), 0);
  ck_assert_int_eq (qk_comm_sum_begin (comm, large, 100000), 0);
  ck_assert_int_eq (qk_comm_sum_begin (comm, f, 3), 0);
  ck_assert_int_eq (qk_comm_sum_end (comm), 0);
  ck_assert (small[4] == (float) (n * (n - 1)) / 2);
  ck_assert (f[0] == (float) (n * (n - 1)));
  ck_assert (large[99999] == 99.0f * (float) (n * (n + 1)) / 2);
  qk_free (large);

  ck_assert_int_eq (qk_comm_check_same (comm, "x", own + 2, 4), 0);
  w->loss = qk_comm_check_same (comm, "x", own, 4);
}

START_TEST (test_operations)
{
  const int n = _i + 2;
  struct work w[MOST];
  int i;

  together (n, w, run_operations, NULL, NULL);
  for (i = 0; i < n; i++)
    ck_assert_int_eq ((int) w[i].loss, -EPROTO);
}
END_TEST

START_TEST (test_alone)
{
  float x = 3;

  ck_assert_int_eq (qk_comm_size (NULL), 1);
  ck_assert_int_eq (qk_comm_rank (NULL), 0);
  ck_assert_int_eq (qk_comm_reduce (NULL, QK_COMM_SUM, QK_COMM_F32, &x, 1), 0);
  ck_assert_int_eq (qk_comm_sum_begin (NULL, &x, 1), 0);
  ck_assert_int_eq (qk_comm_sum_end (NULL), 0);
  ck_assert_int_eq (qk_comm_check_same (NULL, "x", &x, 4), 0);
  ck_assert (x == 3);
}
END_TEST

static void
run_tally (struct work *w, struct qk_comm *comm)
{
  const int rank = qk_comm_rank (comm);
  const struct qk_objective o = { .n_sums = 4 };
  double sums[4] = { 5, 6, 1, rank };
  struct qk_tally t = { .n = 10 + rank,
                        .loss = 0.5,
                        .sums = sums,
                        .teacher = rank == 1,
                        .seconds = 1.0 + rank,
                        .waited = 5.0 - rank };

  ck_assert_int_eq (qk_tally_join (&t, &o, comm, 1), 0);
  ck_assert_int_eq (t.n, 33);
  ck_assert (sums[0] == 15 && sums[1] == 18 && sums[2] == 3 && sums[3] == 3);
  ck_assert (t.loss == 1.5 && t.seconds == 3.0 && t.waited == 5.0);
  ck_assert (t.teacher);
  (void) w;
}

START_TEST (test_tally)
{
  struct work w[MOST];

  together (3, w, run_tally, NULL, NULL);
}
END_TEST

/* Of rank R there are R samples, of two numbers: their place among all, and 1. */
static int
count_kept (void *self, const struct qk_metric_whole *all, double *sums)
{
  (void) self;
  for (int64_t i = 0; i < all->n; i++)
    if (all->kept[2 * i] != (float) i || all->kept[2 * i + 1] != 1)
      return qk_error (-EINVAL, "sample %lld is another one", (long long) i);
  for (int64_t i = all->first; i < all->first + all->count; i++) {
    sums[0] += (double) all->kept[2 * i];
    sums[1] += (double) all->kept[2 * i + 1];
  }
  sums[2] += (double) all->threads;
  return 0;
}

static void
run_kept (struct work *w, struct qk_comm *comm)
{
  static const struct qk_metric_class cls
    = { .cls = { .kind = QK_KIND_METRIC, .name = "count" },
        .whole = count_kept };
  const int rank = qk_comm_rank (comm);
  struct qk_objective o = { .n_sums = 3, .n_metrics = 1 };
  double sums[3] = { 0 };
  float *x = calloc (2 * (size_t) rank + 1, sizeof *x);
  struct qk_kept kept[QK_OBJECTIVE_METRICS]
    = { { .x = x, .n = (size_t) rank, .room = (size_t) rank } };
  struct qk_tally t = { .n = rank, .sums = sums, .kept = kept };

  ck_assert_ptr_nonnull (x);
  for (int i = 0; i < rank; i++) {
    x[2 * i] = (float) (rank * (rank - 1) / 2 + i);
    x[2 * i + 1] = 1;
  }
  o.metric[0] = (struct qk_objective_metric){ .cls = &cls, .kept = 2 };
  ck_assert_int_eq (qk_tally_join (&t, &o, comm, 2), 0);
  ck_assert_int_eq (t.n, 6);
  ck_assert (sums[0] == 15 && sums[1] == 6 && sums[2] == 8);
  ck_assert (kept[0].x == NULL && kept[0].n == 0);
  (void) w;
}

/* What metrics keep of samples comes together, and each process adds for a
 * part of it. */
START_TEST (test_kept)
{
  struct work w[MOST];

  together (4, w, run_kept, NULL, NULL);
}
END_TEST

/* ---- training ------------------------------------------------------------------------ */

struct training {
  const char *options; /* of the model */
  bool quantized;
  unsigned flags;
  int steps;
  const char *fakequant, *fakequant_options; /* of values; NULL: affine */
  const char *weight_fakequant;
};

static int
one_step (struct qk_exec *ex, struct qk_comm *comm, const float *samples,
          unsigned flags, int64_t step, double *loss)
{
  const int size = qk_comm_size (comm), rank = qk_comm_rank (comm);
  const int64_t first = BATCH * rank / size;
  const int64_t n = BATCH * (rank + 1) / size - first;
  int32_t labels[BATCH];
  const float *logits;
  float mean;
  int64_t i;
  int r;

  for (i = 0; i < n; i++)
    labels[i] = (int32_t) ((first + i) * 7 % CLASSES);
  qk_exec_set_step (ex, 5, (uint64_t) step);
  qk_exec_set_part (ex, (double) n / BATCH, first);
  r = network_forward (ex, samples + first * SIDE * SIDE * 3, n,
                       flags | QK_PASS_TRAIN, &logits);
  if (r == 0)
    r = network_backward (ex, labels, &mean);
  if (r < 0)
    return r;
  *loss = (double) mean * (double) n / BATCH;
  return qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, loss, 1);
}

static int
train (struct work *w, struct qk_comm *comm)
{
  const struct training *t = w->given;
  struct qk_exec_loss loss;
  struct qk_exec_options opt = { .batch = BATCH,
                                 .threads = 1,
                                 .train = true,
                                 .n_losses = 1,
                                 .loss = &loss,
                                 .comm = comm };
  struct qk_context *ctx = qk_context_new ();
  struct qk_optimize *o = NULL;
  struct qk_exec *ex = NULL;
  struct qk_graph *g;
  float *samples = network_samples (BATCH, SIDE);
  int64_t step;
  int r;

  if (samples == NULL)
    return qk_oom ("samples");
  network_between (w->samples, (int64_t) BATCH * SIDE * SIDE * 3, -2.0f, 2.0f,
                   samples);
  r = network_build (ctx, "mobilenet_v2", t->options, SIDE, CLASSES, &g);
  if (r < 0 || (r = network_fill (g)) < 0
      || (r = network_loss (ctx, "softmax_cross_entropy", "", &loss)) < 0)
    return r;
  if (t->quantized) {
    const struct network_quant how
      = { .per_channel = true,
          .quantize_outputs = true,
          .value_fakequant = t->fakequant,
          .value_fakequant_options = t->fakequant_options,
          .weight_fakequant = t->weight_fakequant };

    r = network_prepare_as (g, &how, &w->g);
    qk_graph_free (g);
    if (r < 0)
      return r;
    qk_graph_set_observing (w->g, true, true);
  } else
    w->g = g;
  if ((r = qk_exec_new (w->g, &opt, &ex)) < 0
      || (r = network_sgd (w->g, "lr=0.05 momentum=0.9", &o)) < 0)
    return r;
  for (step = 0; r == 0 && step < t->steps; step++) {
    r = one_step (ex, comm, samples, t->flags, step, &w->loss);
    if (r == 0 && step + 1 < t->steps) /* keep the last gradients */
      r = qk_optimize_step (o, t->steps, t->steps);
  }
  qk_optimize_free (o);
  qk_exec_free (ex);
  network_loss_free (&loss);
  qk_free (samples);
  return r;
}

static void
run_training (struct work *w, struct qk_comm *comm)
{
  if (train (w, comm) < 0)
    snprintf (w->message, sizeof w->message, "%s", qk_error_message ());
}

static double
length (const struct qk_tensor *t)
{
  const float *x = t->data;
  double sum = 0;

  for (int64_t i = 0; i < qk_shape_count (&t->shape); i++)
    sum += (double) x[i] * (double) x[i];
  return sqrt (sum);
}

/* How far A is from B, of B's length (or FLOOR). */
static double
distance (const struct qk_tensor *a, const struct qk_tensor *b, double floor)
{
  const float *x = a->data, *y = b->data;
  double sum = 0;

  for (int64_t i = 0; i < qk_shape_count (&a->shape); i++)
    sum += ((double) x[i] - (double) y[i]) * ((double) x[i] - (double) y[i]);
  return sqrt (sum) / fmax (length (b), floor);
}

/* Whether what the quantizers' learned numbers get differs; what to TEXT. */
static bool
quantizers_differ (const struct qk_graph *g, const struct qk_graph *h,
                   double tolerance, char *text, size_t size)
{
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS], q[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *a, *b;
  double longest = 0;
  int at = 0;

  for (int i = 0; (b = qk_graph_next_quantizer (h, &i)) != NULL;)
    for (int j = qk_quantizer_params (b, q) - 1; j >= 0; j--)
      for (size_t k = 0; k < q[j].count; k++)
        longest = fmax (longest, fabs ((double) q[j].grad[k]));
  for (int i = 0; (b = qk_graph_next_quantizer (h, &i)) != NULL;) {
    a = qk_graph_next_quantizer (g, &at);
    qk_quantizer_params (a, p);
    for (int j = qk_quantizer_params (b, q) - 1; j >= 0; j--)
      for (size_t k = 0; k < q[j].count; k++) {
        const double x = (double) p[j].grad[k], y = (double) q[j].grad[k];

        if (fabs (x - y) <= tolerance * longest)
          continue;
        snprintf (
          text, size, "the gradient of %s '%s' is %g, alone %g, tolerance %g",
          qk_quantizer_info (b)->name, q[j].name, x, y, tolerance * longest);
        return true;
      }
  }
  return false;
}

/* Whether GOT is not what one process alone makes, WANT; what to TEXT. */
static bool
differ (const struct work *got, const struct work *want, double tolerance,
        char *text, size_t size)
{
  const struct qk_graph *g = got->g, *h = want->g;
  double longest = 0;

  if (quantizers_differ (g, h, 10 * tolerance, text, size))
    return true;
  for (int i = 0; i < g->n_params; i++)
    if (h->param[i].grad.data != NULL)
      longest = fmax (longest, length (&h->param[i].grad));
  snprintf (text, size, "loss %.9g, alone %.9g", got->loss, want->loss);
  if (!(fabs (got->loss - want->loss) <= tolerance * want->loss))
    return true;
  for (int i = 0; i < g->n_params; i++) {
    const struct qk_param *p = &g->param[i], *q = &h->param[i];
    double d = distance (&p->value, &q->value, 1e-3);

    snprintf (text, size, "%s is off by %.2g of its length, tolerance %g",
              p->name, d, tolerance);
    if (!(d <= tolerance))
      return true;
    if (!(p->spec.flags & QK_PARAM_TRAINED))
      continue;
    d = distance (&p->grad, &q->grad, 1e-3 * longest);
    snprintf (text, size,
              "the gradient of %s is off by %.2g of its length, tolerance %g",
              p->name, d, 10 * tolerance);
    if (!(d <= 10 * tolerance))
      return true;
  }
  return false;
}

/* Sums in another order are all that may differ, in one step: from the second
 * on, clamps and grids make more of such a difference. */
static const struct training trainings[] = {
  { .options = "width=0.25 dropout=0.5",
    .flags = QK_PASS_BATCH_STATS,
    .steps = 1 },
  { .options = "width=0.25", .steps = 1 },
  { .options = "width=0.25",
    .quantized = true,
    .flags = QK_PASS_BATCH_STATS,
    .steps = 1 },
  { .options = "width=0.25", .quantized = true, .steps = 1 },
  { .options = "width=0.25",
    .quantized = true,
    .flags = QK_PASS_BATCH_STATS,
    .steps = 1,
    .fakequant = "lsq",
    .weight_fakequant = "lsq" },
  { .options = "width=0.25",
    .quantized = true,
    .flags = QK_PASS_BATCH_STATS,
    .steps = 1,
    .fakequant = "pact",
    .fakequant_options = "decay=0.01" },
};
#define N_TRAININGS ((int) (sizeof trainings / sizeof *trainings))

static void
free_graphs (struct work *w, int n)
{
  for (int i = 0; i < n; i++) {
    struct qk_context *ctx = w[i].g->ctx;

    qk_graph_free (w[i].g);
    qk_context_free (ctx);
  }
}

/* Whether SIZE processes train otherwise on SAMPLES than one does. */
static bool
trains_otherwise (const struct training *t, int size, const char *samples,
                  char *text, size_t text_size)
{
  struct work alone[1], w[MOST];
  bool other = false;

  together (1, alone, run_training, t, samples);
  together (size, w, run_training, t, samples);
  for (int i = 0; i < size && !other; i++)
    other = differ (&w[i], alone, 2e-4, text, text_size);
  free_graphs (w, size);
  free_graphs (alone, 1);
  return other;
}

/* Where an activation lies so near a clamp's bound that the order of sums
 * decides on which side, gradients jump.  That happens with some samples, and
 * with others on another CPU: one of a few has none.  What is wrong in any
 * sum is wrong with all. */
START_TEST (test_training)
{
  static const char *const samples[] = { "samples", "others", "more", "last" };
  char text[200] = "";

  for (int size = 2; size <= effort (MOST, 2); size++) {
    size_t k = 0;

    while (k < sizeof samples / sizeof *samples
           && trains_otherwise (&trainings[_i], size, samples[k], text,
                                sizeof text))
      k++;
    ck_assert_msg (k < sizeof samples / sizeof *samples,
                   "%d processes, all samples; the last: %s", size, text);
  }
}
END_TEST

/* ---- files --------------------------------------------------------------------------- */

/* Exit status 0 when all f32 tensors of A are within TOLERANCE of those of
 * B, measured by their length. */
static int
compare_files (const char *a, const char *b, double tolerance)
{
  struct qk_context *ctx = qk_context_new ();
  struct qk_tensorfile *f[2];
  double worst = 0;
  int64_t i, j;

  if (qk_tensorfile_open (ctx, a, NULL, &f[0]) < 0
      || qk_tensorfile_open (ctx, b, NULL, &f[1]) < 0) {
    fprintf (stderr, "%s\n", qk_error_message ());
    return 1;
  }
  for (i = 0; i < qk_tensorfile_count (f[0]); i++) {
    struct qk_format_entry e, want;

    j = qk_tensorfile_find (f[1], qk_tensorfile_name (f[0], i));
    if (j < 0 || qk_tensorfile_entry (f[0], i, &e) < 0
        || qk_tensorfile_entry (f[1], j, &want) < 0
        || !qk_shape_equal (&e.tensor.shape, &want.tensor.shape)) {
      fprintf (stderr, "%s: %s is missing or of another shape\n", b,
               qk_tensorfile_name (f[0], i));
      return 1;
    }
    if (e.tensor.dtype == QK_F32)
      worst = fmax (worst, distance (&e.tensor, &want.tensor, 1e-3));
  }
  printf ("largest difference %.2g of a tensor's length\n", worst);
  qk_tensorfile_close (f[0]);
  qk_tensorfile_close (f[1]);
  qk_context_free (ctx);
  return worst <= tolerance ? 0 : 1;
}

int
main (int argc, char **argv)
{
  Suite *s;
  TCase *tc;
  SRunner *r;
  int failed;

  if (argc == 4)
    return compare_files (argv[1], argv[2], atof (argv[3]));
  s = suite_create ("comm");
  tc = tcase_create ("comm");
  tcase_add_loop_test (tc, test_operations, 0, MOST - 1);
  tcase_add_test (tc, test_alone);
  tcase_add_test (tc, test_tally);
  tcase_add_test (tc, test_kept);
  tcase_add_loop_test (tc, test_training, 0, N_TRAININGS);
  suite_add_tcase (s, tc);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
