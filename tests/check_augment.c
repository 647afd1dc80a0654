/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_augment.c: random changes of images: each operation gives the bytes of
 * PIL and torchvision (tests/golden/augment.py), the random ones stay within
 * what their options say. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment/augment.h"
#include "lib/ok.h"

#define IMAGES 5

enum op {
  BRIGHTNESS,
  CONTRAST,
  SATURATION,
  SHARPNESS,
  HUE,
  AUTOCONTRAST,
  EQUALIZE,
  POSTERIZE,
  SOLARIZE,
  ROTATE,
  WARP
};

struct golden_op {
  enum op op;
  int filter;
  double x[6];
  uint64_t hash[IMAGES];
};

struct golden_policy {
  int policy, op, bin, bins, is_signed;
  double magnitude;
  uint64_t hash;
};

#include "golden/augment.h"

#define N(a) ((int) (sizeof (a) / sizeof (a)[0]))

static uint64_t
fnv (const struct raster *r)
{
  const int64_t n = r->h * r->w * r->channels;
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (int64_t i = 0; i < n; i++)
    h = (h ^ r->pixels[i]) * UINT64_C (0x100000001b3);
  return h;
}

/* Image I of the script. */
static struct raster *
image (int i)
{
  const int *g = golden_images[i];
  const int n = g[0] * g[1] * g[2];
  uint32_t x = (uint32_t) (g[0] * 1000 + g[1]);
  struct raster *r;

  OK (raster_new (g[1], g[0], g[2], &r));
  for (int k = 0; k < n; k++) {
    x = x * 1664525u + 1013904223u;
    r->pixels[k] = (uint8_t) ((uint32_t) g[4] + (x >> 16) % (uint32_t) g[3]);
  }
  return r;
}

static void
apply (struct raster *r, const struct golden_op *g)
{
  const struct raster_move how
    = { (enum raster_filter) g->filter, { 10, 200, 55 } };
  const double *x = g->x;
  const struct raster_warp warp
    = { x[0], x[3], (int64_t) x[1],      (int64_t) x[2],
        x[4], x[5], (double) r->w * 0.5, (double) r->h * 0.5 };

  switch (g->op) {
  case BRIGHTNESS:
    raster_brightness (r, x[0]);
    break;
  case CONTRAST:
    raster_contrast (r, x[0]);
    break;
  case SATURATION:
    raster_saturation (r, x[0]);
    break;
  case SHARPNESS:
    raster_sharpness (r, x[0]);
    break;
  case HUE:
    raster_hue (r, x[0]);
    break;
  case AUTOCONTRAST:
    raster_autocontrast (r);
    break;
  case EQUALIZE:
    raster_equalize (r);
    break;
  case POSTERIZE:
    raster_posterize (r, (int) x[0]);
    break;
  case SOLARIZE:
    raster_solarize (r, x[0]);
    break;
  case ROTATE:
    raster_rotate (r, x[0], &how);
    break;
  case WARP:
    raster_warp (r, &warp, &how);
    break;
  }
}

START_TEST (as_pil)
{
  const struct golden_op *g = &golden_ops[_i];

  ck_assert_int_eq (N (golden_images), IMAGES);
  for (int i = 0; i < IMAGES; i++) {
    struct raster *r = image (i);

    apply (r, g);
    ck_assert_msg (fnv (r) == g->hash[i],
                   "operation %d (%g, ...) of image %d: other bytes", g->op,
                   g->x[0], i);
    raster_free (r);
  }
}
END_TEST

/* The magnitudes of torchvision but for the last bit, and what they do. */
START_TEST (policy_as_torchvision)
{
  const struct golden_policy *g = &golden_policies[_i];
  const struct raster_move how = { RASTER_BILINEAR, { 10, 200, 55 } };
  struct raster *r = image (0);
  bool is_signed;
  const double m = policy_magnitude ((enum augment_policy) g->policy,
                                     (enum policy_op) g->op, g->bin, g->bins,
                                     r->h, r->w, &is_signed);

  ck_assert_int_eq (is_signed, g->is_signed);
  ck_assert_msg (fabs (m - fabs (g->magnitude)) <= 1e-6 * m,
                 "policy %d, operation %d, bin %d of %d: magnitude %.9g, "
                 "expected %.9g",
                 g->policy, g->op, g->bin, g->bins, m, fabs (g->magnitude));
  policy_apply (r, (enum policy_op) g->op, g->magnitude, &how);
  ck_assert_msg (fnv (r) == g->hash,
                 "policy %d, operation %d, magnitude %g: other bytes",
                 g->policy, g->op, g->magnitude);
  raster_free (r);
}
END_TEST

/* ---- options ------------------------------------------------------------- */

static const struct qk_option options[]
  = { AUGMENT_OPTIONS, { NULL, 0, NULL, 0, 0, NULL, NULL } };

/* What TEXT asks for, for images of CHANNELS. */
static int
configure (const char *text, int channels, struct augment *a)
{
  struct qk_config *cfg;
  int r = qk_config_parse (options, text, "test", &cfg);

  memset (a, 0, sizeof *a);
  if (r == 0) {
    r = augment_configure (a, "test", cfg, channels);
    qk_config_free (cfg);
  }
  return r;
}

