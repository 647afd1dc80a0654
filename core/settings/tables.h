/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.h: the options of the core's own sections. */
#ifndef QK_SETTINGS_TABLES_H
#define QK_SETTINGS_TABLES_H

#include <qatkit/option.h>

extern const struct qk_option qk_table_run[];
extern const struct qk_option qk_table_checkpoint[];
extern const struct qk_option qk_table_model[];
extern const struct qk_option qk_table_data[];
extern const struct qk_option qk_table_train[];
extern const struct qk_option qk_table_ptq[];
extern const struct qk_option qk_table_loss[];
extern const struct qk_option qk_table_metric[];
extern const struct qk_option qk_table_qat[];
extern const struct qk_option qk_table_tune[];
extern const struct qk_option qk_table_optimizer[];
/* what may differ from parameter to parameter, [optimizer PATTERN] */
extern const struct qk_option qk_table_optimizer_group[];
/* … and for what quantizers learn, [optimizer quantizer] */
extern const struct qk_option qk_table_optimizer_learned[];
extern const struct qk_option qk_table_schedule[];
extern const struct qk_option qk_table_qconfig[];
extern const struct qk_option qk_table_ptq_observers[];

#endif /* QK_SETTINGS_TABLES_H */
