// Client -> coordinator.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/wire/codec.h"
#include "common/wire/pause_codec.h"
#include "common/wire/registered_codec.h"
#include "common/wire/scratch.h"
#include "common/wire/shapes.h"
#include "operator.pb.h"

namespace millrace {
namespace {

void write(const RunName& run, pb::RunName* out) {
  out->set_text(run.text);
  out->set_caller(run.caller);
}
RunName read(const pb::RunName& run) { return {run.text(), run.caller()}; }

void write(const Resume& m, pb::Resume* out) {
  out->set_of(m.of.value);
  out->set_scope(static_cast<std::uint32_t>(m.scope));
  for (const std::string& node : m.from) out->add_from(node);
  out->set_why(m.why);
}
Resume read(Reader& in, const pb::Resume& m) {
  return {RunId{m.of()},
          in.to_enum(m.scope(), kResumeScopeLast, "unknown part of a run"),
          {m.from().begin(), m.from().end()},
          m.why()};
}

void write(const SubmitRun& m, pb::SubmitRun* out) {
  out->set_tenant(m.tenant);
  out->set_key(m.key);
  write(m.definition, out->mutable_definition());
  if (m.definition_bytes != nullptr) out->set_definition_bytes(*m.definition_bytes);
  write(m.inputs, out->mutable_inputs());
  write_labels(m.labels, out->mutable_labels());
  out->set_trace_id(m.trace_id);
  out->set_caller(m.caller);
  out->set_priority(m.priority);
  out->set_wait(m.wait);
  out->set_with_nodes(m.with_nodes);
  if (m.resume) write(*m.resume, out->mutable_resume());
  out->set_version(m.version);
  out->set_deadline_us(to_us(m.deadline.at));
  out->set_deadline_after_us(m.deadline.after.count());
}

SubmitRun read(Reader& in, pb::SubmitRun* m) {
  SubmitRun out;
  out.tenant = m->tenant();
  out.key = m->key();
  in.require(!out.key.empty(), "a submission without an idempotency key");
  out.definition = read_hash(m->definition());
  if (m->has_definition_bytes()) {
    out.definition_bytes = std::make_shared<const std::string>(std::move(*m->mutable_definition_bytes()));
  }
  out.inputs = read_payload(in, m->mutable_inputs());
  out.labels = read_labels(m->labels());
  out.trace_id = m->trace_id();
  out.caller = m->caller();
  out.priority = m->priority();
  out.wait = m->wait();
  out.with_nodes = m->with_nodes();
  if (m->has_resume()) out.resume = read(in, m->resume());
  out.version = m->version();
  out.deadline = {from_us(m->deadline_us()), Duration{m->deadline_after_us()}};
  in.require(out.deadline.sane(), "a deadline is out of range");
  return out;
}

void write(const ListRuns& m, pb::ListRuns* out) {
  out->set_tenant(m.tenant);
  out->set_workflow(m.workflow);
  write_labels(m.labels, out->mutable_labels());
  if (m.state) out->set_state(static_cast<std::uint32_t>(*m.state));
  out->set_caller(m.caller);
  out->set_limit(m.limit);
  out->set_page(m.page);
  out->set_where(m.where);
}

ListRuns read(Reader& in, const pb::ListRuns& m) {
  ListRuns out;
  out.tenant = m.tenant();
  out.workflow = m.workflow();
  out.labels = read_labels(m.labels());
  if (m.has_state()) out.state = in.to_enum(m.state(), kRunStateLast, "unknown run state");
  out.caller = m.caller();
  out.limit = m.limit();
  out.page = m.page();
  out.where = m.where();
  return out;
}

SignalRun read(Reader& in, pb::SignalRun* m) {
  return {read(m->run()), m->name(), read_payload(in, m->mutable_payload()), m->key(), m->caller()};
}
DecideApproval read(const pb::DecideApproval& m) {
  return {read(m.run()), m.node(), m.approve(), m.role(), m.comment(), m.caller()};
}

ReadLogs read(const pb::ReadLogs& m) { return {read(m.run()), m.node(), m.attempt(), m.since(), m.limit()}; }

TellTrigger read(Reader& in, const pb::TellTrigger& m) {
  return {m.tenant(), m.workflow(), m.trigger(), in.to_enum(m.act(), kTriggerActLast, "unknown act on a trigger"),
          m.once()};
}

HookDelivery read(Reader& in, pb::HookDelivery* m) {
  HookDelivery out{m->tenant(), m->workflow(), m->trigger()};
  const int headers = m->header_names_size();
  if (!in.require(headers == m->header_values_size() && headers <= static_cast<int>(kDeliveryHeadersMax),
                  "headers of a delivery do not go together"))
    return out;
  for (int i = 0; i < headers; ++i) out.headers.emplace_back(m->header_names(i), m->header_values(i));
  out.body = std::move(*m->mutable_body());
  in.require(out.body.size() <= kHookBodyMax, "the body of a delivery is too large");
  return out;
}

struct WriteRequest {
  pb::Request& out;
  void operator()(const SubmitRun& m) { write(m, out.mutable_submit()); }
  void operator()(const GetRun& m) { query(m, out.mutable_get_run()); }
  void operator()(const WaitRun& m) { query(m, out.mutable_wait_run()); }
  void operator()(const ListRuns& m) { write(m, out.mutable_list_runs()); }
  void operator()(const CancelRun& m) {
    write(m.run, out.mutable_cancel_run()->mutable_run());
    out.mutable_cancel_run()->set_why(m.why);
  }
  void operator()(const ReadEvents& m) {
    pb::ReadEvents* r = out.mutable_read_events();
    write(m.run, r->mutable_run());
    r->set_since(m.since);
    r->set_limit(m.limit);
  }
  void operator()(const ReadLogs& m) {
    pb::ReadLogs* r = out.mutable_read_logs();
    write(m.run, r->mutable_run());
    r->set_node(m.node);
    r->set_attempt(m.attempt);
    r->set_since(m.since);
    r->set_limit(m.limit);
  }
  void operator()(const GetValue& m) { write_wanted(m, out.mutable_get_value()); }
  void operator()(const PutInputs& m) {
    pb::PutInputs* r = out.mutable_put_inputs();
    write(m.hash, r->mutable_hash());
    r->set_size(m.size);
    r->set_from(m.from);
    r->set_check(m.check);
    r->set_part(m.bytes);
  }
  void operator()(const ListWorkers&) { out.set_list_workers(true); }
  void operator()(const DrainWorkerRequest& m) { out.set_drain_worker(m.name); }
  void operator()(const GetDefinition& m) { write(m.run, out.mutable_get_definition()); }
  void operator()(const PingRequest&) { out.set_ping(true); }
  void operator()(const ListCoordinators&) { out.set_list_coordinators(true); }
  void operator()(const ListPartitions&) { out.set_list_partitions(true); }
  void operator()(const MovePartition& m) {
    out.mutable_move_partition()->set_partition(m.partition);
    out.mutable_move_partition()->set_to(m.to);
  }
  void operator()(const DrainCoordinator& m) { out.set_drain_coordinator(m.name); }
  void operator()(const ExamineCluster&) { out.set_examine(true); }
  void operator()(const SignalRun& m) {
    pb::SignalRun* r = out.mutable_signal_run();
    write(m.run, r->mutable_run());
    r->set_name(m.name);
    millrace::write(m.payload, r->mutable_payload());
    r->set_key(m.key);
    r->set_caller(m.caller);
  }
  void operator()(const DecideApproval& m) {
    pb::DecideApproval* r = out.mutable_decide_approval();
    write(m.run, r->mutable_run());
    r->set_node(m.node);
    r->set_approve(m.approve);
    r->set_role(m.role);
    r->set_comment(m.comment);
    r->set_caller(m.caller);
  }
  void operator()(const PauseRun& m) {
    write(m.run, out.mutable_pause_run()->mutable_run());
    out.mutable_pause_run()->set_pause(m.pause);
    out.mutable_pause_run()->set_why(m.why);
  }
  void operator()(const WorkflowRequest& m) { millrace::write(m, out.mutable_workflow()); }
  void operator()(const ListWorkflows& m) { out.set_list_workflows(m.tenant); }
  void operator()(const DeliverLetters& m) {
    pb::DeliverLetters* r = out.mutable_deliver_letters();
    r->set_from(m.from);
    r->set_to(m.to);
    for (const std::string& letter : m.letters) r->add_letters(letter);
    r->set_after(m.after);
  }
  void operator()(const ListTriggers& m) {
    out.mutable_list_triggers()->set_tenant(m.tenant);
    out.mutable_list_triggers()->set_workflow(m.workflow);
  }
  void operator()(const HookDelivery& m) {
    pb::HookDelivery* r = out.mutable_hook_delivery();
    r->set_tenant(m.tenant);
    r->set_workflow(m.workflow);
    r->set_trigger(m.trigger);
    for (const auto& [name, value] : m.headers) {
      r->add_header_names(name);
      r->add_header_values(value);
    }
    r->set_body(m.body);
  }
  void operator()(const FindRunOfKey& m) {
    out.mutable_find_run_of_key()->set_tenant(m.tenant);
    out.mutable_find_run_of_key()->set_key(m.key);
  }
  void operator()(const PauseScope& m) { millrace::write(m, out.mutable_pause_scope()); }
  void operator()(const ListPauses& m) { out.set_list_pauses(m.tenant); }
  void operator()(const TellTrigger& m) {
    pb::TellTrigger* r = out.mutable_tell_trigger();
    r->set_tenant(m.tenant);
    r->set_workflow(m.workflow);
    r->set_trigger(m.trigger);
    r->set_act(static_cast<std::uint32_t>(m.act));
    r->set_once(m.once);
  }

