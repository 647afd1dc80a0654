/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_tensorfile.c: formats found by ending or name, tensors found by
 * name, layouts changed, weights matched as a whole. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/weights.h"

static struct qk_context *ctx;
static char dir[] = "check_tensorfile-XXXXXX";
static char path[64];

static void
setup (void)
{
  strcpy (dir + strlen (dir) - 6, "XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/x.safetensors", dir);
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
}

static void
teardown (void)
{
  unlink (path);
  rmdir (dir);
  qk_context_free (ctx);
}

#define OK(call) ck_assert_msg ((call) == 0, "%s", qk_error_message ())
#define SAID(word)                                                            \
  ck_assert_msg (strstr (qk_error_message (), word) != NULL,                  \
                 "no '%s' in: %s", word, qk_error_message ())

static struct qk_tensor
tensor (enum qk_dtype dtype, void *data, int ndim, int64_t a, int64_t b,
        int64_t c, int64_t d)
{
  const struct qk_tensor t
    = { dtype, { ndim, { a, b, c, d } }, data, { 0, 0, 0, 0 } };

  return t;
}

/* ---- formats ---------------------------------------------------------*/

START_TEST (format_choice)
{
  const struct qk_format_class *cls;

  OK (qk_format_find (ctx, "a/b.safetensors", NULL, &cls));
  ck_assert_str_eq (cls->cls.name, "safetensors");
  OK (qk_format_find (ctx, "a.b/C.SafeTensors", NULL, &cls));
  ck_assert_str_eq (cls->cls.name, "safetensors");
  /* no ending: the default */
  OK (qk_format_find (ctx, "a.b/c", NULL, &cls));
  OK (qk_format_find (ctx, "a/.hidden", NULL, &cls));
  OK (qk_format_find (ctx, "x.weird", "safetensors", &cls));
  ck_assert_int_eq (qk_format_find (ctx, "a/x.weird", NULL, &cls), -ENOENT);
  SAID ("a/x.weird");
  SAID (".weird");
  SAID (".safetensors");
  ck_assert_int_lt (qk_format_find (ctx, "x", "nosuchformat", &cls), 0);
  SAID ("nosuchformat");
}
END_TEST

/* ---- reading ---------------------------------------------------------*/

