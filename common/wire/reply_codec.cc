// Coordinator -> client.
#include <memory>
#include <string>
#include <utility>

#include "common/wire/codec.h"
#include "common/wire/health_codec.h"
#include "common/wire/pause_codec.h"
#include "common/wire/registered_codec.h"
#include "common/wire/scratch.h"
#include "common/wire/view_codec.h"

namespace millrace {
namespace {

void write(const LogsReply& m, pb::LogsReply* out) {
  out->set_run(m.run.value);
  for (const LogLine& line : m.lines) {
    pb::LogLine* l = out->add_lines();
    l->set_node(line.node);
    l->set_attempt(line.attempt);
    l->set_stderr_stream(line.stderr_stream);
    l->set_time_us(to_us(line.time));
    l->set_text(line.text);
  }
  out->set_cursor(m.cursor);
  out->set_ended(m.ended);
}

LogsReply read(pb::LogsReply* m) {
  LogsReply out;
  out.run = RunId{m->run()};
  out.lines.reserve(static_cast<std::size_t>(m->lines_size()));
  for (pb::LogLine& line : *m->mutable_lines()) {
    out.lines.push_back({std::move(*line.mutable_node()), line.attempt(), line.stderr_stream(), from_us(line.time_us()),
                         std::move(*line.mutable_text())});
  }
  out.cursor = m->cursor();
  out.ended = m->ended();
  return out;
}

ListReply read(Reader& in, const pb::ListReply& m) {
  ListReply out;
  out.runs.reserve(static_cast<std::size_t>(m.runs_size()));
  for (const pb::RunSummary& run : m.runs()) out.runs.push_back(read_summary(in, run));
  out.next_page = m.next_page();
  return out;
}

WorkersReply read(const pb::WorkersReply& m) {
  WorkersReply out;
  out.workers.reserve(static_cast<std::size_t>(m.workers_size()));
  for (const pb::WorkerView& worker : m.workers()) out.workers.push_back(read_worker(worker));
  return out;
}

DefinitionReply read(pb::DefinitionReply* m) {
  if (!m->has_definition()) return {};
  return {std::make_shared<const std::string>(std::move(*m->mutable_definition()))};
}

PingReply read(const pb::PingReply& m) {
  PingReply out{m.coordinator(), m.version(), m.events_endpoint(), m.partitions(), m.workers(), {}};
  for (const pb::CoordinatorAddress& member : m.members())
    out.members.push_back({member.name(), member.endpoint(), member.events()});
  return out;
}

CoordinatorsReply read(const pb::CoordinatorsReply& m) {
  CoordinatorsReply out;
  for (const pb::CoordinatorView& row : m.coordinators()) {
    out.coordinators.push_back({row.name(), row.endpoint(), row.events(), row.state(), row.partitions(), row.epoch(),
                                from_us(row.since_us()), row.version(), row.durability(), row.weaker()});
  }
  return out;
}

PartitionsReply read(const pb::PartitionsReply& m) {
  PartitionsReply out;
  for (const pb::PartitionView& row : m.partitions()) {
    PartitionView& view = out.partitions.emplace_back();
    view.partition = row.partition();
    view.owner = row.owner();
    view.epoch = row.epoch();
    view.since = from_us(row.since_us());
    if (row.has_runs_live()) view.runs_live = row.runs_live();
    view.state = row.state();
  }
  return out;
}

TriggersReply read(Reader& in, const pb::TriggersReply& m) {
  TriggersReply out;
  for (const pb::TriggerView& row : m.triggers()) {
    std::optional<RunEndSpec> run_end;
    if (row.has_run_end()) run_end = read_run_end(in, row.run_end());
    out.triggers.push_back(
        {row.tenant(),   row.workflow(),     row.trigger(), row.version(),          row.cron(),
         row.timezone(), std::move(run_end), row.paused(),  from_us(row.next_us()), from_us(row.fired_us()),
         row.running(),  row.queued(),       row.started(), row.skipped(),          row.failed(),
         row.error(),    row.webhook(),      row.waiting(), row.filtered(),         row.duplicates(),
         row.stream(),   row.offset(),       row.keyspace()});
  }
  return out;
}

void write(const TriggerView& view, pb::TriggerView* row) {
  row->set_tenant(view.tenant);
  row->set_workflow(view.workflow);
  row->set_trigger(view.trigger);
  row->set_version(view.version);
  row->set_cron(view.cron);
  row->set_timezone(view.timezone);
  row->set_paused(view.paused);
  row->set_next_us(to_us(view.next));
  row->set_fired_us(to_us(view.fired));
  row->set_running(view.running);
  row->set_queued(view.queued);
  row->set_started(view.started);
  row->set_skipped(view.skipped);
  row->set_failed(view.failed);
  row->set_error(view.error);
  if (view.run_end) write(*view.run_end, row->mutable_run_end());
  row->set_webhook(view.webhook);
  row->set_waiting(view.waiting);
  row->set_filtered(view.filtered);
  row->set_duplicates(view.duplicates);
  row->set_stream(view.stream);
  row->set_offset(view.offset);
  row->set_keyspace(view.keyspace);
}

struct WriteReply {
  pb::Reply& out;
  void operator()(const SubmitReply& m) {
    pb::SubmitReply* r = out.mutable_submit();
    r->set_run(m.run.value);
    r->set_existing(m.existing);
    r->set_trace_id(m.trace_id);
    r->set_shared(m.shared);
  }
  void operator()(const NeedDefinition& m) { millrace::write(m.definition, out.mutable_need_definition()); }
  void operator()(const RunReply& m) { millrace::write(m.view, out.mutable_run()); }
  void operator()(const ListReply& m) {
    for (const RunSummary& run : m.runs) millrace::write(run, out.mutable_list()->add_runs());
    out.mutable_list()->set_next_page(m.next_page);
  }
  void operator()(const CancelReply& m) {
    pb::CancelReply* r = out.mutable_cancel();
    r->set_run(m.run.value);
    r->set_state(static_cast<std::uint32_t>(m.state));
    r->set_was_cancelled(m.was_cancelled);
  }
  void operator()(const EventsReply& m) {
    pb::EventsReply* r = out.mutable_events();
    r->set_run(m.run.value);
    write_events(m.events, r->mutable_events());
    r->set_ended(m.ended);
  }
  void operator()(const LogsReply& m) { write(m, out.mutable_logs()); }
  void operator()(const ValueFound& m) {
    out.mutable_value()->set_found(m.found);
    out.mutable_value()->set_json(m.json);
    write_place(m.place, out.mutable_value());
  }
  void operator()(const InputsTaken& m) {
    pb::InputsTaken* r = out.mutable_inputs_taken();
    write(m.hash, r->mutable_hash());
    r->set_have(m.have);
    r->set_kept(m.kept);
    r->set_damaged(m.damaged);
  }
  void operator()(const WorkersReply& m) {
    pb::WorkersReply* r = out.mutable_workers();
    for (const WorkerView& worker : m.workers) millrace::write(worker, r->add_workers());
  }
  void operator()(const DrainReply& m) { out.set_drained(m.name); }
  void operator()(const DefinitionReply& m) {
    pb::DefinitionReply* r = out.mutable_definition();
    if (m.bytes != nullptr) r->set_definition(*m.bytes);
  }
  void operator()(const PingReply& m) {
    pb::PingReply* r = out.mutable_ping();
    r->set_coordinator(m.coordinator);
    r->set_version(m.version);
    r->set_events_endpoint(m.events_endpoint);
    r->set_partitions(m.partitions);
    r->set_workers(m.workers);
    for (const CoordinatorAddress& member : m.members) {
      pb::CoordinatorAddress* a = r->add_members();
      a->set_name(member.name);
      a->set_endpoint(member.endpoint);
      a->set_events(member.events);
    }
  }
  void operator()(const CoordinatorsReply& m) {
    pb::CoordinatorsReply* r = out.mutable_coordinators();
    for (const CoordinatorView& view : m.coordinators) {
      pb::CoordinatorView* row = r->add_coordinators();
      row->set_name(view.name);
      row->set_endpoint(view.endpoint);
      row->set_events(view.events);
      row->set_state(view.state);
      row->set_partitions(view.partitions);
      row->set_epoch(view.epoch);
      row->set_since_us(to_us(view.since));
      row->set_version(view.version);
      row->set_durability(view.durability);
      row->set_weaker(view.weaker);
    }
  }
  void operator()(const PartitionsReply& m) {
    pb::PartitionsReply* r = out.mutable_partitions();
    for (const PartitionView& view : m.partitions) {
      pb::PartitionView* row = r->add_partitions();
      row->set_partition(view.partition);
      row->set_owner(view.owner);
      row->set_epoch(view.epoch);
      row->set_since_us(to_us(view.since));
      if (view.runs_live) row->set_runs_live(*view.runs_live);
      row->set_state(view.state);
    }
  }
  void operator()(const WorkflowReply& m) { millrace::write(m, out.mutable_workflow()); }
  void operator()(const WorkflowsReply& m) { millrace::write(m, out.mutable_workflows()); }
  void operator()(const LettersReply& m) {
    pb::LettersReply* r = out.mutable_letters();
    r->set_from(m.from);
    r->set_to(m.to);
    r->set_until(m.until);
  }
  void operator()(const TriggersReply& m) {
    for (const TriggerView& view : m.triggers) write(view, out.mutable_triggers()->add_triggers());
    out.mutable_triggers();
  }
  void operator()(const HookReply& m) {
    out.mutable_hook()->set_fate(static_cast<std::uint32_t>(m.fate));
    out.mutable_hook()->set_key(m.key);
    out.mutable_hook()->set_why(m.why);
  }
  void operator()(const PauseReply& m) { millrace::write(m, out.mutable_pause()); }
  void operator()(const PausesReply& m) { millrace::write(m, out.mutable_pauses()); }
  void operator()(const TriggerReply& m) {
    pb::TriggerReply* r = out.mutable_trigger();
    r->set_workflow(m.workflow);
    r->set_trigger(m.trigger);
    r->set_paused(m.paused);
    r->set_key(m.key);
  }
  void operator()(const MoveReply& m) {
    pb::MoveReply* r = out.mutable_moved();
    r->set_partition(m.partition);
    r->set_from(m.from);
    r->set_to(m.to);
  }
  void operator()(const DrainCoordinatorReply& m) {
    out.mutable_coordinator_drains()->set_name(m.name);
    out.mutable_coordinator_drains()->set_partitions(m.partitions);
  }
  void operator()(const HealthReply& m) { millrace::write(m, out.mutable_health()); }
  void operator()(const ActReply& m) {
    pb::ActReply* r = out.mutable_act();
    r->set_run(m.run.value);
    r->set_state(static_cast<std::uint32_t>(m.state));
    r->set_node(m.node);
    r->set_node_state(static_cast<std::uint32_t>(m.node_state));
    r->set_repeated(m.repeated);
  }
  void operator()(const ErrorReply& m) { millrace::write(m.error, out.mutable_error()); }
};

OperatorReply read(Reader& in, pb::Reply* m) {
  switch (m->kind_case()) {
    case pb::Reply::kSubmit:
      return SubmitReply{RunId{m->submit().run()}, m->submit().existing(), m->submit().trace_id(),
                         m->submit().shared()};
    case pb::Reply::kNeedDefinition: return NeedDefinition{read_hash(m->need_definition())};
    case pb::Reply::kRun: return RunReply{read_view(in, m->mutable_run())};
    case pb::Reply::kList: return read(in, m->list());
    case pb::Reply::kCancel:
      return CancelReply{RunId{m->cancel().run()}, in.to_enum(m->cancel().state(), kRunStateLast, "unknown run state"),
                         m->cancel().was_cancelled()};
    case pb::Reply::kEvents:
      return EventsReply{RunId{m->events().run()}, read_events(in, m->events().events()), m->events().ended()};
    case pb::Reply::kLogs: return read(m->mutable_logs());
    case pb::Reply::kValue:
      return ValueFound{m->value().found(), std::move(*m->mutable_value()->mutable_json()), read_place(m->value())};
    case pb::Reply::kInputsTaken:
      return InputsTaken{read_hash(m->inputs_taken().hash()), m->inputs_taken().have(), m->inputs_taken().kept(),
                         m->inputs_taken().damaged()};
    case pb::Reply::kWorkers: return read(m->workers());
    case pb::Reply::kDrained: return DrainReply{m->drained()};
    case pb::Reply::kDefinition: return read(m->mutable_definition());
    case pb::Reply::kPing: return read(m->ping());
    case pb::Reply::kCoordinators: return read(m->coordinators());
    case pb::Reply::kPartitions: return read(m->partitions());
    case pb::Reply::kWorkflow: return read_workflow_reply(m->mutable_workflow());
    case pb::Reply::kWorkflows: return read_workflows(m->workflows());
    case pb::Reply::kLetters: return LettersReply{m->letters().from(), m->letters().to(), m->letters().until()};
    case pb::Reply::kMoved: return MoveReply{m->moved().partition(), m->moved().from(), m->moved().to()};
    case pb::Reply::kCoordinatorDrains:
      return DrainCoordinatorReply{m->coordinator_drains().name(), m->coordinator_drains().partitions()};
    case pb::Reply::kHealth: return read_health(m->health());
    case pb::Reply::kAct:
      return ActReply{RunId{m->act().run()}, in.to_enum(m->act().state(), kRunStateLast, "unknown run state"),
                      m->act().node(), in.to_enum(m->act().node_state(), kTaskStateLast, "unknown task state"),
                      m->act().repeated()};
    case pb::Reply::kError: return ErrorReply{read_error(in, m->error())};
    case pb::Reply::kTriggers: return read(in, m->triggers());
    case pb::Reply::kHook:
      return HookReply{in.to_enum(m->hook().fate(), kEventFateLast, "unknown fate of an event"), m->hook().key(),
                       m->hook().why()};
    case pb::Reply::kTrigger:
      return TriggerReply{m->trigger().workflow(), m->trigger().trigger(), m->trigger().paused(), m->trigger().key()};
    case pb::Reply::kPause: return read_pause_reply(in, m->pause());
    case pb::Reply::kPauses: return read_pauses(in, m->pauses());
    case pb::Reply::KIND_NOT_SET: break;
  }
  in.require(false, "unknown reply");
  return DrainReply{};
}

}  // namespace

std::string encode_reply(std::uint64_t number, const OperatorReply& reply) {
  Scratch<pb::Reply> out;
  out->set_number(number);
  std::visit(WriteReply{*out}, reply);
  return out.serialize();
}

Result<std::pair<std::uint64_t, OperatorReply>> decode_reply(std::string_view bytes) {
  Reader in("reply");
  Scratch<pb::Reply> parsed;
  if (!in.require(parsed.parse(bytes), "malformed")) return in.error();
  OperatorReply reply = read(in, &*parsed);
  if (!in.ok()) return in.error();
  return std::pair{parsed->number(), std::move(reply)};
}

}  // namespace millrace
