/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_report.c: tables, progress and the jsonl reporter. */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "qatkit/context.h"
#include "qatkit/reporter.h"
#include "report/progress.h"
#include "report/table.h"
#include "report/text.h"

#define OK(call) ck_assert_msg ((call) == 0, "%s", qk_error_message ())

/* ---- text ------------------------------------------------------------*/

START_TEST (widths)
{
  int used;

  ck_assert_int_eq (qk_text_width (""), 0);
  ck_assert_int_eq (qk_text_width ("abc"), 3);
  ck_assert_int_eq (qk_text_width ("gr\303\266\303\237e"), 5);
  ck_assert_int_eq (qk_text_width ("\346\227\245\346\234\254"), 4);
  ck_assert_int_eq (qk_text_width ("e\314\201"), 1);        /* e + accent */
  ck_assert_int_eq (qk_text_width ("\360\237\220\242"), 2); /* turtle */
  ck_assert_int_eq (qk_text_width ("\377\033x\303"), 4);
  ck_assert_int_eq (qk_text_width ("\300\200"), 2); /* overlong */
  ck_assert_uint_eq (qk_text_cut ("a\346\227\245b", 2, &used), 1);
  ck_assert_int_eq (used, 1);
  ck_assert_uint_eq (qk_text_cut ("a\346\227\245b", 3, &used), 4);
  ck_assert_int_eq (used, 3);
  ck_assert_uint_eq (qk_text_cut ("ab", 9, NULL), 2);
}
END_TEST

START_TEST (cleaning)
{
  char buf[16];

  ck_assert_str_eq (qk_text_clean ("a\033[2Jb\n", buf, sizeof buf), "a?[2Jb?");
  ck_assert_str_eq (qk_text_clean ("\377\303\244\302\233", buf, sizeof buf),
                    "?\303\244?");
  ck_assert_str_eq (qk_text_clean ("ab\303\244", buf, 4), "ab");
  ck_assert_str_eq (qk_text_clean ("ab\303\244", buf, 5), "ab\303\244");
}
END_TEST

/* ---- tables ----------------------------------------------------------*/

/* What PRINT writes to a file, as text; to be freed. */
static char *
printed (const struct qk_table *t)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);

  ck_assert_ptr_nonnull (out);
  OK (qk_table_print (t, out));
  fclose (out);
  return text;
}

START_TEST (table_aligned)
{
  static const char *const titles[] = { "network", "top-1", "size" };
  struct qk_table *t;
  char *text;

  OK (qk_table_new (titles, 3, &t));
  qk_table_cell (t, "%s", "float");
  qk_table_cell (t, "%.1f", 96.0);
  qk_table_cell (t, "%.1f MB", 8.9);
  qk_table_cell (t, "%s", "gr\303\266\303\237er");
  qk_table_cell (t, "%s", "-");
  qk_table_cell (t, "%.1f MB", 112.25);
  qk_table_cell (t, "%s", "x\033");
  qk_table_cell (t, "%.1f", 100.0);
  text = printed (t);
  ck_assert_str_eq (text, "network  top-1      size\n"
                          "float     96.0    8.9 MB\n"
                          "gr\303\266\303\237er       -  112.2 MB\n"
                          "x?       100.0\n");
  free (text);
  qk_table_free (t);
  qk_table_free (NULL);
  ck_assert_int_eq (qk_table_new (titles, 0, &t), -EINVAL);
}
END_TEST

START_TEST (table_of_text)
{
  static const char *const titles[] = { "a", "b" };
  struct qk_table *t;
  char *text;

  OK (qk_table_new (titles, 2, &t));
  text = printed (t);
  ck_assert_str_eq (text, "a  b\n");
  free (text);
  qk_table_cell (t, "%d", 7);
  qk_table_cell (t, "%s", "word");
  qk_table_cell (t, "%s", "seven");
  qk_table_cell (t, "%s", "");
  text = printed (t);
  ck_assert_str_eq (text, "a      b\n7      word\nseven\n");
  free (text);
  qk_table_free (t);
}
END_TEST

