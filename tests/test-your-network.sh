#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# docs/your-network.md: its module is exported by PyTorch, its commands are run,
# and the float outputs are PyTorch's.
. "${0%/*}/functions.sh"
page=$srcdir/docs/your-network.md
python_with torch onnx numpy
qatkit plugins models/onnx > /dev/null 2>&1 \
  || skip "built without protobuf-c or onnx.proto"

# ---- the module, arrays to go with it ------------------------------------------
awk '/^```python/ { on = 1; next } /^```/ { on = 0 } on' "$page" > make.py
cat >> make.py << 'END'
import numpy as np
torch.manual_seed(1)
for split, n in (("train", 64), ("val", 32)):
    x = torch.randn(n, 3, 32, 32)
    np.save(split + "-x.npy", x.numpy())
    np.save(split + "-y.npy", np.arange(n) % 10)
x = torch.randn(4, 3, 32, 32)
np.save("x.npy", x.numpy())
np.save("want.npy", net(x).detach().numpy())
END
"$python" make.py > log 2>&1 || { cat log; failed "PyTorch cannot export it"; }

# ---- pictures in class folders ----------------------------------------------------
expect 0 export -q tiny.ini images
awk '/^    \[run\]/ { on = 1 } on && !/^    / { exit } on' "$page" \
  | sed 's/^    //' > net.ini
grep -q '^file = net.onnx' net.ini || failed "the page has no configuration"

# ---- the commands -------------------------------------------------------------------
sed -n 's/^    qatkit /qatkit /p' "$page" > commands
[ "$(wc -l < commands)" -ge 9 ] || failed "the page has few commands"
while IFS= read -r line <&3; do
  read -ra word <<< "${line//FOLDER/images}"
  extra=()
  case $line in
  *'run net.onnx'*) extra=(-q -o qat.epochs=1 -o qat.batches=2 -o ptq.batches=2) ;;
  *'run net.ini') extra=(-q --output out2 -o qat.epochs=1) ;;
  *verify*) extra=(-q) ;;
  *bench*) extra=(--runs 1) ;;
  *analyze*) extra=(-q --samples 8 --batches 1) ;;
  esac
  expect 0 "${word[@]:1}" "${extra[@]}"
  case $line in
  *verify*) prints "0 differing bytes" ;;
  *inspect*) prints "100.0 % of MACs" ;;
  esac
done 3< commands
expect 0 verify -q out2
"$python" - << 'END' || failed "the float outputs are not PyTorch's"
import numpy as np
a, b = np.load("y.npy"), np.load("want.npy")
raise SystemExit(not (a.shape == b.shape and abs(a - b).max() <= 1e-4 * abs(b).max()))
END
