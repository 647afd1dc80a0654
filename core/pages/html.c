/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* html.c: puts numbers and Chart.js into the page. */
#include "config.h"

#include <string.h>

#include "base/atomic-file.h"
#include "pages/html.h"
#include "pages/page.h"

bool
qk_html_possible (void)
{
  return *qk_page_chart != 0;
}

/* JSON inside of <script>: nothing in it may look like a tag.  '<' only
 * occurs within strings there, where \u003c means the same. */
static int
write_json (int fd, const char *json)
{
  int r = 0;

  while (r == 0 && *json != 0) {
    const size_t n = strcspn (json, "<");

    r = qk_write_all (fd, json, n);
    json += n;
    if (r == 0 && *json == '<') {
      r = qk_write_all (fd, "\\u003c", 6);
      json++;
    }
  }
  return r;
}

/* What fills a page. */
struct filling {
  const char *page, *json;
};

static int
fill_page (int fd, void *arg)
{
  const struct filling *with = arg;
  static const char chart[] = "@CHART@", data[] = "@DATA@";
  const char *at = with->page, *mark;
  int r = 0;

  while (r == 0 && (mark = strchr (at, '@')) != NULL) {
    r = qk_write_all (fd, at, (size_t) (mark - at));
    at = mark + 1;
    if (strncmp (mark, chart, strlen (chart)) == 0) {
      at = mark + strlen (chart);
      r = r < 0 ? r : qk_write_all (fd, qk_page_chart, strlen (qk_page_chart));
    } else if (strncmp (mark, data, strlen (data)) == 0) {
      at = mark + strlen (data);
      r = r < 0 ? r : write_json (fd, with->json);
    } else if (r == 0)
      r = qk_write_all (fd, "@", 1);
  }
  return r < 0 ? r : qk_write_all (fd, at, strlen (at));
}

int
qk_html_write (enum qk_page page, const char *json, const char *path)
{
  struct filling with
    = { page == QK_PAGE_TUNING ? qk_page_tuning : qk_page_analysis, json };

  if (!qk_html_possible ())
    return qk_error (-ENOTSUP,
                     "cannot write '%s': the HTML report needs "
                     "Chart.js (Debian: libjs-chart.js) when qatkit is "
                     "built",
                     path);
  return qk_atomic_write (path, fill_page, &with);
}
