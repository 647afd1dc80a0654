/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_audio.c: features of sound are torchaudio's; class folders of WAV
 * files as a dataset. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audio/audio.h"
#include "audio/changes.h"
#include "lib/ok.h"
#include "qatkit/context.h"
#include "qatkit/dataset.h"

#define N 1600

struct golden_audio {
  struct audio_options options;
  int frames, numbers;
  double want[700];
};
#include "golden/audio.h"

#define N_GOLDEN ((int) (sizeof golden_audio / sizeof *golden_audio))

static float
sample (int i)
{
  return (float) ((7919 * i % 2001 - 1000) / 1000.0 * (i % 640) / 640.0);
}

START_TEST (features)
{
  const struct golden_audio *g = &golden_audio[_i];
  const int n = g->frames * g->numbers;
  static float x[N], out[700];
  struct audio *a;
  double *scratch;
  int i;

  for (i = 0; i < N; i++)
    x[i] = sample (i);
  ck_assert_msg (audio_new (&g->options, "test", &a) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (audio_frames (a, N), g->frames);
  ck_assert_int_eq (audio_numbers (a), g->numbers);
  scratch = calloc (audio_scratch (a), sizeof *scratch);
  ck_assert_ptr_nonnull (scratch);
  audio_features (a, x, N, scratch, out);
  for (i = 0; i < n; i++)
    HOLDS (fabs ((double) out[i] - g->want[i])
             <= 1e-5 * fmax (1.0, fabs (g->want[i])),
           "case %d: frame %d, number %d is %.8g, expected %.8g", _i,
           i / g->numbers, i % g->numbers, (double) out[i], g->want[i]);
  free (scratch);
  audio_free (a);
}
END_TEST

START_TEST (senseless)
{
  const struct audio_options good = golden_audio[0].options;
  struct audio_options o = good;
  struct audio *a;

  o.fft = 513;
  ck_assert_int_eq (audio_new (&o, "test", &a), -EINVAL);
  o = good;
  o.window = 600;
  ck_assert_int_eq (audio_new (&o, "test", &a), -EINVAL);
  o = good;
  o.mfcc = 41;
  ck_assert_int_eq (audio_new (&o, "test", &a), -EINVAL);
  o = good;
  o.high = 9000;
  ck_assert_int_eq (audio_new (&o, "test", &a), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "half the rate"));
}
END_TEST

/* ---- random changes -------------------------------------------------------- */

