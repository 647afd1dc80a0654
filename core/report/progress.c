/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* progress.c: a bar on a terminal, plain lines elsewhere. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "report/progress.h"
#include "report/text.h"

#define REDRAW_SECONDS 0.1
#define LINE_SECONDS 10.0
#define BAR_MAX 40
#define BAR_MIN 8
#define LABEL_SIZE 200

struct qk_progress {
  FILE *out;
  enum qk_progress_mode mode; /* never AUTO */
  double (*clock) (void *cookie);
  void *cookie;

  bool running;
  bool drawn; /* a bar stands on the terminal's line */
  char label[LABEL_SIZE];
  int64_t done, total;
  double loss;
  double start, last; /* seconds; last: of the last drawing */
};

static double
monotonic (void *cookie)
{
  struct timespec t;

  (void) cookie;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

struct qk_progress *
qk_progress_new (FILE *out, enum qk_progress_mode mode)
{
  struct qk_progress *p = calloc (1, sizeof *p);
  const char *term = getenv ("TERM");

  if (!p)
    return NULL;
  if (mode == QK_PROGRESS_AUTO)
    mode = isatty (fileno (out)) && term && strcmp (term, "dumb") != 0
             ? QK_PROGRESS_BAR
             : QK_PROGRESS_LINES;
  p->out = out;
  p->mode = mode;
  p->clock = monotonic;
  return p;
}

void
qk_progress_free (struct qk_progress *p)
{
  qk_progress_end (p);
  free (p);
}

void
qk_progress_set_clock (struct qk_progress *p, double (*fn) (void *),
                       void *cookie)
{
  if (!p)
    return;
  p->clock = fn;
  p->cookie = cookie;
}

/* Columns of the terminal now; it may have been resized since last time. */
static int
terminal_width (FILE *out)
{
  struct winsize w;

  if (ioctl (fileno (out), TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
    return w.ws_col;
  return 80;
}

/* "1:05" or "2:01:05" for a time in seconds. */
static void
print_duration (double seconds, char *buf, size_t size)
{
  const long s = seconds < 359999.0 ? (long) (seconds + 0.5) : 359999;

  if (s >= 3600)
    snprintf (buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  else
    snprintf (buf, size, "%ld:%02ld", s / 60, s % 60);
}

/* What follows the bar or the label, most important first; SEP between the
 * parts.  While the settings runs it ends with the time left, else with the time
 * it took. */
static void
print_facts (const struct qk_progress *p, double now, bool over,
             const char *sep, char *buf, size_t size)
{
  const double elapsed = now - p->start;
  const double rate = elapsed > 0 ? (double) p->done / elapsed : 0;
  char text[32], part[4][64];
  size_t at = 0;
  int i, n = 0;

  if (p->total > 0)
    snprintf (part[n++], sizeof part[0], "%" PRId64 "/%" PRId64, p->done,
              p->total);
  else
    snprintf (part[n++], sizeof part[0], "%" PRId64, p->done);
  if (rate > 0)
    snprintf (part[n++], sizeof part[0], "%.*f samples/s", rate < 10 ? 1 : 0,
              rate);
  if (!isnan (p->loss))
    snprintf (part[n++], sizeof part[0], "loss %.4f", p->loss);
  if (over) {
    print_duration (elapsed, text, sizeof text);
    snprintf (part[n++], sizeof part[0], "in %s", text);
  } else if (p->total > p->done && rate > 0) {
    print_duration ((double) (p->total - p->done) / rate, text, sizeof text);
    snprintf (part[n++], sizeof part[0], "ETA %s", text);
  }
  buf[0] = '\0';
  for (i = 0; i < n && at < size; i++)
    at += (size_t) snprintf (buf + at, size - at, "%s%s", i ? sep : "",
                             part[i]);
}

static void
draw_bar (struct qk_progress *p, double now, bool over)
{
  /* the last column stays free: some terminals wrap when it is filled */
  const int width = terminal_width (p->out) - 1;
  char facts[256], bar[BAR_MAX + 4] = "";
  int room, used, n, filled;
  size_t bytes;

  print_facts (p, now, over, "  ", facts, sizeof facts);
  room = width - qk_text_width (p->label) - (int) strlen (facts) - 5;
  if (p->total > 0 && room >= BAR_MIN) {
    n = room < BAR_MAX ? room : BAR_MAX;
    filled = (int) ((double) n * (double) p->done / (double) p->total);
    filled = filled < 0 ? 0 : filled > n ? n : filled;
    bar[0] = '[';
    memset (bar + 1, '#', (size_t) filled);
    memset (bar + 1 + filled, '.', (size_t) (n - filled));
    memcpy (bar + 1 + n, "] ", 3);
  }
  bytes = qk_text_cut (p->label, width, &used);
  fprintf (p->out, "\r%.*s", (int) bytes, p->label);
  if (width - used > 2) {
    char rest[sizeof facts + sizeof bar];

    snprintf (rest, sizeof rest, "%s%s", bar, facts);
    fprintf (p->out, "  %.*s", width - used - 2, rest);
  }
  fputs ("\033[K", p->out);
  fflush (p->out);
  p->drawn = true;
}

static void
draw_line (struct qk_progress *p, double now, bool over)
{
  char facts[256];

  print_facts (p, now, over, ", ", facts, sizeof facts);
  fprintf (p->out, "%s: %s\n", p->label, facts);
  fflush (p->out);
}

void
qk_progress_begin (struct qk_progress *p, const char *label, int64_t total)
{
  if (!p)
    return;
  qk_progress_end (p);
  qk_text_clean (label, p->label, sizeof p->label);
  p->done = 0;
  p->total = total;
  p->loss = NAN;
  p->start = p->last = p->clock (p->cookie);
  p->running = true;
  if (p->mode == QK_PROGRESS_BAR)
    draw_bar (p, p->start, false);
}

void
qk_progress_update (struct qk_progress *p, int64_t done, double loss)
{
  double now;

  if (!p || !p->running)
    return;
  p->done = done;
  p->loss = loss;
  if (p->mode == QK_PROGRESS_QUIET)
    return;
  now = p->clock (p->cookie);
  if (now - p->last
      < (p->mode == QK_PROGRESS_BAR ? REDRAW_SECONDS : LINE_SECONDS))
    return;
  p->last = now;
  if (p->mode == QK_PROGRESS_BAR)
    draw_bar (p, now, false);
  else
    draw_line (p, now, false);
}

void
qk_progress_end (struct qk_progress *p)
{
  double now;

  if (!p || !p->running)
    return;
  p->running = false;
  if (p->mode == QK_PROGRESS_QUIET)
    return;
  now = p->clock (p->cookie);
  if (p->mode == QK_PROGRESS_BAR) {
    draw_bar (p, now, true);
    putc ('\n', p->out);
    fflush (p->out);
    p->drawn = false;
  } else {
    draw_line (p, now, true);
  }
}

void
qk_progress_clear (struct qk_progress *p)
{
  if (!p || !p->drawn)
    return;
  fputs ("\r\033[K", p->out);
  fflush (p->out);
  p->drawn = false;
}
