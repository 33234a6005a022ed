#include "cli/client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cli/event_feed.h"
#include "cli/follow.h"
#include "cli/submission.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

std::vector<std::uint64_t> seqs(const std::vector<Event>& events) {
  std::vector<std::uint64_t> all;
  for (const Event& event : events) all.push_back(event.seq);
  return all;
}

TEST(EventFeed, LetsDurableEventsOutOnceAndInOrder) {
  std::vector<Event> events = fixed_events(5);
  std::vector<Event> out;
  EventFeed feed;
  feed.from_bus({{events[0], events[1], events[1], events[0]}}, out);
  EXPECT_EQ(seqs(out), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_FALSE(feed.gap());
}

TEST(EventFeed, WaitsForTheStreamWhereTheBusLeftAHole) {
  std::vector<Event> events = fixed_events(5);
  std::vector<Event> out;
  EventFeed feed;
  feed.from_bus({{events[0], events[3]}}, out);
  EXPECT_TRUE(feed.gap());
  EXPECT_EQ(feed.last(), 1U);
  feed.from_stream({fixed_run(), {events[1], events[2], events[3]}, false}, out);
  EXPECT_FALSE(feed.gap());
  feed.from_bus({{events[3], events[4]}}, out);
  EXPECT_EQ(seqs(out), (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_TRUE(feed.ended());
}

TEST(EventFeed, PassesEphemeralEventsThrough) {
  Event running = fixed_events(3)[1];
  running.type = EventType::kTaskRunning;
  running.seq = 0;
  std::vector<Event> out;
  EventFeed feed;
  feed.from_bus({{running, running}}, out);
  EXPECT_EQ(out.size(), 2U);
  EXPECT_FALSE(feed.gap());
}

TEST(EventFeed, ANewOwnerMakesItReadTheStreamAgain) {
  Event changed;
  changed.run = fixed_run();
  changed.type = EventType::kOwnerChanged;
  std::vector<Event> out;
  EventFeed feed(4);
  feed.from_bus({{changed}}, out);
  EXPECT_TRUE(feed.gap());
  feed.from_stream({fixed_run(), {}, false}, out);
  EXPECT_FALSE(feed.gap());
}

TEST(EventFeed, ARunThatTheStoreSetBackIsReadAgainFromThere) {
  std::vector<Event> events = fixed_events(5);
  std::vector<Event> out;
  EventFeed feed;
  feed.from_bus({{events[0], events[1], events[2], events[3]}}, out);
  Event set_back;
  set_back.run = fixed_run();
  set_back.type = EventType::kOwnerChanged;
  set_back.reason = Reason::kLost;
  set_back.seq = 2;
  out.clear();
  feed.from_bus({{set_back}}, out);
  EXPECT_EQ(feed.last(), 2U);
  EXPECT_TRUE(feed.gap());
  feed.from_stream({fixed_run(), {events[2], events[3]}, false}, out);
  EXPECT_EQ(seqs(out), (std::vector<std::uint64_t>{2, 3, 4})) << "what is so now is told";
}

TEST(Endpoints, AreAListAndEveryBadOneIsNamed) {
  EXPECT_EQ(*parse_endpoints("tcp://a:1,tcp://b:2"), (std::vector<std::string>{"tcp://a:1", "tcp://b:2"}));
  Result<std::vector<std::string>> bad = parse_endpoints("nonsense,tcp://b:2,tcp://c");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, Code::kInvalid);
  EXPECT_EQ(bad.error().details.size(), 2U);
  EXPECT_FALSE(parse_endpoints("").ok());
}

TEST(Endpoints, ABusOnEveryAddressIsFoundAtTheHostThatWasUsed) {
  EXPECT_EQ(resolve_bus_endpoint("tcp://*:5712", "tcp://mill:5711"), "tcp://mill:5712");
  EXPECT_EQ(resolve_bus_endpoint("tcp://0.0.0.0:5712", "tcp://[::1]:5711"), "tcp://[::1]:5712");
  EXPECT_EQ(resolve_bus_endpoint("tcp://10.0.0.1:5712", "tcp://mill:5711"), "tcp://10.0.0.1:5712");
  EXPECT_EQ(resolve_bus_endpoint("inproc://events", "inproc://millrace"), "inproc://events");
}

struct ClientTest : ::testing::Test {
  ZmqContext context;
  Client client_for(std::vector<std::string> endpoints, Duration patience = 100ms) {
    return Client(context, {std::move(endpoints), patience, -1});
  }
};

TEST_F(ClientTest, AnErrorOfTheCoordinatorIsTheCallsError) {
  FakeCoordinator fake([](const OperatorRequest&) { return ErrorReply{Error{Code::kConflict, "no", {}, "key"}}; });
  Client client = client_for({fake.endpoint()});
  Result<OperatorReply> reply = client.call(ListWorkers{}, 5s);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error(), (Error{Code::kConflict, "no", {}, "key"}));
}

TEST_F(ClientTest, AsksAgainWhileAPartitionIsTakenOver) {
  std::atomic<int> asked = 0;
  FakeCoordinator fake([&asked](const OperatorRequest&) -> std::optional<OperatorReply> {
    if (++asked < 3) return ErrorReply{Error{Code::kUnavailable, "partition 6 is not served yet", {}, "not_serving"}};
    return WorkersReply{};
  });
  Client client = client_for({fake.endpoint()});
  EXPECT_TRUE(client.call(ListWorkers{}, 5s).ok());
  EXPECT_EQ(asked, 3);
}

TEST_F(ClientTest, APartitionThatNobodyTakesOverIsTheErrorWhenTheTimeIsOver) {
  FakeCoordinator fake([](const OperatorRequest&) {
    return ErrorReply{Error{Code::kUnavailable, "partition 6 is not served yet", {}, "not_serving"}};
  });
  Client client = client_for({fake.endpoint()});
  Client::Clock::time_point begin = Client::Clock::now();
  Result<OperatorReply> reply = client.call(ListWorkers{}, 500ms);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().name, "not_serving");
  EXPECT_LT(Client::Clock::now() - begin, 2s);
}

