#include "tests/unit/cli/support.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/spec/parse.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace {

int Cli::run(const std::vector<std::string>& words) {
  out.clear();
  err.clear();
  Console console;
  console.out = [this](std::string_view text) {
    out += text;
    return true;
  };
  console.err = [this](std::string_view text) { err += text; };
  console.size = [this] { return Console::Size{columns, 30}; };
  console.out_terminal = console.err_terminal = terminal;
  asked.clear();
  if (answer) {
    console.ask = [this](std::string_view text) {
      asked += text;
      return *answer;
    };
  }
  Environment lookup = [this](const char* name) -> const char* {
    auto at = environment.find(name);
    return at == environment.end() ? nullptr : at->second.c_str();
  };
  code = run_app({console, lookup}, words);
  return code;
}

FakeCoordinator::FakeCoordinator(Handler handler, const std::string& endpoint) : handler_(std::move(handler)) {
  std::atomic<bool> ready{false};
  thread_ = std::thread([&, endpoint] { work(endpoint, ready); });
  while (!ready) std::this_thread::sleep_for(1ms);
}

FakeCoordinator::~FakeCoordinator() {
  stop_ = true;
  thread_.join();
}

void FakeCoordinator::publish(std::vector<Event> events) {
  std::lock_guard lock(mutex_);
  to_publish_.push_back(std::move(events));
}

void FakeCoordinator::answer(RouterSocket& router, const Frames& frames) {
  Result<std::string_view> body = open_frame(frames.views_from(1), FrameKind::kRequest);
  ASSERT_TRUE(body.ok()) << body.error().what;
  auto request = decode_request(*body);
  ASSERT_TRUE(request.ok()) << request.error().what;
  std::optional<OperatorReply> reply;
  if (std::holds_alternative<PingRequest>(request->second)) {
    reply = PingReply{"fake", "0.0.0", events_endpoint_, 16, 2};
  } else {
    ++requests_;
    reply = handler_(request->second);
  }
  if (reply) router.send(frames[0], envelope(FrameKind::kReply), encode_reply(request->first, *reply));
}

void FakeCoordinator::work(const std::string& endpoint, std::atomic<bool>& ready) {
  ZmqContext context;
  RouterSocket router(context);
  PubSocket bus(context);
  for (int i = 0; i < 200 && !router.bind(endpoint).ok(); ++i) std::this_thread::sleep_for(10ms);  // a port just left
  EXPECT_TRUE(bus.bind("tcp://127.0.0.1:0").ok());
  endpoint_ = router.last_endpoint();
  events_endpoint_ = bus.last_endpoint();
  ready = true;
  Poller poller;
  poller.add(router);
  poller.add(bus);
  Frames frames;
  while (!stop_) {
    poller.wait(2ms);
    while (router.receive(frames)) answer(router, frames);
    while (std::optional<Subscription> change = bus.next_subscription()) subscribers_ += change->subscribed ? 1 : -1;
    std::lock_guard lock(mutex_);
    for (const auto& events : to_publish_) {
      bus.send(to_string(events.at(0).run), envelope(FrameKind::kEvents), encode_events(events));
    }
    to_publish_.clear();
  }
}

RunId fixed_run() { return make_run_id(PartitionId{3}, 1, 7); }

RunView fixed_view(RunState state) {
  constexpr std::int64_t kStart = 1'767'225'600'000'000;  // 2026-01-01T00:00:00Z
  bool failed = state == RunState::kFailed;
  RunView view;
  view.info.run = fixed_run();
  view.info.workflow = "insight";
  view.info.labels = {{"team", "search"}};
  view.info.trace_id = "0123456789abcdef0123456789abcdef";
  view.info.accepted = from_us(kStart);
  view.record.state = state;
  view.record.ended = from_us(kStart + 1'234'567);
  view.now = from_us(kStart + 5'000'000);
  view.nodes.resize(3);
  view.nodes[0] = {"clean_data",
                   TaskState::kSucceeded,
                   Reason::kNone,
                   WaitReason::kNone,
                   1,
                   250us,
                   12'300us,
                   "w1",
                   nullptr,
                   Payload::inline_json(R"({"cleaned":"Grüße"})")};
  view.nodes[1] = {"statistics",
                   TaskState::kSucceeded,
                   Reason::kNone,
                   WaitReason::kNone,
                   1,
                   100us,
                   1500us,
                   "w2",
                   nullptr,
                   Payload::inline_json(R"({"words":2})")};
  view.nodes[1].artifacts = std::make_shared<const std::vector<Artifact>>(
      std::vector<Artifact>{{"counts.csv", "text/csv", hash128("a,b\n"), 4}, {"raw", "", hash128(""), 0}});
  view.nodes[2] = {"join",  TaskState::kSucceeded,      Reason::kNone, WaitReason::kNone, 1, 90us, 800us, "w1",
                   nullptr, Payload::inline_json("1.0")};
  if (failed) {
    auto error =
        std::make_shared<const ErrorInfo>(ErrorInfo{"ZeroDivisionError: division by zero", "  line 2, in main\n"});
    view.nodes[1].state = TaskState::kFailed;
    view.nodes[1].reason = Reason::kError;
    view.nodes[1].attempts = 2;
    view.nodes[1].error = error;
    view.nodes[1].output = {};
    view.nodes[2] = {"join", TaskState::kSkipped, Reason::kUpstreamFailed, WaitReason::kNone, 0, {}, {}, "", nullptr,
                     {}};
    view.record.error =
        std::make_shared<const RunError>(RunError{"error", error->message, "statistics", 2, error->traceback});
  } else {
    view.record.outputs = Payload::inline_json(R"({"summary":{"text":"Grüße","words":2},"note":"two\nlines"})");
  }
  view.nodes_total = 3;
  for (const NodeView& node : view.nodes) ++view.by_state[node.state];
  return view;
}

