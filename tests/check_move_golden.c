/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_move_golden.c: layers that move elements, and those that make them of
 * several, against numbers from PyTorch; what PyTorch has not, by hand. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "lib/context.h"
#include "lib/layer-harness.h"
#include "lib/ok.h"

#include "golden/move.h"

static void
open_layer (const char *layer, const char *options, struct qk_shape in,
            struct harness *h)
{
  const struct harness_spec s = { .layer = layer,
                                  .options = options,
                                  .flags = QK_PASS_TRAIN,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { in } };

  ck_assert_msg (harness_new (ctx, &s, h) == 0, "%s %s: %s", layer, options,
                 qk_error_message ());
}

static void
near (const struct move_row *row, const char *what, const struct qk_tensor *t,
      const float *want, size_t size)
{
  const float *x = t->data;

  ck_assert_msg (harness_bytes (t) == size, "%s %s: %zu bytes of %s, not %zu",
                 row->layer, row->options, harness_bytes (t), what, size);
  for (size_t i = 0; i < size / sizeof *want; i++)
    HOLDS (fabsf (x[i] - want[i]) <= 1e-5f * fmaxf (1.0f, fabsf (want[i])),
           "%s %s: %s[%zu] is %g, expected %g", row->layer, row->options, what,
           i, (double) x[i], (double) want[i]);
}

START_TEST (as_pytorch)
{
  const struct move_row *row = &move_rows[_i];
  struct harness h;

  open_layer (row->layer, row->options, row->in, &h);
  ck_assert_uint_eq (harness_bytes (&h.in[0]), row->size_x);
  memcpy (h.in[0].data, row->x, row->size_x);
  ck_assert_int_eq (harness_forward (&h), 0);
  near (row, "y", &h.out, row->y, row->size_y);
  memcpy (h.dout.data, row->dy, row->size_y);
  ck_assert_int_eq (harness_backward (&h), 0);
  near (row, "dx", &h.din[0], row->dx, row->size_x);
  harness_free (&h);
}
END_TEST

/* The numbers 0, 1, … through a layer. */
static void
gives (const char *layer, const char *options, struct qk_shape in,
       struct qk_shape out, const float *want)
{
  struct harness h;

  open_layer (layer, options, in, &h);
  for (int64_t i = 0; i < qk_shape_count (&in); i++)
    ((float *) h.in[0].data)[i] = (float) i;
  ck_assert_int_eq (harness_forward (&h), 0);
  ck_assert_msg (qk_shape_equal (&h.out.shape, &out), "%s %s: another shape",
                 layer, options);
  for (int64_t i = 0; i < qk_shape_count (&out); i++)
    HOLDS (fabsf (((float *) h.out.data)[i] - want[i]) < 1e-5f,
           "%s %s: element %d is %g, expected %g", layer, options, (int) i,
           (double) ((float *) h.out.data)[i], (double) want[i]);
  harness_free (&h);
}

#define GIVES(layer, options, in, out, ...)                                   \
  gives (layer, options, (struct qk_shape) in, (struct qk_shape) out,         \
         (const float[]) __VA_ARGS__)
#define SHAPE(...)                                                            \
  {                                                                           \
    sizeof ((int[]){ __VA_ARGS__ }) / sizeof (int), { __VA_ARGS__ }           \
  }

START_TEST (by_hand)
{
  /* channel (i b + j) C + c, here C = 2: those of pixel (0,1) are 2 and 3 */
  GIVES ("depth_to_space", "block=2", SHAPE (1, 1, 1, 8), SHAPE (1, 2, 2, 2),
         { 0, 1, 2, 3, 4, 5, 6, 7 });
  GIVES ("space_to_depth", "block=2", SHAPE (1, 2, 2, 2), SHAPE (1, 1, 1, 8),
         { 0, 1, 2, 3, 4, 5, 6, 7 });
  GIVES ("space_to_depth", "block=2", SHAPE (1, 2, 4, 1), SHAPE (1, 1, 2, 4),
         { 0, 1, 4, 5, 2, 3, 6, 7 });
  GIVES ("gather", "axis=1 indices=-1,2,0,-1 fill=9", SHAPE (1, 3),
         SHAPE (1, 4), { 9, 2, 0, 9 });
  /* reflected more than once */
  GIVES ("pad", "before=5 after=4 mode=reflect", SHAPE (1, 3), SHAPE (1, 12),
         { 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2 });
  GIVES ("slice", "starts=-100,2 ends=100,-100 steps=1,-1", SHAPE (1, 2, 3),
         SHAPE (1, 2, 3), { 2, 1, 0, 5, 4, 3 });
  /* the scale, not the sizes: the last column is 4 / 2.5 = 1.6 */
  GIVES ("resize", "size=5 scale=2.5 coords=asymmetric mode=linear",
         SHAPE (1, 2, 1), SHAPE (1, 5, 1), { 0, 0.4f, 0.8f, 1, 1 });
  GIVES ("resize", "size=7 scale=3.7 nearest=ceil coords=asymmetric",
         SHAPE (1, 2, 1), SHAPE (1, 7, 1), { 0, 1, 1, 1, 1, 1, 1 });
  /* places -0.25, 0.25, 0.75, 1.25 */
  GIVES ("resize", "size=4 mode=linear", SHAPE (1, 2, 1), SHAPE (1, 4, 1),
         { 0, 0.25f, 0.75f, 1 });
  /* a tie: place 0.5 */
  GIVES ("resize", "size=1 nearest=round_prefer_floor", SHAPE (1, 2, 1),
         SHAPE (1, 1, 1), { 0 });
  GIVES ("resize", "size=1 nearest=round_prefer_ceil", SHAPE (1, 2, 1),
         SHAPE (1, 1, 1), { 1 });
  GIVES ("resize", "size=1 coords=pytorch_half_pixel mode=linear",
         SHAPE (1, 2, 1), SHAPE (1, 1, 1), { 0 });
  /* ONNX's example of half_pixel_symmetric: 4 by 0.6 is 2 */
  GIVES ("resize", "size=2 scale=0.6 coords=half_pixel_symmetric mode=linear",
         SHAPE (1, 4, 1), SHAPE (1, 2, 1), { 0.6666667f, 2.3333333f });
}
END_TEST

