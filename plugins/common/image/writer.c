/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* writer.c: RGB images to JPEG files. */
#include "config.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>

#include "image.h"

struct writer {
  struct jpeg_compress_struct cinfo;
  struct jpeg_error_mgr err;
  jmp_buf escape;
  int failure; /* errno value */
  char what[JMSG_LENGTH_MAX];
  FILE *file;
};

static void
on_error (j_common_ptr c)
{
  struct writer *w = c->client_data;

  w->failure = errno ? errno : EIO;
  c->err->format_message (c, w->what);
  longjmp (w->escape, 1);
}

static void
on_output (j_common_ptr c)
{
  (void) c;
}

static void
encode_rows (struct writer *w, const uint8_t *rgb, int width, int height,
             int quality)
{
  struct jpeg_compress_struct *c = &w->cinfo;

  jpeg_create_compress (c);
  jpeg_stdio_dest (c, w->file);
  c->image_width = (JDIMENSION) width;
  c->image_height = (JDIMENSION) height;
  c->input_components = 3;
  c->in_color_space = JCS_RGB;
  jpeg_set_defaults (c);
  jpeg_set_quality (c, quality, TRUE);
  /* small coloured shapes suffer from halved chroma */
  c->comp_info[0].h_samp_factor = c->comp_info[0].v_samp_factor = 1;
  jpeg_start_compress (c, TRUE);
  while (c->next_scanline < c->image_height) {
    const size_t at = (size_t) c->next_scanline * 3 * (size_t) width;
    /* libjpeg's interface lacks the const */
    JSAMPROW row = (JSAMPROW) (uintptr_t) (rgb + at);

    jpeg_write_scanlines (c, &row, 1);
  }
  jpeg_finish_compress (c);
}

static int
encode (struct writer *w, const char *path, const uint8_t *rgb, int width,
        int height, int quality)
{
  w->cinfo.err = jpeg_std_error (&w->err);
  w->cinfo.client_data = w;
  w->err.error_exit = on_error;
  w->err.output_message = on_output;
  errno = 0;
  if (setjmp (w->escape))
    return qk_error (-w->failure, "%s: cannot be written: %s (%s)", path,
                     w->what, strerror (w->failure));
  encode_rows (w, rgb, width, height, quality);
  return 0;
}

int
image_write (const char *path, const uint8_t *rgb, int w, int h, int quality)
{
  struct writer writer;
  struct stat st;
  int err;

  memset (&writer, 0, sizeof writer);
  writer.file = fopen (path, "wbe");
  if (!writer.file) {
    err = errno;
    return qk_error (-err, "%s: cannot be created: %s", path, strerror (err));
  }
  /* what is removed after an error is a file, not a device */
  if (fstat (fileno (writer.file), &st))
    st.st_mode = 0;
  err = encode (&writer, path, rgb, w, h, quality);
  jpeg_destroy_compress (&writer.cinfo);
  if (fclose (writer.file) && !err) {
    err = errno ? errno : EIO;
    err = qk_error (-err, "%s: cannot be written: %s", path, strerror (err));
  }
  if (err && S_ISREG (st.st_mode))
    unlink (path);
  return err;
}
