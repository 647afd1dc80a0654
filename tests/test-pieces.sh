#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Small networks with what PyTorch writes in a way of its own (attention,
# norms, views, windows): its outputs, int8 by PTQ and QAT, no byte differs.
. "${0%/*}/functions.sh"
python_with torchvision onnx numpy
qatkit plugins models/onnx > /dev/null 2>&1 \
  || skip "built without protobuf-c or onnx.proto"

cat > program << END
#!/bin/sh
exec $QATKIT "\$@"
END
chmod +x program
"$python" -W ignore "$srcdir/tests/zoo/pieces.py" --program "$tmp/program" \
  > out 2>&1 || failed "a network"
cat out
exit 0
