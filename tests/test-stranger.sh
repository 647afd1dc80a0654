#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files from strangers: a file of a few bytes that asks for huge shapes,
# windows, weights, batches or nesting is refused in words by every command
# that opens it, at once and in little memory.
. "${0%/*}/functions.sh"
requires python3 timeout

direct
# a sanitizer needs terabytes of addresses for itself
grep -q '^#define QK_SANITIZED' "$builddir/config.h" || ulimit -v 3000000
OMP_NUM_THREADS=2
export OMP_NUM_THREADS
program=$QATKIT
QATKIT="timeout 120 $program"

cp "$srcdir/tests/golden/jpeg/odd.jpg" pic.jpg
cp "$srcdir/tests/golden/pth/cnn.pth" good.pth

cat > make.py <<'END'
import json
import struct
import zipfile

GRID = [0.05, 128, 0, 255]
WINDOW = ["kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h",
          "dilation_w", "groups"]
PADDING = ["pad_top", "pad_left", "pad_bottom", "pad_right"]


def model(name, graph, tensors=(), config="", classes=("a", "b"),
          version="1.0", targets=None):
    if not isinstance(graph, str):
        graph = json.dumps(graph)
    header = {"__metadata__": {
        "qatkit.model": version, "qatkit.graph": graph,
        "qatkit.targets": json.dumps(targets if targets is not None else [
            {"name": "label", "dtype": "i32", "shape": [1],
             "categories": len(classes), "names": classes}]),
        "qatkit.config": config}}
    data = b""
    for tensor, dtype, shape, content in tensors:
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets":
                          [len(data), len(data) + len(content)]}
        data += content
    header = json.dumps(header).encode()
    with open(name + ".safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header + data)


INPUT = {"name": "image", "constant": False, "grid": GRID}


def outputs(value):
    return [{"name": "logits", "value": value}]


def graph(shape, *nodes):
    """Nodes (kind, output shape, geometry) in a row."""
    values = [dict(INPUT, shape=shape)]
    result = []
    for i, (kind, out, geometry) in enumerate(nodes):
        op = {"kind": kind, "lo": 0, "hi": 255, "count_pad": 0,
              "weight_scales": 1, "function": 0,
              "in_channels": values[-1]["shape"][-1],
              "out_channels": out[-1], "function": 0, "weight_scales": 1}
        op.update({key: 1 for key in WINDOW}, **{key: 0 for key in PADDING})
        op.update(geometry)
        values.append({"shape": out, "grid": GRID})
        result.append({"name": "n%d" % i, "layer": kind, "options": "",
                       "in": [i], "out": i + 1, "op": op})
    return {"values": values, "nodes": result,
            "outputs": outputs(len(result))}


def layer(name, options, shape, out):
    """A node that a layer computes in float."""
    return {"values": [dict(INPUT, shape=shape), {"shape": out}],
            "nodes": [{"name": "n0", "layer": name, "options": options,
                       "in": [0], "out": 1, "absorbed": []}],
            "outputs": outputs(1)}


def weights(shape):
    k, count = shape[0], 1
    for n in shape:
        count *= n
    return [("n0.weight", "I8", shape, bytes(count)),
            ("n0.bias", "I32", [k], bytes(4 * k)),
            ("n0.multiplier", "F32", [k], struct.pack("<f", 0.01) * k),
            ("n0.weight_scale", "F32", [1], struct.pack("<f", 0.2))]


def square(kernel):
    pad = kernel // 2
    return dict({key: pad for key in PADDING}, kernel_h=kernel,
                kernel_w=kernel)


BIG = [1, 8192, 8192, 4]
MANY = [1, 2048, 2048, 64]
TINY = [1, 1, 1, 1]
model("value", graph([1, 32768, 16384, 1], ("clamp", [1, 32768, 16384, 1], {})))
model("values", graph(BIG, *[("clamp", BIG, {})] * 20))
model("window", graph(BIG, ("maxpool2d", BIG, square(4095))))
model("work", graph(MANY, ("conv2d", MANY, square(11))),
      weights([64, 11, 11, 64]))
model("weights", graph([1, 1, 1, 1 << 24], ("conv2d", [1, 1, 1, 1 << 24], {})))
model("nodes", graph(TINY, *[("clamp", TINY, {})] * 10001))
model("layer", layer("linear", "out=4096", [1, 4096], [1, 4096]))
model("layer-value", layer("conv2d", "out=4096 padding=255", [1, 1, 1, 1],
                           TINY))
model("layer-window", layer("maxpool2d", "kernel=255 stride=1 padding=127",
                            BIG, BIG))
model("deep", "[" * 1000000)
model("classes", graph(TINY, ("clamp", TINY, {})), classes=[""] * 1000001)
model("targets", graph(TINY, ("clamp", TINY, {})), targets=[{}] * 33)

# many values that are alive at once: each is added to the last one
pyramid = graph([1, 1, 1, 4], *[("clamp", [1, 1, 1, 4], {})] * 4900,
                *[("binary", [1, 1, 1, 4], {})] * 4900)
for i in range(4900):
    pyramid["nodes"][4900 + i]["in"] = [4900 - i, 4900 + i]
model("pyramid", pyramid)

# sound networks with a configuration that is not
OK = graph([1, 16, 16, 3], ("conv2d", [1, 16, 16, 2], {}),
           ("avgpool2d", [1, 2], {"kernel_h": 16, "kernel_w": 16}))
SHAPES = "[data]\ndataset = shapes\nsize = 16\n"
for name, config in {
        "samples": SHAPES + "val_count = 1000000000\n",
        "batch": "[data]\ndataset = shapes\nsize = 256\neval_batch = 65536\n",
        "arch": SHAPES + "[model]\narch = cnn\nchannels = 1024\ndepth = 64\n",
        "keys": SHAPES + "".join("k%d = 1\n" % i for i in range(100000)),
        "plugin": SHAPES + "[model]\narch = ./evil.so\n",
}.items():
    model("config-" + name, OK, weights([2, 1, 1, 3]), config)
model("sound", OK, weights([2, 1, 1, 3]), SHAPES)
for version in "1.9", "2.0", "0.3", "1.0x", "4294967297.0":
    model("version-" + version, OK, weights([2, 1, 1, 3]), SHAPES,
          version=version)
bent = json.loads(json.dumps(OK))
bent["values"][0]["shape"] = [1, 1 << 40, 16, 3]
model("bent", bent, weights([2, 1, 1, 3]), SHAPES)
bent["values"][0]["shape"] = [1, 16, "16", 3]
model("typed", bent, weights([2, 1, 1, 3]), SHAPES)

# a sample that claims 65500 x 65500
data = bytearray(open("pic.jpg", "rb").read())
at = next(i for i in range(len(data)) if data[i] == 255
          and data[i + 1] in (0xc0, 0xc1, 0xc2))
data[at + 5:at + 9] = struct.pack(">HH", 65500, 65500)
open("huge.jpg", "wb").write(data)

# an archive that claims gigabytes for each of its storages
with zipfile.ZipFile("good.pth") as z:
    sizes = {e.file_size for e in z.infolist() if "/data/" in e.filename}
data = open("good.pth", "rb").read()
for size in sizes:
    data = data.replace(struct.pack("<II", size, size),
                        struct.pack("<II", size, 0xfffffff0))
open("storage.pth", "wb").write(data)
with zipfile.ZipFile("good.pth") as z, \
        zipfile.ZipFile("bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
    for e in z.infolist():
        content = z.read(e)
        if "/data/" in e.filename:
            content += bytes(1 << 28)
        bomb.writestr(e.filename, content)
END
python3 make.py || failed "make.py"

# refuse WORDS COMMAND…: status 1, the words, and it took no long time
refuse () {
  local words=$1 start=$SECONDS
  shift
  expect 1 "$@"
  says "$words"
  [ $((SECONDS - start)) -lt 60 ] || failed "$* took $((SECONDS - start)) s"
}

# every command that reads the network of a model file
every () {
  local words=$1 file=$2.safetensors
  refuse "$words" inspect "$file"
  refuse "$words" inspect "$file" --backend fbgemm
  refuse "$words" predict "$file" pic.jpg
  refuse "$words" eval "$file"
  refuse "$words" bench "$file" --runs 1
  refuse "$words" export "$file" --onnx out.onnx
}
every "a tensor of more than 268435456 elements" value
every "node 'n15' makes 268435456 elements, more than" values
every "with node 'n0' a sample takes 4.5e+15 operations" window
every "with node 'n0' a sample takes 2.08e+12 operations" work
every "tensor 'n0.weight' is missing" weights
every "10001 nodes, expected 1 to 10000" nodes
every "its file cannot have more than" layer
every "makes 1069551616 elements, more than" layer-value
every "with node 'n0' a sample takes 1.75e+13 operations" layer-window
every "graph is not JSON" deep
every "not as many names as categories" classes
every "not a list of at most 32" targets
every "bent.safetensors: graph: 'shape' is not an integer in 1..16777216 but \
1099511627776" bent
every "'shape' is not an integer in 1..16777216 but text" typed

# versions: a newer minor is read, what is no version is called that
expect 0 inspect version-1.9.safetensors
every "version-2.0.safetensors: model format 2.0, this program reads 1.x" \
  version-2.0
every "model format 0.3, this program reads 1.x" version-0.3
for v in 1.0x 4294967297.0; do
  every "'qatkit.model' in its metadata is $v, expected a version like 1." \
    version-$v
done

refuse "1000000000 samples, a model's configuration may ask for 16777216" \
  eval config-samples.safetensors
refuse "eval_batch = 65536 samples of 786436 bytes" \
  eval config-batch.safetensors
for c in eval "bench --runs 1 --backend float"; do
  # shellcheck disable=SC2086
  refuse "its file cannot have more than" $c config-arch.safetensors
  # shellcheck disable=SC2086
  refuse "not a configuration" $c config-keys.safetensors
  # shellcheck disable=SC2086
  refuse "must not choose what code is r" $c config-plugin.safetensors
done

# the same sizes in a checkpoint's configuration; -o stands for what somebody
# may have written into it
expect 0 run --quiet tiny.ini -o train.epochs=1 -o qat.epochs=1
for c in verify analyze; do
  refuse "1000000000 samples, a model's configuration may ask for 16777216" \
    $c run -o data.val_count=1000000000
  refuse "eval_batch = 65536 samples of 786436 bytes" \
    $c run -o data.size=256 -o data.eval_batch=65536
  refuse "its file cannot have more than" $c run -o model.channels=1024
done
refuse "its file cannot have more than" convert run -o model.channels=1024
expect 0 verify --quiet run

# a sample and weights
expect 0 run --quiet tiny.ini -o train.epochs=0 -o ptq.enabled=yes \
  -o qat.epochs=0 -o run.output=ptq
refuse "65500 x 65500 pixels, accepted are sides of" \
  predict ptq/model-ptq.safetensors huge.jpg
if [ -e "$builddir/stage/formats/pth.so" ]; then
  refuse "a compressed or too large entry" inspect storage.pth
  refuse "a compressed or too large entry" inspect bomb.pth
  expect 0 inspect good.pth
fi

# Whatever the fuzzers start from: in order or refused, by every command.
for f in "$srcdir"/tests/fuzz/corpus/{model,safetensors,checkpoint,onnx}/*; do
  case $f in
  */onnx/*) name=stranger.onnx ;;
  *) name=stranger.safetensors ;;
  esac
  cp "$f" $name
  for c in inspect eval "bench --runs 1" "export --onnx out.onnx" verify; do
    # shellcheck disable=SC2086
    qatkit $c $name > out 2> err
    status=$?
    [ $status -le 1 ] || failed "$c of ${f#"$srcdir/"}: status $status"
    [ $status = 0 ] || [ -s err ] || failed "$c of $f: no word"
  done
done

# A pipe in place of a file is not waited for, and neither is a plugin that is one.
mkdir pipes
for f in x.safetensors x.pth x.onnx x.npy x.jpg x.so; do mkfifo pipes/$f; done
( direct # without a script in between, which would outlive its end
  QATKIT="timeout -k 1 30 $QATKIT"
  for f in pipes/x.*; do
    case $f in
    *.so) expect 1 plugins ./$f ;;
    *.jpg) expect 1 predict ptq/model-ptq.safetensors $f ;;
    *) expect 1 inspect $f ;;
    esac
    says "regular file"
  done
  for e in safetensors pth npy; do
    expect 1 eval tiny.ini -o model.weights=pipes/x.$e
    says "not a regular file"
  done
  mkdir -p plugins/observers && mkfifo plugins/observers/x.so
  QATKIT_PLUGIN_PATH=$tmp/plugins:${QATKIT_PLUGIN_PATH:-$builddir/stage}
  expect 0 inspect tiny.ini
  cp -r run piped
  for f in config.ini log.jsonl; do
    rm piped/$f && mkfifo piped/$f
    expect 0 analyze piped --samples 4
  done ) || exit 1

# names that would steer the terminal
python3 - ptq/model-ptq.safetensors colours.safetensors <<'END'
import json
import struct
import sys

data = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
targets = json.loads(header["__metadata__"]["qatkit.targets"])
targets[0]["names"] = ["a\x1b[1mb\u009bc"] * targets[0]["categories"]
header["__metadata__"]["qatkit.targets"] = json.dumps(targets)
del header["__metadata__"]["qatkit.checksum"] # anybody can leave it out
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text
                              + data[8 + size:])
END
expect 0 predict colours.safetensors pic.jpg
prints 'a?[1mb?c'

# a checkpoint with one bit bent, to look at
newest=$(find run/checkpoints -name '*.safetensors' | sort | tail -n 1)
expect 0 inspect "$newest"
cp "$newest" bent.safetensors
patch bent.safetensors $(($(wc -c < bent.safetensors) - 1)) '\x55'
refuse "bent.safetensors: damaged: the checksum" inspect bent.safetensors
head -c 9 "$newest" > bent.safetensors
refuse "too short for a safetensors file: 9 bytes, expected at least 10" \
  inspect bent.safetensors

expect 0 inspect sound.safetensors
expect 0 bench sound.safetensors --runs 1

# buffers that all live at once, and two threads to place them for
expect 0 bench pyramid.safetensors --runs 1 --threads 2