START_TEST (find_and_read)
{
  float in[6] = { 1, 2, 3, 4, 5, 6 }, out[6];
  double f64[2] = { 0.1, -3 };
  uint8_t u8[3] = { 9, 8, 7 }, u8_out[3];
  const struct qk_format_entry entries[]
    = { { "z", tensor (QK_F32, in, 2, 2, 3, 0, 0) },
        { "a", tensor (QK_U8, u8, 1, 3, 0, 0, 0) },
        { "m", tensor (QK_F64, f64, 1, 2, 0, 0, 0) } };
  const struct qk_format_meta meta = { "k", "v" };
  struct qk_tensor t;
  struct qk_tensorfile *f;
  int64_t i;

  OK (qk_tensorfile_write (ctx, path, NULL, entries, 3, &meta, 1));
  OK (qk_tensorfile_open (ctx, path, NULL, &f));
  ck_assert_int_eq (qk_tensorfile_count (f), 3);
  ck_assert_str_eq (qk_tensorfile_path (f), path);
  ck_assert_str_eq (qk_tensorfile_metadata (f, "k"), "v");
  ck_assert_ptr_null (qk_tensorfile_metadata (f, "l"));
  for (i = 0; i < 3; i++)
    ck_assert_int_eq (qk_tensorfile_find (f, qk_tensorfile_name (f, i)), i);
  ck_assert_ptr_null (qk_tensorfile_name (f, 3));
  ck_assert_int_eq (qk_tensorfile_find (f, "q"), -ENOENT);

  t = tensor (QK_F32, out, 2, 2, 3, 0, 0);
  OK (qk_tensorfile_read (f, qk_tensorfile_find (f, "z"), &t, 0));
  ck_assert_mem_eq (in, out, sizeof in);
  t = tensor (QK_F32, out, 1, 2, 0, 0, 0);
  OK (qk_tensorfile_read (f, qk_tensorfile_find (f, "m"), &t, 0));
  ck_assert (out[0] == 0.1f && out[1] == -3.0f);
  t = tensor (QK_U8, u8_out, 1, 3, 0, 0, 0);
  OK (qk_tensorfile_read (f, qk_tensorfile_find (f, "a"), &t, 0));
  ck_assert_mem_eq (u8, u8_out, sizeof u8);

  t = tensor (QK_F32, out, 1, 3, 0, 0, 0);
  ck_assert_int_eq (qk_tensorfile_read (f, qk_tensorfile_find (f, "a"), &t, 0),
                    -EINVAL);
  SAID ("\"a\"");
  SAID ("u8");
  t = tensor (QK_F32, out, 2, 3, 2, 0, 0);
  ck_assert_int_eq (qk_tensorfile_read (f, qk_tensorfile_find (f, "z"), &t, 0),
                    -EINVAL);
  SAID (path);
  SAID ("(2,3)");
  SAID ("(3,2)");
  ck_assert_int_eq (
    qk_tensorfile_read (f, qk_tensorfile_find (f, "z"), &t, QK_LAYOUT_OIHW),
    -EINVAL);
  SAID ("4 dimensions");
  qk_tensorfile_close (f);

  ck_assert_int_eq (
    qk_tensorfile_open (ctx, "/nonexistent/x.safetensors", NULL, &f), -ENOENT);
  SAID ("/nonexistent/x.safetensors");
}
END_TEST

/* theirs[k][c][r][s] = ours[k][r][s][c], whatever the element's size */
START_TEST (layouts)
{
  enum { K = 3, R = 2, S = 4, C = 5, N = K * R * S * C };
  const struct qk_shape ours = { 4, { K, R, S, C } };
  struct qk_shape theirs;
  float a[N], b[N], back[N];
  int8_t a8[N], b8[N], back8[N];
  double ad[N], bd[N], backd[N];
  int i, k, r, s, c;

  for (i = 0; i < N; i++) {
    a[i] = (float) i;
    a8[i] = (int8_t) i;
    ad[i] = i;
  }
  OK (qk_layout_file_shape (QK_LAYOUT_OIHW, &ours, &theirs));
  ck_assert (theirs.dims[0] == K && theirs.dims[1] == C && theirs.dims[2] == R
             && theirs.dims[3] == S);
  qk_layout_to_file (QK_LAYOUT_OIHW, &ours, 4, a, b);
  qk_layout_to_file (QK_LAYOUT_OIHW, &ours, 1, a8, b8);
  qk_layout_to_file (QK_LAYOUT_OIHW, &ours, 8, ad, bd);
  for (k = 0; k < K; k++)
    for (c = 0; c < C; c++)
      for (r = 0; r < R; r++)
        for (s = 0; s < S; s++) {
          const int o = ((k * R + r) * S + s) * C + c;
          const int t = ((k * C + c) * R + r) * S + s;

          ck_assert (b[t] == a[o] && b8[t] == a8[o] && bd[t] == ad[o]);
        }
  qk_layout_from_file (QK_LAYOUT_OIHW, &ours, 4, b, back);
  qk_layout_from_file (QK_LAYOUT_OIHW, &ours, 1, b8, back8);
  qk_layout_from_file (QK_LAYOUT_OIHW, &ours, 8, bd, backd);
  ck_assert_mem_eq (a, back, sizeof a);
  ck_assert_mem_eq (a8, back8, sizeof a8);
  ck_assert_mem_eq (ad, backd, sizeof ad);
}
END_TEST

