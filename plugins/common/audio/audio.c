/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* audio.c: features of sound. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "audio.h"

#define PI 3.14159265358979323846
#define MAX_FFT 65536
#define FLOOR 1e-6 /* torchaudio's, below the logarithm */

struct audio {
  struct audio_options o;
  int bins;         /* fft / 2 + 1 */
  double *cosine;   /* fft of them: cos (2 pi i / fft) */
  double *window;   /* fft: zeros around the window */
  double *triangle; /* (mels, bins) */
  int *first, *end; /* mels: bins that a triangle reaches */
  double *dct;      /* (mfcc, mels) */
};

static double
mel_of (double f)
{
  return 2595.0 * log10 (1.0 + f / 700.0);
}

static double
hertz_of (double mel)
{
  return 700.0 * (pow (10.0, mel / 2595.0) - 1.0);
}

/* Periodic, and in the middle of the transform. */
static void
set_window (struct audio *a)
{
  const int n = a->o.window, left = (a->o.fft - n) / 2;
  int i;

  for (i = 0; i < n; i++)
    a->window[left + i] = 0.5 - 0.5 * cos (2.0 * PI * i / n);
}

static void
set_triangles (struct audio *a)
{
  const double low = mel_of (a->o.low), high = mel_of (a->o.high);
  int b, k;

  for (b = 0; b < a->o.mels; b++) {
    const double step = (high - low) / (a->o.mels + 1);
    const double left = hertz_of (low + step * b);
    const double top = hertz_of (low + step * (b + 1));
    const double right = hertz_of (low + step * (b + 2));

    a->first[b] = a->bins;
    for (k = 0; k < a->bins; k++) {
      const double f = 0.5 * a->o.rate * k / (a->bins - 1);
      const double up = (f - left) / (top - left);
      const double down = (right - f) / (right - top);
      const double w = up < down ? up : down;

      if (w <= 0)
        continue;
      a->triangle[b * a->bins + k] = w;
      a->first[b] = k < a->first[b] ? k : a->first[b];
      a->end[b] = k + 1;
    }
  }
}

static void
set_dct (struct audio *a)
{
  const double scale = sqrt (2.0 / a->o.mels);
  int c, b;

  for (c = 0; c < a->o.mfcc; c++)
    for (b = 0; b < a->o.mels; b++)
      a->dct[c * a->o.mels + b] = cos (PI / a->o.mels * (b + 0.5) * c) * scale
                                  * (c == 0 ? sqrt (0.5) : 1.0);
}

static int
check (const struct audio_options *o, const char *who)
{
  if (o->fft < 2 || o->fft > MAX_FFT || o->fft % 2 != 0)
    return qk_error (-EINVAL,
                     "%s: fft must be an even number of samples, 2 to %d, got "
                     "%d",
                     who, MAX_FFT, o->fft);
  if (o->window < 1 || o->window > o->fft || o->hop < 1)
    return qk_error (-EINVAL,
                     "%s: window must be 1 to fft = %d samples and hop at "
                     "least 1, got %d and %d",
                     who, o->fft, o->window, o->hop);
  if (o->mels < 1 || o->mfcc < 0 || o->mfcc > o->mels)
    return qk_error (-EINVAL,
                     "%s: coefficients must be at most mels = %d, got %d", who,
                     o->mels, o->mfcc);
  if (!(o->low >= 0 && o->low < o->high && o->high <= o->rate / 2))
    return qk_error (
      -EINVAL,
      "%s: frequencies %g to %g Hz, expected a range up to half "
      "the rate of %g Hz",
      who, o->low, o->high, o->rate);
  return 0;
}

int
audio_new (const struct audio_options *o, const char *who, struct audio **out)
{
  struct audio *a = calloc (1, sizeof *a);
  size_t fft, mels;
  int i, err;

  if (!a)
    return qk_oom ("%s", who);
  a->o = *o;
  if (a->o.high <= 0)
    a->o.high = a->o.rate / 2;
  err = check (&a->o, who);
  if (err) {
    free (a);
    return err;
  }
  fft = (size_t) o->fft;
  mels = (size_t) o->mels;
  a->bins = o->fft / 2 + 1;
  a->cosine = calloc (fft, sizeof *a->cosine);
  a->window = calloc (fft, sizeof *a->window);
  a->triangle = calloc (mels * (size_t) a->bins, sizeof *a->triangle);
  a->first = calloc (mels, sizeof *a->first);
  a->end = calloc (mels, sizeof *a->end);
  a->dct = calloc ((size_t) o->mfcc * mels + 1, sizeof *a->dct);
  if (!a->cosine || !a->window || !a->triangle || !a->first || !a->end
      || !a->dct) {
    audio_free (a);
    return qk_oom ("%s", who);
  }
  for (i = 0; i < o->fft; i++)
    a->cosine[i] = cos (2.0 * PI * i / o->fft);
  set_window (a);
  set_triangles (a);
  set_dct (a);
  *out = a;
  return 0;
}

