/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wav: class folders of sound files, as features: MFCC, or logarithms of a mel
 * spectrogram; plugins/common/audio says how they are defined.
 *
 * features f32 (1,frames,numbers,1).  Channels are averaged; a sound is cut to
 * its first SECONDS, or zeros follow it.  Training moves it in time at random,
 * zeros coming in, and changes it as changes.h says. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "audio/changes.h"
#include "classfiles/classfiles.h"
#include "content/content.h"
#include "imagespec/imagespec.h"
#include "sound.h"
#include "split/split.h"
#include "textfile/textfile.h"

#define MAX_SAMPLES 16777216

static const char *const kinds[] = { "mfcc", "logmel", NULL };

static const struct qk_option options[]
  = { { "root", QK_OPT_PATH, "", 0, 0, NULL,
        "folder that holds the folders train and val" },
      { "train", QK_OPT_PATH, "train", 0, 0, NULL,
        "folder of the training files, within root unless absolute" },
      { "val", QK_OPT_PATH, "val", 0, 0, NULL,
        "folder of the files for evaluation, within root unless absolute; "
        "empty = hold out val_share of the training files" },
      { "val_share", QK_OPT_FLOAT, "0.1", 1e-6, 0.999999, NULL,
        "share of the files held out for evaluation where val is empty, "
        "chosen by their paths" },
      { "rate", QK_OPT_INT, "16000", 1000, 384000, NULL,
        "samples a second; a file of another rate is left out" },
      { "seconds", QK_OPT_FLOAT, "1", 0.001, 600, NULL,
        "length that sounds are cut or filled up to" },
      { "features", QK_OPT_CHOICE, "mfcc", 0, 0, kinds,
        "cepstral coefficients, or logarithms of the mel spectrogram" },
      { "coefficients", QK_OPT_INT, "10", 1, 1024, NULL,
        "coefficients kept of each frame, for mfcc" },
      { "mels", QK_OPT_INT, "40", 1, 1024, NULL,
        "triangles of the mel scale" },
      { "window", QK_OPT_FLOAT, "40", 0.1, 10000, NULL,
        "length of a frame, milliseconds" },
      { "hop", QK_OPT_FLOAT, "20", 0.1, 10000, NULL,
        "from one frame to the next, milliseconds" },
      { "fft", QK_OPT_INT, "0", 0, 65536, NULL,
        "samples of a transform, even; 0 = the power of two that a frame fits "
        "into" },
      { "center", QK_OPT_BOOL, "no", 0, 0, NULL,
        "frames are centred on multiples of hop, the sound reflected at its "
        "ends" },
      { "low", QK_OPT_FLOAT, "20", 0, 192000, NULL, "lowest frequency, Hz" },
      { "high", QK_OPT_FLOAT, "0", 0, 192000, NULL,
        "highest frequency, Hz; 0 = half the rate" },
      { "mean", QK_OPT_FLOAT, "0", -1e6, 1e6, NULL,
        "subtracted from the features" },
      { "std", QK_OPT_FLOAT, "1", 1e-6, 1e6, NULL,
        "the features are then divided by" },
      { "shift", QK_OPT_FLOAT, "0.1", 0, 600, NULL,
        "training sounds are moved by up to so many seconds" },
      AUDIO_CHANGES_OPTIONS,
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

struct wav {
  struct classfiles files;
  struct image_specs specs;
  struct audio *audio;
  int rate;
  int64_t samples, frames, shift;
  int numbers;
  float mean, std;
  bool augment;
  struct audio_changes changes;
};

/* Buffers of a thread. */
struct worker {
  float *sound, *piece;
  double *scratch;
};

/* ---- opening -----------------------------------------------------------*/

static int
power_of_two (int n)
{
  int p = 2;

  while (p < n && p < 1 << 30)
    p *= 2;
  return p;
}

static int
configure (struct wav *d, const struct qk_config *cfg, bool augment)
{
  struct audio_options o;
  double samples, window;
  int err;

  d->rate = (int) qk_config_int (cfg, "rate");
  samples = rint (qk_config_float (cfg, "seconds") * d->rate);
  window = rint (qk_config_float (cfg, "window") * d->rate / 1000);
  d->mean = (float) qk_config_float (cfg, "mean");
  d->std = (float) qk_config_float (cfg, "std");
  d->augment = augment;
  if (augment)
    d->shift = (int64_t) rint (qk_config_float (cfg, "shift") * d->rate);
  if (!(samples >= 1 && samples <= MAX_SAMPLES && window <= MAX_SAMPLES))
    return qk_error (-EINVAL,
                     "wav: %g samples a sound, %g a frame; accepted "
                     "are 1 to %d",
                     samples, window, MAX_SAMPLES);
  d->samples = (int64_t) samples;
  o.rate = d->rate;
  o.window = (int) window;
  o.hop = (int) rint (qk_config_float (cfg, "hop") * d->rate / 1000);
  o.fft = (int) qk_config_int (cfg, "fft");
  if (o.fft == 0)
    o.fft = power_of_two (o.window);
  o.center = qk_config_bool (cfg, "center");
  o.mels = (int) qk_config_int (cfg, "mels");
  o.mfcc = strcmp (qk_config_string (cfg, "features"), "mfcc") == 0
             ? (int) qk_config_int (cfg, "coefficients")
             : 0;
  o.low = qk_config_float (cfg, "low");
  o.high = qk_config_float (cfg, "high");
  err = audio_changes_configure (&d->changes, "wav", cfg);
  if (err == 0)
    err = audio_new (&o, "wav", &d->audio);
  if (err)
    return err;
  d->frames = audio_frames (d->audio, d->samples);
  d->numbers = audio_numbers (d->audio);
  return d->frames > 0 ? 0
                       : qk_error (-EINVAL,
                                   "wav: sounds of %lld samples are shorter "
                                   "than a transform of %d",
                                   (long long) d->samples, o.fft);
}

static int
read_files (struct wav *d, const struct qk_config *cfg, int split)
{
  const bool own = *qk_config_string (cfg, "val") != 0;
  const bool val = split == 1 && own;
  char *path = path_within (qk_config_string (cfg, "root"),
                            qk_config_string (cfg, val ? "val" : "train"));
  int err;

  if (!path)
    return qk_oom ("wav");
  err = classfiles_read (&d->files, path, ".wav");
  free (path);
  if (err == 0 && !own)
    err = classfiles_keep (&d->files, qk_config_float (cfg, "val_share"),
                           split == 1);
  return err;
}

static void
wav_close (void *self)
{
  struct wav *d = self;

  if (!d)
    return;
  classfiles_clear (&d->files);
  audio_free (d->audio);
  free (d);
}

static int
wav_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
          void **self)
{
  struct wav *d = calloc (1, sizeof *d);
  const int split = split_parse (req->split, "wav");
  int err;

  if (!d)
    return qk_oom ("wav");
  err = split == -EINVAL ? split : configure (d, cfg, req->augment);
  if (err == 0 && split >= 0)
    err = read_files (d, cfg, split);
  if (err) {
    wav_close (d);
    return err;
  }
  image_specs_set (&d->specs, d->frames, d->numbers, 1, d->files.classes,
                   (const char *const *) d->files.name);
  d->specs.image.name = "features";
  *self = d;
  return 0;
}

