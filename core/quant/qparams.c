/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qparams.c: from a range of real numbers to a grid of integers. */
#include "config.h"

#include <math.h>

#include "qatkit/fakequant.h"
#include "qatkit/numeric.h"

/* The smallest scale, PyTorch's torch.finfo (torch.float32).eps. */
#define QPARAMS_EPS 1.1920928955078125e-07f

int
qk_calculate_qparams (float min, float max, bool symmetric,
                      struct qk_qparams *out)
{
  const int32_t qmin = out->qmin, qmax = out->qmax;
  float lo, hi, scale, zp;

  if (qmin >= qmax)
    return qk_error (-EINVAL, "qmin %d is not below qmax %d", (int) qmin,
                     (int) qmax);
  if (!isfinite (min) || !isfinite (max) || min > max)
    return qk_error (-EDOM, "range %g..%g is no finite range", (double) min,
                     (double) max);
  lo = min < 0.0f ? min : 0.0f;
  hi = max > 0.0f ? max : 0.0f;
  if (symmetric)
    scale = (-lo > hi ? -lo : hi) / ((float) (qmax - qmin) / 2.0f);
  else
    scale = (hi - lo) / (float) (qmax - qmin);
  if (!isfinite (scale))
    return qk_error (-EDOM, "range %g..%g is too wide for float32",
                     (double) min, (double) max);
  scale = scale > QPARAMS_EPS ? scale : QPARAMS_EPS;

  if (!symmetric) {
    /* |lo / scale| <= qmax - qmin + 1: exact in float */
    zp = (float) qmin - qk_rne (lo / scale);
    zp = zp > (float) qmin ? zp : (float) qmin;
    zp = zp < (float) qmax ? zp : (float) qmax;
    out->zero_point = (int32_t) zp;
  } else
    out->zero_point = qmin < 0                   ? 0
                      : qmin == 0 && qmax == 255 ? 128
                                                 : (qmin + qmax) / 2;
  out->scale = scale;
  return 0;
}
