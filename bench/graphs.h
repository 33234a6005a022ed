// The graphs that the benchmarks run, in packed form.
#pragma once

#include <cstdint>
#include <string>

#include "common/model/workflow.h"

namespace millrace::bench {

WorkflowSpec single();
WorkflowSpec fan_in(std::uint32_t tasks);  // `tasks` without upstream, and a join
WorkflowSpec chain(std::uint32_t tasks);
WorkflowSpec diamond();                                            // a -> (b, c) -> d
WorkflowSpec layered(std::uint32_t layers, std::uint32_t width);   // three parents each, in the layer before
WorkflowSpec random_dag(std::uint32_t tasks, std::uint64_t seed);  // three random earlier parents each
WorkflowSpec fan_of(NodeSpec node, std::uint32_t tasks);           // `tasks` of this kind, and a join
WorkflowSpec no_op_items(std::uint32_t count);                     // one node mapped over a range
WorkflowSpec sleeping_items(std::uint32_t count);                  // the same in python: each sleeps 1 ms

}  // namespace millrace::bench