/* What is wrong is refused in a sentence, in create or in infer. */
static void
refused (const char *layer, const char *options, struct qk_shape in,
         const char *sentence)
{
  const struct harness_spec s = {
    .layer = layer, .options = options, .threads = 1, .n_in = 1, .in = { in }
  };
  struct harness h;
  const int err = harness_new (ctx, &s, &h);

  ck_assert_msg (err < 0 && strstr (qk_error_message (), sentence) != NULL,
                 "%s %s: expected \"%s\", got %d \"%s\"", layer, options,
                 sentence, err, qk_error_message ());
  harness_free (&h);
}

START_TEST (refusals)
{
  static const struct {
    const char *layer, *options, *sentence;
  } rows[] = {
    { "permute", "axes=1,0,2,3", "entry 0 of axes is 1" },
    { "permute", "axes=0,2,2,1", "entry 2 of axes is 2" },
    { "permute", "axes=0,1", "axes has 2 entries for the input (1,4,4,3)" },
    { "permute", "axes=0,1,,2", "axes=0,1,,2, expected integers" },
    { "permute", "axes=0,1,2,", "axes=0,1,2,, expected integers" },
    { "permute", "axes=0,1,2,3,4,5,6,7,8", "9 numbers, expected 8" },
    { "reshape", "shape=-1,-1", "dimension 1 of shape is -1" },
    { "reshape", "shape=5,-1", "the 48 elements" },
    { "reshape", "shape=48,2", "the 48 elements" },
    { "slice", "starts=0,0,0 ends=1,1", "3 starts, 2 ends" },
    { "slice", "starts=0,0,0 ends=1,1,1 steps=1,0,1", "step 1 is 0" },
    { "slice", "starts=0,3,0 ends=1,2,1", "nothing is left of axis 2" },
    { "slice", "starts=0,0 ends=1,1", "2 starts for the input" },
    { "gather", "axis=4 indices=0", "axis=4 of the input (1,4,4,3)" },
    { "gather", "axis=3 indices=0,3", "entry 1 of indices is 3" },
    { "gather", "axis=3 indices=-2", "entry 0 of indices is -2" },
    { "gather", "axis=1 indices=1x", "indices=1x, expected integers" },
    { "pad", "before=1,1 after=1,1", "2 numbers in before" },
    { "pad", "before=1,1,1 after=1,1", "3 numbers in before and 2 in after" },
    { "pad", "before=-2,0,0 after=-2,0,0", "nothing is left of axis 1" },
    { "pad", "before=1000000000,0,0 after=0,0,0", "too large" },
    { "tile", "repeats=1,0,1", "entry 1 of repeats is 0" },
    { "tile", "repeats=1000000000,1,1", "too large" },
    { "expand", "shape=4,4,6", "axis 3 of the input (1,4,4,3)" },
    { "depth_to_space", "block=2", "C a multiple of 4" },
    { "space_to_depth", "block=3", "multiples of 3" },
    { "resize", "size=2", "1 numbers in size for the input" },
    { "resize", "size=2,0", "entry 1 of size is 0" },
    { "resize", "size=2,2 scale=2", "2 numbers in size and 1 in scale" },
    { "concat", "axis=4", "2 to 16 inputs" },
  };

  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    refused (rows[i].layer, rows[i].options,
             (struct qk_shape){ 4, { 1, 4, 4, 3 } }, rows[i].sentence);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("move-golden");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_loop_test (t, as_pytorch, 0,
                       (int) (sizeof move_rows / sizeof move_rows[0]));
  tcase_add_test (t, by_hand);
  tcase_add_test (t, refusals);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
