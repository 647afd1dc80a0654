/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c: the program: subcommands, options, signals. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "cli/cli.h"
#include "plugin/loader-priv.h"

/* Letters of the options: o override, r resume, w overwrite, O output, t threads, b
 * backend, m model, n batches, j json, E onnx, y tflite, f form, u io, W weights, c c, X prefix, Y split,
 * F no-float, Z selftest, V test-vectors; those of bench: x train, T
 * threads, B backend, N batch, L layers, s seconds, R runs, S size, C classes,
 * M mode, J json; P plugin, where models are opened; those of analyze: p samples, H html, J json; those of tune:
 * g goal, i trials, z minimize; k per-class, of eval; D data, of files with a network; I input
 * of predict; A save-outputs. */
static const struct qk_command commands[] = {
  { "run", "[FILE.ini | NET.onnx]",
    "the whole schedule: float, PTQ, QAT, int8",
    "Without FILE.ini a narrow MobileNetV2 is trained on generated images.\n"
    "A network in a file needs --data, its samples.\n"
    "Writes weights, models, checkpoints and a log into one folder.",
    "orwOtbjD", qk_cmd_run, true },
  { "train", "FILE.ini", "float training alone",
    "Writes weights.safetensors, with PyTorch's names and shapes.", "orwOtjD",
    qk_cmd_train, true },
  { "ptq", "FILE.ini", "post-training quantization of given weights",
    "Writes model-ptq.safetensors.", "oOtbjD", qk_cmd_ptq, true },
  { "qat", "FILE.ini", "quantization-aware training of given weights",
    "Writes model-int8.safetensors.", "orwOtbjD", qk_cmd_qat, true },
  { "compare", "FILE.ini", "float, PTQ variants and QAT side by side",
    "PTQ dynamic, per tensor and per channel, each with activation ranges by\n"
    "minmax and by the observer of the configuration, and with equalization,\n"
    "bias correction and adaptive rounding.",
    "owOtbj", qk_cmd_compare, true },
  { "eval", "FILE.ini | MODEL", "metrics of a float network or int8 model",
    "A model is evaluated on the samples of the configuration it was made\n"
    "with; change that with -o, as in -o data.root=FOLDER.",
    "otbnkjDPA", qk_cmd_eval, true },
  { "predict", "MODEL FILE...", "what a model answers for single files",
    "Prints the answers of the model's metric, such as classes and their\n"
    "probabilities, or else its outputs.  A file that cannot be read is "
    "named\n"
    "and skipped; the exit status is then 1.  With --output or --input, and\n"
    "of a network (.onnx), the files are arrays (.npy, .npz), one for each\n"
    "input, and the outputs themselves are printed or written; images in\n"
    "arrays are (N,C,H,W).",
    "otbjOIP", qk_cmd_predict, false },
  { "verify", "FOLDER | CHECKPOINT", "proof: int8 computes what was trained",
    "FOLDER is the output of a run: its best.safetensors is compared with "
    "its\n"
    "model-int8.safetensors.  The network of a CHECKPOINT alone is converted\n"
    "first, or compared with --model.  Exit status 1 if any byte differs.",
    "otbmnjP", qk_cmd_verify, false },
  { "bench", "MODEL | FILE.ini", "speed of int8 backends, and of training",
    "MODEL is an int8 model, or the name of a model plugin, which gets "
    "random\n"
    "weights and is quantized in memory.  FILE.ini describes such a network,\n"
    "and the training that --train measures.  Exit status 1 if a backend\n"
    "cannot run here.",
    "oxTBNLsRSCMJP", qk_cmd_bench, false },
  { "analyze", "FILE.ini | FOLDER", "where accuracy is lost, layer by layer",
    "FILE.ini: post-training quantization of its float weights.  FOLDER (or "
    "a\n"
    "checkpoint in it): the network that QAT of a run ended with.  Layers "
    "are\n"
    "quantized one by one on a subset of the samples.  Writes report.html "
    "there.",
    "oOtbnpHJP", qk_cmd_analyze, false },
  { "tune", "FILE.ini", "settings that reach an accuracy goal",
    "Tries weights per channel and per tensor, observers and bits after\n"
    "training; if the goal needs it, training with quantization, then the\n"
    "most sensitive layers in float.  With --minimize each layer gets its "
    "own\n"
    "bits, as cheap as the goal allows.  Writes tune.jsonl, tuned.ini and\n"
    "tuning.html.\n"
    "Exit status 1 if no trial reaches the goal.",
    "orwOtbngizj", qk_cmd_tune, false },
  { "convert", "FILE.ini | FOLDER", "the int8 model of a checkpoint",
    "FOLDER is the output of a run, FILE.ini a configuration that names it.\n"
    "Writes model-int8.safetensors there, from best.safetensors or, before\n"
    "that is there, the newest checkpoint.",
    "oP", qk_cmd_convert, false },
  { "export", "FILE [FOLDER]", "a network as ONNX, TFLite, C; data as JPEGs",
    "With --onnx: FILE is an int8 model, or a configuration, whose float\n"
    "network is written.\n"
    "With --tflite: FILE is an int8 model.\n"
    "With --c: FILE is an int8 model, written as C source into a folder.\n"
    "Without: the samples of the configuration FILE go to FOLDER, as JPEGs\n"
    "in class folders.",
    "otEyfuWVcXYFZP", qk_cmd_export, false },
  { "inspect", "FILE", "graph, scales and sizes of a model; tensors",
    "FILE is an int8 model, or any other file of tensors: weights, a\n"
    "checkpoint.  Of a configuration, FILE.ini, the coverage report is\n"
    "printed: which nodes become int8, which stay float and why, and their\n"
    "shares of the multiply-accumulates; also of a network, NET.onnx.",
    "obdjP", qk_cmd_inspect, false },
  { "plugins", "[NAME | KIND/NAME]", "what is installed; options of a plugin",
    "Exit status 1 if a plugin cannot be loaded.", "j", qk_cmd_plugins,
    false },
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

struct option_row {
  char letter;
  const char *name, *argument, *help;
};

static const struct option_row option_rows[] = {
  { 'o', "option", "SECTION.KEY=VALUE",
    "set a key; SECTION:KEY=VALUE where\n"
    "SECTION has a dot; may be repeated" },
  { 'r', "resume", NULL, "continue from the newest checkpoint" },
  { 'w', "overwrite", NULL, "begin anew where an unfinished run is" },
  { 'O', "output", "FOLDER", "folder for what is written (run.output)" },
  { 't', "threads", "N", "threads that compute (run.threads)" },
  { 'b', "backend", "NAME", "int8 backend (qat.backend); verify: a,b" },
  { 'd', "format", "NAME",
    "what the model would need in this\n"
    "format: csource says bytes of memory" },
  { 'm', "model", "FILE", "the int8 model to compare with" },
  { 'E', "onnx", "OUT", "write the network to this ONNX file" },
  { 'y', "tflite", "OUT", "write the network as a TFLite (LiteRT) model" },
  { 'f', "form", "FORM", "--onnx: int8 as qdq (default) or qoperator" },
  { 'u', "io", "TYPE", "inputs and outputs: float, uint8 or int8" },
  { 'W', "weights", "TYPE", "--onnx: those of 4 bits, int8 or int4" },
  { 'V', "test-vectors", "N", "--onnx: what N samples give, beside it" },
  { 'c', "c", "FOLDER", "write the network as C source into FOLDER" },
  { 'X', "prefix", "NAME", "--c: what files and names begin with (network)" },
  { 'Y', "split", NULL, "--c: the weights in a file of their own" },
  { 'F', "no-float", NULL, "--c: without any floating-point number" },
  { 'Z', "selftest", "N", "--c: test vectors of N samples beside it" },
  { 'n', "batches", "N", "use only N batches" },
  { 'k', "per-class", NULL,
    "also what the metrics give class by\n"
    "class, and the confusion matrix" },
  { 'g', "goal", "GOAL",
    "such as 'miou >= float - 0.5' or\n"
    "'mae <= float + 2 %'" },
  { 'i', "trials", "N", "run at most N trials (40)" },
  { 'z', "minimize", "COST",
    "bits for each layer, so that the network\n"
    "has fewest bytes, bitops or latency" },
  { 'p', "samples", "N", "samples of the subset (64)" },
  { 'H', "html", "FILE", "the report, instead of report.html" },
  { 'A', "save-outputs", "FILE",
    "write the outputs for all samples as\n"
    "arrays: .npy, or .npz" },
  { 'D', "data", "FOLDER", "the samples of a network in a file" },
  { 'P', "plugin", "FILE",
    "a plugin that models may name by its\n"
    "path; may be repeated" },
  { 'I', "input", "NAME=FILE", "array for the input NAME; may be repeated" },
  { 'j', "json", NULL, "results as JSON on standard output" },
  { 'x', "train", NULL, "measure training steps instead" },
  { 'B', "backend", "NAME[,NAME]...", "int8 backends; also float" },
  { 'T', "threads", "N[,N]...", "threads that compute" },
  { 'N', "batch", "N[,N]...", "samples in a batch" },
  { 'S', "size", "N", "random images of N x N pixels" },
  { 'C', "classes", "N", "classes of the random images (1000)" },
  { 'L', "layers", NULL, "also measure each node" },
  { 'M', "mode", "float|qat", "--train: measure only these steps" },
  { 's', "seconds", "N", "measure each for N seconds (2)" },
  { 'R', "runs", "N", "measure each N times instead" },
  { 'J', "json", "FILE", "results as JSON; - = standard output" },
};
#define N_OPTION_ROWS (sizeof option_rows / sizeof *option_rows)

/* Set by the thread that waits for signals, read by the loops. */
static volatile sig_atomic_t stop_wanted;

/* The signals that ask to stop.  They are blocked in every thread: machine code
 * that oneDNN makes at run time keeps data where a handler's stack frame would
 * go, so that no handler may run on a thread that computes. */
static sigset_t stop_signals;

static void *
wait_for_signals (void *unused)
{
  int sig;

  (void) unused;
  while (sigwait (&stop_signals, &sig) != 0)
    ;
  __atomic_store_n (&stop_wanted, 1, __ATOMIC_RELAXED);
  pthread_sigmask (SIG_UNBLOCK, &stop_signals, NULL);
  pause (); /* a second one ends the process at once */
  return NULL;
}

/* From now on a signal that asks to stop sets stop_wanted.  SIGHUP only where
 * it is not ignored, as nohup has it. */
static int
catch_signals (void)
{
  struct sigaction old;
  pthread_t thread;
  int err;

  sigemptyset (&stop_signals);
  sigaddset (&stop_signals, SIGINT);
  sigaddset (&stop_signals, SIGTERM);
  if (sigaction (SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
    sigaddset (&stop_signals, SIGHUP);
  /* a shell ignores SIGINT in what it puts in the background */
  signal (SIGINT, SIG_DFL);
  signal (SIGTERM, SIG_DFL);
  pthread_sigmask (SIG_BLOCK, &stop_signals, NULL);
  err = pthread_create (&thread, NULL, wait_for_signals, NULL);
  if (err != 0)
    return qk_error (-err,
                     "cannot start the thread that waits for signals: %s",
                     strerror (err));
  pthread_detach (thread);
  return 0;
}

static void
print_log (void *cookie, enum qk_log_level level, const char *message)
{
  static const char *const prefix[]
    = { "error: ", "warning: ", "", "debug: " };
  struct qk_cli *cli = cookie;

  if (cli->quiet && level >= QK_LOG_INFO)
    return;
  qk_progress_clear (cli->monitor.progress);
  fprintf (stderr, "qatkit: %s%s\n", prefix[level], message);
}

static void
print_usage (FILE *out)
{
  size_t i;

  fprintf (out, "usage: qatkit COMMAND [OPTION]... ARGUMENT...\n"
                "Quantization-aware training with plugins.\n\n");
  for (i = 0; i < N_COMMANDS; i++)
    fprintf (out, "  %-8s %-20s %s\n", commands[i].name, commands[i].arguments,
             commands[i].summary);
  fprintf (out, "\nqatkit COMMAND --help explains each; qatkit --version the "
                "version.\n");
}

/* HELP may have several lines. */
static void
print_option (const char *left, const char *help)
{
  const char *end;

  for (; (end = strchr (help, '\n')) != NULL; help = end + 1, left = "")
    printf ("  %-30s %.*s\n", left, (int) (end - help), help);
  printf ("  %-30s %s\n", left, help);
}

static void
print_help (const struct qk_command *c)
{
  char left[64];
  size_t i;

  printf ("usage: qatkit %s [OPTION]... %s\n%s\n", c->name, c->arguments,
          c->summary);
  if (c->help != NULL)
    printf ("\n%s\n", c->help);
  printf ("\n");
  for (i = 0; i < N_OPTION_ROWS; i++) {
    const struct option_row *o = &option_rows[i];

    if (strchr (c->options, o->letter) == NULL)
      continue;
    if (o->letter == 'o')
      snprintf (left, sizeof left, "-o, --%s %s", o->name, o->argument);
    else
      snprintf (left, sizeof left, "    --%s%s%s", o->name,
                o->argument ? " " : "", o->argument ? o->argument : "");
    print_option (left, o->help);
  }
  print_option ("-q, --quiet", "no progress and no notes");
  print_option ("-v, --verbose", "more notes");
  print_option ("-h, --help", "this text");
}

/* Whether nobody reads standard output any more, as after "| head". */
static bool
reader_is_gone (void)
{
  struct pollfd out = { STDOUT_FILENO, 0, 0 };

  return poll (&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

int
qk_cli_fail (struct qk_cli *cli, int r)
{
  qk_progress_clear (cli->monitor.progress);
  if (r == -EIO && ferror (stdout) && reader_is_gone ())
    return QK_EXIT_FAILURE; /* who ends a pipe wants no word about it */
  if (qk_comm_size (cli->monitor.comm) > 1)
    fprintf (stderr, "process %d of %d: ", qk_comm_rank (cli->monitor.comm),
             qk_comm_size (cli->monitor.comm));
  fprintf (stderr, "qatkit: %s\n",
           *qk_error_message () ? qk_error_message () : strerror (-r));
  return r == -EINTR ? QK_EXIT_INTERRUPTED : QK_EXIT_FAILURE;
}

int
qk_cli_usage (struct qk_cli *cli, const char *fmt, ...)
{
  va_list args;

  fprintf (stderr, "qatkit %s: ", cli->command);
  va_start (args, fmt);
  vfprintf (stderr, fmt, args);
  va_end (args);
  fprintf (stderr, "\nsee qatkit %s --help\n", cli->command);
  return QK_EXIT_USAGE;
}

#define MOST_OF_ANYTHING 1000000000L

static int
positive (struct qk_cli *cli, const char *option, const char *value, long *out)
{
  char *end;

  errno = 0;
  *out = strtol (value, &end, 10);
  if (*value >= '0' && *value <= '9' && *end == 0 && errno == 0 && *out > 0
      && *out <= MOST_OF_ANYTHING)
    return 0;
  qk_cli_usage (cli, "--%s is '%s', expected a number from 1 to %ld", option,
                value, MOST_OF_ANYTHING);
  return -2;
}

/* The plugin in FILE may be loaded though a model or checkpoint names it. */
static int
give_plugin (struct qk_cli *cli, const char *file)
{
  if (strchr (file, '/') == NULL) {
    qk_cli_usage (cli,
                  "--plugin is '%s', expected the path of a .so, such as "
                  "./%s",
                  file, file);
    return -2;
  }
  if (qk_context_give_path (cli->ctx, file) < 0) {
    qk_cli_usage (cli, "%s", qk_error_message ());
    return -2;
  }
  return 0;
}

/* Take the option LETTER; -1 if it is not one of command C. */
static int
take_option (struct qk_cli *cli, const struct qk_command *c, int letter,
             char *value)
{
  if (letter == 'q') {
    cli->quiet = true;
    return 0;
  }
  if (letter == 'v') {
    cli->verbose = true;
    return 0;
  }
  if (strchr (c->options, letter) == NULL)
    return -1;
  switch (letter) {
  case 'o':
    cli->override[cli->n_override++] = value;
    break;
  case 'r':
    cli->resume = true;
    break;
  case 'w':
    cli->overwrite = true;
    break;
  case 'O':
    cli->output = value;
    break;
  case 't':
    cli->threads = value;
    break;
  case 'b':
    cli->backend = value;
    break;
  case 'd':
    cli->format = value;
    break;
  case 'm':
    cli->model = value;
    break;
  case 'E':
    cli->onnx = value;
    break;
  case 'y':
    cli->tflite = value;
    break;
  case 'f':
    cli->form = value;
    break;
  case 'u':
    cli->io = value;
    break;
  case 'W':
    cli->weights = value;
    break;
  case 'c':
    cli->c_folder = value;
    break;
  case 'X':
    cli->prefix = value;
    break;
  case 'Y':
    cli->split = true;
    break;
  case 'F':
    cli->no_float = true;
    break;
  case 'Z':
    return positive (cli, "selftest", value, &cli->selftest);
  case 'V':
    return positive (cli, "test-vectors", value, &cli->test_vectors);
  case 'j':
    cli->json = true;
    break;
  case 'k':
    cli->tables = true;
    break;
  case 'x':
    cli->bench.train = true;
    break;
  case 'L':
    cli->bench.layers = true;
    break;
  case 'B':
    cli->bench.backends = value;
    break;
  case 'T':
    cli->bench.threads = value;
    break;
  case 'N':
    cli->bench.batches = value;
    break;
  case 'S':
    cli->bench.size = value;
    break;
  case 'C':
    cli->bench.classes = value;
    break;
  case 'M':
    cli->bench.mode = value;
    break;
  case 's':
    cli->bench.seconds = value;
    break;
  case 'R':
    cli->bench.runs = value;
    break;
  case 'J':
    cli->json_file = value;
    break;
  case 'D':
    cli->data = value;
    break;
  case 'A':
    cli->save_outputs = value;
    break;
  case 'I':
    cli->input[cli->n_input++] = value;
    break;
  case 'P':
    return give_plugin (cli, value);
  case 'n':
    return positive (cli, "batches", value, &cli->limit);
  case 'g':
    cli->goal = value;
    break;
  case 'i':
    return positive (cli, "trials", value, &cli->trials);
  case 'z':
    cli->minimize = value;
    break;
  case 'H':
    cli->html = value;
    break;
  case 'p':
    return positive (cli, "samples", value, &cli->samples);
  }
  return 0;
}

static const char *
option_name (int letter)
{
  size_t i;

  for (i = 0; i < N_OPTION_ROWS && option_rows[i].letter != letter; i++)
    ;
  return i < N_OPTION_ROWS ? option_rows[i].name : "?";
}

/* An option nobody knows, or one that LACKS its argument. */
static void
bad_option (struct qk_cli *cli, const struct qk_command *c, const char *text,
            bool lacks)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];
  size_t i;

  if (lacks) {
    qk_cli_usage (cli, "option '%s' lacks its argument", text);
    return;
  }
  qk_nearest_init (&near, text + strspn (text, "-"));
  for (i = 0; i < N_OPTION_ROWS; i++)
    if (strchr (c->options, option_rows[i].letter) != NULL)
      qk_nearest_offer (&near, option_rows[i].name);
  qk_cli_usage (cli, "unknown option '%s'%s", text,
                qk_nearest_hint (&near, hint));
}

/* The options by name: those of command C, then the others, which are only
 * there to be told apart from misspelled ones. */
static size_t
list_options (const struct qk_command *c, struct option *out)
{
  size_t n = 0, i, j;

  for (int own = 1; own >= 0; own--)
    for (i = 0; i < N_OPTION_ROWS; i++) {
      const struct option_row *o = &option_rows[i];

      if ((strchr (c->options, o->letter) != NULL) != (own == 1))
        continue;
      for (j = 0; j < n && strcmp (out[j].name, o->name) != 0; j++)
        ;
      if (j == n)
        out[n++]
          = (struct option){ o->name, o->argument != NULL, NULL, o->letter };
    }
  return n;
}

static int
parse (struct qk_cli *cli, const struct qk_command *c, int argc, char **argv)
{
  struct option longs[N_OPTION_ROWS + 4];
  size_t i = list_options (c, longs);
  int letter, r;

  longs[i++] = (struct option){ "quiet", 0, NULL, 'q' };
  longs[i++] = (struct option){ "verbose", 0, NULL, 'v' };
  longs[i++] = (struct option){ "help", 0, NULL, 'h' };
  longs[i] = (struct option){ NULL, 0, NULL, 0 };
  optind = 1;
  opterr = 0;
  while ((letter = getopt_long (argc, argv, ":o:qvh", longs, NULL)) != -1) {
    if (letter == 'h') {
      print_help (c);
      return 1;
    }
    if (letter == '?' || letter == ':') {
      bad_option (cli, c, argv[optind - 1], letter == ':');
      return -1;
    }
    if ((r = take_option (cli, c, letter, optarg)) == -1) {
      qk_cli_usage (cli, "option '--%s' is not one of this command",
                    option_name (letter));
      return -1;
    }
    if (r < 0)
      return -1;
  }
  cli->arg = argv + optind;
  cli->n_args = argc - optind;
  return 0;
}

static int
run_command (const struct qk_command *c, int argc, char **argv)
{
  struct qk_cli cli;
  int r = QK_EXIT_FAILURE, p;
  bool first = true;

  memset (&cli, 0, sizeof cli);
  cli.command = c->name;
  cli.override = calloc ((size_t) argc + 1, sizeof *cli.override);
  cli.input = calloc ((size_t) argc + 1, sizeof *cli.input);
  cli.ctx = qk_context_new ();
  if (cli.override == NULL || cli.input == NULL || cli.ctx == NULL) {
    fprintf (stderr, "qatkit: out of memory\n");
    goto end;
  }
  if ((p = parse (&cli, c, argc, argv)) != 0) {
    r = p < 0 ? QK_EXIT_USAGE : QK_EXIT_OK;
    goto end;
  }
  cli.monitor.stop = &stop_wanted;
  cli.monitor.progress = qk_progress_new (
    stderr, cli.quiet ? QK_PROGRESS_QUIET : QK_PROGRESS_AUTO);
  qk_context_set_log (cli.ctx, print_log, &cli,
                      cli.verbose ? QK_LOG_DEBUG : QK_LOG_INFO);
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN);
  if ((p = catch_signals ()) < 0
      || (p = c->shared ? 0 : qk_cli_is_first (&cli, &first)) < 0)
    r = qk_cli_fail (&cli, p);
  else
    r = first ? c->run (&cli) : QK_EXIT_OK;
end:
  qk_monitor_close (&cli.monitor);
  qk_progress_free (cli.monitor.progress);
  qk_context_free (cli.ctx);
  free (cli.override);
  free (cli.input);
  return r;
}

/* libgomp's threads spin for long at the end of each loop, which on a busy
 * machine (or with threads that read samples) makes everything slower; with
 * fewer than some thousand turns they sleep between the loops of one step,
 * which costs more.  libgomp reads this before main, so the program starts
 * itself once more. */
static void
limit_spinning (char **argv)
{
  if (getenv ("GOMP_SPINCOUNT") != NULL || getenv ("OMP_WAIT_POLICY") != NULL)
    return;
  if (setenv ("GOMP_SPINCOUNT", "10000", 1) == 0)
    execv ("/proc/self/exe", argv);
  /* without /proc it just goes on */
}

static int
dispatch (int argc, char **argv)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];
  size_t i;

  if (argc < 2) {
    print_usage (stderr);
    return QK_EXIT_USAGE;
  }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0
      || strcmp (argv[1], "help") == 0) {
    print_usage (stdout);
    return QK_EXIT_OK;
  }
  if (strcmp (argv[1], "--version") == 0) {
    printf ("%s (plugin ABI %d)\n", PACKAGE_STRING, QK_ABI_MAJOR);
    return QK_EXIT_OK;
  }
  qk_nearest_init (&near, argv[1]);
  for (i = 0; i < N_COMMANDS; i++) {
    if (strcmp (argv[1], commands[i].name) == 0) {
      limit_spinning (argv);
      return run_command (&commands[i], argc - 1, argv + 1);
    }
    qk_nearest_offer (&near, commands[i].name);
  }
  fprintf (stderr, "qatkit: unknown command '%s'%s\n", argv[1],
           qk_nearest_hint (&near, hint));
  return QK_EXIT_USAGE;
}

int
main (int argc, char **argv)
{
  const int r = dispatch (argc, argv);

  if (fflush (stdout) == 0 && !ferror (stdout))
    return r;
  if (reader_is_gone ()) { /* end as other programs do, without a word */
    signal (SIGPIPE, SIG_DFL);
    raise (SIGPIPE);
  }
  fprintf (stderr, "qatkit: cannot write to standard output\n");
  return QK_EXIT_FAILURE;
}