TEST_F(ClientTest, NobodyThereIsUnavailableWithinTheTime) {
  Client client = client_for({"tcp://127.0.0.1:9"});
  Client::Clock::time_point begin = Client::Clock::now();
  Result<PingReply> ping = client.connect(300ms);
  ASSERT_FALSE(ping.ok());
  EXPECT_EQ(ping.error().code, Code::kUnavailable);
  EXPECT_NE(ping.error().what.find("tcp://127.0.0.1:9"), std::string::npos);
  EXPECT_LT(Client::Clock::now() - begin, 5s);
}

TEST_F(ClientTest, ALateAnswerFromALivingCoordinatorIsATimeout) {
  FakeCoordinator fake([](const OperatorRequest&) { return std::nullopt; });
  Client client = client_for({fake.endpoint()});
  ASSERT_TRUE(client.connect().ok());
  Result<OperatorReply> reply = client.call(WaitRun{{"x", ""}}, 500ms);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, Code::kTimeout);
}

TEST_F(ClientTest, GoesToTheNextEndpointWhenOneIsSilent) {
  FakeCoordinator fake([](const OperatorRequest& request) { return fixed_reply(request); });
  Client client = client_for({"tcp://127.0.0.1:9", fake.endpoint()});
  EXPECT_TRUE(client.connect(5s).ok());
  EXPECT_EQ(client.endpoint(), fake.endpoint());
}

TEST_F(ClientTest, AsksAgainAfterARestart) {
  auto first = std::make_unique<FakeCoordinator>([](const OperatorRequest&) { return std::nullopt; });
  std::string endpoint = first->endpoint();
  Client client = client_for({endpoint});
  ASSERT_TRUE(client.connect().ok());
  Client::Number number = client.ask(WaitRun{{to_string(fixed_run()), ""}});
  while (first->requests() == 0) client.pump(10ms);
  first.reset();  // it took the question along
  FakeCoordinator second([](const OperatorRequest& request) { return fixed_reply(request); }, endpoint);
  std::optional<OperatorReply> reply;
  for (int i = 0; i < 500 && !reply; ++i) {
    client.pump(10ms);
    reply = client.take(number);
  }
  ASSERT_TRUE(reply);
  EXPECT_EQ(std::get<RunReply>(*reply).view.info.run, fixed_run());
}

TEST_F(ClientTest, AnAnswerThatTakesLongerThanThePatienceComesAllTheSame) {
  FakeCoordinator fake([](const OperatorRequest& request) {
    std::this_thread::sleep_for(350ms);  // as a large one does over a narrow link
    return fixed_reply(request);
  });
  Client client = client_for({fake.endpoint()}, 100ms);
  EXPECT_TRUE(client.call(WaitRun{{"x", ""}}, 5s).ok());
}

TEST_F(ClientTest, AValueByReferenceIsFetchedAndALostOneIsNotFound) {
  Hash128 known = hash128(R"({"big":1})");
  FakeCoordinator fake([known](const OperatorRequest& request) -> OperatorReply {
    bool found = std::get<GetValue>(request).hash == known;
    return ValueFound{found, found ? R"({"big":1})" : ""};
  });
  Client client = client_for({fake.endpoint()});
  EXPECT_EQ(client.read(Payload::reference(known, 100), 5s)->dump(), R"({"big":1})");
  EXPECT_EQ(client.read(Payload::reference(hash128("y"), 100), 5s).error().code, Code::kNotFound);
}