static int
wav_info (void *self, struct qk_dataset_info *out)
{
  const struct wav *d = self;

  image_specs_info (&d->specs, d->files.count, out);
  return 0;
}

/* ---- reading -----------------------------------------------------------*/

static void
wav_worker_free (void *worker)
{
  struct worker *w = worker;

  if (!w)
    return;
  free (w->sound);
  free (w->piece);
  free (w->scratch);
  free (w);
}

static int
wav_worker_new (void *self, void **worker)
{
  const struct wav *d = self;
  struct worker *w = calloc (1, sizeof *w);

  if (!w)
    return qk_oom ("wav");
  w->sound = calloc ((size_t) d->samples, sizeof *w->sound);
  w->piece = calloc (SOUND_PIECE, sizeof *w->piece);
  w->scratch = calloc (audio_scratch (d->audio), sizeof *w->scratch);
  if (!w->sound || !w->piece || !w->scratch) {
    wav_worker_free (w);
    return qk_oom ("wav");
  }
  *worker = w;
  return 0;
}

/* The sound in PATH into w->sound, moved in time as training with RNG asks
 * for. */
static int
read_shifted (const struct wav *d, struct worker *w, const char *path,
              struct qk_rng *rng)
{
  int64_t shift = 0;

  if (d->augment && rng && d->shift > 0)
    shift
      = (int64_t) qk_rng_below (rng, (uint64_t) (2 * d->shift + 1)) - d->shift;
  return sound_read (path, d->rate, d->samples, shift, w->piece, w->sound);
}

