/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* search.c: the range of a histogram that quantizes with the least error.
 *
 * The formulas are those of PyTorch's HistogramObserver (after Caffe2's
 * NonlinearQuantizationParamsSearch), with its mixture of float32 arrays and
 * float64 scalars.  */
#include "config.h"

#include <math.h>

#include "multiversion.h"
#include "search.h"

/* Fraction of the values that a step of the search may give up. */
#define SEARCH_STEP 1e-5

/* The step of the destination grid that V lies in.  The quotient of two
 * floats in double does not round up to an integer, so this is the exact
 * floor. */
static inline float
search_step_of (float v, double dst_width, float last)
{
  float s = (float) floor ((double) v / dst_width);

  s = s > 0.0f ? s : 0.0f;
  return s < last ? s : last;
}

/* Error of each source bin's values, taken as spread evenly over the bin,
 * when bins START.. are quantized in steps DST_WIDTH wide:
 * density * integral of (distance to the step's centre)^2. */
QK_LOOP (static, search_bin_errors,
         (const float *restrict hist, int bins, int start, float width,
          float dst_width, float half, float last, float *restrict error),
         (hist, bins, start, width, dst_width, half, last, error))
{
  const float half_cube = half * half * half;
  const float neg = -half, neg_cube = neg * neg * neg;
  const float whole = (half_cube - neg_cube) / 3.0f;
  const double dst = (double) dst_width;

  for (int i = 0; i < bins; i++) {
    const float begin = (float) (i - start) * width;
    const float end = begin + width;
    const float jb = search_step_of (begin, dst, last);
    const float je = search_step_of (end, dst, last);
    const float density = hist[i] / width;
    const float db = begin - (jb + 0.5f) * dst_width;
    const float de = end - (je * dst_width + half);
    const float first = density * ((half_cube - db * db * db) / 3.0f);
    const float middle = (je - jb - 1.0f) * (density * whole);
    const float final = density * ((de * de * de - neg_cube) / 3.0f);

    error[i] = (first + middle) + final;
  }
}

static double
search_error (const float *hist, int bins, double width, int levels, int start,
              int end, float *scratch)
{
  const double dst = width * (end - start + 1) / levels;
  double sum = 0.0;

  if (dst == 0.0)
    return 0.0;
  search_bin_errors (hist, bins, start, (float) width, (float) dst,
                     (float) (dst / 2.0), (float) (levels - 1), scratch);
  for (int i = 0; i < bins; i++)
    sum += (double) scratch[i];
  return sum;
}

void
histogram_search (const float *hist, int bins, float min, float max,
                  int levels, float *scratch, float *new_min, float *new_max)
{
  const double width = ((double) max - (double) min) / bins;
  const float bin_width = (max - min) / (float) bins;
  float *cumulated = scratch, *error = scratch + bins;
  double alpha = 0.0, beta = 1.0, best = INFINITY, sum = 0.0, total;
  int start = 0, end = bins - 1;

  for (int i = 0; i < bins; i++) {
    sum += (double) hist[i];
    cumulated[i] = (float) sum;
  }
  total = (double) (float) sum;

  while (alpha < beta) {
    const double next_alpha = alpha + SEARCH_STEP;
    const double next_beta = beta - SEARCH_STEP;
    const float low = (float) (next_alpha * total);
    const float high = (float) (next_beta * total);
    int next_start = start, next_end = end, l = start, r = end;
    double err;

    while (l < end && cumulated[l] < low)
      l++;
    while (r > start && cumulated[r] > high)
      r--;
    if (l - start > end - r) {
      next_start = l;
      alpha = next_alpha;
    } else {
      next_end = r;
      beta = next_beta;
    }
    if (next_start == start && next_end == end)
      continue;
    err
      = search_error (hist, bins, width, levels, next_start, next_end, error);
    if (err > best)
      break;
    best = err;
    start = next_start;
    end = next_end;
  }
  *new_min = min + bin_width * (float) start;
  *new_max = min + bin_width * (float) (end + 1);
}
