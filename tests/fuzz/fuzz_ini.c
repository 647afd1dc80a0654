/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_ini.c: any bytes as an INI file; what is read, printed and read again
 * is the same. */
#include "config.h"

#include <stdio.h>

#include "options/ini.h"
#include "replay.h"

static const char *const colours[] = { "red", "green", NULL };
static const struct qk_option table[]
  = { { "epochs", QK_OPT_INT, "8", 1, 100, NULL, "Epochs" },
      { "lr", QK_OPT_FLOAT, "0.1", 0, 1, NULL, "Learning rate" },
      { "bias", QK_OPT_BOOL, "yes", 0, 0, NULL, "Whether there is a bias" },
      { "note", QK_OPT_STRING, "", 0, 0, NULL, "Any text" },
      { "colour", QK_OPT_CHOICE, "red", 0, 0, colours, "A colour" },
      { "root", QK_OPT_PATH, "", 0, 0, NULL, "A folder" },
      { "mean", QK_OPT_FLOATS, "0,0,0", -1, 1, NULL, "Three means" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static void
demand (int ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, qk_error_message ());
  abort ();
}

static void
use (struct qk_ini *ini)
{
  struct qk_config *cfg;
  const char **sections;
  float mean[3];
  size_t i, j;
  int n;

  for (i = 0; i < qk_ini_sections (ini); i++)
    for (j = 0; j < qk_ini_keys (ini, i); j++) {
      const struct qk_ini_key k = qk_ini_key (ini, i, j);

      demand (k.key && k.value && k.where, "half a key");
      demand (qk_ini_get (ini, qk_ini_section (ini, i), k.key) != NULL,
              "a key that is listed is not found");
      qk_glob_match (k.key, k.value);
    }
  if (qk_ini_take (ini, "qat", table, "", &cfg) == 0) {
    demand (qk_config_int (cfg, "epochs") >= 1
              && qk_config_int (cfg, "epochs") <= 100,
            "a value out of range");
    qk_config_floats (cfg, "mean", mean, 3);
    qk_config_free (cfg);
  }
  n = qk_ini_match (ini, "qconfig", "features.17.conv", &sections);
  if (n > 0) {
    if (qk_ini_take_merged (ini, sections, (size_t) n, table, "weight.", &cfg)
        == 0)
      qk_config_free (cfg);
    free (sections);
  }
  qk_ini_check_unused (ini);
}

static void
read_again (const struct qk_ini *ini)
{
  struct qk_ini *again = NULL;
  char *text = NULL, *same = NULL;

  demand (qk_ini_text (ini, &text) == 0, "cannot be printed");
  demand (qk_ini_parse (text, strlen (text), "again", &again) == 0,
          "what was printed cannot be read");
  demand (qk_ini_text (again, &same) == 0, "cannot be printed again");
  demand (strcmp (text, same) == 0, "what was printed reads otherwise");
  free (text);
  free (same);
  qk_ini_free (again);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct qk_ini *ini = NULL;
  char assignment[64];
  const size_t n = size < sizeof assignment - 1 ? size : sizeof assignment - 1;

  if (qk_ini_parse ((const char *) data, size, "input", &ini) < 0) {
    demand (strncmp (qk_error_message (), "input", 5) == 0,
            "error without the file's name");
    return 0;
  }
  read_again (ini);
  use (ini);
  memcpy (assignment, data, n);
  assignment[n] = '\0';
  qk_ini_override (ini, assignment);
  read_again (ini);
  qk_ini_free (ini);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "ini");
}
#endif
