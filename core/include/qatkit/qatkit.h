/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qatkit.h: all public headers. */
#ifndef QATKIT_QATKIT_H
#define QATKIT_QATKIT_H

#include "backend.h"
#include "base.h"
#include "comm.h"
#include "context.h"
#include "cpu.h"
#include "dataset.h"
#include "fakequant.h"
#include "format.h"
#include "graph.h"
#include "infer.h"
#include "layer.h"
#include "loss.h"
#include "metric.h"
#include "model.h"
#include "network.h"
#include "numeric.h"
#include "observer.h"
#include "optimizer.h"
#include "option.h"
#include "plugin.h"
#include "ptq.h"
#include "quantizer.h"
#include "reporter.h"
#include "rng.h"
#include "solver.h"
#include "tensor.h"

#endif /* QATKIT_QATKIT_H */
