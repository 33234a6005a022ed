// What operators see of runs and workers (run_view.h), between the model and protobuf.
#pragma once

#include "common/model/run_view.h"
#include "common/wire/shapes.h"
#include "operator.pb.h"

namespace millrace {

void write(const RunView& view, pb::RunView* out);
RunView read_view(Reader& in, pb::RunView* view);

void write(const RunSummary& summary, pb::RunSummary* out);
RunSummary read_summary(Reader& in, const pb::RunSummary& summary);

void write(const WorkerView& worker, pb::WorkerView* out);
WorkerView read_worker(const pb::WorkerView& worker);

}  // namespace millrace
