#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/base/hash.h"
#include "common/wire/codec.h"
#include "definition.pb.h"
#include "tests/unit/wire/random_model.h"

namespace millrace {
namespace {

using test::RandomModel;

WorkflowSpec small() {
  WorkflowSpec w;
  w.name = "small";
  w.ids = {"a", "b", "c"};
  w.specs.resize(3);
  w.upstream.offsets = {0, 0, 1, 3};
  w.upstream.targets = {0, 0, 1};
  return w;
}

// What decode says about a definition after `change` was made to its protobuf form.
template <class Change>
std::string decode_changed(const WorkflowSpec& spec, Change change) {
  wire::Definition definition;
  EXPECT_TRUE(definition.ParseFromString(encode_definition(spec)));
  change(definition);
  const Result<WorkflowSpec> back = decode_definition(definition.SerializeAsString());
  return back.ok() ? "ok" : back.error().what;
}

TEST(Definition, EveryWorkflowComesBackAsItWent) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const WorkflowSpec spec = RandomModel(seed).workflow();
    const Result<WorkflowSpec> back = decode_definition(encode_definition(spec));
    ASSERT_TRUE(back.ok()) << "seed " << seed << ": " << back.error().what;
    EXPECT_TRUE(*back == spec) << "seed " << seed;
  }
}

TEST(Definition, TheSameWorkflowGivesTheSameBytes) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::string bytes = encode_definition(RandomModel(seed).workflow());
    EXPECT_EQ(hash128(bytes), hash128(encode_definition(RandomModel(seed).workflow())));
    EXPECT_EQ(bytes, encode_definition(*decode_definition(bytes)));
  }
}

TEST(Definition, AnEdgeToANodeThatIsNotThereIsRefused) {
  WorkflowSpec spec = small();
  spec.upstream.targets = {0, 0, 3};
  EXPECT_FALSE(decode_definition(encode_definition(spec)).ok());
}

TEST(Definition, RowsThatRepeatOrFallAreRefused) {
  for (const std::vector<std::uint32_t>& targets : {std::vector<std::uint32_t>{0, 1, 1}, {0, 1, 0}}) {
    WorkflowSpec spec = small();
    spec.upstream.targets = targets;
    EXPECT_FALSE(decode_definition(encode_definition(spec)).ok());
  }
}

TEST(Definition, CountsThatDoNotMatchAreRefused) {
  const WorkflowSpec spec = small();
  EXPECT_EQ(decode_changed(spec, [](auto&) {}), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.set_edges(2); }), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.set_edges(4); }), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.set_nodes(2); }), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.set_nodes(kTasksMax + 1); }), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.mutable_ids()->RemoveLast(); }), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.mutable_specs()->RemoveLast(); }), "ok");
  EXPECT_NE(decode_changed(spec, [](auto& d) { d.mutable_rows()->push_back('\0'); }), "ok");
}

TEST(Definition, SpecRunsOutOfRangeAreRefused) {
  const WorkflowSpec spec = small();
  auto with_runs = [&](std::initializer_list<std::uint32_t> runs) {
    return decode_changed(spec, [&](auto& d) { d.mutable_spec_runs()->Add(runs.begin(), runs.end()); });
  };
  EXPECT_EQ(with_runs({0, 3}), "ok");
  EXPECT_NE(with_runs({0, 2}), "ok");
  EXPECT_NE(with_runs({0, 4}), "ok");
  EXPECT_NE(with_runs({3, 3}), "ok");
  EXPECT_NE(with_runs({0, 0, 1, 3}), "ok");
  EXPECT_NE(with_runs({0, 3, 1}), "ok");
}

TEST(Definition, IdsThatAreNotValidOrStandTwiceAreRefused) {
  for (const char* id : {"", "has space", "inputs", "a"}) {
    WorkflowSpec spec = small();
    spec.ids[2] = id;
    EXPECT_FALSE(decode_definition(encode_definition(spec)).ok()) << '"' << id << '"';
  }
}

TEST(Definition, ManyNodesInFewBytesAreRefusedBeforeAnythingIsAllocated) {
  const std::string said = decode_changed(small(), [](auto& d) {
    d.clear_ids();
    d.set_nodes(kTasksMax);
    d.set_edges(kEdgesMax);
  });
  EXPECT_NE(said.find("too many nodes"), std::string::npos) << said;
}

TEST(Definition, AMillionNodesWithThreeParentsFitIn12MB) {
  constexpr std::uint32_t kNodes = 1'000'000;
  WorkflowSpec spec;
  spec.name = "large";
  spec.specs.resize(1);
  spec.spec_of.assign(kNodes, 0);
  RandomModel random(1);
  spec.upstream.offsets.push_back(0);
  for (std::uint32_t node = 0; node < kNodes; ++node) {
    std::uint32_t row[3];
    for (std::uint32_t& parent : row) parent = static_cast<std::uint32_t>(random.below(std::max(node, 1U)));
    std::sort(row, row + 3);
    const auto* end = std::unique(row, row + 3);
    spec.upstream.targets.insert(spec.upstream.targets.end(), row, row + (node == 0 ? 0 : end - row));
    spec.upstream.offsets.push_back(static_cast<std::uint32_t>(spec.upstream.targets.size()));
  }
  const std::string bytes = encode_definition(spec);
  EXPECT_LE(bytes.size(), 12'000'000U);
  const Result<WorkflowSpec> back = decode_definition(bytes);
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_TRUE(*back == spec);
}

}  // namespace
}  // namespace millrace