 private:
  template <class M>
  void query(const M& m, pb::RunQuery* q) {
    write(m.run, q->mutable_run());
    q->set_nodes_max(m.nodes_max);
  }
};

PutInputs read_inputs(Reader& in, pb::PutInputs* m) {
  in.require(m->size() <= kValueMax, "inputs are too large");
  in.require(m->part().size() <= kPartMax, "a part is too large");
  in.require(m->from() <= m->size() && m->part().size() <= m->size() - m->from(), "a part lies outside its value");
  return {read_hash(m->hash()), m->size(), m->from(), m->check(), std::move(*m->mutable_part())};
}

OperatorRequest read(Reader& in, pb::Request* m) {
  switch (m->kind_case()) {
    case pb::Request::kSubmit: return read(in, m->mutable_submit());
    case pb::Request::kGetRun: return GetRun{read(m->get_run().run()), m->get_run().nodes_max()};
    case pb::Request::kWaitRun: return WaitRun{read(m->wait_run().run()), m->wait_run().nodes_max()};
    case pb::Request::kListRuns: return read(in, m->list_runs());
    case pb::Request::kCancelRun: return CancelRun{read(m->cancel_run().run()), m->cancel_run().why()};
    case pb::Request::kReadEvents:
      return ReadEvents{read(m->read_events().run()), m->read_events().since(), m->read_events().limit()};
    case pb::Request::kReadLogs: return read(m->read_logs());
    case pb::Request::kGetValue: return read_wanted<GetValue>(m->get_value());
    case pb::Request::kListWorkers: return ListWorkers{};
    case pb::Request::kDrainWorker: return DrainWorkerRequest{m->drain_worker()};
    case pb::Request::kGetDefinition: return GetDefinition{read(m->get_definition())};
    case pb::Request::kPing: return PingRequest{};
    case pb::Request::kListCoordinators: return ListCoordinators{};
    case pb::Request::kListPartitions: return ListPartitions{};
    case pb::Request::kMovePartition: return MovePartition{m->move_partition().partition(), m->move_partition().to()};
    case pb::Request::kDrainCoordinator: return DrainCoordinator{m->drain_coordinator()};
    case pb::Request::kExamine: return ExamineCluster{};
    case pb::Request::kSignalRun: return read(in, m->mutable_signal_run());
    case pb::Request::kDecideApproval: return read(m->decide_approval());
    case pb::Request::kPauseRun:
      return PauseRun{read(m->pause_run().run()), m->pause_run().pause(), m->pause_run().why()};
    case pb::Request::kWorkflow: return read_workflow_request(in, m->mutable_workflow());
    case pb::Request::kListWorkflows: return ListWorkflows{m->list_workflows()};
    case pb::Request::kDeliverLetters:
      return DeliverLetters{m->deliver_letters().from(),
                            m->deliver_letters().to(),
                            {m->deliver_letters().letters().begin(), m->deliver_letters().letters().end()},
                            m->deliver_letters().after()};
    case pb::Request::kListTriggers: return ListTriggers{m->list_triggers().tenant(), m->list_triggers().workflow()};
    case pb::Request::kHookDelivery: return read(in, m->mutable_hook_delivery());
    case pb::Request::kFindRunOfKey: return FindRunOfKey{m->find_run_of_key().tenant(), m->find_run_of_key().key()};
    case pb::Request::kPutInputs: return read_inputs(in, m->mutable_put_inputs());
    case pb::Request::kTellTrigger: return read(in, m->tell_trigger());
    case pb::Request::kPauseScope: return read_pause_scope(in, m->pause_scope());
    case pb::Request::kListPauses: return ListPauses{m->list_pauses()};
    case pb::Request::KIND_NOT_SET: break;
  }
  in.require(false, "unknown request");
  return PingRequest{};
}

}  // namespace

std::string encode_request(std::uint64_t number, const OperatorRequest& request, std::uint32_t hops) {
  Scratch<pb::Request> out;
  out->set_number(number);
  out->set_hops(hops);
  std::visit(WriteRequest{*out}, request);
  return out.serialize();
}

Result<std::pair<std::uint64_t, OperatorRequest>> decode_request(std::string_view bytes, std::uint32_t* hops) {
  Reader in("request");
  Scratch<pb::Request> parsed;
  if (!in.require(parsed.parse(bytes), "malformed")) return in.error();
  OperatorRequest request = read(in, &*parsed);
  if (!in.ok()) return in.error();
  if (hops != nullptr) *hops = parsed->hops();
  return std::pair{parsed->number(), std::move(request)};
}

}  // namespace millrace
