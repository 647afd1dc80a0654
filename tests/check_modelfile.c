/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_modelfile.c: int8 models in files: weights of 2 to 4 bits are packed and
 * come back, and any flipped bit is found. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "graph/op-priv.h"
#include "lib/effort.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "model/modelfile.h"

#define SIDE 32
#define CLASSES 1000

static struct qk_context *ctx;
static char path[64];
static char logged[400]; /* the last line */

static void
on_log (void *cookie, enum qk_log_level level, const char *message)
{
  (void) cookie;
  (void) level;
  snprintf (logged, sizeof logged, "%s", message);
}

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  qk_context_set_log (ctx, on_log, NULL, QK_LOG_WARNING);
  logged[0] = 0;
  snprintf (path, sizeof path, "check_modelfile-%ld.safetensors",
            (long) getpid ());
}

static void
teardown (void)
{
  qk_context_free (ctx);
  unlink (path);
}

/* ---- bits ------------------------------------------------------------------
 */

START_TEST (packed_numbers)
{
  const int bits = _i;
  const int low = -(1 << (bits - 1)), count = 1 << bits;
  int8_t x[70], y[70];
  uint8_t packed[72];
  int n, i;

  for (n = 0; n <= 70; n++) {
    const int64_t bytes = qk_bits_bytes (n, bits);

    for (i = 0; i < n; i++)
      x[i] = (int8_t) (low + (i * 7 + n) % count);
    memset (packed, 0xa5, sizeof packed);
    memset (y, 0x55, sizeof y);
    ck_assert_int_eq (bytes, (n * bits + 7) / 8);
    qk_bits_pack (x, n, bits, packed);
    ck_assert_int_eq (packed[bytes], 0xa5);
    qk_bits_unpack (packed, n, bits, y);
    ck_assert_mem_eq (x, y, (size_t) n);
    if (n < 70)
      ck_assert_int_eq (y[n], 0x55);
  }
}
END_TEST

START_TEST (fewest_bits)
{
  static const struct {
    int8_t low, high;
    int bits;
  } row[] = { { 0, 0, 2 },     { -2, 1, 2 },   { -1, 2, 3 }, { -3, 0, 3 },
              { -4, 3, 3 },    { 0, 4, 4 },    { -8, 7, 4 }, { -9, 0, 5 },
              { 0, 8, 5 },     { -17, 15, 6 }, { 0, 63, 7 }, { -65, 0, 8 },
              { -127, 127, 8 } };
  /* the first number takes the lowest bits */
  const int8_t four[3] = { 1, -2, 7 }, two[5] = { 1, -1, 0, -2, 1 };
  uint8_t out[2];
  size_t i;

  for (i = 0; i < sizeof row / sizeof row[0]; i++) {
    const int8_t x[3] = { row[i].low, 0, row[i].high };

    ck_assert_int_eq (qk_bits_of (x, 3), row[i].bits);
  }
  qk_bits_pack (four, 3, 4, out);
  ck_assert_int_eq (out[0], 0xe1);
  ck_assert_int_eq (out[1], 0x07);
  qk_bits_pack (two, 5, 2, out);
  ck_assert_int_eq (out[0], 0x8d);
  ck_assert_int_eq (out[1], 0x01);
}
END_TEST

/* ---- models ----------------------------------------------------------------
 */

/* An int8 MobileNetV2 with weights of BITS. */
static struct qk_graph *
network (int bits)
{
  const struct network_quant how
    = { .per_channel = true, .weight_bits = bits, .quantize_outputs = true };
  const struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  struct qk_graph *g, *prepared, *int8;
  float *x = network_samples (1, SIDE);
  struct qk_exec *ex;
  const float *y;

  ck_assert_ptr_nonnull (x);
  OK (network_build (ctx, "mobilenet_v2", effort (1, 0) ? "" : "width=0.5",
                     SIDE, CLASSES, &g));
  OK (network_fill (g));
  OK (network_prepare_as (g, &how, &prepared));
  qk_graph_set_observing (prepared, true, true);
  OK (qk_exec_new (prepared, &opt, &ex));
  OK (network_forward (ex, x, 1, QK_PASS_BATCH_STATS, &y));
  qk_exec_free (ex);
  OK (qk_pass_convert (prepared, &int8));
  qk_graph_free (prepared);
  qk_graph_free (g);
  qk_free (x);
  return int8;
}

static int64_t
file_size (void)
{
  FILE *f = fopen (path, "rb");
  long size;

  ck_assert_ptr_nonnull (f);
  ck_assert_int_eq (fseek (f, 0, SEEK_END), 0);
  size = ftell (f);
  fclose (f);
  return size;
}

