// Assignments for tests: an executor, fields as JSON, upstream values by name.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/model/worker_messages.h"

namespace millrace::test {

struct TaskText {
  std::string executor = "noop";
  std::string fields = "{}";  // JSON
  std::string inputs = "{}";  // JSON
  std::vector<std::pair<std::string, Payload>> nodes = {};
  std::uint32_t task = 7;
  Duration timeout{};
};

inline Payload json(std::string text) { return Payload::inline_json(std::move(text)); }

inline Assignment make_assignment(const TaskText& text) {
  auto context = std::make_shared<RunContext>();
  context->run = make_run_id(PartitionId{2}, 1, 5);
  context->epoch = 1;
  context->definition = hash128(text.executor + text.fields);
  context->workflow = "demo";
  context->trace_id = "0123456789abcdef0123456789abcdef";
  context->inputs = json(text.inputs);
  auto spec = std::make_shared<NodeSpec>();
  spec->executor = text.executor;
  spec->fields = Value::parse(text.fields).value();
  spec->timeout = text.timeout;
  Assignment a;
  a.context = context;
  a.task = TaskIndex{text.task};
  a.number = 3;
  a.node_spec = spec;
  a.node = "me";
  std::uint32_t index = 0;
  for (const auto& [name, value] : text.nodes) {
    a.bindings.push_back({TaskIndex{index++}, 1, value});
    a.names.push_back(name);
  }
  return a;
}

}  // namespace millrace::test
