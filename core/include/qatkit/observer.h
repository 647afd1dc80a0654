/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* observer.h: finds the range of values that a quantizer shall cover. */
#ifndef QATKIT_OBSERVER_H
#define QATKIT_OBSERVER_H

#include "plugin.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is quantized, told to an observer and a fake-quantizer at create.
 * Borrowed for the call. */
struct qk_quant_info {
  const char *name;    /* "features.0.0:out", "features.0.0.weight" */
  bool weight;         /* a parameter (int8) rather than a value (uint8) */
  bool symmetric;      /* zero_point 0 (weights), or in the middle */
  int bits;            /* 2 to 8 */
  int32_t qmin, qmax;  /* the integers in use */
  int64_t channels;    /* ranges to find; 1 = per tensor */
  int64_t per_channel; /* elements of one channel; 0 when not known */
};

/* Uses that an observer can be the default for; the ranks of those for
 * post-training quantization are also the order in which tune tries them. */
enum qk_observer_use {
  QK_FOR_QAT_ACTIVATION = 1,
  QK_FOR_QAT_WEIGHT = 2,
  QK_FOR_PTQ_ACTIVATION = 4,
  QK_FOR_PTQ_WEIGHT = 8
};

/* An observer sees x as channels blocks of n/channels contiguous elements.
 * It sees every training batch while observing is enabled, and nothing in
 * evaluation.  Instances work in threads of their own at the same time, one
 * instance never in two: what they share must not change. */
struct qk_observer_class {
  struct qk_class cls;

  /* Make an instance; *self belongs to the library: destroy.
   * (optional with self_size, see there) */
  int (*create) (const struct qk_config *cfg, const struct qk_quant_info *info,
                 void **self);
  /* Accepts NULL.  (optional with self_size) */
  void (*destroy) (void *self);

  /* See the N elements of X (borrowed).
   * (optional; default: the library computes each channel's minimum and
   * maximum and calls update_range.  At least one of the two is required.) */
  int (*update) (void *self, const float *x, size_t n);

  /* See a batch of which only the smallest and the largest value of each
   * channel are known (arrays of channels floats, borrowed).  An observer
   * with only this slot lets layers fold the search for the range into
   * their own loops.  (optional; default: update is called) */
  int (*update_range) (void *self, const float *min, const float *max);

  /* The range found so far, an array of channels floats each, to be covered
   * by the quantizer.  -ENODATA when nothing has been seen. */
  int (*range) (void *self, float *min, float *max);

  /* What a resumed run goes on with; see qk_state_add.
   * (optional; default: checkpoints keep the range, which is in force until
   * the new instance has seen something) */
  int (*state) (void *self, struct qk_state *st);

  /* Bytes of an instance that the library makes and frees: self_size, and
   * channel_size more for each channel behind them.  It begins with a
   *   const struct qk_quant_info *info;
   * which the library sets and which lasts as long; all else is zero.
   * create, where there is one, finds it in *self and fills in what the
   * options say; destroy, called even after a create that failed, releases
   * what create took, not the instance.
   * (optional; default: create makes it, destroy frees it) */
  size_t self_size, channel_size;
};

/* Smallest and largest of the N > 0 numbers of X; zeros count as +0.  Returns
 * 0, or -EDOM when there is a NaN (*min is NaN) or an infinity. */
QK_PUBLIC int qk_range_find (const float *x, size_t n, float *min, float *max);

/* A plugin that is one observer, its class NAME_class and NAME in the INI:
 *   QK_OBSERVER (calm, "1.0", "MIT", "Follows the batches slowly", NULL,
 *                .self_size = sizeof (struct calm), .update_range = …, …); */
#define QK_OBSERVER(name_, version_, licence_, description_, options_, ...)   \
  static const struct qk_observer_class name_##_class                         \
    = { .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, #name_,  \
                         description_, options_),                             \
        __VA_ARGS__ };                                                        \
  QK_PLUGIN (#name_, version_, licence_, &name_##_class.cls)

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_OBSERVER_H */