START_TEST (nothing_by_default)
{
  struct augment a;
  float x[4] = { 1, 2, 3, 4 };
  struct qk_rng rng, before;

  qk_rng_seed (&rng, 1, 1);
  before = rng;
  OK (configure ("", 4, &a)); /* four channels are no obstacle then */
  ck_assert (!augment_wants_bytes (&a));
  augment_floats (&a, x, 2, 2, 1, &rng);
  ck_assert_float_eq (x[0] + x[1] + x[2] + x[3], 10);
  /* runs of before these options give what they gave */
  ck_assert_mem_eq (&rng, &before, sizeof rng);
}
END_TEST

START_TEST (what_is_wrong_is_said)
{
  static const char *const cases[][2] = {
    { "scale=2", "scale (test) must be 2 numbers, got 1" },
    { "scale=2,1", "scale (test) is 2 to 1, expected the smaller" },
    { "shear=1,2,3", "shear (test) must be 1 or 2 numbers, got 3" },
    { "fill=1,2", "fill (test) must be one number or 3, got 2" },
    { "auto_magnitude=31", "auto_magnitude (test) is 31, expected less" },
    { "erase_ratio=3,0.3", "expected the smaller number first" },
    { "hue=0.6", "hue" },
    { "auto_augment=autoaugment", "auto_augment" },
  };
  struct augment a;

  for (int i = 0; i < N (cases); i++) {
    ck_assert_int_eq (configure (cases[i][0], 3, &a), -EINVAL);
    ck_assert_msg (strstr (qk_error_message (), cases[i][1]) != NULL, "%s: %s",
                   cases[i][0], qk_error_message ());
  }
  ck_assert_int_eq (configure ("hue=0.1", 4, &a), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "4 channels"));
}
END_TEST

/* Each by itself changes most images, and the same numbers change them in the
 * same way. */
START_TEST (random_changes)
{
  static const char *const cases[]
    = { "rotate=30",
        "translate=0.2",
        "scale=0.5,2 affine_filter=bilinear",
        "shear=20,10 fill=1,2,3",
        "brightness=0.5",
        "contrast=0.5",
        "saturation=2",
        "hue=0.5",
        "auto_augment=randaugment auto_ops=3",
        "auto_augment=trivial_wide",
        "rotate=5 brightness=0.1 hue=0.1 auto_augment=trivial_wide" };
  struct augment a;

  for (int i = 0; i < N (cases); i++) {
    int changed = 0;

    OK (configure (cases[i], 3, &a));
    ck_assert (augment_wants_bytes (&a));
    for (uint64_t seed = 0; seed < 40; seed++) {
      struct raster *one = image (0), *two = image (0);
      const uint64_t was = fnv (one);
      struct qk_rng rng;

      qk_rng_seed (&rng, 7, seed);
      augment_bytes (&a, one, NULL, &rng);
      qk_rng_seed (&rng, 7, seed);
      augment_bytes (&a, two, NULL, &rng);
      ck_assert (fnv (one) == fnv (two));
      changed += fnv (one) != was;
      raster_free (one);
      raster_free (two);
    }
    ck_assert_msg (changed >= 24, "%s changed %d of 40", cases[i], changed);
  }
}
END_TEST

/* Three quarters of the images; a rectangle of the area and ratio asked for,
 * anywhere; zeros. */
START_TEST (erasing)
{
  enum { H = 40, W = 50 };
  static float x[H * W * 2];
  bool reached[4] = { false, false, false, false };
  struct qk_rng rng;
  struct augment a;
  int erased = 0;

  OK (configure ("erase=0.75 erase_scale=0.1,0.2 erase_ratio=0.5,2", 2, &a));
  qk_rng_seed (&rng, 3, 4);
  for (int i = 0; i < 2000; i++) {
    int top = H, bottom = -1, left = W, right = -1, n = 0;
    double ratio;

    for (int k = 0; k < H * W * 2; k++)
      x[k] = 1;
    augment_floats (&a, x, H, W, 2, &rng);
    for (int y = 0; y < H; y++)
      for (int c = 0; c < W; c++)
        if (x[(y * W + c) * 2] == 0) {
          HOLDS (x[(y * W + c) * 2 + 1] == 0, "one channel of two is erased");
          n++;
          top = y < top ? y : top;
          bottom = y;
          left = c < left ? c : left;
          right = c > right ? c : right;
        }
    if (n == 0)
      continue;
    erased++;
    ck_assert_int_eq (n, (bottom - top + 1) * (right - left + 1));
    ck_assert (n >= 0.09 * H * W && n <= 0.21 * H * W);
    ratio = (double) (bottom - top + 1) / (double) (right - left + 1);
    ck_assert (ratio > 0.45 && ratio < 2.2);
    reached[0] = reached[0] || top == 0;
    reached[1] = reached[1] || bottom == H - 1;
    reached[2] = reached[2] || left == 0;
    reached[3] = reached[3] || right == W - 1;
  }
  ck_assert_int_gt (erased, 1420);
  ck_assert_int_lt (erased, 1580);
  ck_assert (reached[0] && reached[1] && reached[2] && reached[3]);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("augment");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, as_pil, 0, N (golden_ops));
  tcase_add_loop_test (t, policy_as_torchvision, 0, N (golden_policies));
  tcase_add_test (t, nothing_by_default);
  tcase_add_test (t, what_is_wrong_is_said);
  tcase_add_test (t, random_changes);
  tcase_add_test (t, erasing);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
