/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_data_entry.c: data where the entry belongs. */
#include "tp.h"

extern QK_PUBLIC const int qk_plugin_v1[4];
const int qk_plugin_v1[4] = { 1, 2, 3, 4 };
