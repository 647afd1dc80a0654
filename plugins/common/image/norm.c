/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norm.c: bytes to normalised floats, as torchvision's ToTensor and
 * Normalize compute them. */
#include "config.h"

#include <math.h>

#include "image.h"

int
image_norm_set (struct image_norm *norm, int channels, const float *mean,
                const float *std, const char *who)
{
  int c, v;

  norm->channels = channels;
  for (c = 0; c < channels; c++) {
    norm->mean[c] = mean[c];
    norm->std[c] = std[c];
    if (!isfinite (mean[c]) || !isfinite (std[c]) || !(std[c] > 0.0f))
      return qk_error (-EINVAL,
                       "%s: mean must be finite and std > 0, got mean %g "
                       "and std %g",
                       who, (double) mean[c], (double) std[c]);
    for (v = 0; v < 256; v++)
      norm->value[c][v] = ((float) v / 255.0f - mean[c]) / std[c];
  }
  return 0;
}

/* Of any number of channels. */
static void
norm_row (const struct image_norm *norm, const uint8_t *src, int step,
          int64_t n, int64_t by, float *dst)
{
  int64_t i;
  int c;

  for (i = 0; i < n; i++, src += step, dst += by)
    for (c = 0; c < norm->channels; c++)
      dst[c] = norm->value[c][src[c]];
}

void
image_norm_row (const struct image_norm *norm, const uint8_t *src, int step,
                int64_t n, bool flip, float *dst)
{
  const int64_t by = flip ? -norm->channels : norm->channels;
  int64_t i;

  if (flip)
    dst += norm->channels * (n - 1);
  if (norm->channels != 3) {
    norm_row (norm, src, step, n, by, dst);
    return;
  }
  for (i = 0; i < n; i++, src += step, dst += by) {
    dst[0] = norm->value[0][src[0]];
    dst[1] = norm->value[1][src[1]];
    dst[2] = norm->value[2][src[2]];
  }
}
