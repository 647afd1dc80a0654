/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_infer.c: qatkit/infer.h.  Sessions give the executor's bytes on every
 * backend, for any number of threads and dtype, in memory of their own or the
 * caller's; many run at once over one model; what does not fit is refused with a
 * sentence.  (That run allocates nothing, test-infer.sh sees.) */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qatkit/infer.h>

#include "lib/effort.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "model/modelfile.h"

#define SIDE 32
#define CLASSES 10
#define BATCH 7
#define SAMPLE (SIDE * SIDE * 3)
#define THREADS 64

/* ---- a model ---------------------------------------------------------------
 */

static char path[64];
static float *samples, *logits; /* BATCH of them, and the executor's answer */
static struct qk_infer *model;

/* An int8 network whose grids are those of one random sample. */
static struct qk_graph *
make_network (struct qk_context *ctx)
{
  const struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  struct qk_graph *g, *prepared, *int8;
  struct qk_exec *ex;
  const float *y;

  OK (network_build (ctx, "mobilenet_v2", "width=0.25", SIDE, CLASSES, &g));
  OK (network_fill (g));
  OK (network_prepare (g, 8, &prepared));
  qk_graph_set_observing (prepared, true, true);
  OK (qk_exec_new (prepared, &opt, &ex));
  OK (network_forward (ex, samples, 1, QK_PASS_BATCH_STATS, &y));
  qk_exec_free (ex);
  OK (qk_pass_convert (prepared, &int8));
  qk_graph_free (prepared);
  qk_graph_free (g);
  return int8;
}

/* The network in a file, and what the executor makes of the samples. */
static void
setup (void)
{
  const struct qk_exec_options opt
    = { .batch = 1, .threads = 1, .backend = "reference" };
  static const char *const names[CLASSES]
    = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };
  const struct qk_tensor_spec label = { .name = "label",
                                        .dtype = QK_I32,
                                        .shape = { 2, { 1, 1 } },
                                        .categories = CLASSES,
                                        .category = names };
  const struct qk_model_info info
    = { 1, &label, "[data]\ndataset = shapes\nsize = 32\nval_count = 9\n",
        NULL };
  struct qk_context *ctx = qk_context_new ();
  struct qk_exec *ex;
  struct qk_graph *g;
  const float *y;
  int i;

  samples = network_samples (BATCH, SIDE);
  logits = calloc (BATCH * CLASSES, sizeof *logits);
  ck_assert_ptr_nonnull (samples);
  ck_assert_ptr_nonnull (logits);
  g = make_network (ctx);
  snprintf (path, sizeof path, "check_infer-%ld.safetensors",
            (long) getpid ());
  OK (qk_model_save (g, &info, path));
  OK (qk_exec_new (g, &opt, &ex));
  for (i = 0; i < BATCH; i++) {
    OK (network_forward (ex, samples + i * SAMPLE, 1, 0, &y));
    memcpy (logits + i * CLASSES, y, CLASSES * sizeof *y);
  }
  qk_exec_free (ex);
  qk_graph_free (g);
  qk_context_free (ctx);
  OK (qk_infer_open (path, NULL, &model));
}

static void
teardown (void)
{
  qk_infer_close (model);
  unlink (path);
  qk_free (samples);
  free (logits);
}

static struct qk_infer_session *
session (const char *backend, int threads, int64_t batch)
{
  struct qk_infer_options o = QK_INFER_OPTIONS;
  struct qk_infer_session *s;

  o.backend = backend;
  o.threads = threads;
  o.batch = batch;
  OK (qk_infer_session_new (model, &o, &s));
  return s;
}

/* Samples FIRST .. in float, and what comes out. */
static int
run (struct qk_infer_session *s, int first, int64_t n, float *y)
{
  const struct qk_infer_buffer in
    = { QK_F32, samples + first * SAMPLE, (size_t) n * SAMPLE * 4 };
  const struct qk_infer_buffer out = { QK_F32, y, (size_t) n * CLASSES * 4 };

  return qk_infer_run (s, &in, &out, n);
}

/* ---- what it gives ---------------------------------------------------------
 */

