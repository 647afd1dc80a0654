/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.h: image files to normalised images, shared by datasets.
 *
 * A file is decoded row by row, each row is resized horizontally at once and
 * rows are combined vertically as soon as they are complete, so that nothing
 * the size of the whole image is kept.  The resize is PIL's antialiased one,
 * to the byte: two passes with 22-bit fixed-point weights and 8-bit rounding
 * in between.  (Interlaced, turned and WebP images are decoded as a whole.)
 */
#ifndef QATKIT_COMMON_IMAGE_H
#define QATKIT_COMMON_IMAGE_H

#include <qatkit/dataset.h>
#include <qatkit/rng.h>

/* More pixels than this are refused, as PIL does (a decompression bomb). */
#define IMAGE_MAX_PIXELS INT64_C (178956970)
/* The largest side libjpeg takes. */
#define IMAGE_MAX_SIDE 65500
/* Larger files are refused, bytes. */
#define IMAGE_MAX_FILE (INT64_C (512) << 20)

/* ---- geometry --------------------------------------------------------*/

/* How pixels are made of others; PIL's filters of these names. */
enum image_filter {
  IMAGE_BILINEAR,
  IMAGE_BICUBIC,
  IMAGE_LANCZOS,
  IMAGE_BOX,
  IMAGE_HAMMING,
  IMAGE_NEAREST,
  IMAGE_FILTERS /* how many there are */
};
extern const char *const image_filter_names[IMAGE_FILTERS + 1];
/* The filter of that name, -EINVAL (without a sentence) if there is none. */
int image_filter_find (const char *name);

/* What is done with an image: cut out the box (x, y, w, h), resize it to
 * out_w x out_h, cut the window (win_x, win_y, win_w, win_h) out of that,
 * mirror it left to right if asked.  All in pixels.  Where the window reaches
 * beyond, it is black (and transparent). */
struct image_view {
  int64_t x, y, w, h;
  int64_t out_w, out_h;
  int64_t win_x, win_y, win_w, win_h;
  bool flip;
  enum image_filter filter;
};

struct image_size {
  int64_t h, w;
};

/* How an image is resized to a size of another aspect ratio. */
enum image_fit {
  IMAGE_COVER,  /* keep its own: one side becomes as asked for, the other no
                   smaller.  Where both are the same, torchvision's
                   Resize (side), else timm's ResizeKeepRatio */
  IMAGE_STRETCH /* torchvision's Resize ((h, w)) */
};

/* Of a W x H image, resized to RESIZE as FIT says, the window CROP in the
 * middle, torchvision's CenterCrop; no side of it is larger than RESIZE's. */
void image_view_center (int64_t w, int64_t h, struct image_size resize,
                        enum image_fit fit, struct image_size crop,
                        enum image_filter filter, struct image_view *v);

/* torchvision's RandomResizedCrop (CROP, (MIN_SCALE, 1), (3/4, 4/3)), then
 * a mirror image half of the time if FLIP. */
void image_view_random (int64_t w, int64_t h, struct image_size crop,
                        double min_scale, bool flip, enum image_filter filter,
                        struct qk_rng *rng, struct image_view *v);

/* Of a W x H image, resized to RESIZE as FIT says, with PAD black pixels on all
 * sides, the window CROP at random, torchvision's RandomCrop (CROP, PAD), then a
 * mirror image half of the time if FLIP. */
void image_view_padded (int64_t w, int64_t h, struct image_size resize,
                        enum image_fit fit, struct image_size crop,
                        int64_t pad, bool flip, enum image_filter filter,
                        struct qk_rng *rng, struct image_view *v);

/* ---- one direction of the resize -------------------------------------*/

/* Output I of n is the sum over k < count[i] of weight[i * stride + k] times
 * input first[i] + k, plus 2^21, shifted right by 22. */
struct image_taps {
  int64_t n;
  int stride;      /* even */
  int32_t *first;  /* never decreasing */
  int32_t *count;  /* 1 .. stride */
  int32_t *weight; /* of 2^22, some may be negative; 0 beyond count */
  int64_t cap_n, cap_w;

  /* The same for vectors: every output has as many pairs of weights, from
   * input first[i] - back[i] on, none of them beyond the last input used.
   * PART[2 (i * pairs + k)] holds the upper parts of pair K, w >> 12, as two
   * 16-bit numbers, the next the lower ones, w & 4095.  PAIRS is 0 where there
   * are fewer inputs than that. */
  int pairs;
  int32_t *back, *part;
  int64_t cap_part;
};

/* Outputs first .. first+n-1 of a resize from IN to OUT pixels.  T starts
 * zeroed and is reused; image_taps_free.  -ENOMEM. */
int image_taps_set (struct image_taps *t, enum image_filter filter, int64_t in,
                    int64_t out, int64_t first, int64_t n);
