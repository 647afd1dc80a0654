/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plugin.h: what a .so offers to qatkit.
 *
 * A plugin exports one symbol, a function returning constant data, written
 * by the QK_PLUGIN macro.  No code of the plugin runs when it is loaded.
 *
 * Compatibility: the ABI major is part of the symbol's name.  Within a
 * major, classes only grow at the end; struct_size, filled in by the
 * QK_CLASS macro, tells the library how much of the class the plugin knows,
 * and slots beyond it count as NULL.
 */
#ifndef QATKIT_PLUGIN_H
#define QATKIT_PLUGIN_H

#include "option.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QK_ABI_MAJOR 1

enum qk_kind {
  QK_KIND_LAYER = 1,
  QK_KIND_MODEL = 2,
  QK_KIND_OBSERVER = 3,
  QK_KIND_FAKEQUANT = 4,
  QK_KIND_OPTIMIZER = 5,
  QK_KIND_SCHEDULE = 6,
  QK_KIND_FORMAT = 7,
  QK_KIND_REPORTER = 8,
  QK_KIND_DATASET = 9,
  QK_KIND_BACKEND = 10,
  QK_KIND_COMM = 11,
  QK_KIND_PTQ = 12,
  QK_KIND_LOSS = 13,
  QK_KIND_METRIC = 14,
  QK_KIND_SOLVER = 15
};

/* The folder of a kind, "observers"; NULL for an unknown value. */
QK_PUBLIC const char *qk_kind_folder (enum qk_kind kind);
/* The singular used in messages, "observer"; NULL for an unknown value. */
QK_PUBLIC const char *qk_kind_name (enum qk_kind kind);

/* First member of the class of every kind. */
struct qk_class {
  size_t struct_size;
  enum qk_kind kind;
  const char *name;                /* what the INI says: "histogram" */
  const char *description;         /* one sentence */
  const struct qk_option *options; /* (optional; default: none) */

  /* Where no plugin of this kind is named, that of the highest rank is taken
   * which is for the use at hand and says, where its kind has a slot probe,
   * that it can work.  (optional; default: 0, never) */
  int default_rank;
  unsigned default_for;     /* uses, bits of the kind; 0 = all */
  const char *default_when; /* only with the macro QK_CLASS_DEFAULT */
};

/* Initialiser of the member cls:
 *   static const struct qk_observer_class minmax = {
 *     .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "minmax",
 *                      "Smallest and largest value seen", options), … }; */
#define QK_CLASS(type, kind, name, description, options)                      \
  {                                                                           \
    sizeof (type), kind, name, description, options, 0, 0, NULL               \
  }

/* The same for a class that is taken where none is named: RANK and USES are
 * default_rank and default_for.  WHEN is "", or names of environment
 * variables separated by spaces, one of which must be set. */
#define QK_CLASS_DEFAULT(type, kind, name, description, options, rank, uses,  \
                         when)                                                \
  {                                                                           \
    sizeof (type), kind, name, description, options, rank, uses,              \
      QK_DEFAULT_MARK when                                                    \
  }

/* What the library finds in the file before it loads it. */
#define QK_DEFAULT_MARK "qatkit class taken by default, when: "

struct qk_plugin {
  size_t struct_size;
  int abi_major;
  const char *name;    /* of the file without .so */
  const char *version; /* free text */
  const char *licence; /* SPDX expression */
  /* Classes offered, NULL-terminated.  The one whose name equals the
   * plugin's is what "observer = NAME" gets. */
  const struct qk_class *const *classes;
};

typedef const struct qk_plugin *(*qk_plugin_entry) (void);

#define QK_ENTRY_NAME "qk_plugin_v1"

#ifdef __cplusplus
#define QK_EXTERN_C extern "C"
#else
#define QK_EXTERN_C
#endif

/* QK_PLUGIN ("minmax", "1.0", "LGPL-2.1-or-later", &minmax.cls); */
#define QK_PLUGIN(name_, version_, licence_, ...)                             \
  static const struct qk_class *const qk_plugin_classes[]                     \
    = { __VA_ARGS__, NULL };                                                  \
  static const struct qk_plugin qk_plugin_self                                \
    = { sizeof (struct qk_plugin), QK_ABI_MAJOR, name_, version_, licence_,   \
        qk_plugin_classes };                                                  \
  QK_EXTERN_C QK_PUBLIC const struct qk_plugin *qk_plugin_v1 (void);          \
  QK_EXTERN_C QK_PUBLIC const struct qk_plugin *qk_plugin_v1 (void)           \
  {                                                                           \
    return &qk_plugin_self;                                                   \
  }                                                                           \
  typedef int qk_plugin_semicolon

/* ---- state: what a checkpoint keeps of a component ---------------------
 * A component with state has a slot
 *   int (*state) (void *self, struct qk_state *st);
 * that names each of its arrays once with qk_state_add.  The same function
 * serves saving and loading: the library reads or writes the arrays in
 * place.  Sizes must not depend on the data seen.
 */
struct qk_state;

/* DTYPE is an enum qk_dtype value (see tensor.h).  DATA belongs to the
 * component and must stay valid until the slot returns. */
QK_PUBLIC int qk_state_add (struct qk_state *st, const char *name, int dtype,
                            void *data, size_t count);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_PLUGIN_H */