/* The sound A into w->sound, as a file with one channel. */
static int
take_sound (const struct wav *d, struct worker *w,
            const struct qk_sample_array *a)
{
  const int64_t have = a->shape.ndim == 1 ? a->shape.dims[0] : 0;
  const int64_t n = have < d->samples ? have : d->samples;
  char shape[120];

  if (a->dtype != QK_F32 || n < 1 || a->data == NULL
      || (a->stride != 0 && a->stride != sizeof (float)))
    return qk_error (-EINVAL,
                     "wav: %s %s, expected f32 (samples), dense, %d of them a "
                     "second",
                     qk_dtype_name (a->dtype),
                     qk_shape_print (&a->shape, shape, sizeof shape), d->rate);
  memset (w->sound, 0, (size_t) d->samples * sizeof *w->sound);
  memcpy (w->sound, a->data, (size_t) n * sizeof *w->sound);
  return 0;
}

/* The features of w->sound, which is called PATH.  RNG NULL: as for
 * evaluation. */
static int
make_features (const struct wav *d, struct worker *w, const char *path,
               struct qk_rng *rng, float *out)
{
  const int64_t n = d->frames * d->numbers;
  const bool augment = d->augment && rng;
  int64_t i;

  for (i = 0; i < d->samples; i++)
    if (!isfinite (w->sound[i]))
      return qk_error (-EBADMSG, "%s: sample %lld is %g", path, (long long) i,
                       (double) w->sound[i]);
  if (augment)
    audio_add_noise (&d->changes, w->sound, d->samples, rng);
  audio_features (d->audio, w->sound, d->samples, w->scratch, out);
  for (i = 0; i < n; i++)
    out[i] = (out[i] - d->mean) / d->std;
  if (augment)
    audio_mask (&d->changes, out, d->frames, d->numbers, rng);
  return 0;
}

static int
wav_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
          void *const *input, void *const *target)
{
  const struct wav *d = self;
  char *path;
  int err;

  if (index < 0 || index >= d->files.count)
    return qk_error (-EINVAL, "wav: no file %lld, there are %lld",
                     (long long) index, (long long) d->files.count);
  path = path_within (d->files.root, d->files.file[index].path);
  if (!path)
    return qk_oom ("wav");
  err = read_shifted (d, worker, path, rng);
  if (err == 0)
    err = make_features (d, worker, path, rng, input[0]);
  free (path);
  *(int32_t *) target[0] = d->files.file[index].label;
  return err;
}

static int
wav_read_file (void *self, void *worker, const char *path, void *const *input)
{
  const int err = read_shifted (self, worker, path, NULL);

  return err ? err : make_features (self, worker, path, NULL, input[0]);
}

static int
wav_read_array (void *self, void *worker, const struct qk_sample_array *sample,
                void *const *input)
{
  const int err = take_sound (self, worker, sample);

  return err ? err : make_features (self, worker, "sound", NULL, input[0]);
}

static int
wav_describe (void *self, int64_t index, char *name, size_t size,
              uint64_t *content)
{
  const struct wav *d = self;
  char *path;

  snprintf (name, size, "%s", d->files.file[index].path);
  if (!content)
    return 0;
  path = path_within (d->files.root, d->files.file[index].path);
  if (!path)
    return qk_oom ("wav");
  *content = content_of_file (path);
  free (path);
  return 0;
}

static int64_t
wav_category (void *self, int64_t index)
{
  return ((const struct wav *) self)->files.file[index].label;
}

static const struct qk_dataset_class wav = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "wav",
                   "Class folders of WAV files, as MFCC or a log-mel "
                   "spectrogram",
                   options),
  .open = wav_open,
  .close = wav_close,
  .info = wav_info,
  .worker_new = wav_worker_new,
  .worker_free = wav_worker_free,
  .read = wav_read,
  .read_file = wav_read_file,
  .read_array = wav_read_array,
  .describe = wav_describe,
  .category = wav_category,
};

QK_PLUGIN ("wav", PACKAGE_VERSION, "LGPL-2.1-or-later", &wav.cls);