/* theirs[c][k][r][s] of a group = ours[k][R-1-r][S-1-s][c] */
START_TEST (turned_layout)
{
  enum { G = 2, KG = 3, CG = 2, R = 2, S = 3, N = G * KG * CG * R * S };
  const enum qk_param_layout layout
    = QK_LAYOUT_GROUPED (QK_LAYOUT_IOHW_TURNED, G);
  const struct qk_shape ours = { 4, { G * KG, R, S, CG } };
  struct qk_shape theirs;
  float a[N], b[N], back[N];
  int i, k, r, s, c;

  for (i = 0; i < N; i++)
    a[i] = (float) i;
  OK (qk_layout_file_shape (layout, &ours, &theirs));
  ck_assert (theirs.dims[0] == G * CG && theirs.dims[1] == KG
             && theirs.dims[2] == R && theirs.dims[3] == S);
  qk_layout_to_file (layout, &ours, 4, a, b);
  for (k = 0; k < G * KG; k++)
    for (c = 0; c < CG; c++)
      for (r = 0; r < R; r++)
        for (s = 0; s < S; s++) {
          const int in = k / KG * CG + c;

          ck_assert (b[((in * KG + k % KG) * R + r) * S + s]
                     == a[((k * R + R - 1 - r) * S + S - 1 - s) * CG + c]);
        }
  qk_layout_from_file (layout, &ours, 4, b, back);
  ck_assert_mem_eq (a, back, sizeof a);
}
END_TEST

/* ---- weights ---------------------------------------------------------*/

static float conv[2 * 3 * 3 * 4], bias[2], fc[5 * 2];
static struct qk_tensor conv_t, bias_t, fc_t;
static struct qk_weight net[3];

static void
make_net (void)
{
  size_t i;

  for (i = 0; i < sizeof conv / sizeof conv[0]; i++)
    conv[i] = (float) i + 0.5f;
  for (i = 0; i < sizeof fc / sizeof fc[0]; i++)
    fc[i] = -(float) i;
  bias[0] = 7;
  bias[1] = 8;
  conv_t = tensor (QK_F32, conv, 4, 2, 3, 3, 4);
  bias_t = tensor (QK_F32, bias, 1, 2, 0, 0, 0);
  fc_t = tensor (QK_F32, fc, 2, 5, 2, 0, 0);
  net[0] = (struct qk_weight){ .name = "conv.weight",
                               .tensor = &conv_t,
                               .layout = QK_LAYOUT_OIHW };
  net[1] = (struct qk_weight){ .name = "conv.bias",
                               .tensor = &bias_t,
                               .layout = QK_LAYOUT_SAME };
  net[2] = (struct qk_weight){ .name = "fc.weight",
                               .tensor = &fc_t,
                               .layout = QK_LAYOUT_SAME };
}

START_TEST (weights_round_trip)
{
  float conv0[2 * 3 * 3 * 4], fc0[5 * 2];
  struct qk_format_entry e;
  struct qk_tensorfile *f;
  float v;

  make_net ();
  memcpy (conv0, conv, sizeof conv);
  memcpy (fc0, fc, sizeof fc);
  OK (qk_weights_save (ctx, path, NULL, net, 3, NULL, 0));
  memset (conv, 0, sizeof conv);
  memset (fc, 0, sizeof fc);
  OK (qk_weights_load (ctx, path, NULL, net, 3, NULL));
  ck_assert_mem_eq (conv, conv0, sizeof conv);
  ck_assert_mem_eq (fc, fc0, sizeof fc);

  OK (qk_tensorfile_open (ctx, path, NULL, &f));
  OK (qk_tensorfile_entry (f, qk_tensorfile_find (f, "conv.weight"), &e));
  ck_assert (e.tensor.shape.dims[1] == 4 && e.tensor.shape.dims[3] == 3);
  /* theirs[0][1][0][0] is ours[0][0][0][1] */
  memcpy (&v, (const char *) e.tensor.data + 4 * 9, 4);
  ck_assert (v == conv0[1]);
  qk_tensorfile_close (f);
}
END_TEST