// What one gives of a value when it is asked for a part; `from_first`: all of it, as coordinators did that know no
// parts.
ValueFound part_of(const std::string& json, const GetValue& wanted, bool from_first = false) {
  if (from_first) return ValueFound{true, json};
  const std::string bytes = json.substr(wanted.from, wanted.max);
  return ValueFound{true, bytes, {json.size(), wanted.from, part_check(wanted.hash, wanted.from, bytes)}};
}

TEST_F(ClientTest, ALargeValueComesInPartsAndGoesOnAtAnotherCoordinatorWhereItStopped) {
  const std::string json = "\"" + std::string(3'000'000, 'v') + "\"";
  std::atomic<int> parts = 0;
  std::vector<std::uint64_t> asked_second;
  FakeCoordinator first([&](const OperatorRequest& request) -> std::optional<OperatorReply> {
    const auto* wanted = std::get_if<GetValue>(&request);
    if (wanted == nullptr) return fixed_reply(request);
    if (++parts > 2) return std::nullopt;  // it died
    return part_of(json, *wanted);
  });
  FakeCoordinator second([&](const OperatorRequest& request) -> OperatorReply {
    const auto* wanted = std::get_if<GetValue>(&request);
    if (wanted == nullptr) return fixed_reply(request);
    asked_second.push_back(wanted->from);
    return part_of(json, *wanted);
  });
  Client client = client_for({first.endpoint(), second.endpoint()}, 100ms);
  Result<Value> value = client.read(Payload::reference(hash128(json), json.size()), 30s);
  ASSERT_TRUE(value.ok()) << value.error().what;
  EXPECT_EQ(value->dump(), json);
  ASSERT_GE(asked_second.size(), 2U);
  EXPECT_GT(asked_second.front(), kPartFirst) << "what had come was not asked for again";
}

// Takes inputs in parts, as coordinators do.
struct InputsStore {
  std::string come;
  std::vector<std::size_t> sizes;
  int harm = 0;  // so many parts arrive damaged
  InputsTaken take(const PutInputs& part) {
    sizes.push_back(part.bytes.size());
    if (harm > 0 || part.check != part_check(part.hash, part.from, part.bytes)) {
      --harm;
      return {part.hash, come.size(), false, true};
    }
    if (part.from == come.size()) come += part.bytes;
    return {part.hash, come.size(), come.size() == part.size, false};
  }
};

SubmitRun with_inputs(const std::string& json) {
  SubmitRun request;
  request.key = "k";
  request.definition = hash128("d");
  request.inputs = Payload::inline_json(json);
  return request;
}

TEST_F(ClientTest, LargeInputsGoAheadInPartsAndTheSubmissionNamesThem) {
  const std::string json = "{\"a\":\"" + std::string(3'000'000, 'v') + "\"}";
  InputsStore store;
  store.harm = 1;
  std::vector<Payload> named;
  FakeCoordinator fake([&](const OperatorRequest& request) -> OperatorReply {
    if (const auto* part = std::get_if<PutInputs>(&request)) return store.take(*part);
    const auto* submitted = std::get_if<SubmitRun>(&request);
    if (submitted == nullptr) return fixed_reply(request);
    named.push_back(submitted->inputs);
    if (named.size() == 1) {  // they went meanwhile
      store.come.clear();
      return ErrorReply{Error{Code::kNotFound, "gone", {}, "inputs_gone"}};
    }
    return SubmitReply{RunId{7}, false, {}};
  });
  Client client = client_for({fake.endpoint()});
  const Result<SubmitReply> submitted = submit(client, with_inputs(json), 10s);
  ASSERT_TRUE(submitted.ok()) << submitted.error().what;
  ASSERT_EQ(named.size(), 2U);
  for (const Payload& one : named) EXPECT_EQ(one, Payload::reference(hash128(json), json.size()));
  EXPECT_TRUE(store.come == json);
  EXPECT_GT(store.sizes.size(), 6U);
  EXPECT_LE(*std::ranges::max_element(store.sizes), kPartMax);
}

