/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_generated.c: datasets whose samples are computed repeat themselves,
 * declare what they deliver, and deliver what they declare. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "qatkit/context.h"
#include "qatkit/dataset.h"

#define MOST 4 /* inputs or targets */

static struct qk_context *ctx;

struct sample {
  int n_inputs, n_targets;
  void *input[MOST], *target[MOST];
  size_t input_bytes[MOST], target_bytes[MOST];
};

static const char *const names[] = { "poses", "scenes", "queries", NULL };

static void
setup (void)
{
  ck_assert_ptr_nonnull (ctx = qk_context_new ());
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

static const struct qk_dataset_class *
dataset (const char *name)
{
  const struct qk_class *cls;

  ck_assert_msg (qk_context_class (ctx, QK_KIND_DATASET, name, &cls) == 0,
                 "%s", qk_error_message ());
  return (const struct qk_dataset_class *) (const void *) cls;
}

static int
try_open (const struct qk_dataset_class *ds, const char *split, uint64_t seed,
          const char *options, void **self)
{
  const struct qk_dataset_request req = { ctx, split, false, seed };
  struct qk_config *cfg;
  int r;

  ck_assert_msg (qk_config_parse (ds->cls.options, options, "test", &cfg) == 0,
                 "%s", qk_error_message ());
  r = ds->open (cfg, &req, self);
  qk_config_free (cfg);
  return r;
}

/* Sample INDEX of the dataset, opened for it alone. */
static void
read_one (const char *name, const char *split, uint64_t seed,
          const char *options, int64_t index, struct sample *out)
{
  const struct qk_dataset_class *ds = dataset (name);
  struct qk_dataset_info info;
  struct qk_rng rng;
  void *self, *worker;
  int i;

  memset (out, 0, sizeof *out);
  ck_assert_msg (try_open (ds, split, seed, options, &self) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_le (info.n_inputs, MOST);
  ck_assert_int_le (info.n_targets, MOST);
  out->n_inputs = info.n_inputs;
  out->n_targets = info.n_targets;
  for (i = 0; i < info.n_inputs; i++) {
    ck_assert_int_eq (info.input[i].dtype, QK_F32);
    out->input_bytes[i] = qk_spec_bytes (&info.input[i]);
    out->input[i] = calloc (1, out->input_bytes[i]);
  }
  for (i = 0; i < info.n_targets; i++) {
    out->target_bytes[i] = qk_spec_bytes (&info.target[i]);
    out->target[i] = calloc (1, out->target_bytes[i]);
  }
  qk_rng_seed (&rng, 5, 5);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  ck_assert_msg (ds->read (self, worker, index, &rng, out->input, out->target)
                   == 0,
                 "%s", qk_error_message ());
  ds->worker_free (worker);
  ds->close (self);
}

static void
sample_clear (struct sample *s)
{
  for (int i = 0; i < MOST; i++) {
    free (s->input[i]);
    free (s->target[i]);
  }
}

static bool
same (const struct sample *a, const struct sample *b)
{
  for (int i = 0; i < a->n_inputs; i++)
    if (memcmp (a->input[i], b->input[i], a->input_bytes[i]) != 0)
      return false;
  for (int i = 0; i < a->n_targets; i++)
    if (memcmp (a->target[i], b->target[i], a->target_bytes[i]) != 0)
      return false;
  return true;
}

START_TEST (test_repeats)
{
  const char *name = names[_i];
  struct sample a, b;
  struct {
    const char *split, *options;
    uint64_t seed;
    int64_t index;
    bool same;
  } other[] = {
    { "train", "train_count=50", 1, 7, true },
    { "train", "", 2, 7, false },
    { "train", "", 1, 8, false },
    { "val", "", 1, 7, false },
  };

  read_one (name, "train", 1, "", 7, &a);
  for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
    read_one (name, other[i].split, other[i].seed, other[i].options,
              other[i].index, &b);
    ck_assert_msg (same (&a, &b) == other[i].same, "%s, case %zu", name, i);
    sample_clear (&b);
  }
  sample_clear (&a);
}
END_TEST

START_TEST (test_refuses)
{
  const struct qk_dataset_class *ds = dataset (names[_i]);
  void *const none[MOST] = { NULL };
  void *self, *worker;
  struct qk_rng rng;

  ck_assert_int_lt (try_open (ds, "test", 1, "", &self), 0);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "no split 'test'"));
  ck_assert_int_eq (try_open (ds, "val", 1, "val_count=3", &self), 0);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  qk_rng_seed (&rng, 1, 1);
  ck_assert_int_lt (ds->read (self, worker, 3, &rng, none, none), 0);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "no sample 3"));
  ds->worker_free (worker);
  ds->close (self);
}
END_TEST

/* Numbers are where the page of the plugin says. */
START_TEST (test_poses)
{
  for (int64_t i = 0; i < 50; i++) {
    struct sample s;
    const float *pose;

    read_one ("poses", "train", 1, "", i, &s);
    pose = s.target[0];
    ck_assert_uint_eq (s.target_bytes[0], 5 * sizeof (float));
    ck_assert (fabsf (pose[0]) < 1 && fabsf (pose[1]) < 1);
    ck_assert (fabsf (pose[2]) <= 0.5f);
    ck_assert (fabsf (pose[3] * pose[3] + pose[4] * pose[4] - 1) < 1e-5f);
    sample_clear (&s);
  }
}
END_TEST

/* Every category occurs, and so do edges that do not count. */
START_TEST (test_scenes)
{
  int seen[5] = { 0 };

  for (int64_t i = 0; i < 20; i++) {
    struct sample s;
    const int32_t *mask;

    read_one ("scenes", "val", 1, "size=24", i, &s);
    mask = s.target[0];
    ck_assert_uint_eq (s.target_bytes[0], 24 * 24 * sizeof (int32_t));
    for (int k = 0; k < 24 * 24; k++) {
      ck_assert (mask[k] >= -1 && mask[k] < 4);
      seen[mask[k] + 1]++;
    }
    sample_clear (&s);
  }
  for (int i = 0; i < 5; i++)
    ck_assert_int_gt (seen[i], 0);
}
END_TEST

/* No targets; one kind is asked for. */
START_TEST (test_queries)
{
  struct sample s;
  const float *query;
  float sum = 0;

  read_one ("queries", "train", 1, "", 0, &s);
  ck_assert_int_eq (s.n_inputs, 2);
  ck_assert_int_eq (s.n_targets, 0);
  ck_assert_uint_eq (s.input_bytes[1], 10 * sizeof (float));
  query = s.input[1];
  for (int i = 0; i < 10; i++) {
    ck_assert (query[i] * (1 - query[i]) >= 0);
    sum += query[i];
  }
  ck_assert (fabsf (sum - 1) < 1e-6f);
  sample_clear (&s);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("generated");
  TCase *c = tcase_create ("datasets");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (c, setup, teardown);
  tcase_set_timeout (c, 60);
  tcase_add_loop_test (c, test_repeats, 0, 3);
  tcase_add_loop_test (c, test_refuses, 0, 3);
  tcase_add_test (c, test_poses);
  tcase_add_test (c, test_scenes);
  tcase_add_test (c, test_queries);
  suite_add_tcase (s, c);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