/* The size of the file of a network with weights of BITS, which come back. */
static int64_t
size_of (int bits)
{
  const struct qk_model_info info = { 0, NULL, "", NULL };
  struct qk_graph *g = network (bits);
  struct qk_model *m;
  int i;

  OK (qk_model_save (g, &info, path));
  OK (qk_model_load (ctx, path, &m));
  ck_assert_int_eq (m->graph->n_nodes, g->n_nodes);
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_op *a = &g->node[i].op, *b = &m->graph->node[i].op;

    ck_assert_int_eq (a->weight == NULL, b->weight == NULL);
    if (a->weight != NULL)
      ck_assert_mem_eq (a->weight, b->weight, (size_t) qk_op_weight_count (a));
  }
  ck_assert_int_eq (qk_graph_bytes (g), qk_graph_bytes (m->graph));
  ck_assert_uint_eq (strlen (m->checksum), 8);
  ck_assert_str_eq (logged, "");
  qk_model_free (m);
  qk_graph_free (g);
  return file_size ();
}

START_TEST (packed_weights)
{
  const int64_t eight = size_of (8), four = size_of (4), two = size_of (2);
  int64_t larger = eight;
  int bits;

  printf ("W8 %lld bytes, W4 %.3f of it, W2 %.3f\n", (long long) eight,
          (double) four / (double) eight, (double) two / (double) eight);
  ck_assert (!effort (1, 0) || (double) four <= 0.55 * (double) eight);
  ck_assert (!effort (1, 0) || (double) two <= 0.3 * (double) eight);
  for (bits = 7; bits >= 2; bits--) {
    const int64_t size = size_of (bits);

    ck_assert_int_lt (size, larger);
    larger = size;
  }
}
END_TEST

START_TEST (flipped_bits)
{
  const struct qk_model_info info = { 0, NULL, "[run]\nthreads = 1\n", NULL };
  struct qk_graph *g;
  struct qk_model *m;
  int64_t size, at;
  char *text, *key;
  FILE *f;

  g = network (4);
  OK (qk_model_save (g, &info, path));
  qk_graph_free (g);
  size = file_size ();
  text = malloc ((size_t) size + 1);
  ck_assert_ptr_nonnull (text);
  f = fopen (path, "r+b");
  ck_assert_uint_eq (fread (text, 1, (size_t) size, f), size);
  /* mostly in the header */
  for (at = 0; at < size; at += at < 1 << 16 ? effort (997, 9973) : 20011) {
    const int bit = 1 << (at % 8);
    int r;

    fseek (f, (long) at, SEEK_SET);
    fputc (text[at] ^ bit, f);
    fflush (f);
    r = qk_model_load (ctx, path, &m);
    /* spaces and the like between words of the header mean nothing */
    ck_assert_msg (r < 0, "bit %d of byte %lld of %lld", bit, (long long) at,
                   (long long) size);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), path));
    fseek (f, (long) at, SEEK_SET);
    fputc (text[at], f);
    fflush (f);
  }
  /* in the last weight */
  fseek (f, (long) size - 1, SEEK_SET);
  fputc (text[size - 1] ^ 1, f);
  fflush (f);
  ck_assert_int_eq (qk_model_load (ctx, path, &m), -EBADMSG);
  ck_assert_ptr_nonnull (
    strstr (qk_error_message (), "damaged: the checksum"));
  /* an older file: the key has another name */
  text[size] = 0;
  key = NULL;
  for (at = 0; at < size - 16 && key == NULL; at++)
    if (memcmp (text + at, "qatkit.checksum", 15) == 0)
      key = text + at;
  ck_assert_ptr_nonnull (key);
  fseek (f, key - text, SEEK_SET);
  fputc ('Q', f);
  fflush (f);
  ck_assert_str_eq (logged, "");
  OK (qk_model_load (ctx, path, &m));
  ck_assert_ptr_nonnull (strstr (logged, "has no checksum"));
  ck_assert_str_eq (m->checksum, "");
  qk_model_free (m);
  fclose (f);
  free (text);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("modelfile");
  TCase *tc = tcase_create ("modelfile");
  SRunner *sr;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, packed_numbers, 2, 9);
  tcase_add_test (tc, fewest_bits);
  tcase_add_test (tc, packed_weights);
  tcase_add_test (tc, flipped_bits);
  suite_add_tcase (s, tc);
  sr = srunner_create (s);
  srunner_run_all (sr, CK_ENV);
  failed = srunner_ntests_failed (sr);
  srunner_free (sr);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