START_TEST (specs)
{
  const struct qk_infer_tensor *in = qk_infer_input (model, 0);
  const struct qk_infer_tensor *out = qk_infer_output (model, 0);
  const char *text;

  ck_assert_int_eq (qk_infer_inputs (model), 1);
  ck_assert_int_eq (qk_infer_outputs (model), 1);
  ck_assert_ptr_null (qk_infer_input (model, 1));
  ck_assert_ptr_null (qk_infer_output (model, -1));
  ck_assert_str_eq (in->spec.name, "image");
  ck_assert_int_eq (in->spec.dtype, QK_U8);
  ck_assert_int_eq (in->spec.shape.dims[1], SIDE);
  ck_assert (in->q.scale > 0);
  ck_assert_int_eq (out->spec.dtype, QK_U8);
  ck_assert_int_eq (out->spec.categories, CLASSES);
  ck_assert_str_eq (out->spec.category[3], "d");
  ck_assert_int_eq (qk_infer_targets (model), 1);
  ck_assert_str_eq (qk_infer_target (model, 0)->name, "label");
  OK (qk_infer_preprocessing (model, &text));
  ck_assert_ptr_nonnull (strstr (text, "dataset = shapes\n"));
  ck_assert_ptr_nonnull (strstr (text, "\nsize = 32\n"));
}
END_TEST

START_TEST (same_bytes)
{
  static const char *const backends[] = { "reference", NULL, "auto" };
  float y[BATCH * CLASSES];
  int b, threads;
  int64_t n;

  for (b = 0; b < 3; b++)
    for (threads = 1; threads <= 3; threads++)
      for (n = 1; n <= BATCH; n += effort (2, 6)) {
        struct qk_infer_session *s
          = session (backends[b], threads, n == 3 ? BATCH : n);
        int round;

        for (round = 0; round < 2; round++) {
          memset (y, 1, sizeof y);
          OK (run (s, 0, n, y));
          ck_assert_mem_eq (y, logits, (size_t) n * CLASSES * sizeof *y);
        }
        qk_infer_session_free (s);
      }
}
END_TEST

START_TEST (integers)
{
  const struct qk_infer_tensor *it = qk_infer_input (model, 0);
  const struct qk_infer_tensor *ot = qk_infer_output (model, 0);
  static uint8_t x[BATCH * SAMPLE], y[BATCH * CLASSES], z[BATCH * CLASSES];
  const float inv = 1.0f / it->q.scale;
  struct qk_infer_buffer in = { QK_U8, x, sizeof x };
  struct qk_infer_buffer out = { QK_U8, y, sizeof y };
  int64_t batch;
  int i;

  for (batch = BATCH; batch >= 1; batch -= BATCH - 1) {
    struct qk_infer_session *s = session (NULL, 2, batch);

    for (i = 0; i < BATCH * SAMPLE; i++)
      x[i] = (uint8_t) qk_quantize (samples[i], inv, it->q.zero_point,
                                    it->q.qmin, it->q.qmax);
    in.dtype = out.dtype = QK_U8;
    out.data = y;
    OK (qk_infer_run (s, &in, &out, batch));
    for (i = 0; i < batch * CLASSES; i++)
      ck_assert ((float) ((int) y[i] - ot->q.zero_point) * ot->q.scale
                 == logits[i]);
    /* the same minus 128 */
    for (i = 0; i < BATCH * SAMPLE; i++)
      x[i] = (uint8_t) (x[i] - 128);
    in.dtype = out.dtype = QK_I8;
    out.data = z;
    OK (qk_infer_run (s, &in, &out, batch));
    for (i = 0; i < batch * CLASSES; i++)
      ck_assert_int_eq ((int8_t) z[i], y[i] - 128);
    qk_infer_session_free (s);
  }
}
END_TEST

START_TEST (callers_memory)
{
  struct qk_infer_options o = QK_INFER_OPTIONS;
  float y[BATCH * CLASSES];
  struct qk_infer_session *s;
  int threads;

  for (threads = 1; threads <= 3; threads++) {
    const uint64_t guard = 0x6b696e2d736166eu;
    size_t bytes;
    char *memory;

    o.threads = threads;
    o.batch = threads == 2 ? BATCH : 1;
    OK (qk_infer_scratch (model, &o, &bytes));
    memory = qk_alloc (bytes + sizeof guard);
    ck_assert_ptr_nonnull (memory);
    memcpy (memory + bytes, &guard, sizeof guard);
    o.scratch = memory;
    o.scratch_size = bytes - 1;
    ck_assert_int_eq (qk_infer_session_new (model, &o, &s), -EINVAL);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), "scratch memory"));
    o.scratch_size = bytes;
    OK (qk_infer_session_new (model, &o, &s));
    OK (run (s, 0, o.batch, y));
    ck_assert_mem_eq (y, logits, (size_t) o.batch * CLASSES * sizeof *y);
    ck_assert_mem_eq (memory + bytes, &guard, sizeof guard);
    qk_infer_session_free (s);
    qk_free (memory);
    o.scratch = NULL;
  }
}
END_TEST