static const struct qk_option change_options[]
  = { AUDIO_CHANGES_OPTIONS, { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
configure (const char *text, struct audio_changes *c)
{
  struct qk_config *cfg;
  int r = qk_config_parse (change_options, text, "test", &cfg);

  if (r == 0) {
    r = audio_changes_configure (c, "test", cfg);
    qk_config_free (cfg);
  }
  return r;
}

/* As functional.mask_along_axis: value = u most, min_value = v (size - value),
 * both cut off to integers. */
START_TEST (mask_ranges)
{
  static const struct {
    int most, size;
    double u, v;
    int first, end;
  } cases[] = { { 10, 40, 0.55, 0.5, 17, 22 },  { 10, 40, 0.999, 0, 0, 9 },
                { 10, 40, 0.05, 0.99, 39, 39 }, { 40, 40, 0.75, 0.95, 9, 39 },
                { 60, 40, 0.9, 0.5, 0, 40 },    { 7, 13, 0.3, 0.7, 7, 9 } };

  for (int i = 0; i < (int) (sizeof cases / sizeof cases[0]); i++) {
    int64_t first, end;

    audio_mask_range (cases[i].most, cases[i].size, cases[i].u, cases[i].v,
                      &first, &end);
    ck_assert_int_eq (first, cases[i].first);
    ck_assert_int_eq (end, cases[i].end);
  }
}
END_TEST

/* Whole frames and whole numbers, no more than was asked for. */
START_TEST (masks)
{
  enum { FRAMES = 20, NUMBERS = 30 };
  bool in_time = false, in_frequency = false;
  struct audio_changes c;
  struct qk_rng rng;

  OK (configure ("time_mask=12 time_mask_share=0.25 time_masks=2 "
                 "frequency_mask=6",
                 &c));
  qk_rng_seed (&rng, 1, 1);
  for (int i = 0; i < 300; i++) {
    float x[FRAMES * NUMBERS];
    int frames = 0, numbers = 0, zeros = 0;

    for (int k = 0; k < FRAMES * NUMBERS; k++)
      x[k] = 1;
    audio_mask (&c, x, FRAMES, NUMBERS, &rng);
    for (int k = 0; k < FRAMES; k++) {
      int n = 0;

      for (int j = 0; j < NUMBERS; j++)
        n += x[k * NUMBERS + j] == 0;
      frames += n == NUMBERS;
      zeros += n;
    }
    for (int j = 0; j < NUMBERS; j++) {
      int n = 0;

      for (int k = 0; k < FRAMES; k++)
        n += x[k * NUMBERS + j] == 0;
      numbers += n == FRAMES;
    }
    ck_assert_int_eq (zeros,
                      frames * NUMBERS + numbers * FRAMES - frames * numbers);
    ck_assert_int_le (frames, 8); /* two of 5 at most, the fifth cut off */
    ck_assert_int_le (numbers, 5);
    in_time = in_time || frames == 8;
    in_frequency = in_frequency || numbers == 5;
  }
  ck_assert (in_time && in_frequency);
}
END_TEST

/* The ratio of energies asked for; others sounds stay as they are, and so does
 * silence. */
START_TEST (noise)
{
  static float x[N], was[N];
  struct audio_changes c;
  struct qk_rng rng;
  int noisy = 0;

  /* functional.add_noise: 10 ^ ((10 log10 (8 / 2) - 3) / 20) */
  ck_assert_double_eq_tol (audio_noise_factor (8, 2, 3), 1.4158915687682758,
                           1e-12);
  OK (configure ("noise=0.5 noise_snr=6,6", &c));
  qk_rng_seed (&rng, 5, 6);
  for (int i = 0; i < N; i++)
    was[i] = sample (i);
  for (int k = 0; k < 400; k++) {
    double sound = 0, added = 0;

    memcpy (x, was, sizeof x);
    audio_add_noise (&c, x, N, &rng);
    if (memcmp (x, was, sizeof x) == 0)
      continue;
    noisy++;
    for (int i = 0; i < N; i++) {
      sound += (double) was[i] * (double) was[i];
      added += ((double) x[i] - (double) was[i])
               * ((double) x[i] - (double) was[i]);
    }
    ck_assert_double_eq_tol (10 * log10 (sound / added), 6, 1e-4);
  }
  ck_assert (noisy > 150 && noisy < 250);
  memset (x, 0, sizeof x);
  for (int k = 0; k < 10; k++)
    audio_add_noise (&c, x, N, &rng);
  for (int i = 0; i < N; i++)
    ck_assert (x[i] == 0);
  ck_assert_int_eq (configure ("noise_snr=6", &c), -EINVAL);
  ck_assert_int_eq (configure ("noise_snr=6,5", &c), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "noise_snr (test)"));
}
END_TEST

#ifdef WITH_SNDFILE

static struct qk_context *ctx;
static const struct qk_dataset_class *ds;
static char dir[64];

static const char *
at (const char *name)
{
  static char path[256];

  snprintf (path, sizeof path, "%s/%s", dir, name);
  return path;
}

static void
le (uint8_t *p, uint32_t v, int n)
{
  for (; n > 0; n--, v >>= 8)
    *p++ = (uint8_t) v;
}

/* SAMPLES frames of 16 bits, the second channel silent. */
static void
put_wav (const char *name, uint32_t rate, uint16_t channels, int samples)
{
  static uint8_t data[44 + 4 * N];
  const uint32_t bytes = (uint32_t) samples * channels * 2;
  FILE *f = fopen (at (name), "wb");
  int i;

  ck_assert_ptr_nonnull (f);
  memset (data, 0, sizeof data);
  memcpy (data, "RIFF", 4);
  le (data + 4, 36 + bytes, 4);
  memcpy (data + 8, "WAVEfmt ", 8);
  le (data + 16, 16, 4);
  le (data + 20, 1, 2);
  le (data + 22, channels, 2);
  le (data + 24, rate, 4);
  le (data + 28, rate * channels * 2, 4);
  le (data + 32, channels * 2u, 2);
  le (data + 34, 16, 2);
  memcpy (data + 36, "data", 4);
  le (data + 40, bytes, 4);
  for (i = 0; i < samples; i++)
    le (data + 44 + 2 * channels * i,
        (uint32_t) (int32_t) lroundf (sample (i) * 32768 * 0.5f), 2);
  ck_assert_uint_eq (fwrite (data, 1, 44 + bytes, f), 44 + bytes);
  fclose (f);
}

static void
setup (void)
{
  const struct qk_class *cls;

  strcpy (dir, "check_audio-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  ck_assert_msg (qk_context_class (ctx, QK_KIND_DATASET, "wav", &cls) == 0,
                 "%s", qk_error_message ());
  ds = (const struct qk_dataset_class *) cls;
  ck_assert_int_eq (mkdir (at ("yes"), 0777), 0);
  ck_assert_int_eq (mkdir (at ("no"), 0777), 0);
  put_wav ("no/b.wav", 16000, 1, N);
  put_wav ("no/a.WAV", 16000, 2, N);
  put_wav ("yes/slow.wav", 8000, 1, N);
  put_wav ("yes/short.wav", 16000, 1, N / 2);
}

static void
teardown (void)
{
  char command[128];

  qk_context_free (ctx);
  snprintf (command, sizeof command, "rm -rf %s", dir);
  ck_assert_int_eq (system (command), 0);
}

static int
open_split (const char *split, bool augment, const char *options, void **self)
{
  const struct qk_dataset_request req = { ctx, split, augment, 1 };
  struct qk_config *cfg;
  char text[512];
  int err;

  snprintf (text, sizeof text, "%s%s val=%s %s %s",
            strstr (options, "train=") ? "" : "train=",
            strstr (options, "train=") ? "" : dir, dir,
            strstr (options, "seconds=") ? "" : "seconds=0.1", options);
  ck_assert_msg (qk_config_parse (ds->cls.options, text, "test", &cfg) == 0,
                 "%s", qk_error_message ());
  err = ds->open (cfg, &req, self);
  qk_config_free (cfg);
  return err;
}

static int
read_one (void *self, int64_t index, uint64_t seed, float *x, int32_t *y)
{
  void *const input[] = { x }, *const target[] = { y };
  void *worker;
  struct qk_rng rng;
  int err;

  qk_rng_seed (&rng, seed, 0);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  err = ds->read (self, worker, index, &rng, input, target);
  ds->worker_free (worker);
  return err;
}

START_TEST (dataset)
{
  /* as the fourth golden case, with half its amplitude */
  const struct golden_audio *g = &golden_audio[3];
  static float x[700], stereo[700], file[700];
  void *const input[] = { file };
  static float sound[N];
  struct qk_sample_array array = { QK_F32, { 1, { N } }, sound, 0 };
  struct qk_dataset_info info;
  void *self, *worker;
  int32_t label;
  char text[80];
  int i;

  ck_assert_msg (open_split ("val", false, "", &self) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.count, 4);
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "features f32 (1,2,10,1)");
  ck_assert_str_eq (info.target->category[0], "no");
  ck_assert_int_eq (read_one (self, 1, 1, x, &label), 0);
  ck_assert_int_eq (label, 0);
  for (i = 0; i < 20; i++) {
    /* every logarithm of the powers is smaller by 2 log 2; the first
     * coefficient by that times sqrt (40) */
    const double want = g->want[i] - (i % 10 ? 0 : 2 * log (2) * sqrt (40));

    HOLDS (fabs ((double) x[i] - want) < 0.02, "number %d is %g, expected %g",
           i, (double) x[i], want);
  }
  /* the mean of a sound and of silence */
  ck_assert_int_eq (read_one (self, 0, 1, stereo, &label), 0);
  ck_assert (fabs ((double) (x[0] - stereo[0]) - 2 * log (2) * sqrt (40))
             < 0.02);
  ck_assert_int_eq (read_one (self, 2, 1, x, &label), 0); /* short */
  ck_assert_int_eq (label, 1);
  ck_assert_int_eq (read_one (self, 3, 1, x, &label), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (
    qk_error_message (), "slow.wav: 8000 samples a second, expected rate"));
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  ck_assert_int_eq (ds->read_file (self, worker, at ("no/b.wav"), input), 0);
  ck_assert_int_eq (read_one (self, 1, 1, x, &label), 0);
  ck_assert (memcmp (x, file, 20 * sizeof *x) == 0);
  ck_assert_int_eq (ds->read_file (self, worker, at ("none.wav"), input),
                    -ENOENT);
  /* the same sound in memory */
  for (i = 0; i < N; i++)
    sound[i] = (float) lroundf (sample (i) * 32768 * 0.5f) / 32768;
  memset (file, 0, sizeof file);
  ck_assert_int_eq (ds->read_array (self, worker, &array, input), 0);
  ck_assert (memcmp (x, file, 20 * sizeof *x) == 0);
  array.dtype = QK_U8;
  ck_assert_int_eq (ds->read_array (self, worker, &array, input), -EINVAL);
  ds->worker_free (worker);
  ds->close (self);
}
END_TEST