/* Every fault is in one sentence, and nothing was changed. */
START_TEST (weights_faults)
{
  float zero[40] = { 0 }, before[2 * 3 * 3 * 4];
  int32_t wrong[2] = { 1, 2 };
  const struct qk_format_entry entries[]
    = { { "conv.weight", tensor (QK_F32, zero, 4, 2, 3, 3, 2) },
        { "conv.bias", tensor (QK_I32, wrong, 1, 2, 0, 0, 0) },
        { "stray.one", tensor (QK_F32, zero, 1, 2, 0, 0, 0) },
        { "bn.num_batches_tracked", tensor (QK_F32, zero, 1, 1, 0, 0, 0) },
        { "stray.two", tensor (QK_F32, zero, 1, 2, 0, 0, 0) } };

  make_net ();
  memcpy (before, conv, sizeof conv);
  OK (qk_tensorfile_write (ctx, path, NULL, entries, 5, NULL, 0));
  ck_assert_int_eq (qk_weights_load (ctx, path, NULL, net, 3, NULL), -EINVAL);
  SAID (path);
  SAID ("5 tensors");
  SAID ("missing: fc.weight");
  SAID ("conv.weight is (2,3,3,2), expected (2,4,3,3)");
  SAID ("conv.bias is i32, expected f32");
  SAID ("stray.one");
  SAID ("stray.two");
  ck_assert_ptr_null (strstr (qk_error_message (), "num_batches"));
  ck_assert_mem_eq (conv, before, sizeof conv);
  ck_assert (bias[0] == 7);
}
END_TEST

START_TEST (weights_prefix)
{
  float b[2] = { 3, 4 }, w[10] = { 0 }, c[72] = { 0 };
  int64_t n = 5;
  struct qk_format_entry entries[]
    = { { "module.conv.weight", tensor (QK_F32, c, 4, 2, 4, 3, 3) },
        { "module.conv.bias", tensor (QK_F32, b, 1, 2, 0, 0, 0) },
        { "module.bn.num_batches_tracked",
          tensor (QK_I64, &n, 0, 0, 0, 0, 0) },
        { "module.fc.weight", tensor (QK_F32, w, 2, 5, 2, 0, 0) } };

  make_net ();
  OK (qk_tensorfile_write (ctx, path, NULL, entries, 4, NULL, 0));
  OK (qk_weights_load (ctx, path, NULL, net, 3, NULL));
  ck_assert (bias[0] == 3 && bias[1] == 4);
  /* one name without it: then it is part of the names */
  entries[1].name = "conv.bias";
  OK (qk_tensorfile_write (ctx, path, NULL, entries, 4, NULL, 0));
  ck_assert_int_eq (qk_weights_load (ctx, path, NULL, net, 3, NULL), -EINVAL);
  SAID ("missing: conv.bias");
  SAID ("not of this network: conv.bias");
  SAID ("without \"module.\" before the file's names");
  /* the network's names may have one too */
  net[0].name = "body.a.conv.weight";
  net[1].name = "body.a.conv.bias";
  net[2].name = "body.a.fc.weight";
  entries[1].name = "module.conv.bias";
  bias[0] = 0;
  OK (qk_tensorfile_write (ctx, path, NULL, entries, 4, NULL, 0));
  OK (qk_weights_load (ctx, path, NULL, net, 3, NULL));
  ck_assert (bias[0] == 3);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("tensorfile");
  TCase *t = tcase_create ("files");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, format_choice);
  tcase_add_test (t, find_and_read);
  tcase_add_test (t, layouts);
  tcase_add_test (t, turned_layout);
  tcase_add_test (t, weights_round_trip);
  tcase_add_test (t, weights_faults);
  tcase_add_test (t, weights_prefix);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed != 0;
}