START_TEST (from_memory)
{
  struct qk_infer_open_options o = QK_INFER_OPEN_OPTIONS;
  FILE *f = fopen (path, "rb");
  struct qk_infer *other;
  struct qk_infer_session *s;
  static char bytes[4 << 20];
  float y[CLASSES];
  struct qk_infer_buffer in = { QK_F32, samples, SAMPLE * 4 };
  struct qk_infer_buffer out = { QK_F32, y, sizeof y };
  size_t size;

  ck_assert_ptr_nonnull (f);
  size = fread (bytes, 1, sizeof bytes, f);
  fclose (f);
  ck_assert_uint_lt (size, sizeof bytes);
  o.max_file = size - 1;
  ck_assert_int_eq (qk_infer_open_memory (bytes, size, &o, &other), -EFBIG);
  ck_assert_int_eq (qk_infer_open (path, &o, &other), -EFBIG);
  o.max_file = size;
  OK (qk_infer_open_memory (bytes, size, &o, &other));
  memset (bytes, 0, size); /* it is not needed any more */
  OK (qk_infer_session_new (other, NULL, &s));
  OK (qk_infer_run (s, &in, &out, 1));
  ck_assert_mem_eq (y, logits, sizeof y);
  qk_infer_session_free (s);
  qk_infer_close (other);
  ck_assert_int_lt (qk_infer_open_memory (bytes, size, NULL, &other), 0);
  ck_assert_int_lt (qk_infer_open_memory (bytes, 3, NULL, &other), 0);
  ck_assert_int_eq (qk_infer_open ("nowhere", NULL, &other), -ENOENT);
  o.max_memory = 1000;
  OK (qk_infer_open (path, &o, &other));
  ck_assert_int_eq (qk_infer_session_new (other, NULL, &s), -ENOMEM);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "at most 1000"));
  qk_infer_close (other);
}
END_TEST

START_TEST (refusals)
{
  struct qk_infer_options o = QK_INFER_OPTIONS;
  struct qk_infer_session *s = session (NULL, 1, 2), *t;
  float y[2 * CLASSES];
  struct qk_infer_buffer in = { QK_F32, samples, SAMPLE * 4 };
  struct qk_infer_buffer out = { QK_F32, y, sizeof y };

  ck_assert_int_eq (qk_infer_run (s, &in, &out, 3), -EINVAL);
  ck_assert_str_eq (qk_error_message (), "3 samples, expected 1 to 2");
  ck_assert_int_eq (qk_infer_run (s, &in, &out, 2), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "input 'image'"));
  in.dtype = QK_I32;
  ck_assert_int_eq (qk_infer_run (s, &in, &out, 1), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "expected u8, i8 or"));
  in.dtype = QK_F32;
  out.size = 39;
  ck_assert_int_eq (qk_infer_run (s, &in, &out, 1), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "39 bytes"));
  qk_infer_session_free (s);
  o.threads = 0;
  ck_assert_int_eq (qk_infer_session_new (model, &o, &t), -EINVAL);
  o.threads = 1;
  o.backend = "nothing";
  ck_assert_int_eq (qk_infer_session_new (model, &o, &t), -ENOENT);
}
END_TEST

/* ---- many at once ----------------------------------------------------------
 */

struct work {
  pthread_barrier_t *start;
  int first;
  int failed;
};

static void *
work_main (void *arg)
{
  struct work *w = arg;
  struct qk_infer_options o = QK_INFER_OPTIONS;
  struct qk_infer_session *s = NULL;
  float y[CLASSES];
  int i;

  /* some on another backend, some with room for two samples */
  o.backend = w->first % 8 == 3 ? "reference" : NULL;
  o.batch = 1 + w->first % 2;
  pthread_barrier_wait (w->start);
  w->failed = qk_infer_session_new (model, &o, &s) < 0;
  for (i = 0; i < effort (8, 2) && !w->failed; i++) {
    const int at = (w->first + i) % BATCH;

    w->failed = run (s, at, 1, y) < 0
                || memcmp (y, logits + at * CLASSES, sizeof y) != 0
                /* errors belong to the thread */
                || qk_infer_run (s, NULL, NULL, 3 + w->first) != -EINVAL
                || atoi (qk_error_message ()) != 3 + w->first;
  }
  qk_infer_session_free (s);
  return NULL;
}