START_TEST (moved)
{
  static float x[700], y[700];
  int32_t label;
  void *self;
  int other = 0;

  ck_assert_int_eq (open_split ("train", true, "shift=0.02", &self), 0);
  ck_assert_int_eq (read_one (self, 1, 1, x, &label), 0);
  ck_assert_int_eq (read_one (self, 1, 1, y, &label), 0);
  ck_assert (memcmp (x, y, 20 * sizeof *x) == 0);
  for (uint64_t seed = 2; seed < 8; seed++) {
    ck_assert_int_eq (read_one (self, 1, seed, y, &label), 0);
    other += memcmp (x, y, 20 * sizeof *x) != 0;
  }
  ck_assert_int_ge (other, 5);
  ds->close (self);
}
END_TEST

/* Training is changed, evaluation and single files are not. */
START_TEST (changed)
{
  static const char options[]
    = "shift=0 noise=1 time_mask=2 frequency_mask=4 features=logmel";
  static float x[700], y[700];
  void *const input[] = { y };
  int32_t label;
  void *self, *worker;

  ck_assert_int_eq (open_split ("train", true, options, &self), 0);
  ck_assert_int_eq (read_one (self, 1, 1, x, &label), 0);
  ck_assert_int_eq (read_one (self, 1, 2, y, &label), 0);
  ck_assert (memcmp (x, y, 80 * sizeof *x) != 0);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  ck_assert_int_eq (ds->read_file (self, worker, at ("no/b.wav"), input), 0);
  ds->worker_free (worker);
  ds->close (self);
  ck_assert_int_eq (open_split ("val", false, options, &self), 0);
  ck_assert_int_eq (read_one (self, 1, 1, x, &label), 0);
  ck_assert (memcmp (x, y, 80 * sizeof *x) == 0);
  ds->close (self);
}
END_TEST