START_TEST (table_full_disk)
{
  static const char *const titles[] = { "a" };
  FILE *full = fopen ("/dev/full", "w");
  struct qk_table *t;

  if (!full)
    return; /* a system without this device */
  OK (qk_table_new (titles, 1, &t));
  ck_assert_int_eq (qk_table_print (t, full), -EIO);
  qk_table_free (t);
  fclose (full);
}
END_TEST

/* ---- progress --------------------------------------------------------*/

static double
fake_clock (void *cookie)
{
  return *(double *) cookie;
}

/* Run a settings of ten seconds, 1000 updates; returns what it showed. */
static char *
run_job (enum qk_progress_mode mode, FILE *(*open_out) (char **, size_t *) )
{
  char *text = NULL;
  size_t size;
  FILE *out = open_out (&text, &size);
  struct qk_progress *p = qk_progress_new (out, mode);
  double now = 100;
  int i;

  ck_assert_ptr_nonnull (p);
  qk_progress_set_clock (p, fake_clock, &now);
  qk_progress_update (p, 1, NAN); /* nothing begun: nothing shown */
  qk_progress_begin (p, "epoch 1/8\033", 1000);
  for (i = 1; i <= 1000; i++) {
    now = 100 + 0.025 * i;
    qk_progress_update (p, i, 0.25);
  }
  qk_progress_end (p);
  qk_progress_end (p);
  qk_progress_clear (p);
  qk_progress_free (p);
  fclose (out);
  return text;
}

static int
count (const char *text, char c)
{
  int n = 0;

  for (; *text; text++)
    n += *text == c;
  return n;
}

START_TEST (progress_lines)
{
  char *text = run_job (QK_PROGRESS_LINES, open_memstream);

  ck_assert_str_eq (
    text, "epoch 1/8?: 400/1000, 40 samples/s, loss 0.2500, ETA 0:15\n"
          "epoch 1/8?: 800/1000, 40 samples/s, loss 0.2500, ETA 0:05\n"
          "epoch 1/8?: 1000/1000, 40 samples/s, loss 0.2500, in 0:25\n");
  free (text);
  /* a memory stream is no terminal */
  text = run_job (QK_PROGRESS_AUTO, open_memstream);
  ck_assert_int_eq (count (text, '\n'), 3);
  free (text);
}
END_TEST

START_TEST (progress_quiet)
{
  char *text = run_job (QK_PROGRESS_QUIET, open_memstream);

  ck_assert_str_eq (text, "");
  free (text);
  qk_progress_begin (NULL, "x", 1);
  qk_progress_update (NULL, 1, 0);
  qk_progress_end (NULL);
  qk_progress_clear (NULL);
  qk_progress_free (NULL);
}
END_TEST

START_TEST (progress_bar)
{
  char *text = run_job (QK_PROGRESS_BAR, open_memstream);
  const char *line = text;
  int n = 0;

  /* 25 seconds, ten times a second, first and last */
  ck_assert_int_le (count (text, '\r'), 252);
  ck_assert_int_ge (count (text, '\r'), 190);
  ck_assert_int_eq (count (text, '\n'), 1);
  while ((line = strchr (line, '\r')) != NULL) {
    const size_t len = strcspn (++line, "\033");

    ck_assert_int_le (len, 79);
    n += strncmp (line, "epoch 1/8?  [", 13) == 0;
  }
  ck_assert_int_eq (n, count (text, '\r'));
  ck_assert_ptr_nonnull (strstr (text, "500/1000"));
  ck_assert_ptr_nonnull (strstr (text, "ETA 0:12"));
  ck_assert_ptr_nonnull (strstr (text, "in 0:25"));
  free (text);
}
END_TEST

