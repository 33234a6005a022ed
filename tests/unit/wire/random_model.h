// Random values of the model, from a seed: for round-trip tests and for damaging encoded messages.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/operator_messages.h"
#include "common/model/worker_messages.h"
#include "common/model/workflow.h"

namespace millrace::test {

class RandomModel {
 public:
  explicit RandomModel(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  bool coin() { return below(2) == 0; }
  std::uint64_t u64() { return engine_() >> below(64); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(engine_() >> (32 + below(32))); }
  std::int32_t i32() { return static_cast<std::int32_t>(u32()); }
  Time time() { return from_us(static_cast<std::int64_t>(u64() >> 1)); }
  Duration duration() { return Duration{static_cast<std::int64_t>(u64() >> 20)}; }
  Hash128 hash() { return {engine_(), engine_()}; }
  template <class E>
  E any(E last) {
    return static_cast<E>(below(static_cast<std::uint64_t>(last) + 1));
  }
  std::string text(std::size_t size_max = 20) {
    std::string out(below(size_max + 1), '\0');
    for (char& c : out) c = static_cast<char>(below(256));
    return out;
  }
  Labels labels() {
    Labels out;
    for (std::uint64_t n = below(4); n > 0; --n) out[text()] = text();
    return out;
  }

  Value value(int depth = 0) {
    switch (below(depth > 3 ? 6 : 8)) {
      case 0: return nullptr;
      case 1: return coin();
      case 2: return static_cast<std::int64_t>(engine_());
      case 3: return std::uint64_t{engine_() | (1ULL << 63)};
      case 4: return static_cast<double>(i32()) / 8;
      case 5: return "text " + std::to_string(u32());
      case 6: {
        Value::Array items;
        for (std::uint64_t n = below(4); n > 0; --n) items.push_back(value(depth + 1));
        return items;
      }
      default: {
        Value object{Value::Object{}};
        for (std::uint64_t n = below(4); n > 0; --n) object.set("k" + std::to_string(below(9)), value(depth + 1));
        return object;
      }
    }
  }

  // Often one that was given out before, so that tables of shared values are exercised.
  Payload payload() {
    if (!payloads_.empty() && coin()) return payloads_[below(payloads_.size())];
    Payload p;
    if (below(4) == 0) p = Payload::reference(hash(), below(kValueMax + 1));
    else if (coin()) p = Payload::inline_json(value().dump());
    payloads_.push_back(p);
    return p;
  }

  ErrorInfo error_info() { return {text(), text(60)}; }
  AttemptId attempt() {
    if (below(3) > 0) {  // mostly neighbours: runs of one group
      last_.task.value += static_cast<std::uint32_t>(below(3));
    } else {
      last_ = {RunId{engine_()}, TaskIndex{u32()}, u32(), 0};
    }
    last_.number = coin() ? 1 : u32();
    return last_;
  }
  std::vector<AttemptId> attempts() {
    return many<AttemptId>([&] { return attempt(); });
  }
  std::vector<UpstreamVersion> rests_on() {
    if (coin()) return {};
    return many<UpstreamVersion>([&] { return UpstreamVersion{TaskIndex{u32()}, u32()}; });
  }
  template <class T, class Make>
  std::vector<T> many(Make make) {
    std::vector<T> out;
    for (std::uint64_t n = below(9); n > 0; --n) out.push_back(make());
    return out;
  }
  Outcome outcome() {
    Outcome o;
    o.success = coin();
    o.reason = o.success ? Reason::kNone : any(kReasonLast);
    if (!o.success && coin()) o.error = error_info();
    o.output = payload();
    o.waited = duration();
    o.ran = duration();
    if (coin()) o.items = items_outcome();
    o.artifacts = artifacts();
    return o;
  }
  Artifacts artifacts() {
    std::vector<Artifact> all = many<Artifact>([&] {
      return Artifact{"name-" + std::to_string(u32()), coin() ? "text/plain" : "", hash(), below(kArtifactMax + 1)};
    });
    return all.empty() ? nullptr : std::make_shared<const std::vector<Artifact>>(std::move(all));
  }
  std::shared_ptr<const ItemsOutcome> items_outcome() {
    auto items = std::make_shared<ItemsOutcome>();
    items->count = static_cast<std::uint32_t>(1 + below(100));
    items->done = static_cast<std::uint32_t>(below(items->count + 1));
    for (std::uint32_t i = 0; i < items->done; ++i) {
      if (coin()) items->failures.push_back({i, any(kReasonLast), error_info()});
    }
    return items;
  }

  NodeSpec node_spec() {
    NodeSpec s;
    s.executor = text();
    if (coin()) s.value = value();
    s.fields = value();
    s.retry = {u32(), u32(), {duration(), static_cast<double>(below(100)) / 4, duration(), 0.1}, {}};
    s.on_loss = any(OnLoss::kFail);
    s.timeout = duration();
    if (coin()) s.limit = Duration{below(1'000'000)};
    s.priority = i32();
    s.queue = text();
    if (coin()) return s;
    s.retry.on = many<std::string>([&] { return text(); });
    s.retry.backoff.jitter = static_cast<double>(below(9)) / 8;
    s.labels = many<LabelRule>([&] { return LabelRule{text(), coin(), many<std::string>([&] { return text(); })}; });
    s.resources = resources();
    s.sticky = hints();
    s.apart = hints();
    s.flow = flow();
    return s;
  }

  FlowSpec flow() {
    const auto ids = [&] { return many<std::string>([&] { return text(); }); };
    FlowSpec f;
    if (coin()) f.wait = wait_spec();
    if (coin()) f.compensate = text();
    if (coin()) f.on_failure = ids();
    if (coin()) f.when = value();
    if (coin()) f.fallback = value();
    if (coin()) f.stand_in = text();
    if (coin()) f.gate = text();
    if (coin()) f.fallback_cached = true;
    if (coin()) f.cache = CacheSpec{coin() ? std::optional(value()) : std::nullopt, Duration{u32()}};
    if (coin()) f.round = u32();
    if (coin()) f.loop = LoopSpec{1 + static_cast<std::uint32_t>(below(100)), coin()};
    if (coin()) {
      f.foreach = ForeachSpec{any(ForeachKind::kRange),
                              value(),
                              static_cast<std::uint32_t>(below(kChunkMax)),
                              static_cast<std::uint32_t>(below(kParallelMax)),
                              any(OnItemError::kDrop),
                              {}};
      if (coin()) f.foreach->collect = value();
    }
    f.join = u32();
    f.on_upstream_failure = any(OnUpstreamFailure::kRun);
    if (coin()) f.branch = BranchSpec{many<BranchCase>([&] { return BranchCase{value(), ids()}; }), ids(), coin()};
    return f;
  }

  WaitSpec wait_spec() {
    WaitSpec w;
    w.kind = any(WaitKind::kChild);
    if (coin()) w.limit = value(), w.until = coin();
    w.signal = text();
    if (coin()) w.otherwise = value();
    w.decides = any(ApprovalDefault::kReject);
    w.roles = many<std::string>([&] { return text(); });
    if (coin()) w.message = value();
    w.workflow = text();
    w.version = u32();
    if (coin()) w.with = value();
    return w;
  }

  Resources resources() {
    std::map<std::string, std::uint64_t> amounts;
    for (std::uint64_t n = below(4); n > 0; --n) amounts[text()] = below(kAmountMax);
    Resources out;
    for (const auto& [name, amount] : amounts) out.push_back({name, amount});
    return out;
  }
  std::vector<PlaceHint> hints() {
    return many<PlaceHint>([&] { return PlaceHint{coin(), text()}; });
  }

  // Half of them packed.
  WorkflowSpec workflow() {
    WorkflowSpec w;
    const bool packed = coin();
    const std::uint32_t nodes = 1 + static_cast<std::uint32_t>(below(30));
    w.name = text();
    w.description = text();
    w.inputs = many<InputSpec>([&] {
      InputSpec input{text(), any(InputType::kSecret), coin(), {}, text()};
      if (coin()) input.default_value = value();
      return input;
    });
    for (std::uint64_t n = packed ? 1 + below(3) : nodes; n > 0; --n) w.specs.push_back(node_spec());
    w.upstream.offsets.push_back(0);
    for (std::uint32_t node = 0; node < nodes; ++node) {
      if (packed) w.spec_of.push_back(static_cast<std::uint32_t>(below(w.specs.size())));
      else w.ids.push_back("node-" + std::to_string(node));
      std::set<std::uint32_t> row;
      for (std::uint64_t n = below(4); n > 0; --n) row.insert(static_cast<std::uint32_t>(below(nodes)));
      w.upstream.targets.insert(w.upstream.targets.end(), row.begin(), row.end());
      w.upstream.offsets.push_back(static_cast<std::uint32_t>(w.upstream.targets.size()));
    }
    w.outputs = many<std::pair<std::string, Value>>([&] { return std::pair<std::string, Value>{text(), value()}; });
    w.outputs_declared = coin();
    w.fail_fast = coin();
    w.timeout = duration();
    if (coin()) w.deadline.at = from_us(below(1'000'000));
    w.priority = i32();
    if (coin()) return w;
    w.on_failure = many<std::string>([&] { return text(); });
    w.finally_run = many<std::string>([&] { return text(); });
    w.triggers = many<TriggerSpec>([&] { return trigger(); });
    return w;
  }
  TriggerSpec trigger() {
    TriggerSpec t;
    t.name = text();
    t.schedule = {text(),
                  text(),
                  duration() % kJitterMax,
                  any(Overlap::kCancel),
                  any(CatchUp::kAll),
                  static_cast<std::uint32_t>(below(kCatchUpMax + 1))};
    t.inputs = Value::Object{{"a", value()}};
    t.filter = text();
    if (coin()) t.run_end = RunEndSpec{text(), many<RunState>([&] { return any(RunState::kCancelled); })};
    if (coin())
      t.webhook =
          WebhookSpec{text(), any(HookAuth::kBearer), text(), text(), many<std::string>([&] { return text(); })};
    if (coin()) t.stream = StreamSpec{text(), text(), coin()};
    if (coin()) t.keyspace = KeyspaceSpec{text(), text(), many<std::string>([&] { return text(); })};
    if (coin())
      t.collect = {duration() % kWindowMax, duration() % kWindowMax, static_cast<std::uint32_t>(below(kCollectMax + 1)),
                   duration() % kWindowMax};
    return t;
  }

  std::string node_id(TaskIndex task) {
    return coin() ? "n" + std::to_string(task.value) : "id" + std::to_string(below(100));
  }
  std::vector<Assignment> assignments() {
    std::shared_ptr<const RunContext> context;
    std::map<SpecKey, std::shared_ptr<const NodeSpec>> specs;
    return many<Assignment>([&] {
      if (context == nullptr || below(3) == 0) {
        RunContext c{RunId{engine_()}, u32(), Hash128{1, below(2)}, "w", to_string(hash()), payload()};
        if (coin()) c.trace_id = text();
        context = std::make_shared<const RunContext>(std::move(c));
      }
      Assignment a;
      a.context = context;
      a.task = TaskIndex{u32()};
      a.number = coin() ? 1 : u32();
      a.spec = static_cast<std::uint32_t>(below(3));
      auto& spec = specs[{context->definition, a.spec}];
      if (spec == nullptr) spec = std::make_shared<const NodeSpec>(node_spec());
      a.node_spec = spec;
      a.node = node_id(a.task);
      a.priority = coin() ? 0 : i32();
      a.age = time();
      a.bindings = many<Binding>([&] { return Binding{TaskIndex{u32()}, u32(), payload()}; });
      for (const Binding& b : a.bindings) a.names.push_back(node_id(b.task));
      if (coin())
        a.items = std::make_shared<const AssignedItems>(
            AssignedItems{u32(), static_cast<std::uint32_t>(1 + below(kChunkMax)), payload(), duration()});
      return a;
    });
  }

  std::vector<Event> events() {
    RunId run{engine_()};
    return many<Event>([&] {
      if (below(3) == 0) run = RunId{engine_()};
      Event e;
      e.run = run;
      e.seq = engine_();
      e.type = any(EventType::kRunResumed);
      e.reason = any(kReasonLast);
      e.task = TaskIndex{u32()};
      e.attempt = u32();
      e.time = time();
      e.node = is_task_event(e.type) ? node_id(e.task) : coin() ? "" : text();
      if (coin()) e.cursor = "7-" + std::to_string(u32());
      if (coin()) e.data = Payload::inline_json("{\"text\":" + std::to_string(u32()) + "}");
      return e;
    });
  }

  std::vector<PartitionEpoch> partition_epochs() {
    return many<PartitionEpoch>([&] {
      return PartitionEpoch{PartitionId{static_cast<std::uint16_t>(below(kPartitionsMax))}, u32()};
    });
  }
  ClusterNews news() {
    return {many<MemberAddress>([&] { return MemberAddress{text(), text()}; }), partition_epochs(), u32()};
  }

  PartPlace place() { return {u64(), u64(), u64()}; }
  PutPart put_part() {
    const std::string bytes = text(100);
    const std::uint64_t from = below(kPartMax);
    return {hash(), from + bytes.size() + below(kPartMax), RunId{engine_()}, from, u64(), bytes};
  }

  std::vector<WorkerMessage> worker_messages() {
    WorkerHello hello{engine_(), text(), text(), text(), u32(), u32(), u32(), labels(), {}, {}, coin(), {}};
    hello.queues = many<std::string>([&] { return text(); });
    hello.resources = resources();
    hello.answers = u64();
    hello.epochs = partition_epochs();
    hello.executors = many<std::string>([&] { return text(); });
    hello.held = many<HeldAttempt>([&] { return HeldAttempt{attempt(), coin(), rests_on(), coin() ? u32() : 0}; });
    AttemptReports reports{many<AttemptReport>([&] { return AttemptReport{attempt(), outcome(), rests_on()}; })};
    return {hello,
            WorkerBeat{engine_(), u32(), u32()},
            CreditUpdate{u32(), u32()},
            AttemptsStarted{attempts()},
            reports,
            AttemptsReclaimed{attempts()},
            TaskLog{attempt(), coin(), text(200), coin() ? std::optional(u32() / 2) : std::nullopt},
            ValueRequest{hash(), u64(), u32()},
            WorkerDraining{},
            WorkerBye{},
            TaskNews{attempt(), any(EventType::kTaskTokens), text(200)},
            put_part()};
  }

  std::vector<CoordinatorMessage> coordinator_messages() {
    return {WorkerWelcome{WorkerId{u32()}, text(), news(), coin()},
            WorkerRefused{text(), text()},
            AssignBatch{assignments()},
            CancelBatch{many<AttemptCancel>([&] {
              return AttemptCancel{attempt(), any(kReasonLast)};
            })},
            AnswerBatch{many<ReportAnswer>([&] {
              return ReportAnswer{attempt(), any(Answer::kRefused), coin() ? "" : text()};
            })},
            Reclaim{attempts()},
            ValueReply{hash(), coin(), text(100), place()},
            DrainWorker{},
            SayHello{u64()},
            news(),
            PartTaken{hash(), u64(), coin(), coin()}};
  }

  std::shared_ptr<const std::string> bytes_or_none() {
    return coin() ? std::make_shared<const std::string>(text()) : nullptr;
  }
  WorkflowRequest workflow_request() {
    return {any(WorkflowAct::kDelete), text(), text(), u32(), hash(), bytes_or_none(), text(), coin(), coin()};
  }
  RegisteredWorkflow registered() {
    return {text(), text(), u32(), many<WorkflowVersion>([&] {
              return WorkflowVersion{u32(), hash(), time(), text(), u32()};
            })};
  }

  RunName run_name() { return {text(), text()}; }
  std::vector<OperatorRequest> requests() {
    SubmitRun submit{text(), "k" + text(), hash(), nullptr, payload(), labels(),
                     text(), text(),       i32(),  {},      coin(),    coin()};
    if (coin()) submit.deadline.after = Duration{below(1'000'000)};
    else if (coin()) submit.deadline.at = from_us(below(1'000'000));
    submit.version = u32();
    if (coin()) submit.definition_bytes = std::make_shared<const std::string>(text());
    if (coin()) {
      submit.resume =
          Resume{RunId{engine_()}, any(ResumeScope::kAll), many<std::string>([&] { return text(); }), text()};
    }
    ListRuns list{text(), text(), labels(), {}, text(), u32(), text(), text()};
    if (coin()) list.state = any(RunState::kCancelled);
    return {submit,
            GetRun{run_name(), u32()},
            WaitRun{run_name(), u32()},
            list,
            CancelRun{run_name(), text()},
            ReadEvents{run_name(), u64(), u32()},
            ReadLogs{run_name(), text(), u32(), text(), u32()},
            GetValue{hash(), u64(), u32()},
            PutInputs{hash(), 1'000, 300, u64(), text(100)},
            ListWorkers{},
            DrainWorkerRequest{text()},
            GetDefinition{run_name()},
            PingRequest{},
            ListCoordinators{},
            ListPartitions{},
            MovePartition{u32(), text()},
            DrainCoordinator{text()},
            ExamineCluster{},
            workflow_request(),
            ListWorkflows{text()},
            DeliverLetters{u32(), u32(), many<std::string>([&] { return text(); }), engine_()},
            SignalRun{run_name(), text(), payload(), engine_(), text()},
            DecideApproval{run_name(), text(), coin(), text(), text(), text()},
            ListTriggers{text(), text()},
            TellTrigger{text(), text(), text(), any(TriggerAct::kResume), u64()},
            HookDelivery{text(), text(), text(), many<std::pair<std::string, std::string>>([&] {
                           return std::pair{text(), text()};
                         }),
                         text()},
            FindRunOfKey{text(), text()},
            PauseRun{run_name(), coin(), text()},
            PauseScope{pause().what, coin(), text(), text()},
            ListPauses{text()}};
  }

  Pause pause() { return {{any(kPauseKindLast), text(), text()}, time(), text(), text()}; }

  RunView run_view() {
    RunView v;
    v.pauses = many<Pause>([&] { return pause(); });
    RunParent parent;
    if (coin()) parent = {RunId{engine_() | 1}, TaskIndex{u32()}, text(), u32(), u32()};
    v.info = {RunId{engine_()}, text(), text(),       hash(), labels(), text(),    hash(), text(),
              text(),           i32(),  RunId{u64()}, u32(),  parent,   payload(), time()};
    v.record = {any(RunState::kCancelled),
                any(kReasonLast),
                u32(),
                u64(),
                engine_(),
                u32(),
                time(),
                time(),
                payload(),
                nullptr,
                {}};
    if (coin()) v.record.why = text();
    if (coin()) v.record.error = std::make_shared<const RunError>(RunError{text(), text(), text(), u32(), text()});
    v.nodes = many<NodeView>([&] {
      NodeView n{text(),
                 any(TaskState::kCancelled),
                 any(kReasonLast),
                 any(kWaitReasonLast),
                 u32(),
                 duration(),
                 duration(),
                 text(),
                 nullptr,
                 payload()};
      if (coin()) {
        ErrorInfo error = error_info();
        if (coin()) error.losses.push_back({u32(), text(), from_us(below(1'000'000)), from_us(below(1'000)), text()});
        n.error = std::make_shared<const ErrorInfo>(std::move(error));
      }
      if (coin()) n.wait_text = text();
      n.artifacts = artifacts();
      if (coin()) n.child = text();
      if (coin()) {
        n.items =
            ItemsView{u32(), u32(), u32(), u32(), u32(), many<FailedItem>([&] {
                        const ErrorInfo error = error_info();
                        return FailedItem{u32(), any(kReasonLast), u32(), std::make_shared<const ErrorInfo>(error)};
                      })};
      }
      return n;
    });
    v.nodes_total = u32();
    for (std::uint64_t n = below(5); n > 0; --n) v.by_state[any(TaskState::kCancelled)] = u32();
    v.now = time();
    return v;
  }

  CoordinatorHealth health() {
    CoordinatorHealth h;
    h.name = text();
    h.version = text();
    h.endpoint = text();
    h.protocol = u32();
    h.function_version = u32();
    h.format = u32();
    h.now = time();
    h.store_up = coin();
    h.store = {text(), text(), text(), text(), duration(), u32(), u32(),  engine_(), engine_(),
               text(), text(), text(), text(), text(),     u32(), text(), coin()};
    h.partitions = u32();
    h.owned = u32();
    h.awaited = u32();
    h.runs_live = engine_();
    h.ready = engine_();
    h.running = engine_();
    h.slots = engine_();
    h.workers_ready = u32();
    h.workers_draining = u32();
    h.workers_silent = u32();
    h.limits = many<LimitUse>([&] { return LimitUse{text(), engine_(), engine_()}; });
    h.audit = {engine_(), engine_(), engine_()};
    h.findings = many<Finding>([&] { return Finding{text(), text(), text(), text(), text()}; });
    return h;
  }

  std::vector<OperatorReply> replies() {
    ListReply list;
    list.runs = many<RunSummary>([&] {
      return RunSummary{RunId{engine_()}, text(), text(), labels(), any(RunState::kCancelled),
                        time(),           time(), u32(),  u32(),    text()};
    });
    list.next_page = text();
    WorkersReply workers{many<WorkerView>([&] {
      return WorkerView{text(),   text(), u32(),  text(), text(), u32(),    u32(),       labels(),
                        {text()}, time(), time(), u32(),  u32(),  {text()}, resources(), resources()};
    })};
    Error error{any(Code::kInternal), text(), {}, text()};
    error.details = many<Problem>([&] {
      return Problem{text(), static_cast<int>(below(1000)), static_cast<int>(below(1000)), text(), text(), text()};
    });
    LogsReply logs{RunId{engine_()}, {}, text(), coin()};
    logs.lines = many<LogLine>([&] { return LogLine{text(), u32(), coin(), time(), text(100)}; });
    DefinitionReply definition;
    if (coin()) definition.bytes = std::make_shared<const std::string>(text());
    return {SubmitReply{RunId{engine_()}, coin(), text(), u32()},
            ActReply{RunId{engine_()}, any(RunState::kCancelled), text(), any(TaskState::kCancelled), coin()},
            NeedDefinition{hash()},
            RunReply{run_view()},
            list,
            CancelReply{RunId{engine_()}, any(RunState::kCancelled), coin()},
            EventsReply{RunId{engine_()}, events(), coin()},
            logs,
            ValueFound{coin(), text(100), place()},
            InputsTaken{hash(), u64(), coin(), coin()},
            workers,
            DrainReply{text()},
            definition,
            PingReply{text(), text(), text(), u32(), u32(), many<CoordinatorAddress>([&] {
                        return CoordinatorAddress{text(), text(), text()};
                      })},
            ErrorReply{error},
            CoordinatorsReply{many<CoordinatorView>([&] {
              return CoordinatorView{text(), text(), text(), text(), u32(), u32(), time(), text(), text(), text()};
            })},
            PartitionsReply{many<PartitionView>([&] {
              PartitionView row{u32(), text(), u32(), time(), {}, text()};
              if (coin()) row.runs_live = u32();
              return row;
            })},
            MoveReply{u32(), text(), text()},
            TriggersReply{many<TriggerView>([&] {
              std::optional<RunEndSpec> ends;
              if (coin()) ends = RunEndSpec{text(), {RunState::kFailed}};
              return TriggerView{text(), text(), text(), u64(), text(), text(), ends,  coin(),
                                 time(), time(), text(), u32(), u64(),  u64(),  u64(), text(),
                                 coin(), u64(),  u64(),  u64(), text(), text(), text()};
            })},
            TriggerReply{text(), text(), coin(), text()},
            HookReply{any(EventFate::kFailed), text(), text()},
            PauseReply{pause(), coin(), coin()},
            PausesReply{many<Pause>([&] { return pause(); })},
            LettersReply{u32(), u32(), engine_()},
            WorkflowReply{registered(), u32(), coin(), bytes_or_none()},
            WorkflowsReply{many<RegisteredWorkflow>([&] { return registered(); })},
            DrainCoordinatorReply{text(), u32()},
            HealthReply{many<CoordinatorHealth>([&] { return health(); })}};
  }

 private:
  std::mt19937_64 engine_;
  std::vector<Payload> payloads_;
  AttemptId last_;
};

}  // namespace millrace::test