std::vector<Event> fixed_events(std::size_t n) {
  std::vector<Event> events(n);
  for (std::size_t i = 0; i < n; ++i) {
    Event& event = events[i];
    event.run = fixed_run();
    event.seq = i + 1;
    event.time = from_us(1'767'225'600'000'000 + static_cast<std::int64_t>(i) * 1500);
    event.cursor = "1-" + std::to_string(i + 10);
    event.type = i == 0 ? EventType::kRunAccepted : i + 1 == n ? EventType::kRunSucceeded : EventType::kTaskSucceeded;
    if (event.type != EventType::kTaskSucceeded) continue;
    event.task = TaskIndex{static_cast<std::uint32_t>(i - 1)};
    event.attempt = 1;
    event.node = "n" + std::to_string(i - 1);
  }
  return events;
}

constexpr char kRegistered[] = R"(
name: insight
description: what the texts say
inputs: {text: string, most: {type: integer, default: 3}}
nodes:
  clean_data: {executor: noop}
  tell: {executor: noop, depends_on: [clean_data]}
)";

OperatorReply fixed_reply(const OperatorRequest& request, RunState state) {
  RunView view = fixed_view(state);
  if (std::holds_alternative<GetRun>(request) || std::holds_alternative<WaitRun>(request)) return RunReply{view};
  if (const auto* submit = std::get_if<SubmitRun>(&request)) {
    return submit->resume ? SubmitReply{make_run_id(PartitionId{4}, 1, 9), false, view.info.trace_id, 2}
                          : SubmitReply{fixed_run(), false, view.info.trace_id};
  }
  if (std::holds_alternative<GetDefinition>(request)) {
    return DefinitionReply{std::make_shared<const std::string>(encode_definition(
        parse_workflow("name: insight\ninputs: {text: {type: string, required: true}}\nnodes: {clean_data: {executor: "
                       "noop}, statistics: {executor: noop, depends_on: [clean_data]}, "
                       "join: {value: '{{ nodes.clean_data }}', depends_on: [statistics]}}\n",
                       "insight.yaml")
            .value()))};
  }
  if (std::holds_alternative<CancelRun>(request)) return CancelReply{fixed_run(), RunState::kCancelling, false};
  if (const auto* signal = std::get_if<SignalRun>(&request))
    return ActReply{fixed_run(), RunState::kRunning, "wait_for_" + signal->name, TaskState::kSucceeded, false};
  if (const auto* decision = std::get_if<DecideApproval>(&request))
    return ActReply{fixed_run(), RunState::kRunning, decision->node,
                    decision->approve ? TaskState::kSucceeded : TaskState::kFailed, false};
  if (const auto* pause = std::get_if<PauseRun>(&request))
    return ActReply{fixed_run(), pause->pause ? RunState::kPaused : RunState::kRunning, "", TaskState::kPending, false};
  if (std::holds_alternative<DrainWorkerRequest>(request)) return DrainReply{"w1"};
  if (const auto* read = std::get_if<ReadEvents>(&request)) {
    std::vector<Event> events = fixed_events(5);
    std::erase_if(events, [&](const Event& event) { return event.seq <= read->since; });
    return EventsReply{fixed_run(), events, true};
  }
  if (std::holds_alternative<ReadLogs>(request)) {
    Time time = view.info.accepted;
    return LogsReply{fixed_run(),
                     {{"clean_data", 1, false, time, "reading"}, {"statistics", 2, true, time, "bad \x1b[31mred"}},
                     "c",
                     true};
  }
  if (const auto* list = std::get_if<ListRuns>(&request)) {
    RunSummary one{fixed_run(),       "default", "insight", view.info.labels,  RunState::kSucceeded, view.info.accepted,
                   view.record.ended, 3,         3,         view.info.trace_id};
    RunSummary two = one;
    two.run = make_run_id(PartitionId{4}, 1, 8);
    two.state = RunState::kFailed;
    two.labels = {};
    return ListReply{{one, two}, list->page.empty() ? "next-token" : ""};
  }
  if (std::holds_alternative<ListWorkers>(request)) {
    WorkerView one{
        "w1",    "host-a", 4711, "0.1.0", "ready", 4, 2, {{"gpu", "no"}}, {"noop", "python"}, view.info.accepted,
        view.now};
    one.running = 1;
    one.queued = 1;
    one.queues = {"default", "gpu"};
    one.resources = {{"cpu", 8000}, {"license", 3}, {"memory", std::uint64_t{32} << 30}};
    one.taken = {{"cpu", 1500}, {"license", 1}, {"memory", std::uint64_t{4} << 30}};
    return WorkersReply{{one}};
  }
  if (std::holds_alternative<ListCoordinators>(request)) {
    return CoordinatorsReply{
        {{"c1", "tcp://10.0.0.1:5711", "tcp://10.0.0.1:5712", "ready", 9, 4, view.info.accepted, "0.1.0", "always",
          "10.0.0.9:6379: appendfsync is everysec: set it to always"},
         {"c2", "tcp://10.0.0.2:5711", "tcp://10.0.0.2:5712", "draining", 0, 0, view.now, "0.1.0"}}};
  }
  if (std::holds_alternative<ListPartitions>(request)) {
    return PartitionsReply{{{0, "c1", 4, view.info.accepted, 17U, "serving"}, {1, "", 3, {}, {}, "free"}}};
  }
  if (const auto* move = std::get_if<MovePartition>(&request)) return MoveReply{move->partition, "c1", move->to};
  if (const auto* drain = std::get_if<DrainCoordinator>(&request)) return DrainCoordinatorReply{drain->name, 9};
  const Pause paused{{PauseKind::kWorkflow, "default", "insight"}, view.info.accepted, "me@host", "the source is down"};
  if (const auto* scope = std::get_if<PauseScope>(&request))
    return PauseReply{{scope->what, view.info.accepted, "me@host", scope->why}, scope->pause, false};
  if (std::holds_alternative<ListPauses>(request))
    return PausesReply{{{{PauseKind::kQueue, "", "gpu"}, view.info.accepted, "", ""}, paused}};
  RegisteredWorkflow insight{"default", "insight", 3, {}};
  const auto bytes =
      std::make_shared<const std::string>(encode_definition(parse_workflow(kRegistered, "insight.yaml").value()));
  for (std::uint32_t i = 1; i <= 3; ++i)
    insight.versions.push_back({i, hash128("insight"), view.info.accepted, "me@host", i == 3 ? 1U : 0U});
  if (const auto* workflow = std::get_if<WorkflowRequest>(&request)) {
    const std::uint32_t version = workflow->version == 0 ? 3 : workflow->version;
    if (workflow->act == WorkflowAct::kDelete) insight.versions.clear();
    return WorkflowReply{insight, version, workflow->act == WorkflowAct::kRollBack, bytes};
  }
  if (std::holds_alternative<ListWorkflows>(request)) return WorkflowsReply{{insight}};
  if (std::holds_alternative<ListTriggers>(request)) {
    const Time time = view.info.accepted;
    return TriggersReply{
        {{"default",
          "insight",
          "monthly",
          3,
          "",
          "",
          RunEndSpec{"load", {RunState::kFailed}},
          true,
          {},
          {},
          "",
          0,
          0,
          0,
          0,
          ""},
         {"default", "insight", "pushed", 3, "", "", {}, false, {}, {}, "", 0, 7, 0, 0, "", true, 2, 5, 1},
         {"default", "insight",     "streamed",       3, "", "", {}, false, {}, {}, "", 0, 9, 0, 0, "", false, 0, 0,
          0,         "shop/orders", "1767225600000-0"},
         {"default", "insight", "touched", 3,  "",    "", {}, false, {}, {}, "",           0,
          4,         0,         0,         "", false, 0,  0,  0,     "", "", "shop/cart:*"},
         {"default",
          "insight",
          "nightly",
          3,
          "30 2 * * *",
          "Europe/Berlin",
          {},
          false,
          time + 24h,
          time,
          "trigger/insight/nightly/3/x",
          2,
          41,
          1,
          1,
          "its inputs do not fit"}}};
  }
  if (const auto* find = std::get_if<FindRunOfKey>(&request)) {
    if (find->key == "trigger/insight/nightly/3/by-hand-1") return SubmitReply{fixed_run(), true, {}};
  }
  if (const auto* tell = std::get_if<TellTrigger>(&request)) {
    const bool fires = tell->act == TriggerAct::kFire;
    return TriggerReply{tell->workflow, tell->trigger, tell->act == TriggerAct::kPause,
                        fires ? "trigger/insight/nightly/3/by-hand-1" : ""};
  }
  return ErrorReply{Error{Code::kNotFound, "no such thing", {}, ""}};
}

