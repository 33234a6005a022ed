#include "bench/graphs.h"

#include <algorithm>

namespace millrace::bench {
namespace {

NodeSpec noop() {
  NodeSpec spec;
  spec.executor = "noop";
  spec.fields = Value::Object{};
  return spec;
}

// A packed workflow of no-op nodes whose upstream rows `parents_of` appends.
template <class ParentsOf>
WorkflowSpec packed(std::string name, std::uint32_t nodes, ParentsOf parents_of) {
  WorkflowSpec spec;
  spec.name = std::move(name);
  spec.specs = {noop()};
  spec.spec_of.assign(nodes, 0);
  spec.upstream.offsets.push_back(0);
  for (std::uint32_t node = 0; node < nodes; ++node) {
    std::size_t begin = spec.upstream.targets.size();
    parents_of(node, spec.upstream.targets);
    auto row = spec.upstream.targets.begin() + static_cast<std::ptrdiff_t>(begin);
    std::sort(row, spec.upstream.targets.end());
    spec.upstream.targets.erase(std::unique(row, spec.upstream.targets.end()), spec.upstream.targets.end());
    spec.upstream.offsets.push_back(static_cast<std::uint32_t>(spec.upstream.targets.size()));
  }
  return spec;
}

std::uint64_t next_random(std::uint64_t& state) {  // splitmix64
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

WorkflowSpec single() {
  return packed("bench-single", 1, [](std::uint32_t, std::vector<std::uint32_t>&) {});
}

WorkflowSpec fan_in(std::uint32_t tasks) {
  return packed("bench-fanout", tasks + 1, [=](std::uint32_t node, std::vector<std::uint32_t>& parents) {
    for (std::uint32_t up = 0; node == tasks && up < tasks; ++up) parents.push_back(up);
  });
}

WorkflowSpec chain(std::uint32_t tasks) {
  return packed("bench-chain", tasks, [](std::uint32_t node, std::vector<std::uint32_t>& parents) {
    if (node > 0) parents.push_back(node - 1);
  });
}

WorkflowSpec diamond() {
  return packed("bench-diamond", 4, [](std::uint32_t node, std::vector<std::uint32_t>& parents) {
    if (node == 1 || node == 2) parents.push_back(0);
    if (node == 3) parents.insert(parents.end(), {1, 2});
  });
}

WorkflowSpec layered(std::uint32_t layers, std::uint32_t width) {
  return packed("bench-layered", layers * width, [=](std::uint32_t node, std::vector<std::uint32_t>& parents) {
    if (node < width) return;
    std::uint32_t first = (node / width - 1) * width;
    for (std::uint32_t k = 0; k < 3; ++k) parents.push_back(first + (node + k * 7) % width);
  });
}

WorkflowSpec random_dag(std::uint32_t tasks, std::uint64_t seed) {
  std::uint64_t state = seed;
  return packed("bench-random", tasks, [&state](std::uint32_t node, std::vector<std::uint32_t>& parents) {
    for (int k = 0; node > 0 && k < 3; ++k) parents.push_back(static_cast<std::uint32_t>(next_random(state) % node));
  });
}

WorkflowSpec fan_of(NodeSpec node, std::uint32_t tasks) {
  WorkflowSpec spec = fan_in(tasks);
  spec.name = "bench-" + node.executor;
  spec.specs = {noop(), std::move(node)};
  for (std::uint32_t each = 0; each < tasks; ++each) spec.spec_of[each] = 1;
  return spec;
}

namespace {

WorkflowSpec items(NodeSpec node, std::uint32_t count) {
  WorkflowSpec spec = packed("bench-items", 1, [](std::uint32_t, std::vector<std::uint32_t>&) {});
  spec.spec_of.clear();
  spec.ids = {"each"};
  node.flow.foreach.emplace();
  node.flow.foreach->kind = ForeachKind::kRange;
  node.flow.foreach->over = Value::Object{{"to", std::int64_t{count}}};
  spec.specs = {std::move(node)};
  return spec;
}

}  // namespace

WorkflowSpec no_op_items(std::uint32_t count) { return items(noop(), count); }

WorkflowSpec sleeping_items(std::uint32_t count) {
  NodeSpec python;
  python.executor = "python";
  python.fields = Value::Object{{"script", "import time\ntime.sleep(0.001)\noutput = item\n"}, {"isolation", "none"}};
  return items(std::move(python), count);
}

}  // namespace millrace::bench
