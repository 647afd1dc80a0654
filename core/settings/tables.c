/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.c: what the INI file can say in the core's own sections.  Where a
 * plugin is named, "auto" is the default one of its kind: settings.c writes
 * the real name into the configuration. */
#include "config.h"

#include <stddef.h>
#include <string.h>

#include "settings/settings.h"
#include "data/batches.h"
#include "settings/tables.h"

#define END                                                                   \
  {                                                                           \
    NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL                                  \
  }

static const char *const auto_yes_no[] = { "auto", "yes", "no", NULL };
static const char *const last_batches[] = { "keep", "drop", "merge", NULL };
static const char *const samplings[] = { "shuffled", "balanced", NULL };
static const char *const modes[] = { "static", "dynamic", NULL };
static const char *const sensitivities[] = { "noise", "hessian", NULL };
static const char *const presets[]
  = { "default",     "weight_only", "activation_only", "float",
      "w4a4-papers", "w3a3-papers", "w2a2-papers",     NULL };

const struct qk_option qk_table_run[] = {
  { "seed", QK_OPT_INT, "1", 0, 1e15, NULL,
    "Seed of all random numbers; the same seed writes the same bytes" },
  { "threads", QK_OPT_INT, "0", 0, 1024, NULL,
    "Threads that compute; 0 = one for each processor" },
  { "float_backend", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Backend plugin whose float products train; auto = the one of the highest "
    "rank, none = qatkit's own" },
  { "output", QK_OPT_PATH, "run-out", 0, 0, NULL,
    "Folder for checkpoints, models and the log; made if needed" },
  { "keep", QK_OPT_INT, "2", 1, 1000, NULL, "Checkpoints to keep" },
  { "max_minutes", QK_OPT_FLOAT, "0", 0, 1e6, NULL,
    "Minutes after which the run stops at the next batch, to be resumed; 0 = "
    "never" },
  { "comm", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Comm plugin that joins several processes to train together; auto = the "
    "one whose launcher (such as mpirun) started this process" },
  { "reporter", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Reporter plugins that record the run, NAME[,NAME]...; empty = none" },
  END
};

const struct qk_option qk_table_checkpoint[] = {
  { "minutes", QK_OPT_FLOAT, "30", 0, 1e6, NULL,
    "Minutes of an epoch after which one is written within it; 0 = never" },
  { "batches", QK_OPT_INT, "0", 0, 1e9, NULL,
    "Batches of an epoch after which one is written within it; 0 = "
    "never" },
  END
};

const struct qk_option qk_table_model[]
  = { { "arch", QK_OPT_STRING, "auto", 0, 0, NULL,
        "Model plugin that builds the network" },
      { "weights", QK_OPT_PATH, "", 0, 0, NULL,
        "File with the float weights, or a checkpoint; empty = start from "
        "random numbers" },
      { "weights.skip", QK_OPT_STRING, "", 0, 0, NULL,
        "Parameters that start from random numbers all the same, "
        "PATTERN[,PATTERN]..., as in \"classifier.*\" for own classes" },
      { "format", QK_OPT_STRING, "", 0, 0, NULL,
        "Format plugin that reads weights; empty = by what the file begins "
        "with, or its ending" },
      END };

const struct qk_option qk_table_data[]
  = { { "dataset", QK_OPT_STRING, "auto", 0, 0, NULL,
        "Dataset plugin that delivers the samples" },
      { "batch", QK_OPT_INT, "32", 1, 65536, NULL,
        "Samples of a training batch" },
      { "last_batch", QK_OPT_CHOICE, "keep", 0, 0, last_batches,
        "What becomes of the samples that make no full batch at the end of an "
        "epoch: a smaller batch, none, or a part of the batch before" },
      { "eval_batch", QK_OPT_INT, "50", 1, 65536, NULL,
        "Samples of an evaluation batch" },
      { "workers", QK_OPT_INT, "0", 0, QK_MAX_READERS, NULL,
        "Threads that read samples ahead; 0 = as many as compute" },
      { "sampling", QK_OPT_CHOICE, "shuffled", 0, 0, samplings,
        "Training samples of an epoch: each once, or of all categories as "
        "many" },
      { "mixup", QK_OPT_FLOAT, "0", 0, 100, NULL,
        "Training samples are blended with one another, in shares of the "
        "distribution Beta (mixup, mixup); 0 = not" },
      { "cutmix", QK_OPT_FLOAT, "0", 0, 100, NULL,
        "A box of a training sample is replaced by that of another, of an "
        "area of Beta (cutmix, cutmix); 0 = not" },
      { "mix_share", QK_OPT_FLOAT, "1", 0, 1, NULL,
        "Share of the training batches that mixup and cutmix change" },
      { "eval_batches", QK_OPT_INT, "0", 0, 1e9, NULL,
        "Evaluate on so many batches only; 0 = on all" },
      { "max_bad", QK_OPT_FLOAT, "0.01", 0, 1, NULL,
        "Share of undecodable samples that is tolerated" },
      END };

const struct qk_option qk_table_train[] = {
  { "epochs", QK_OPT_INT, "0", 0, 1e6, NULL,
    "Epochs of float training before quantization; 0 = none" },
  { "batches", QK_OPT_INT, "0", 0, 1e9, NULL,
    "Batches of an epoch; 0 = all samples" },
  { "freeze", QK_OPT_STRING, "", 0, 0, NULL,
    "Parameters that float training leaves as they are, "
    "PATTERN[,PATTERN]..." },
  { "ema", QK_OPT_FLOAT, "0", 0, 0.9999999, NULL,
    "Share of an average of the network's weights that is kept at each step; "
    "0 = no average" },
  { "ema_export", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether the average is the network that this training gives" },
  { "stop.patience", QK_OPT_INT, "0", 0, 1e6, NULL,
    "Epochs in a row without a better score after which training ends; 0 = "
    "never" },
  { "stop.score", QK_OPT_STRING, "", 0, 0, NULL,
    "Score of a metric, or loss, that decides; empty = the first score" },
  { "stop.min_delta", QK_OPT_FLOAT, "0", 0, 1e9, NULL,
    "How much better a score must be than the best to count as better" },
  END
};

const struct qk_option qk_table_ptq[]
  = { { "enabled", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "Whether 'run' also tries post-training quantization" },
      { "batches", QK_OPT_INT, "10", 1, 1e9, NULL,
        "Training batches that calibrate the observers" },
      { "mode", QK_OPT_CHOICE, "static", 0, 0, modes,
        "static: calibrated ranges; dynamic: linear layers find the range of "
        "their input in each call, all others stay float" },
      { "methods", QK_OPT_STRING, "", 0, 0, NULL,
        "Plugins that change weights to lose less, in this order, as in "
        "\"equalize, bias_correction\"; their options are NAME.OPTION" },
      END };

const struct qk_option qk_table_ptq_observers[]
  = { { "activation.observer", QK_OPT_STRING, "auto", 0, 0, NULL,
        "Observer plugin for activations in post-training quantization" },
      { "weight.observer", QK_OPT_STRING, "auto", 0, 0, NULL,
        "Observer plugin for weights in post-training quantization" },
      END };

const struct qk_option qk_table_tune[]
  = { { "solver", QK_OPT_STRING, "auto", 0, 0, NULL,
        "Solver plugin that gives bits to layers; auto = the one of the "
        "highest rank" },
      { "bits", QK_OPT_FLOATS, "2,3,4,5,6,8", 2, 8, NULL,
        "Bits that the weights of a layer may have, BITS[,BITS]..." },
      { "points", QK_OPT_INT, "20", 2, 1000, NULL,
        "Networks between the cheapest and the dearest that are tried" },
      { "samples", QK_OPT_INT, "64", 1, 1e9, NULL,
        "Samples on which is measured what layers lose" },
      { "sensitivity", QK_OPT_CHOICE, "noise", 0, 0, sensitivities,
        "What a layer loses: the noise it makes in the outputs, or by the "
        "curvature of the loss in its weights (HAWQ-V2)" },
      { "probes", QK_OPT_INT, "32", 1, 1e6, NULL,
        "hessian: random vectors with which curvature is estimated" },
      END };

const struct qk_option qk_table_qat[] = {
  { "backend", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Backend plugin to quantize for and to evaluate on; auto = the one for "
    "this kind of CPU" },
  { "epochs", QK_OPT_INT, "8", 0, 1e6, NULL,
    "Epochs of quantization-aware training; 0 = none" },
  { "batches", QK_OPT_INT, "20", 0, 1e9, NULL,
    "Batches of an epoch; 0 = all samples" },
  { "from_ptq", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether quantization-aware training begins with the weights and grids "
    "that post-training quantization and its methods leave" },
  { "teacher", QK_OPT_PATH, "", 0, 0, NULL,
    "Weights of the float network that losses and metrics with a teacher "
    "compare with; empty = those that the run begins with" },
  { "freeze", QK_OPT_STRING, "", 0, 0, NULL,
    "Parameters that quantization-aware training leaves as they are, "
    "PATTERN[,PATTERN]..." },
  { "ema", QK_OPT_FLOAT, "0", 0, 0.9999999, NULL,
    "Share of an average of the network's weights that is kept at each step; "
    "0 = no average" },
  { "ema_export", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether the average is the network that this training gives" },
  { "stop.patience", QK_OPT_INT, "0", 0, 1e6, NULL,
    "Epochs in a row without a better score after which training ends; 0 = "
    "never" },
  { "stop.score", QK_OPT_STRING, "", 0, 0, NULL,
    "Score of a metric, or loss, that decides; empty = the first score" },
  { "stop.min_delta", QK_OPT_FLOAT, "0", 0, 1e9, NULL,
    "How much better a score must be than the best to count as better" },
  { "freeze_bn_after", QK_OPT_INT, "3", -1, 1e6, NULL,
    "Epochs (counted from 0) after this one train with frozen batch-norm "
    "statistics" },
  { "bn_reestimate", QK_OPT_INT, "0", 0, 1e9, NULL,
    "Training batches on which batch-norm statistics are estimated anew "
    "before "
    "each evaluation and conversion; 0 = those of training" },
  { "bits_epochs", QK_OPT_FLOATS, "", 1, 1e6, NULL,
    "Epochs that each number of a list of bits in [qconfig] holds, but the "
    "last, which has the rest; empty = as many each" },
  { "oscillation.watch", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether to count the weights that flip between two integers; damping and "
    "freezing do so anyway" },
  { "oscillation.momentum", QK_OPT_FLOAT, "0.01", 1e-6, 1, NULL,
    "Share of the newest step in the frequency with which a weight flips" },
  { "oscillation.damping", QK_OPT_FLOAT, "0", 0, 1e6, NULL,
    "Factor of a loss that pulls weights to the middle of their bins, at the "
    "end; it rises from 0; 0 = none" },
  { "oscillation.freeze", QK_OPT_FLOAT, "0", 0, 1, NULL,
    "Frequency of flips above which a weight is frozen, at the end; 0 = "
    "never" },
  { "oscillation.freeze_start", QK_OPT_FLOAT, "0", 0, 1, NULL,
    "The same at the beginning; 0 = as at the end" },
  { "freeze_observers_after", QK_OPT_INT, "4", -1, 1e6, NULL,
    "Epochs (counted from 0) after this one train with frozen observers" },
  { "quantize_outputs", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether the network's outputs are quantized too, as in PyTorch" },
  { "best", QK_OPT_STRING, "", 0, 0, NULL,
    "Score of a metric, or loss, by which the best epoch is chosen; empty = "
    "the first score" },
  { "strict", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Fail if a node stays in float although the configuration does not ask "
    "for it" },
  END
};

static const char *const stages[] = { "all", "train", "qat", NULL };

const struct qk_option qk_table_loss[] = {
  { "name", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Loss plugin; auto = the NAME of [loss NAME], else what fits outputs and "
    "targets" },
  { "weight", QK_OPT_FLOAT, "1", 0, 1e9, NULL,
    "Factor of this loss in the sum that is minimised" },
  { "output", QK_OPT_STRING, "", 0, 0, NULL,
    "Outputs of the network it compares, NAME[,NAME]...; empty = the first, "
    "with a teacher all, or none where there are tensors" },
  { "tensors", QK_OPT_STRING, "", 0, 0, NULL,
    "With a teacher: nodes of the network whose values it compares, "
    "PATTERN[,PATTERN]..." },
  { "target", QK_OPT_STRING, "", 0, 0, NULL,
    "Targets of the dataset it compares with, NAME[,NAME]...; empty = the "
    "first" },
  { "during", QK_OPT_CHOICE, "all", 0, 0, stages,
    "Training in which it counts: float training, QAT or both; one with a "
    "teacher counts in QAT only" },
  END
};

const struct qk_option qk_table_metric[] = {
  { "name", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Metric plugin; auto = the NAME of [metric NAME], else what fits outputs "
    "and targets" },
  { "output", QK_OPT_STRING, "", 0, 0, NULL,
    "Outputs of the network it looks at, NAME[,NAME]...; empty = the first, "
    "with a teacher all" },
  { "target", QK_OPT_STRING, "", 0, 0, NULL,
    "Targets of the dataset it compares with, NAME[,NAME]...; empty = the "
    "first" },
  END
};

const struct qk_option qk_table_optimizer[]
  = { { "name", QK_OPT_STRING, "auto", 0, 0, NULL, "Optimizer plugin" },
      { "accumulate", QK_OPT_INT, "1", 1, 1e6, NULL,
        "Batches whose gradients make one step together" },
      { "clip_norm", QK_OPT_FLOAT, "0", 0, 1e12, NULL,
        "Norm of all gradients together above which they are scaled down to "
        "it; 0 = any" },
      { "clip_value", QK_OPT_FLOAT, "0", 0, 1e12, NULL,
        "Bound on each element of a gradient; 0 = none" },
      END };

const struct qk_option qk_table_optimizer_group[]
  = { { "decay_all", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "Whether weight decay also acts on biases and batch-norm" },
      END };

const struct qk_option qk_table_optimizer_learned[]
  = { { "name", QK_OPT_STRING, "", 0, 0, NULL,
        "Optimizer plugin of what quantizers learn; empty = that of "
        "[optimizer]" },
      { "decay_all", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Whether weight decay also acts on what quantizers learn" },
      END };

const struct qk_option qk_table_schedule[]
  = { { "name", QK_OPT_STRING, "auto", 0, 0, NULL,
        "Schedule plugin of the learning rate" },
      { "warmup", QK_OPT_FLOAT, "0", 0, 1e6, NULL,
        "Epochs of linear rise before the schedule begins" },
      { "score", QK_OPT_STRING, "", 0, 0, NULL,
        "Score of a metric, or loss, that the schedule follows, if it follows "
        "one; empty = the first score" },
      END };

const struct qk_option qk_table_qconfig[] = {
  { "quantize", QK_OPT_BOOL, "yes", 0, 0, NULL,
    "Whether the node is quantized; no leaves it in float" },
  { "preset", QK_OPT_CHOICE, "default", 0, 0, presets,
    "What of the node is quantized: weights and activations, one of the two "
    "(to "
    "see what it costs), or nothing; w4a4-papers and the like: so many bits, "
    "but for the first and last layer and what no product takes" },
  { "activation.observer", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Observer plugin for activations (QAT)" },
  { "activation.fakequant", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Fake-quantizer plugin for activations" },
  { "activation.bits", QK_OPT_FLOATS, "0", 0, 16, NULL,
    "Bits of an activation, 2 to 16; more than 8 are slower, and for outputs "
    "that are numbers; 0 = what the backend prefers on this "
    "machine "
    "(7 where vpmaddubsw could saturate, else 8); BITS,BITS...: one after the "
    "other in the course of QAT" },
  { "activation.symmetric", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether the zero point of an activation is in the middle of its range" },
  { "weight.observer", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Observer plugin for weights (QAT)" },
  { "weight.fakequant", QK_OPT_STRING, "auto", 0, 0, NULL,
    "Fake-quantizer plugin for weights" },
  { "weight.bits", QK_OPT_FLOATS, "8", 2, 8, NULL,
    "Bits of a weight; BITS,BITS...: one after the other in the course of "
    "QAT" },
  { "weight.narrow", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether weights do without the lowest integer, so that there are as many "
    "below 0 as above; with 2 bits they are ternary" },
  { "weight.symmetric", QK_OPT_BOOL, "yes", 0, 0, NULL,
    "Always yes: the integer formulas have no zero_point of weights" },
  { "weight.per_channel", QK_OPT_CHOICE, "auto", 0, 0, auto_yes_no,
    "Whether each output channel has its own scale; auto = as the backend "
    "prefers" },
  END
};