std::string read_text(const std::string& path) {
  std::ifstream file(std::string(MILLRACE_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_golden(const std::string& name, const std::string& text) {
  std::string path = "tests/unit/cli/golden/" + name;
  if (std::getenv("MILLRACE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(std::string(MILLRACE_SOURCE_DIR) + "/" + path) << text;
    return;
  }
  EXPECT_EQ(text, read_text(path)) << "golden " << name;
}

std::string temp_file(const std::string& name, const std::string& content) {
  auto folder = std::filesystem::temp_directory_path() / ("millrace-cli-test-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << content;
  return (folder / name).string();
}

namespace {

struct RemoveTempFiles : ::testing::Environment {
  void TearDown() override {
    std::filesystem::remove_all(std::filesystem::temp_directory_path() /
                                ("millrace-cli-test-" + std::to_string(::getpid())));
  }
};
[[maybe_unused]] const auto* const kCleaner = ::testing::AddGlobalTestEnvironment(new RemoveTempFiles);

bool is_type(const std::string& type, const Value& value) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_bool();
  if (type == "integer") return value.is_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  return type == "array" ? value.is_array() : type == "object" && value.is_object();
}

bool fits_type(const Value& type, const Value& value) {
  if (type.is_string()) return is_type(type.as_string(), value);
  return std::ranges::any_of(type.as_array(), [&](const Value& one) { return is_type(one.as_string(), value); });
}

std::string members_mismatch(const Value& schema, const Value& value, const std::string& at) {
  if (const Value* required = schema.find("required")) {
    for (const Value& key : required->as_array()) {
      if (value.find(key.as_string()) == nullptr) return at + ": '" + key.as_string() + "' is missing";
    }
  }
  const Value* known = schema.find("properties");
  const Value* others = schema.find("additionalProperties");
  for (const auto& [key, member] : value.as_object()) {
    const Value* of = known == nullptr ? nullptr : known->find(key);
    if (of == nullptr && others != nullptr && others->is_bool() && !others->as_bool())
      return at + ": '" + key + "' is unknown";
    if (of == nullptr && others != nullptr && others->is_object()) of = others;
    if (of == nullptr) continue;
    if (std::string why = schema_mismatch(*of, member, at + "." + key); !why.empty()) return why;
  }
  return "";
}

}  // namespace

std::string schema_mismatch(const Value& schema, const Value& value, const std::string& at) {
  if (const Value* type = schema.find("type"); type != nullptr && !fits_type(*type, value)) {
    return at + ": is a " + value.kind_name() + ", expected " + type->dump();
  }
  if (const Value* words = schema.find("enum")) {
    const auto& all = words->as_array();
    if (std::ranges::find(all, value) == all.end()) return at + ": " + value.dump() + " is none of " + words->dump();
  }
  if (value.is_object()) return members_mismatch(schema, value, at);
  if (const Value* items = schema.find("items"); items != nullptr && value.is_array()) {
    for (std::size_t i = 0; i < value.as_array().size(); ++i) {
      std::string why = schema_mismatch(*items, value.as_array()[i], at + "[" + std::to_string(i) + "]");
      if (!why.empty()) return why;
    }
  }
  return "";
}

TEST(SchemaCheck, TellsAMissingAnUnknownAndAMistypedMember) {
  Value schema = Value::parse(R"({"type":"object","required":["a"],"additionalProperties":false,
                                  "properties":{"a":{"type":["integer","null"]}}})")
                     .value();
  EXPECT_EQ(schema_mismatch(schema, Value::parse(R"({"a":null})").value()), "");
  EXPECT_EQ(schema_mismatch(schema, Value::parse(R"({})").value()), "$: 'a' is missing");
  EXPECT_EQ(schema_mismatch(schema, Value::parse(R"({"a":1,"b":2})").value()), "$: 'b' is unknown");
  EXPECT_EQ(schema_mismatch(schema, Value::parse(R"({"a":"x"})").value()),
            R"($.a: is a string, expected ["integer","null"])");
}

}  // namespace millrace
