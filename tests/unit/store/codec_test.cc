#include <gtest/gtest.h>

#include "common/model/composed.h"
#include "coordinator/core/home.h"
#include "coordinator/shell/cache_codec.h"
#include "coordinator/shell/letter_codec.h"
#include "coordinator/shell/listing.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/packing.h"
#include "coordinator/shell/pause_codec.h"
#include "coordinator/shell/registry_codec.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/segments.h"
#include "coordinator/shell/trigger_codec.h"
#include "tests/unit/store/store_world.h"

namespace millrace::test {
namespace {

TEST(Packing, NumbersOfAllSizesComeBack) {
  Packer out;
  const std::uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
  for (std::uint64_t n : numbers) {
    out.number(n);
    out.difference(n, 1000);
    out.difference(5, n);
  }
  Unpacker in(out.bytes());
  for (std::uint64_t n : numbers) {
    EXPECT_EQ(in.number(), n);
    EXPECT_EQ(in.difference(1000), n);
    EXPECT_EQ(in.difference(n), 5U);
  }
  EXPECT_TRUE(in.done());
}

TEST(Packing, AnOverlongNumberFails) {
  Unpacker eleven(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11));
  EXPECT_EQ(eleven.number(), 0U);
  EXPECT_TRUE(eleven.failed());
  Unpacker too_large(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
  too_large.number();
  EXPECT_TRUE(too_large.failed());
}

TEST(Packing, ACountThatCannotBeThereFails) {
  Packer out;
  out.number(1'000'000'000);
  Unpacker in(out.bytes());
  EXPECT_EQ(in.count(1), 0U);
  EXPECT_TRUE(in.failed());
}

TEST(RunCodec, InfoComesBack) {
  TestRun run(run_id(5));
  RunInfo& info = run.info();
  info.tenant = "acme";
  info.labels = {{"team", "data"}, {"empty", ""}};
  info.priority = -3;
  info.retry_of = run_id(4);
  info.inputs = Payload::inline_json(R"({"text":"hello"})");
  for (const std::string& trace : {std::string("0123456789abcdef0123456789abcdef"), std::string("not hex"),
                                   std::string(), trace_of(info.run, 7)}) {
    info.trace_id = trace;
    auto stored = decode_info(info.run, encode_info({.info = info, .epoch = 9, .commit = 1ULL << 40}));
    ASSERT_TRUE(stored.ok()) << stored.error().what;
    EXPECT_EQ(stored->info, info);
    EXPECT_EQ(stored->epoch, 9U);
    EXPECT_EQ(stored->commit, 1ULL << 40);
  }
  constexpr std::size_t kVersionAt = 4;  // behind the length
  EXPECT_EQ(encode_info({.info = info, .epoch = 9, .commit = 1})[kVersionAt], kRunFormatVersion);
  info.workflow_version = 3;
  EXPECT_EQ(encode_info({.info = info, .epoch = 9, .commit = 1})[kVersionAt], kInfoVersionParent);
  info.deadline = at(7);
  EXPECT_EQ(encode_info({.info = info, .epoch = 9, .commit = 1})[kVersionAt], kInfoVersion);
  auto with_deadline = decode_info(info.run, encode_info({.info = info, .epoch = 9, .commit = 1}));
  ASSERT_TRUE(with_deadline.ok()) << with_deadline.error().what;
  EXPECT_EQ(with_deadline->info, info);
}

TEST(RunCodec, RecordComesBack) {
  RunRecord record;
  record.state = RunState::kFailed;
  record.reason = Reason::kTimeout;
  record.version = 7;
  record.seq = 1ULL << 50;
  record.records_sum = UINT64_MAX;
  record.records_live = 123456;
  record.started = at(1);
  record.ended = at(2);
  record.outputs = Payload::reference(hash128("o"), 99);
  record.error = std::make_shared<const RunError>(RunError{"error", "boom", "node", 3, "trace"});
  const StoredRecord stored{.record = record, .tasks_total = 10, .tasks_done = 9, .epoch = 4, .commit = 12};
  const std::string bytes = encode_record(run_id(1), stored);
  EXPECT_EQ(records_hint(bytes), 123456U);
  auto read = decode_record(run_id(1), bytes + "left over from a longer one");
  ASSERT_TRUE(read.ok()) << read.error().what;
  EXPECT_EQ(read->record, record);
  EXPECT_EQ(read->tasks_total, 10U);
  EXPECT_EQ(read->tasks_done, 9U);
  EXPECT_EQ(read->epoch, 4U);
  EXPECT_EQ(read->commit, 12U);
  EXPECT_FALSE(decode_record(run_id(2), bytes).ok());
  record.why = "the input was wrong";
  for (const auto& signals : {std::vector<std::uint64_t>{}, std::vector<std::uint64_t>{1, 2}}) {
    record.signals = signals;
    read = decode_record(run_id(1), encode_record(run_id(1), {.record = record}));
    ASSERT_TRUE(read.ok()) << read.error().what;
    EXPECT_EQ(read->record, record);
  }
}

TEST(RunCodec, ATagInBracesDecidesWhereAKeyLives) {
  EXPECT_EQ(key_tag("{orders-17}-0004"), "orders-17");
  EXPECT_EQ(key_tag("eu-{orders-17}"), "orders-17");
  EXPECT_EQ(key_tag("{a}{b}"), "a");
  EXPECT_EQ(key_tag("{a{b}"), "a{b");
  for (const char* whole : {"orders-17-0004", "{}orders", "{orders", "orders}", "}{"}) EXPECT_EQ(key_tag(whole), whole);
}

TEST(RunCodec, KeysLogsAndContentComeBackAndDamageShows) {
  const StoredKey key{.run = run_id(3), .request = 0x89ABCDEF, .accepted = at(0)};
  EXPECT_EQ(decode_key(encode_key(key))->run, key.run);
  EXPECT_EQ(decode_key(encode_key(key))->request, key.request);
  EXPECT_EQ(decode_key(encode_key(key))->accepted, key.accepted);
  std::string old = encode_key(key);  // as they were written with the request's whole hash
  old.insert(13, std::string(8, 'h'));
  old.insert(13 + 8 + 4, std::string(4, 'l'));
  EXPECT_EQ(decode_key(old)->request, key.request);
  EXPECT_EQ(decode_key(old)->accepted, key.accepted);
  EXPECT_FALSE(decode_key("short").ok());
  EXPECT_NE(key_field("a", "bc"), key_field("ab", "c"));

  const LogLine line{.node = "n", .attempt = 2, .stderr_stream = true, .time = at(5), .text = "hello\n"};
  EXPECT_EQ(*decode_log(run_id(1), encode_log(run_id(1), line)), line);
  EXPECT_FALSE(decode_log(run_id(2), encode_log(run_id(1), line)).ok());

  const std::string content = encode_content(hash128("v"), "a value");
  EXPECT_EQ(*decode_content(hash128("v"), content), "a value");
  EXPECT_FALSE(decode_content(hash128("w"), content).ok());
  EXPECT_FALSE(decode_content(hash128("v"), content + "x").ok());
  EXPECT_EQ(content.front(), kRunFormatVersion);
  const std::string list = Composed{}.store();
  EXPECT_EQ(encode_content(hash128(list), list).front(), kContentVersion) << "earlier versions refuse it by name";
  EXPECT_EQ(*decode_content(hash128(list), encode_content(hash128(list), list)), list);
}

TEST(PackedEvents, ComeBackInOrderWithTheirCursor) {
  TestRun a(run_id(1));
  TestRun b(run_id(2));
  std::vector<Event> events = {a.event(EventType::kRunAccepted), b.event(EventType::kRunAccepted),
                               a.event(EventType::kTaskSucceeded, 70000), a.event(EventType::kTaskFailed, 3),
                               b.event(EventType::kRunCancelled)};
  events[3].reason = Reason::kCrashed;
  events[4].seq = 1ULL << 60;
  const StreamPlace place{.partition = kPartition, .epoch = 2, .commit = 8};
  auto read = decode_events(place, encode_events(place, events));
  ASSERT_TRUE(read.ok()) << read.error().what;
  for (Event& event : events) event.cursor = "2-8";
  EXPECT_EQ(*read, events);
  EXPECT_FALSE(decode_events({.partition = kPartition, .epoch = 2, .commit = 9}, encode_events(place, events)).ok());
}

TEST(PackedEvents, TakeFewBytesAnEvent) {
  TestRun run(run_id(1));
  std::vector<Event> events;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    events.push_back(run.event(EventType::kTaskSucceeded, i));
    events.back().time = at(1);
  }
  EXPECT_LE(encode_events({.partition = kPartition, .epoch = 1, .commit = 1}, events).size(), 6100U);
}

TEST(Listing, PositionsOrderByAcceptanceAndTokensComeBack) {
  const RunPosition first = position_of(run_id(7), at(1));
  const RunPosition second = position_of(run_id(6), at(2));
  EXPECT_LT(first, second);
  EXPECT_LT(first.score, std::uint64_t{1} << 53);  // exact as a double
  EXPECT_EQ(parse_token(to_token(first)), first);
  for (const char* bad : {"", "-", "12", "12-", "x-aaaaaaaaaaaaa", "12-AAAAAAAAAAAAA", "-1-aaaaaaaaaaaaa"})
    EXPECT_FALSE(parse_token(bad).has_value()) << bad;
}

// ---------------------------------------------------------------- versions

// What a newer Millrace writes has a higher number in its envelope.
std::string as_of(std::uint8_t version, std::string bytes, std::size_t at) {
  bytes[at] = static_cast<char>(version);
  return bytes;
}

TEST(Versions, WhatVersionOneCannotSayIsWrittenAsVersionTwoAndNothingElse) {
  TestRun run(run_id(1), 2);
  (void)run.succeed(0, 2);
  constexpr std::size_t kBehindLength = 4;
  RunRecord record = run.record();
  const auto encoded = [&] {
    return encode_record(run_id(1), {.record = record, .tasks_total = 2, .tasks_done = 2, .epoch = 1, .commit = 1});
  };
  EXPECT_EQ(encoded()[kBehindLength], 1);
  record.signals = {7, ~0ULL};
  EXPECT_EQ(encoded()[kBehindLength], 2);
  const auto stored = decode_record(run_id(1), encoded());
  ASSERT_TRUE(stored.ok());
  EXPECT_EQ(stored->record, record);
}

Letter some_letter() {
  RunWanted wanted;
  wanted.tenant = "t";
  wanted.key = "k";
  wanted.definition = hash128("d");
  wanted.home = PartitionId{9};
  wanted.inputs = Payload::inline_json(R"({"a":[1,2]})");
  wanted.labels = {{"x", "y"}, {"z", ""}};
  wanted.trace_id = "0123";
  wanted.caller = "c";
  wanted.priority = -3;
  return {PartitionId{3}, PartitionId{4}, (7ULL << 32) + 5, wanted};
}

TEST(RunCodec, ARunOfARegisteredWorkflowAndAChildRunComeBackAsTheyWere) {
  for (const bool child : {false, true}) {
    RunInfo info = TestRun(run_id(1), 2).info();
    info.workflow_version = 7;
    if (child) info.parent = {run_id(2), TaskIndex{3}, "node", 4, 5};
    const Result<StoredInfo> back = decode_info(info.run, encode_info({.info = info, .epoch = 1, .commit = 1}));
    ASSERT_TRUE(back.ok()) << back.error().what;
    EXPECT_EQ(back->info, info);
  }
}

TEST(RegistryCodec, AWorkflowComesBackAndOpensOnlyUnderItsName) {
  const RegisteredWorkflow workflow{"t", "w", 9, {{8, hash128("a"), at(1), "me", 0}, {9, hash128("b"), at(2), "", 7}}};
  const std::string bytes = encode_workflow(workflow);
  const Result<RegisteredWorkflow> back = decode_workflow(workflow_field("t", "w"), bytes);
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_EQ(*back, workflow);
  EXPECT_EQ(decode_workflow(workflow_field("t", "v"), bytes).error().name, "damaged");
  for (std::size_t i = 0; i < bytes.size(); ++i)
    EXPECT_FALSE(decode_workflow(workflow_field("t", "w"), std::string_view(bytes).substr(0, i)).ok()) << i;
}

TEST(LetterCodec, EveryKindOfLetterComesBack) {
  RunWanted run = std::get<RunWanted>(some_letter().body);
  run.version = 3;
  run.parent = {run_id(2), TaskIndex{3}, "node", 4, 5};
  const LetterBody bodies[] = {
      run, ChildWanted{"name", run}, ChildCancelled{"t", "k", run_id(4), true},
      ChildTold{run_id(1), TaskIndex{2}, run_id(3), RunState::kFailed, Payload::reference(hash128("v"), 99), "why"},
      ChildTold{run_id(1), TaskIndex{2}, run_id(3), RunState::kFailed, Payload(), "why", 3}};
  for (const LetterBody& body : bodies) {
    const Letter letter{PartitionId{3}, PartitionId{4}, 5, body};
    const Result<Letter> back = decode_letter(PartitionId{3}, encode_letter(letter));
    ASSERT_TRUE(back.ok()) << back.error().what << " " << body.index();
    EXPECT_EQ(*back, letter) << body.index();
  }
}

TEST(LetterCodec, LettersAboutValuesThatAreKeptComeBack) {
  const CacheName name{"t", hash128("k")};
  using Kind = CacheAnswer::Kind;
  for (const LetterBody& body :
       {LetterBody(CacheAsked{name, run_id(1), TaskIndex{2}, 1h, true}),
        LetterBody(CacheLeft{name, run_id(1), TaskIndex{2}, {}, {}}),
        LetterBody(CacheLeft{name, run_id(1), TaskIndex{2}, 1h, Payload()}),
        LetterBody(CacheLeft{name, run_id(1), TaskIndex{2}, 1h, Payload::reference(hash128("v"), 99)}),
        LetterBody(CacheTold{{name, run_id(1), TaskIndex{2}, Kind::kTake, true, Payload::inline_json("5")}}),
        LetterBody(CacheTold{{name, run_id(1), TaskIndex{2}, Kind::kCompute, false, {}}}),
        LetterBody(CacheTold{{name, run_id(1), TaskIndex{2}, Kind::kThere, false, {}}})}) {
    const Letter letter{PartitionId{3}, PartitionId{4}, 9, body};
    const Result<Letter> back = decode_letter(PartitionId{3}, encode_letter(letter));
    ASSERT_TRUE(back.ok()) << back.error().what;
    EXPECT_EQ(*back, letter);
  }
}

TEST(CacheCodec, ValuesAndWhoAsksForThemComeBackAndOpenOnlyInTheirPlaces) {
  const CacheEntry entry{{"t", hash128("k")}, Payload::reference(hash128("v"), 99), at(7), 1h};
  const std::string bytes = encode_cache_entry(PartitionId{3}, entry);
  const Result<CacheEntry> back = decode_cache_entry(PartitionId{3}, entry_field(entry), bytes);
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_EQ(*back, entry);
  EXPECT_EQ(decode_cache_entry(PartitionId{4}, entry_field(entry), bytes).error().name, "damaged");
  CacheEntry other = entry;
  other.value = Payload::inline_json("5");
  EXPECT_NE(entry_field(other), entry_field(entry)) << "another value has another field";
  EXPECT_EQ(decode_cache_entry(PartitionId{3}, entry_field(other), bytes).error().name, "damaged");
  EXPECT_EQ(decode_cache_entry(PartitionId{3}, entry_field(entry), as_of(kCacheVersion + 1, bytes, 0)).error().name,
            "newer_version");

  const CacheAsker asker{{"t", hash128("k")}, run_id(1), TaskIndex{2}, 7, at(9), true, true};
  const std::string asks = encode_cache_asker(PartitionId{3}, asker);
  const Result<CacheAsker> again = decode_cache_asker(PartitionId{3}, asker_field(asker), asks);
  ASSERT_TRUE(again.ok()) << again.error().what;
  EXPECT_EQ(*again, asker);
  EXPECT_EQ(decode_cache_asker(PartitionId{4}, asker_field(asker), asks).error().name, "damaged");
  for (std::size_t i = 0; i < asks.size(); ++i)
    EXPECT_FALSE(decode_cache_asker(PartitionId{3}, asker_field(asker), std::string_view(asks).substr(0, i)).ok()) << i;
}

TEST(PauseCodec, APauseComesBackAndOpensOnlyWhereItBelongs) {
  for (const Pause& pause : {Pause{{PauseKind::kWorkflow, "t", "w"}, at(5), "me", "why"},
                             Pause{{PauseKind::kQueue, "", "gpu"}, at(6), "", ""}}) {
    const std::string bytes = encode_pause(PartitionId{3}, pause);
    const Result<Pause> back = decode_pause(PartitionId{3}, pause_field(pause.what), bytes);
    ASSERT_TRUE(back.ok()) << back.error().what;
    EXPECT_EQ(*back, pause);
    EXPECT_EQ(decode_pause(PartitionId{4}, pause_field(pause.what), bytes).error().name, "damaged");
    EXPECT_EQ(decode_pause(PartitionId{3}, pause_field({PauseKind::kQueue, "", "cpu"}), bytes).error().name, "damaged");
    EXPECT_EQ(decode_pause(PartitionId{3}, pause_field(pause.what), as_of(kPauseVersion + 1, bytes, 0)).error().name,
              "newer_version");
    for (std::size_t i = 0; i < bytes.size(); ++i)
      EXPECT_FALSE(decode_pause(PartitionId{3}, pause_field(pause.what), std::string_view(bytes).substr(0, i)).ok());
    for (const bool paused : {true, false}) {
      const Letter letter{PartitionId{3}, PartitionId{4}, 9, PauseTold{pause, paused}};
      const Result<Letter> told = decode_letter(PartitionId{3}, encode_letter(letter));
      ASSERT_TRUE(told.ok()) << told.error().what;
      EXPECT_EQ(*told, letter);
    }
  }
  EXPECT_NE(pause_field({PauseKind::kWorkflow, "", "a"}), pause_field({PauseKind::kQueue, "", "a"}));
}

TEST(Versions, WhatANewerOneHasWrittenIsRefusedByNameAndNotMisread) {
  TestRun run(run_id(1), 2);
  RunWrite write = run.succeed(0, 2);
  const std::string info = encode_info({.info = run.info(), .epoch = 1, .commit = 1});
  const std::string record =
      encode_record(run_id(1), {.record = run.record(), .tasks_total = 2, .tasks_done = 2, .epoch = 1, .commit = 1});
  const std::string segment = encode_segment(run_id(1), 3, write.tasks);
  const std::string log = encode_log(run_id(1), {"a", 1, false, at(1), "text"});
  const std::string content = encode_content(hash128("x"), "x");
  const Event one = run.event(EventType::kRunAccepted);
  const StreamPlace place{kPartition, 1, 1};
  const std::string events = encode_events(place, std::vector<Event>{one});
  NamePool names;
  constexpr std::size_t kBehindLength = 4;
  ASSERT_TRUE(decode_info(run_id(1), info).ok());
  ASSERT_TRUE(decode_record(run_id(1), record).ok());
  const Error errors[] = {
      decode_info(run_id(1), as_of(kInfoVersion + 1, info, kBehindLength)).error(),
      decode_record(run_id(1), as_of(kRecordVersion + 1, record, kBehindLength)).error(),
      decode_segment(run_id(1), 3, as_of(kSegmentVersionLast + 1, segment, 0), names).error(),
      decode_log(run_id(1), as_of(2, log, 0)).error(),
      decode_content(hash128("x"), as_of(9, content, 0)).error(),
      decode_events(place, as_of(2, events, 0)).error(),
  };
  for (const Error& error : errors) {
    EXPECT_EQ(error.name, "newer_version") << error.what;
    EXPECT_EQ(error.code, Code::kRefused);
    EXPECT_NE(error.what.find("was written by a newer Millrace (version "), std::string::npos) << error.what;
  }
  EXPECT_EQ(decode_info(run_id(1), as_of(0, info, kBehindLength)).error().name, "damaged");
  EXPECT_EQ(decode_segment(run_id(1), 4, segment, names).error().name, "damaged") << "of another commit";
}

TEST(LetterCodec, ALetterComesBackAndOpensOnlyAsItsSenders) {
  const Letter letter = some_letter();
  const std::string bytes = encode_letter(letter);
  const Result<Letter> back = decode_letter(PartitionId{3}, bytes);
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_EQ(*back, letter);
  EXPECT_EQ(decode_letter(PartitionId{4}, bytes).error().name, "damaged");
}

TEST(LetterCodec, LettersBetweenTriggersAndTheirRunsComeBack) {
  for (const LetterBody& body :
       {LetterBody(RunUnwanted{"t", "k", "why"}), LetterBody(RunOver{{"t", "w", "x"}, "k", ""}),
        LetterBody(RunOver{{"", "", ""}, "", "e"}), LetterBody(RunEndWatched{{"t", "w", "x"}, std::nullopt}),
        LetterBody(RunEndWatched{{"t", "w", "x"}, RunEndSpec{"load", {RunState::kFailed, RunState::kCancelled}}}),
        LetterBody(RunEnded{{"t", "w", "x"}, {RunId{5}, "load", RunState::kDegraded, {{"a", "b"}}, from_us(9)}})}) {
    const Letter letter{PartitionId{3}, PartitionId{4}, 9, body};
    const Result<Letter> back = decode_letter(PartitionId{3}, encode_letter(letter));
    ASSERT_TRUE(back.ok()) << back.error().what;
    EXPECT_EQ(*back, letter);
  }
}

TriggerRecord some_trigger() {
  TriggerRecord record;
  record.name = {"t", "w/x", "nightly"};
  record.version = 1ULL << 40;
  record.definition = hash128("d");
  record.schedule = {"30 2 * * *", "Europe/Berlin", 10min, Overlap::kQueue, CatchUp::kAll, 7};
  record.inputs = Value::Object{{"day", "{{ event.time }}"}, {"n", 3}};
  record.run_end = RunEndSpec{"load", {RunState::kFailed}};
  record.filter = "{{ event.run.id }}";
  record.paused = true;
  record.last = from_us(1'767'225'600'000'000);
  record.fired = from_us(-5);
  record.running = "trigger/w/x/nightly/1/y";
  record.queued = {from_us(1), from_us(2)};
  record.started = 5;
  record.skipped = 6;
  record.failed = 7;
  record.error = "no";
  record.webhook = WebhookSpec{"SHOP", HookAuth::kBearer, "x-sig", "", {"x-kind", "etag"}};
  record.collect = {1s, 2s, 3, 4s};
  record.since = 9;
  record.waiting = {{"{}", R"({"a":1})"}, 17, 4, from_us(7), from_us(8)};
  record.batches = 12;
  record.known = {{{1, 2}, 0}, {{3, 4}, 12}};
  record.filtered = 13;
  record.duplicates = 14;
  record.stream = StreamSpec{"shop", "orders", true};
  record.offset = "1767225600000-3";
  record.added = 77;
  return record;
}

TEST(TriggerCodec, ATriggerComesBackAtItsHomeUnderItsNameAndNowhereElse) {
  const TriggerRecord record = some_trigger();
  const std::string field = trigger_field(record.name);
  const std::string bytes = encode_trigger(PartitionId{3}, record);
  const Result<TriggerRecord> back = decode_trigger(PartitionId{3}, field, bytes);
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_EQ(*back, record);
  EXPECT_EQ(decode_trigger(PartitionId{4}, field, bytes).error().name, "damaged");
  EXPECT_EQ(decode_trigger(PartitionId{3}, trigger_field({"t", "w/x", "weekly"}), bytes).error().name, "damaged");
}

TEST(TriggerCodec, ATriggerOfBeforeThereWereEventsIsRead) {
  TriggerRecord before;
  before.name = some_trigger().name;
  before.schedule = some_trigger().schedule;
  before.error = "no";
  const std::string field = trigger_field(before.name);
  const std::uint64_t place = place_of(place_of(14, 3), hash64(field));
  const std::string now = encode_trigger(PartitionId{3}, before);
  std::string body(unseal(kTriggerVersion, place, now).value());
  body.resize(body.size() - 16);  // what came with events, all of it zero
  const Result<TriggerRecord> back = decode_trigger(PartitionId{3}, field, seal(1, place, body));
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_EQ(*back, before);
  EXPECT_FALSE(decode_trigger(PartitionId{3}, field, seal(2, place, body)).ok());
}

TEST(TriggerCodec, AWatcherComesBackWhereItStood) {
  const TriggerName name{"t", "w", "x"};
  const RunEndSpec runs{"load", {RunState::kSucceeded, RunState::kDegraded}};
  const std::string bytes = encode_watcher(PartitionId{3}, name, runs);
  const Result<Watcher> back = decode_watcher(PartitionId{3}, trigger_field(name), bytes);
  ASSERT_TRUE(back.ok()) << back.error().what;
  EXPECT_EQ(back->trigger, name);
  EXPECT_EQ(back->runs, runs);
  EXPECT_FALSE(decode_watcher(PartitionId{2}, trigger_field(name), bytes).ok());
  EXPECT_FALSE(decode_watcher(PartitionId{3}, trigger_field({"t", "w", "y"}), bytes).ok());
}

TEST(TriggerCodec, WhateverIsChangedOrCutDoesNotOpen) {
  const std::string field = trigger_field(some_trigger().name);
  const std::string bytes = encode_trigger(PartitionId{3}, some_trigger());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(decode_trigger(PartitionId{3}, field, std::string_view(bytes).substr(0, i)).ok()) << i;
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_FALSE(decode_trigger(PartitionId{3}, field, changed).ok()) << i;
  }
  std::string newer = bytes;
  newer[0] = static_cast<char>(kTriggerVersion + 1);
  EXPECT_EQ(decode_trigger(PartitionId{3}, field, newer).error().name, "newer_version");
}

TEST(LetterCodec, WhateverIsChangedOrCutDoesNotOpen) {
  const std::string bytes = encode_letter(some_letter());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(decode_letter(PartitionId{3}, std::string_view(bytes).substr(0, i)).ok()) << i;
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_FALSE(decode_letter(PartitionId{3}, changed).ok()) << i;
  }
  std::string newer = bytes;
  newer[0] = static_cast<char>(kLetterVersion + 1);
  EXPECT_EQ(decode_letter(PartitionId{3}, newer).error().name, "newer_version");
}

TEST(LetterCodec, AMarkComesBackWhereItStood) {
  const Mark mark{(2ULL << 32) + 1, 77};
  const std::string bytes = encode_mark(PartitionId{1}, PartitionId{2}, mark);
  ASSERT_TRUE(decode_mark(PartitionId{1}, PartitionId{2}, bytes).ok());
  EXPECT_EQ(*decode_mark(PartitionId{1}, PartitionId{2}, bytes), mark);
  EXPECT_FALSE(decode_mark(PartitionId{2}, PartitionId{1}, bytes).ok());
  EXPECT_FALSE(decode_mark(PartitionId{1}, PartitionId{2}, bytes.substr(0, bytes.size() - 1)).ok());
}

}  // namespace
}  // namespace millrace::test