/* A terminal of our own, whose width changes while the bar is shown. */
START_TEST (progress_resize)
{
  static const unsigned short columns[] = { 120, 60, 30, 12, 1, 80 };
  const int master = posix_openpt (O_RDWR | O_NOCTTY);
  struct winsize size = { .ws_row = 24 };
  struct qk_progress *p;
  char buf[4096];
  FILE *out;
  double now = 0;
  size_t i;

  if (master < 0 || grantpt (master) < 0 || unlockpt (master) < 0)
    return; /* no pseudo terminals here */
  out = fopen (ptsname (master), "w");
  ck_assert_ptr_nonnull (out);
  setenv ("TERM", "xterm", 1);
  p = qk_progress_new (out, QK_PROGRESS_AUTO);
  qk_progress_set_clock (p, fake_clock, &now);
  size.ws_col = columns[0];
  ck_assert_int_eq (ioctl (master, TIOCSWINSZ, &size), 0);
  qk_progress_begin (p, "evaluating", 100);
  for (i = 0; i < sizeof columns / sizeof columns[0]; i++) {
    ssize_t n, len;

    size.ws_col = columns[i];
    ck_assert_int_eq (ioctl (master, TIOCSWINSZ, &size), 0);
    n = read (master, buf, sizeof buf); /* what was drawn before */
    ck_assert_int_gt (n, 0);
    now += 1;
    qk_progress_update (p, 50, NAN);
    n = read (master, buf, sizeof buf - 1);
    ck_assert_int_gt (n, 0);
    buf[n] = '\0';
    ck_assert_int_eq (buf[0], '\r');
    len = (ssize_t) strcspn (buf + 1, "\033");
    ck_assert_int_lt (len, columns[i]);
    if (columns[i] >= 60) { /* the bar fits */
      ck_assert_ptr_nonnull (strchr (buf, '['));
      ck_assert_ptr_nonnull (strstr (buf, "50/100"));
    }
    qk_progress_clear (p);
  }
  qk_progress_free (p);
  fclose (out);
  close (master);
}
END_TEST

/* ---- jsonl -----------------------------------------------------------*/

static struct qk_context *ctx;
static const struct qk_reporter_class *cls;
static char dir[] = "check_report-XXXXXX";
static char path[64], clock_path[64];

static void
setup (void)
{
  const struct qk_class *c;

  strcpy (dir + strlen (dir) - 6, "XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/log.jsonl", dir);
  snprintf (clock_path, sizeof clock_path, "%s/timing.jsonl", dir);
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  OK (qk_context_class (ctx, QK_KIND_REPORTER, "jsonl", &c));
  cls = (const struct qk_reporter_class *) c;
}

static void
teardown (void)
{
  unlink (path);
  unlink (clock_path);
  rmdir (dir);
  qk_context_free (ctx);
}

static int
create (const char *options, bool resume, void **self)
{
  const struct qk_reporter_request req = { dir, resume };
  struct qk_config *cfg;
  int err;

  OK (qk_config_parse (cls->cls.options, options, "test", &cfg));
  err = cls->create (cfg, &req, self);
  qk_config_free (cfg);
  return err;
}

static const char *
text_of (const char *name)
{
  static char text[8192];
  FILE *f = fopen (name, "rb");

  ck_assert_ptr_nonnull (f);
  text[fread (text, 1, sizeof text - 1, f)] = '\0';
  fclose (f);
  return text;
}

static const char *
file_text (void)
{
  return text_of (path);
}

static const struct qk_field fields[] = {
  { "epoch", QK_FIELD_INT, 3, 0, NULL },
  { "loss", QK_FIELD_FLOAT, 0, 0.1, NULL },
  { "exact", QK_FIELD_FLOAT, 0, 1.0 / 3, NULL },
  { "bad", QK_FIELD_FLOAT, 0, NAN, NULL },
  { "worse", QK_FIELD_FLOAT, 0, -INFINITY, NULL },
  { "note", QK_FIELD_STRING, 0, 0, "a \"b\"\n\303\244\033" },
  { "none", QK_FIELD_STRING, 0, 0, NULL },
};
static const struct qk_event event = { "epoch", 7, fields, false };
static const struct qk_event small = { "run_end", 0, NULL, false };
static const struct qk_event timing = { "timing", 1, fields, true };

static const char line_text[]
  = "{\"event\":\"epoch\",\"epoch\":3,\"loss\":0.1,\"exact\":0."
    "3333333333333333,\"bad\":null,"
    "\"worse\":null,\"note\":\"a \\\"b\\\"\\n\303\244\\u001B\","
    "\"none\":null}\n";

