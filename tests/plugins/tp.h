/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp.h: slots for test plugins that are only loaded. */
#ifndef TP_H
#define TP_H

#include "qatkit/observer.h"

static inline int
tp_create (const struct qk_config *cfg, const struct qk_quant_info *info,
           void **self)
{
  (void) cfg;
  (void) info;
  *self = NULL;
  return 0;
}

static inline void
tp_destroy (void *self)
{
  (void) self;
}

static inline int
tp_update_range (void *self, const float *min, const float *max)
{
  (void) self;
  (void) min;
  (void) max;
  return 0;
}

static inline int
tp_range (void *self, float *min, float *max)
{
  (void) self;
  *min = -3;
  *max = 5;
  return 0;
}

#define TP_OBSERVER(NAME, OPTIONS)                                            \
  {                                                                           \
    .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, NAME,        \
                     "For tests", OPTIONS),                                   \
    .create = tp_create, .destroy = tp_destroy,                               \
    .update_range = tp_update_range, .range = tp_range,                       \
  }

#endif /* TP_H */