START_TEST (refused)
{
  void *self;
  FILE *f;
  float x[20];
  int32_t label;

  ck_assert_int_eq (open_split ("train", false, "seconds=0.01", &self),
                    -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "shorter"));
  ck_assert_int_eq (open_split ("train", false, "train=nowhere", &self),
                    -ENOENT);
  f = fopen (at ("no/aa.wav"), "w");
  ck_assert_ptr_nonnull (f);
  fputs ("RIFF....WAVE", f);
  fclose (f);
  ck_assert_int_eq (open_split ("train", false, "", &self), 0);
  ck_assert_int_eq (read_one (self, 1, 1, x, &label), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "aa.wav"));
  ds->close (self);
  ck_assert_int_eq (mkdir (at ("empty"), 0777), 0);
  ck_assert_int_eq (open_split ("train", false, "", &self), -ENODATA);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "empty has no .wav"));
}
END_TEST

#endif

int
main (void)
{
  Suite *s = suite_create ("audio");
  TCase *t = tcase_create ("features");
  SRunner *r;
  int failed;

  tcase_add_loop_test (t, features, 0, N_GOLDEN);
  tcase_add_test (t, senseless);
  tcase_add_test (t, mask_ranges);
  tcase_add_test (t, masks);
  tcase_add_test (t, noise);
  suite_add_tcase (s, t);
#ifdef WITH_SNDFILE
  t = tcase_create ("wav");
  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, dataset);
  tcase_add_test (t, moved);
  tcase_add_test (t, changed);
  tcase_add_test (t, refused);
  suite_add_tcase (s, t);
#endif
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? 1 : 0;
}