START_TEST (sessions_at_once)
{
  pthread_barrier_t start;
  pthread_t thread[THREADS];
  static struct work w[THREADS];
  int i;

  pthread_barrier_init (&start, NULL, THREADS);
  for (i = 0; i < THREADS; i++) {
    w[i] = (struct work){ &start, i, 0 };
    ck_assert_int_eq (pthread_create (&thread[i], NULL, work_main, &w[i]), 0);
  }
  for (i = 0; i < THREADS; i++)
    pthread_join (thread[i], NULL);
  for (i = 0; i < THREADS; i++)
    ck_assert_msg (!w[i].failed, "thread %d", i);
  pthread_barrier_destroy (&start);
}
END_TEST

/* ---- preprocessing ---------------------------------------------------------
 */

START_TEST (preprocess)
{
  const struct qk_infer_tensor *t = qk_infer_input (model, 0);
  static uint8_t rgb[SIDE * (SIDE * 3 + 5)], q[SAMPLE];
  static float plain[SIDE * SIDE * 3], x[SAMPLE], z[SAMPLE];
  struct qk_sample_array a
    = { QK_U8, { 3, { SIDE, SIDE, 3 } }, rgb, SIDE * 3 + 5 };
  struct qk_infer_buffer out = { QK_F32, x, sizeof x };
  struct qk_infer_session *s = session (NULL, 1, 1);
  int i, y;

  for (y = 0; y < SIDE; y++)
    for (i = 0; i < SIDE * 3; i++) {
      rgb[y * (SIDE * 3 + 5) + i] = (uint8_t) (7 * i + 31 * y);
      plain[y * SIDE * 3 + i] = (float) (uint8_t) (7 * i + 31 * y) / 255.0f;
    }
  OK (qk_infer_preprocess (s, &a, &out));
  /* floats of the right size give the same */
  out.data = z;
  a = (struct qk_sample_array){ QK_F32, { 3, { SIDE, SIDE, 3 } }, plain, 0 };
  OK (qk_infer_preprocess (s, &a, &out));
  ck_assert_mem_eq (x, z, sizeof x);
  /* integers are those of the network's grid */
  out = (struct qk_infer_buffer){ QK_U8, q, sizeof q };
  OK (qk_infer_preprocess (s, &a, &out));
  for (i = 0; i < SAMPLE; i++)
    ck_assert_int_eq (q[i],
                      qk_quantize (x[i], 1.0f / t->q.scale, t->q.zero_point,
                                   t->q.qmin, t->q.qmax));
  /* what does not fit */
  a.shape.dims[0]--;
  ck_assert_int_eq (qk_infer_preprocess (s, &a, &out), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "(31,32,3)"));
  a = (struct qk_sample_array){ QK_U8, { 3, { SIDE, SIDE, 2 } }, rgb, 0 };
  ck_assert_int_eq (qk_infer_preprocess (s, &a, &out), -EINVAL);
  a = (struct qk_sample_array){ QK_U8, { 3, { SIDE, SIDE, 3 } }, rgb, 5 };
  ck_assert_int_eq (qk_infer_preprocess (s, &a, &out), -EINVAL);
  out.size = 1;
  ck_assert_int_eq (qk_infer_preprocess (s, &a, &out), -EINVAL);
  qk_infer_session_free (s);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("infer");
  TCase *tc = tcase_create ("infer");
  SRunner *sr;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, specs);
  tcase_add_test (tc, same_bytes);
  tcase_add_test (tc, integers);
  tcase_add_test (tc, callers_memory);
  tcase_add_test (tc, from_memory);
  tcase_add_test (tc, refusals);
  tcase_add_test (tc, sessions_at_once);
  tcase_add_test (tc, preprocess);
  suite_add_tcase (s, tc);
  sr = srunner_create (s);
  srunner_run_all (sr, CK_ENV);
  failed = srunner_ntests_failed (sr);
  srunner_free (sr);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