void
audio_free (struct audio *a)
{
  if (!a)
    return;
  free (a->cosine);
  free (a->window);
  free (a->triangle);
  free (a->first);
  free (a->end);
  free (a->dct);
  free (a);
}

int64_t
audio_frames (const struct audio *a, int64_t n)
{
  if (a->o.center)
    return n / a->o.hop + 1;
  return n < a->o.fft ? 0 : (n - a->o.fft) / a->o.hop + 1;
}

int
audio_numbers (const struct audio *a)
{
  return a->o.mfcc > 0 ? a->o.mfcc : a->o.mels;
}

size_t
audio_scratch (const struct audio *a)
{
  /* a frame, real and imaginary; the powers; the logarithms */
  return (size_t) (2 * a->o.fft + a->bins + a->o.mels);
}

/* ---- one frame ---------------------------------------------------------*/

/* In place, of a power of two: Cooley and Tukey. */
static void
fft_power_of_two (const struct audio *a, double *re, double *im)
{
  const int n = a->o.fft;
  int i, j, k, half;

  for (i = 1, j = 0; i < n; i++) {
    int bit = n >> 1;

    for (; j & bit; bit >>= 1)
      j ^= bit;
    j |= bit;
    if (i < j) {
      const double t = re[i];

      re[i] = re[j];
      re[j] = t;
    }
  }
  for (half = 1; half < n; half *= 2)
    for (i = 0; i < n; i += 2 * half)
      for (k = 0; k < half; k++) {
        const int turn = k * (n / (2 * half));
        const double c = a->cosine[turn];
        /* -sin of an angle is the cosine a quarter later */
        const double s = a->cosine[(turn + n / 4) % n];
        const int p = i + k, q = p + half;
        const double x = re[q] * c - im[q] * s, y = re[q] * s + im[q] * c;

        re[q] = re[p] - x;
        im[q] = im[p] - y;
        re[p] += x;
        im[p] += y;
      }
}

/* |transform|^2 of the frame RE into POWER, of any even size. */
static void
powers (const struct audio *a, double *re, double *im, double *power)
{
  const int n = a->o.fft;
  int i, k;

  if (n >= 4 && (n & (n - 1)) == 0) {
    for (i = 0; i < n; i++)
      im[i] = 0;
    fft_power_of_two (a, re, im);
    for (k = 0; k < a->bins; k++)
      power[k] = re[k] * re[k] + im[k] * im[k];
    return;
  }
  for (i = 0; i < n; i++)
    im[i] = sin (2.0 * PI * i / n);
  for (k = 0; k < a->bins; k++) {
    double x = 0, y = 0;
    int turn = 0;

    for (i = 0; i < n; i++) {
      x += re[i] * a->cosine[turn];
      y += re[i] * im[turn];
      turn = turn + k < n ? turn + k : turn + k - n;
    }
    power[k] = x * x + y * y;
  }
}

/* Sample I of N, reflected at the ends (without repeating them). */
static double
reflected (const float *x, int64_t n, int64_t i)
{
  const int64_t period = n > 1 ? 2 * (n - 1) : 1;

  i = (i % period + period) % period;
  return (double) x[i < n ? i : period - i];
}

void
audio_features (const struct audio *a, const float *x, int64_t n,
                double *scratch, float *out)
{
  const int64_t frames = audio_frames (a, n);
  const int fft = a->o.fft, mels = a->o.mels;
  double *re = scratch, *im = re + fft, *power = im + fft;
  double *logs = power + a->bins;
  int64_t m, i;
  int b, c, k;

  for (m = 0; m < frames; m++) {
    const int64_t start = m * a->o.hop - (a->o.center ? fft / 2 : 0);

    for (i = 0; i < fft; i++)
      re[i]
        = a->window[i] == 0 ? 0 : a->window[i] * reflected (x, n, start + i);
    powers (a, re, im, power);
    for (b = 0; b < mels; b++) {
      double sum = 0;

      for (k = a->first[b]; k < a->end[b]; k++)
        sum += a->triangle[b * a->bins + k] * power[k];
      logs[b] = log (sum + FLOOR);
    }
    for (c = 0; c < a->o.mfcc; c++) {
      double sum = 0;

      for (b = 0; b < mels; b++)
        sum += logs[b] * a->dct[c * mels + b];
      *out++ = (float) sum;
    }
    for (b = 0; a->o.mfcc == 0 && b < mels; b++)
      *out++ = (float) logs[b];
  }
}