/* The number of inputs up to the last one used.  (It need not be the last
 * output that uses it.) */
int64_t image_taps_end (const struct image_taps *t);
void image_taps_free (struct image_taps *t);

/* The two passes, for rows of 4-byte pixels.  horizontal writes T->n pixels
 * from the row SRC.  vertical writes N bytes, a multiple of 64 up to which all
 * rows are readable, from COUNT rows. */
struct image_kernels {
  const char *name;
  void (*horizontal) (const uint8_t *src, uint8_t *dst,
                      const struct image_taps *t);
  void (*vertical) (const uint8_t *const *rows, const int32_t *weight,
                    int count, uint8_t *dst, int64_t n);
};

/* The fastest kernels this CPU has, or the plain C ones.  Both give the
 * same bytes. */
const struct image_kernels *image_kernels_best (void);
const struct image_kernels *image_kernels_plain (void);

/* ---- normalisation ---------------------------------------------------*/

/* (x / 255 - mean) / std in float32 for every byte, per channel. */
struct image_norm {
  int channels; /* 1, 3 or 4 */
  float value[4][256];
  float mean[4], std[4];
};

/* MEAN and STD of each of the CHANNELS, in 0..1; -EINVAL unless std > 0 and
 * all are finite.  WHO prefixes the message. */
int image_norm_set (struct image_norm *norm, int channels, const float *mean,
                    const float *std, const char *who);

/* N pixels of STEP bytes each (RGB first) to (n,channels) floats. */
void image_norm_row (const struct image_norm *norm, const uint8_t *src,
                     int step, int64_t n, bool flip, float *dst);

/* The same of an array of floats from 0 to 1, whose size must be SIZE, to
 * (h,w,channels) floats. */
int image_norm_array (const struct image_norm *norm,
                      const struct qk_sample_array *a, struct image_size size,
                      float *out);

/* ---- files -----------------------------------------------------------*/

/* What is made of the pixels of a file. */
struct image_options {
  int channels; /* 1: luma as PIL's mode L; 3: red, green, blue; 4: and alpha,
                   255 where the file has none */
  bool exif;    /* turn the image as its EXIF orientation says */
  uint8_t background[3]; /* what transparent pixels are laid over, unless
                            alpha is delivered */
  bool numbers; /* of categories, not colours: entries of a palette by their
                   index, without alpha, black and white 0 and 1 */
};
/* Three channels, turned, over white. */
const struct image_options *image_options_default (void);

/* The decoders with their buffers; one per thread. */
struct image_reader;

/* -ENOMEM; free with image_reader_free, which accepts NULL. */
int image_reader_new (const struct image_options *options,
                      struct image_reader **out);
void image_reader_free (struct image_reader *r);

/* Load the file and read its header; W and H are those of the image turned
 * the right way up.  -EBADMSG, naming the file, when it is not an image that
 * can be decoded, whatever its name says; another error when it cannot be
 * read (-ENOENT, -EACCES, …). */
int image_open (struct image_reader *r, const char *path, int64_t *w,
                int64_t *h);

/* As image_open, for an image in memory; DATA is borrowed until the
 * image was rendered.  NAME is used in messages. */
int image_open_memory (struct image_reader *r, const uint8_t *data,
                       size_t size, const char *name, int64_t *w, int64_t *h);

/* As image_open, for the pixels of an image, bytes (H,W,C) with grey, red, green
 * and blue, or alpha too; borrowed until the image was rendered. */
int image_open_pixels (struct image_reader *r, const struct qk_sample_array *a,
                       int64_t *w, int64_t *h);

/* Let the image opened last be decoded at a half, a quarter or an eighth of
 * its size, whatever leaves VIEW's box no smaller than what it is resized to,
 * by inverse transforms of fewer points and plain chroma upsampling, and
 * change the box accordingly.  Several times faster; the bytes are near those
 * of the whole image, not equal.  Returns the divisor, 1 to 8; 1 for what is
 * not JPEG. */
int image_reduce (struct image_reader *r, struct image_view *view);

/* Decode the image opened last, once, and deliver the window of VIEW as
 * (win_h, win_w, channels): bytes into BYTES, or normalised floats into IMAGE
 * (either may be NULL).  -EBADMSG, naming the file, when it is damaged or
 * truncated. */
int image_render (struct image_reader *r, const struct image_view *view,
                  const struct image_norm *norm, uint8_t *bytes, float *image);

/* Write a W x H image of RGB bytes as a JPEG file, colour not subsampled.
 * QUALITY 1..100.  A negative errno value with a sentence. */
int image_write (const char *path, const uint8_t *rgb, int w, int h,
                 int quality);

#endif /* QATKIT_COMMON_IMAGE_H */
