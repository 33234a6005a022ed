#include "common/wire/codec.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/wire/model_equal.h"
#include "tests/unit/wire/random_model.h"

namespace millrace {
namespace {

using test::RandomModel;
using test::same;

constexpr std::uint64_t kSeeds = 200;

TEST(Codec, EveryWorkerMessageComesBackAsItWent) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const WorkerMessage& message : RandomModel(seed).worker_messages()) {
      const Result<WorkerMessage> back = decode_worker_message(encode(message));
      ASSERT_TRUE(back.ok()) << "seed " << seed << " arm " << message.index() << ": " << back.error().what;
      EXPECT_TRUE(*back == message) << "seed " << seed << " arm " << message.index();
    }
  }
}

TEST(Codec, EveryCoordinatorMessageComesBackAsItWent) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SentSpecs sent;
    SpecCache cache;
    for (const CoordinatorMessage& message : RandomModel(seed).coordinator_messages()) {
      const Result<CoordinatorMessage> back = decode_coordinator_message(encode(message, sent), cache);
      ASSERT_TRUE(back.ok()) << "seed " << seed << " arm " << message.index() << ": " << back.error().what;
      EXPECT_TRUE(*back == message) << "seed " << seed << " arm " << message.index();
    }
  }
}

TEST(Codec, EveryRequestComesBackAsItWentWithItsNumber) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const OperatorRequest& request : RandomModel(seed).requests()) {
      const auto back = decode_request(encode_request(seed << 40, request));
      ASSERT_TRUE(back.ok()) << "seed " << seed << " arm " << request.index() << ": " << back.error().what;
      EXPECT_EQ(back->first, seed << 40);
      EXPECT_TRUE(same(back->second, request)) << "seed " << seed << " arm " << request.index();
    }
  }
}

TEST(Codec, EveryReplyComesBackAsItWentWithItsNumber) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const OperatorReply& reply : RandomModel(seed).replies()) {
      const auto back = decode_reply(encode_reply(seed, reply));
      ASSERT_TRUE(back.ok()) << "seed " << seed << " arm " << reply.index() << ": " << back.error().what;
      EXPECT_EQ(back->first, seed);
      EXPECT_TRUE(same(back->second, reply)) << "seed " << seed << " arm " << reply.index();
    }
  }
}

TEST(Codec, EventsComeBackAsTheyWent) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const std::vector<Event> events = RandomModel(seed).events();
    const Result<std::vector<Event>> back = decode_events(encode_events(events));
    ASSERT_TRUE(back.ok()) << "seed " << seed << ": " << back.error().what;
    EXPECT_EQ(*back, events) << "seed " << seed;
  }
}

TEST(Codec, PayloadsThatWereOneObjectAreOneObjectAgain) {
  const Payload shared = Payload::inline_json("{\"big\":true}");
  AttemptReports reports;
  for (std::uint32_t i = 0; i < 3; ++i) {
    AttemptReport report;
    report.attempt = {RunId{7}, TaskIndex{i}, 1, 1};
    report.outcome.output = shared;
    reports.reports.push_back(report);
  }
  const Result<WorkerMessage> back = decode_worker_message(encode(WorkerMessage(reports)));
  ASSERT_TRUE(back.ok());
  const auto& got = std::get<AttemptReports>(*back).reports;
  EXPECT_EQ(got[0].outcome.output.identity(), got[2].outcome.output.identity());
}

// ---------------------------------------------------------------- node specs are sent once

AssignBatch one_assignment(std::uint32_t spec, const std::string& executor = "noop") {
  auto context = std::make_shared<const RunContext>(RunContext{RunId{1}, 1, {1, 2}, "w", {}, {}});
  NodeSpec node;
  node.executor = executor;
  Assignment a;
  a.context = context;
  a.spec = spec;
  a.number = 1;
  a.node = "n0";
  a.node_spec = std::make_shared<const NodeSpec>(node);
  return {{a}};
}

TEST(Codec, ANodeSpecTravelsToAPeerOnce) {
  SentSpecs sent;
  SpecCache cache;
  const std::string long_name(500, 'x');
  const std::string first = encode(one_assignment(3, long_name), sent);
  const std::string second = encode(one_assignment(3, long_name), sent);
  EXPECT_GT(first.size(), 500U);
  EXPECT_LT(second.size(), 100U);
  ASSERT_TRUE(decode_coordinator_message(first, cache).ok());
  const Result<CoordinatorMessage> back = decode_coordinator_message(second, cache);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(std::get<AssignBatch>(*back).assignments[0].node_spec->executor, long_name);
}

