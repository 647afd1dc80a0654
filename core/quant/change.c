/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* change.c: a quantizer goes on with another number of bits. */
#include "config.h"

#include <string.h>

#include "base/called.h"
#include "plugin/state-list.h"
#include "quant/quantizer-self.h"

/* The new fake-quantizer learns as many numbers, which stay where they are: the
 * optimizer has their addresses. */
static int
check_params (const struct qk_quantizer *qz)
{
  struct qk_fq_param param[QK_FQ_MAX_PARAMS];
  int n;

  if (qz->fq == NULL || qz->fq->params == NULL)
    return 0;
  n = QK_CALLED (&qz->fq->cls, "params", qz->fq->params (qz->fq_self, param));
  for (int i = 0; n == qz->value.n && i < n; i++)
    if (param[i].count != qz->param[i].count)
      n = -1;
  if (n != qz->value.n)
    return qk_error (
      -ENOEXEC,
      "fake-quantizer '%s' of '%s' learns other numbers with %d "
      "bits, expected as many of each kind",
      qz->fq->cls.name, qz->info.name, qz->info.bits);
  return 0;
}

/* Put what KEPT holds, of the instances for OLD, into the new ones, and derive
 * the grids. */
static int
take_over (struct qk_quantizer *qz, struct qk_state_list *kept,
           const struct qk_quant_info *old)
{
  struct qk_state_source source = { qk_state_list_lookup, kept };
  struct qk_state st;
  int r;

  qk_state_start (&st, qk_state_source_load, &source, true);
  if ((r = check_params (qz)) < 0 || (r = qk_quantizer_visit (qz, &st)) < 0)
    return r;
  if (qz->initialized && qz->fq != NULL && qz->fq->change_bits != NULL) {
    r = QK_CALLED (&qz->fq->cls, "change_bits",
                   qz->fq->change_bits (qz->fq_self, &qz->value, old));
    if (r < 0)
      return qk_quantizer_blame (qz, r, &qz->fq->cls);
  }
  return qz->derived ? qk_quantizer_refresh (qz)
                     : qk_quantizer_first_grid (qz);
}

int
qk_quantizer_set_bits (struct qk_quantizer *qz,
                       const struct qk_quant_info *info,
                       const struct qk_config *obs_cfg,
                       const struct qk_config *fq_cfg)
{
  const struct qk_quant_info old = qz->info;
  void *const obs_self = qz->obs_self, *const fq_self = qz->fq_self;
  struct qk_state_list kept = { NULL, 0 };
  struct qk_state st;
  int r;

  if (qz->fixed
      || (info->bits == old.bits && info->qmin == old.qmin
          && info->qmax == old.qmax))
    return 0;
  qk_state_start (&st, qk_state_list_save, &kept, false);
  if ((r = qk_quantizer_visit (qz, &st)) < 0)
    goto end;
  qz->info.bits = info->bits;
  qz->info.qmin = info->qmin;
  qz->info.qmax = info->qmax;
  qz->obs_self = qz->fq_self = NULL;
  if ((r = qk_quantizer_new_selves (qz, obs_cfg, fq_cfg)) == 0)
    r = take_over (qz, &kept, &old);
  qk_quantizer_free_selves (qz, obs_self, fq_self);
end:
  qk_state_list_clear (&kept);
  return r;
}