TEST_F(ClientTest, SmallInputsAndThoseForAnOlderCoordinatorGoWithinTheSubmission) {
  const std::string json = "{\"a\":\"" + std::string(300'000, 'v') + "\"}";
  int parts = 0;
  std::string got;
  FakeCoordinator fake([&](const OperatorRequest& request) -> OperatorReply {
    if (std::holds_alternative<PutInputs>(request)) {
      ++parts;
      return ErrorReply{Error{Code::kInvalid, "request: unknown request", {}, ""}};
    }
    const auto* submitted = std::get_if<SubmitRun>(&request);
    if (submitted == nullptr) return fixed_reply(request);
    got = submitted->inputs.json();
    return SubmitReply{RunId{7}, false, {}};
  });
  Client client = client_for({fake.endpoint()});
  EXPECT_TRUE(submit(client, with_inputs(R"({"a":1})"), 10s).ok());
  EXPECT_EQ(got, R"({"a":1})");
  EXPECT_EQ(parts, 0);
  EXPECT_TRUE(submit(client, with_inputs(json), 10s).ok());
  EXPECT_TRUE(got == json);
  EXPECT_EQ(parts, 1);
}

TEST_F(ClientTest, InputsThatArriveDamagedAgainAndAgainAreAnError) {
  InputsStore store;
  store.harm = 100;
  FakeCoordinator fake([&](const OperatorRequest& request) -> OperatorReply {
    if (const auto* part = std::get_if<PutInputs>(&request)) return store.take(*part);
    return fixed_reply(request);
  });
  Client client = client_for({fake.endpoint()});
  const auto submitted = submit(client, with_inputs("{\"a\":\"" + std::string(300'000, 'v') + "\"}"), 10s);
  ASSERT_FALSE(submitted.ok());
  EXPECT_EQ(submitted.error().name, "damaged");
}

TEST_F(ClientTest, AnOlderCoordinatorGivesTheWholeValueAtOnce) {
  const std::string json = "\"" + std::string(3'000'000, 'v') + "\"";
  FakeCoordinator fake([&](const OperatorRequest& request) -> OperatorReply {
    return part_of(json, std::get<GetValue>(request), true);
  });
  Client client = client_for({fake.endpoint()});
  EXPECT_EQ(client.read(Payload::reference(hash128(json), json.size()), 5s)->dump(), json);
}

TEST_F(ClientTest, AValueThatIsNotWhatItsNameSaysIsDamaged) {
  FakeCoordinator fake(
      [&](const OperatorRequest& request) -> OperatorReply { return part_of("[1, 2]", std::get<GetValue>(request)); });
  Client client = client_for({fake.endpoint()});
  EXPECT_EQ(client.read(Payload::reference(hash128("[1, 3]"), 6), 5s).error().name, "damaged");
}

TEST_F(ClientTest, ALargeValueHasTheTimeThatItsSizeNeeds) {
  std::atomic<int> asked = 0;
  FakeCoordinator fake([&](const OperatorRequest& request) -> OperatorReply {
    if (std::holds_alternative<GetValue>(request)) ++asked;
    std::this_thread::sleep_for(400ms);
    return ValueFound{true, "1"};
  });
  Client client = client_for({fake.endpoint()}, 100ms);
  EXPECT_TRUE(client.read(Payload::reference(hash128("1"), 1 << 20), 500ms).ok());
  EXPECT_EQ(asked, 1) << "it is not asked for anew while it comes";
}

// A coordinator whose bus drops every second event; its stream has them all.
TEST_F(ClientTest, RunEventsFillsTheHolesOfTheBusFromTheStream) {
  std::vector<Event> events = fixed_events(20);
  std::atomic<std::size_t> written{1};
  FakeCoordinator fake([&](const OperatorRequest& request) -> OperatorReply {
    const auto& read = std::get<ReadEvents>(request);
    std::vector<Event> page;
    for (std::size_t i = 0; i < written; ++i) {
      if (events[i].seq > read.since) page.push_back(events[i]);
    }
    return EventsReply{fixed_run(), page, written == events.size()};
  });
  Client client = client_for({fake.endpoint()}, 2s);
  ASSERT_TRUE(client.connect().ok());
  RunEvents feed(client, fixed_run(), 0);
  std::vector<Event> seen;
  for (int i = 0; i < 2000 && !feed.ended(); ++i) {
    client.pump(5ms);
    Result<std::vector<Event>> some = feed.step();
    ASSERT_TRUE(some.ok());
    seen.insert(seen.end(), some->begin(), some->end());
    if (fake.subscribers() == 0 || written == events.size()) continue;
    std::size_t next = written++;
    if (next % 2 == 0) fake.publish({events[next]});
  }
  EXPECT_EQ(seen, events);
}

// What a run needs of a follower when nobody answers the wait: the probe finds the end.
TEST_F(ClientTest, FollowFindsTheEndOfARunWhoseWaitWasForgotten) {
  std::atomic<int> waits{0};
  FakeCoordinator fake([&](const OperatorRequest& request) -> std::optional<OperatorReply> {
    if (std::holds_alternative<WaitRun>(request) && ++waits == 1) return std::nullopt;
    return fixed_reply(request);
  });
  Client client = client_for({fake.endpoint()}, 30s);
  ASSERT_TRUE(client.connect().ok());
  Console console;
  console.err = [](std::string_view) {};
  auto progress = make_progress(ProgressKind::kNone, console, fixed_run(), "insight", nullptr);
  Result<RunView> view = follow(client, *progress, {fixed_run(), 20s, {}, {}});
  ASSERT_TRUE(view.ok()) << view.error().what;
  EXPECT_EQ(view->record.state, RunState::kSucceeded);
  EXPECT_EQ(waits, 2);
}

TEST_F(ClientTest, AnInterruptCancelsTheRunAndWaitsForItsEnd) {
  std::atomic<bool> cancelled{false};
  FakeCoordinator fake([&](const OperatorRequest& request) -> std::optional<OperatorReply> {
    if (std::holds_alternative<CancelRun>(request)) cancelled = true;
    if (std::holds_alternative<WaitRun>(request) && !cancelled) return std::nullopt;
    RunState state = cancelled ? RunState::kCancelled : RunState::kRunning;
    return fixed_reply(request, state);
  });
  Client client = client_for({fake.endpoint()}, 300ms);
  ASSERT_TRUE(client.connect().ok());
  std::string told;
  Console console;
  console.err = [&](std::string_view text) { told += text; };
  auto progress = make_progress(ProgressKind::kNone, console, fixed_run(), "insight", nullptr);
  Result<RunView> view = follow(client, *progress, {fixed_run(), 20s, [] { return true; }, {}});
  ASSERT_TRUE(view.ok()) << view.error().what;
  EXPECT_EQ(view->record.state, RunState::kCancelled);
  EXPECT_NE(told.find("cancelling run"), std::string::npos);
}

TEST_F(ClientTest, WaitingEndsWithItsTime) {
  FakeCoordinator fake([](const OperatorRequest&) { return std::nullopt; });
  Client client = client_for({fake.endpoint()}, 10s);
  ASSERT_TRUE(client.connect().ok());
  Console console;
  console.err = [](std::string_view) {};
  auto progress = make_progress(ProgressKind::kNone, console, fixed_run(), "insight", nullptr);
  Result<RunView> view = follow(client, *progress, {fixed_run(), 200ms, {}, {}});
  ASSERT_FALSE(view.ok());
  EXPECT_EQ(view.error().code, Code::kTimeout);
}

TEST(Client, KeysThatDoNotFitEndACallAtOnceAndTheNextEndpointIsTried) {
  FakeCoordinator plain([](const OperatorRequest&) { return WorkersReply{}; });
  ZmqContext context;
  const std::optional<CurveClient> keys = CurveClient{new_curve_keys(), new_curve_keys().public_key};
  ClientOptions options;
  options.curve = keys;
  options.endpoints = {plain.endpoint()};
  const auto begin = Client::Clock::now();
  Result<PingReply> ping = Client(context, options).connect(10s);
  ASSERT_FALSE(ping.ok());
  EXPECT_EQ(ping.error().name, "not_curve");
  EXPECT_FALSE(may_pass(ping.error()));
  EXPECT_LT(Client::Clock::now() - begin, 5s);

  // One that is away leaves hope, and the reason of the other is told when that is over.
  options.endpoints = {"tcp://127.0.0.1:9", plain.endpoint()};
  ping = Client(context, options).connect(1s);
  ASSERT_FALSE(ping.ok());
  EXPECT_EQ(ping.error().name, "not_curve");
}

TEST(Client, ARefusalThatNamesNoRequestAnswersAllOfThem) {
  ZmqContext context;
  RouterSocket router(context);
  ASSERT_TRUE(router.bind("inproc://refusing").ok());
  Client client(context, {.endpoints = {"inproc://refusing"}});
  const Client::Number first = client.ask(PingRequest{});
  const Client::Number second = client.ask(ListWorkers{});
  Frames frames;
  ASSERT_TRUE(router.receive(frames));
  const Error refused{Code::kRefused, "no more", {}, "key_revoked"};
  router.send(frames[0], envelope(FrameKind::kReply), encode_reply(0, ErrorReply{refused}));
  client.pump(1s);
  for (const Client::Number number : {first, second}) {
    std::optional<OperatorReply> reply = client.take(number);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(std::get<ErrorReply>(*reply).error, refused);
  }
}

}  // namespace
}  // namespace millrace