TEST(Codec, ASpecThatWasNeverReceivedIsNotFound) {
  SentSpecs sent;
  SpecCache cache;
  encode(one_assignment(3), sent);  // lost on the way
  const auto back = decode_coordinator_message(encode(one_assignment(3), sent), cache);
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().code, Code::kNotFound);
}

TEST(Codec, AfterClearTheSpecsAreSentAgainAndTheReceiverForgets) {
  SentSpecs sent;
  SpecCache cache;
  ASSERT_TRUE(decode_coordinator_message(encode(one_assignment(3), sent), cache).ok());
  sent.clear();
  ASSERT_TRUE(decode_coordinator_message(encode(one_assignment(4), sent), cache).ok());
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_EQ(cache.find({{1, 2}, 3}), nullptr);
}

TEST(Codec, BothSidesStartOverWhenTheSpecsAreTooMany) {
  SentSpecs sent;
  SpecCache cache;
  for (std::uint32_t i = 0; i < SentSpecs::kMax + 100; ++i) {
    ASSERT_TRUE(decode_coordinator_message(encode(one_assignment(i), sent), cache).ok());
  }
  EXPECT_LE(cache.size(), SentSpecs::kMax);
  EXPECT_EQ(cache.size(), sent.size());
}

// ---------------------------------------------------------------- damage

using Decoder = std::function<bool(std::string_view)>;
struct Sample {
  const char* what;
  std::string bytes;
  Decoder decode;
};

std::vector<Sample> samples(std::uint64_t seed) {
  RandomModel random(seed);
  std::vector<Sample> all;
  for (const WorkerMessage& m : random.worker_messages()) {
    all.push_back({"worker", encode(m), [](std::string_view b) { return decode_worker_message(b).ok(); }});
  }
  for (const CoordinatorMessage& m : random.coordinator_messages()) {
    SentSpecs sent;
    all.push_back({"coordinator", encode(m, sent), [](std::string_view b) {
                     SpecCache cache;
                     return decode_coordinator_message(b, cache).ok();
                   }});
  }
  for (const OperatorRequest& m : random.requests()) {
    all.push_back({"request", encode_request(1, m), [](std::string_view b) { return decode_request(b).ok(); }});
  }
  for (const OperatorReply& m : random.replies()) {
    all.push_back({"reply", encode_reply(1, m), [](std::string_view b) { return decode_reply(b).ok(); }});
  }
  all.push_back({"events", encode_events(random.events()), [](std::string_view b) { return decode_events(b).ok(); }});
  all.push_back({"definition", encode_definition(random.workflow()),
                 [](std::string_view b) { return decode_definition(b).ok(); }});
  return all;
}

TEST(Codec, NoPrefixOfAMessageIsEverACrash) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    for (const Sample& sample : samples(seed)) {
      ASSERT_TRUE(sample.decode(sample.bytes)) << sample.what;
      for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
        sample.decode(std::string_view(sample.bytes).substr(0, size));
      }
    }
  }
}

TEST(Codec, DamagedBytesAreRefusedOrReadButNeverACrash) {
  std::size_t refused = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    RandomModel random(seed);
    for (const Sample& sample : samples(seed)) {
      for (int round = 0; round < 60 && !sample.bytes.empty(); ++round) {
        std::string damaged = sample.bytes;
        for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
          damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
        }
        if (!sample.decode(damaged)) ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1000U);
}

TEST(Codec, AnUnknownEnumerationValueIsRefused) {
  std::vector<Event> events(1);
  events[0].type = static_cast<EventType>(200);
  EXPECT_FALSE(decode_events(encode_events(events)).ok());
  AttemptReports reports{{AttemptReport{}}};
  reports.reports[0].outcome.reason = static_cast<Reason>(200);
  EXPECT_FALSE(decode_worker_message(encode(WorkerMessage(reports))).ok());
  SentSpecs sent;
  SpecCache cache;
  const AnswerBatch answers{{{{}, static_cast<Answer>(9), {}}}};
  EXPECT_FALSE(decode_coordinator_message(encode(answers, sent), cache).ok());
}

TEST(Codec, MoreEntriesThanABatchMayHaveAreRefused) {
  AttemptsStarted started;
  started.attempts.resize(kBatchMax);
  EXPECT_TRUE(decode_worker_message(encode(WorkerMessage(started))).ok());
  started.attempts.resize(kBatchMax + 1);
  const auto back = decode_worker_message(encode(WorkerMessage(started)));
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().code, Code::kInvalid);
}

}  // namespace
}  // namespace millrace
