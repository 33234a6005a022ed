// AssignBatch: the busiest message of the coordinator, with its tables (definitions, specs, payloads, contexts).
#pragma once

#include <cstdint>
#include <optional>

#include "common/wire/codec.h"
#include "common/wire/shapes.h"
#include "worker.pb.h"

namespace millrace {

void write_assignments(const AssignBatch& batch, SentSpecs& sent, pb::AssignBatch* out);

// `unknown_spec` is set where an assignment names a spec that the cache does not hold.
AssignBatch read_assignments(Reader& in, pb::AssignBatch* batch, SpecCache& cache,
                             std::optional<SpecKey>& unknown_spec);

}  // namespace millrace
