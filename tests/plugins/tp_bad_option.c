/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_bad_option.c: the default of an option is outside its own range. */
#include "tp.h"

static const struct qk_option options[]
  = { { "bins", QK_OPT_INT, "0", 1, 100, NULL, "Number of bins." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static const struct qk_observer_class observer
  = TP_OBSERVER ("tp_bad_option", options);

QK_PLUGIN ("tp_bad_option", "1", "LGPL-2.1-or-later", &observer.cls);