START_TEST (jsonl_lines)
{
  const char *text;
  void *self;
  double when;

  OK (create ("", false, &self));
  OK (cls->event (self, &event));
  text = file_text (); /* there at once, not only at the end */
  ck_assert_str_eq (text, line_text);

  /* the clock has a file of its own, so that equal runs have equal logs */
  OK (cls->event (self, &timing));
  ck_assert_str_eq (file_text (), line_text);
  ck_assert_int_eq (sscanf (text_of (clock_path),
                            "{\"event\":\"timing\",\"time\":%lf,\"epoch\":3}",
                            &when),
                    1);
  ck_assert (when > 1.5e9 && when < 1e11);
  cls->destroy (self);

  /* a run that goes on appends, after closing a torn line */
  ck_assert_int_eq (truncate (path, (off_t) strlen (line_text) - 4), 0);
  OK (create ("", true, &self));
  OK (cls->event (self, &small));
  OK (cls->event (self, &small));
  cls->destroy (self);
  ck_assert_int_eq (count (file_text (), '\n'), 3);
  OK (create ("", false, &self));
  cls->destroy (self);
  ck_assert_str_eq (file_text (), "");
  cls->destroy (NULL);
}
END_TEST

START_TEST (jsonl_refuses)
{
  const struct qk_field reserved = { "time", QK_FIELD_INT, 1, 0, NULL };
  const struct qk_field latin1 = { "x", QK_FIELD_STRING, 0, 0, "\344" };
  const struct qk_event bad = { "e", 1, &reserved, false };
  const struct qk_event odd = { "e", 1, &latin1, false };
  void *self;

  ck_assert_int_eq (create ("file=../x", false, &self), -EINVAL);
  OK (create ("", false, &self));
  ck_assert_int_eq (cls->event (self, &bad), -EINVAL);
  ck_assert_str_eq (file_text (), "");
  OK (cls->event (self, &odd));
  ck_assert_str_eq (file_text (),
                    "{\"event\":\"e\",\"x\":\"\357\277\275\"}\n");
  cls->destroy (self);
  rename (dir, "check_report-gone");
  ck_assert_int_eq (create ("", false, &self), -ENOENT);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), path));
  rename ("check_report-gone", dir);
}
END_TEST

/* What could be written stays readable; when there is room again, lines are
 * whole again. */
START_TEST (jsonl_full_disk)
{
  struct rlimit old, limit;
  void *self;
  char *line, *text;
  int err, n = 0;

  OK (create ("", false, &self));
  OK (cls->event (self, &event));
  signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (getrlimit (RLIMIT_FSIZE, &old), 0);
  limit = old;
  limit.rlim_cur = strlen (file_text ()) + 20;
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  err = cls->event (self, &event);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &old), 0);
  ck_assert_int_eq (err, -EFBIG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), path));
  OK (cls->event (self, &event));
  cls->destroy (self);
  text = strdup (file_text ());
  for (line = strtok (text, "\n"); line; line = strtok (NULL, "\n"))
    n += line[0] == '{' && line[strlen (line) - 1] == '}';
  ck_assert_int_eq (n, 2);
  ck_assert_int_eq (count (file_text (), '\n'), 3);
  free (text);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("report");
  TCase *t = tcase_create ("screen"), *j = tcase_create ("jsonl");
  SRunner *r;
  int failed;

  tcase_add_test (t, widths);
  tcase_add_test (t, cleaning);
  tcase_add_test (t, table_aligned);
  tcase_add_test (t, table_of_text);
  tcase_add_test (t, table_full_disk);
  tcase_add_test (t, progress_lines);
  tcase_add_test (t, progress_quiet);
  tcase_add_test (t, progress_bar);
  tcase_add_test (t, progress_resize);
  suite_add_tcase (s, t);
  tcase_add_checked_fixture (j, setup, teardown);
  tcase_add_test (j, jsonl_lines);
  tcase_add_test (j, jsonl_refuses);
  tcase_add_test (j, jsonl_full_disk);
  suite_add_tcase (s, j);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed != 0;
}
