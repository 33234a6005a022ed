// Equality by content for the operator messages, which the model itself never compares.
#pragma once

#include <type_traits>
#include <variant>

#include "common/model/operator_messages.h"

namespace millrace::test {

template <class T>
bool same_content(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b) {
  return (a == nullptr) == (b == nullptr) && (a == nullptr || *a == *b);
}

inline bool same(const SubmitRun& a, const SubmitRun& b) {
  return a.tenant == b.tenant && a.key == b.key && a.definition == b.definition &&
         same_content(a.definition_bytes, b.definition_bytes) && a.inputs == b.inputs && a.labels == b.labels &&
         a.trace_id == b.trace_id && a.caller == b.caller && a.priority == b.priority && a.wait == b.wait &&
         a.with_nodes == b.with_nodes && a.version == b.version && a.resume == b.resume;
}
inline bool same(const GetRun& a, const GetRun& b) { return a.run == b.run && a.nodes_max == b.nodes_max; }
inline bool same(const WaitRun& a, const WaitRun& b) { return a.run == b.run && a.nodes_max == b.nodes_max; }
inline bool same(const ListRuns& a, const ListRuns& b) {
  return a.tenant == b.tenant && a.workflow == b.workflow && a.labels == b.labels && a.state == b.state &&
         a.caller == b.caller && a.limit == b.limit && a.page == b.page && a.where == b.where;
}
inline bool same(const CancelRun& a, const CancelRun& b) { return a.run == b.run && a.why == b.why; }
inline bool same(const ReadEvents& a, const ReadEvents& b) {
  return a.run == b.run && a.since == b.since && a.limit == b.limit;
}
inline bool same(const ReadLogs& a, const ReadLogs& b) {
  return a.run == b.run && a.node == b.node && a.attempt == b.attempt && a.since == b.since && a.limit == b.limit;
}
inline bool same(const GetValue& a, const GetValue& b) {
  return a.hash == b.hash && a.from == b.from && a.max == b.max;
}
inline bool same(const PutInputs& a, const PutInputs& b) {
  return a.hash == b.hash && a.size == b.size && a.from == b.from && a.check == b.check && a.bytes == b.bytes;
}
inline bool same(const ListWorkers&, const ListWorkers&) { return true; }
inline bool same(const DrainWorkerRequest& a, const DrainWorkerRequest& b) { return a.name == b.name; }
inline bool same(const GetDefinition& a, const GetDefinition& b) { return a.run == b.run; }
inline bool same(const PingRequest&, const PingRequest&) { return true; }

inline bool same(const SubmitReply& a, const SubmitReply& b) {
  return a.run == b.run && a.existing == b.existing && a.trace_id == b.trace_id && a.shared == b.shared;
}
inline bool same(const NeedDefinition& a, const NeedDefinition& b) { return a.definition == b.definition; }
inline bool same(const RunReply& a, const RunReply& b) {
  return a.view.info == b.view.info && a.view.record == b.view.record && a.view.nodes == b.view.nodes &&
         a.view.nodes_total == b.view.nodes_total && a.view.by_state == b.view.by_state && a.view.now == b.view.now &&
         a.view.pauses == b.view.pauses;
}
inline bool same(const ListReply& a, const ListReply& b) { return a.runs == b.runs && a.next_page == b.next_page; }
inline bool same(const CancelReply& a, const CancelReply& b) {
  return a.run == b.run && a.state == b.state && a.was_cancelled == b.was_cancelled;
}
inline bool same(const EventsReply& a, const EventsReply& b) {
  return a.run == b.run && a.events == b.events && a.ended == b.ended;
}
inline bool same(const LogsReply& a, const LogsReply& b) {
  return a.run == b.run && a.lines == b.lines && a.cursor == b.cursor && a.ended == b.ended;
}
inline bool same(const ValueFound& a, const ValueFound& b) {
  return a.found == b.found && a.json == b.json && a.place == b.place;
}
inline bool same(const InputsTaken& a, const InputsTaken& b) {
  return a.hash == b.hash && a.have == b.have && a.kept == b.kept && a.damaged == b.damaged;
}
inline bool same(const WorkersReply& a, const WorkersReply& b) { return a.workers == b.workers; }
inline bool same(const DrainReply& a, const DrainReply& b) { return a.name == b.name; }
inline bool same(const DefinitionReply& a, const DefinitionReply& b) { return same_content(a.bytes, b.bytes); }
inline bool same(const PingReply& a, const PingReply& b) {
  return a.coordinator == b.coordinator && a.version == b.version && a.events_endpoint == b.events_endpoint &&
         a.partitions == b.partitions && a.workers == b.workers && a.members == b.members;
}
inline bool same(const ListCoordinators&, const ListCoordinators&) { return true; }
inline bool same(const ListPartitions&, const ListPartitions&) { return true; }
inline bool same(const MovePartition& a, const MovePartition& b) { return a.partition == b.partition && a.to == b.to; }
inline bool same(const DeliverLetters& a, const DeliverLetters& b) {
  return a.from == b.from && a.to == b.to && a.letters == b.letters && a.after == b.after;
}
inline bool same(const WorkflowRequest& a, const WorkflowRequest& b) {
  return a.act == b.act && a.tenant == b.tenant && a.name == b.name && a.version == b.version &&
         a.definition == b.definition && same_content(a.definition_bytes, b.definition_bytes) && a.caller == b.caller &&
         a.force == b.force && a.with_definition == b.with_definition;
}
inline bool same(const ListWorkflows& a, const ListWorkflows& b) { return a.tenant == b.tenant; }
inline bool same(const WorkflowReply& a, const WorkflowReply& b) {
  return a.workflow == b.workflow && a.version == b.version && a.changed == b.changed &&
         same_content(a.definition, b.definition);
}
inline bool same(const WorkflowsReply& a, const WorkflowsReply& b) { return a.workflows == b.workflows; }
inline bool same(const LettersReply& a, const LettersReply& b) {
  return a.from == b.from && a.to == b.to && a.until == b.until;
}
inline bool same(const DrainCoordinator& a, const DrainCoordinator& b) { return a.name == b.name; }
inline bool same(const CoordinatorsReply& a, const CoordinatorsReply& b) { return a.coordinators == b.coordinators; }
inline bool same(const PartitionsReply& a, const PartitionsReply& b) { return a.partitions == b.partitions; }
inline bool same(const ListTriggers& a, const ListTriggers& b) {
  return a.tenant == b.tenant && a.workflow == b.workflow;
}
inline bool same(const TellTrigger& a, const TellTrigger& b) {
  return a.tenant == b.tenant && a.workflow == b.workflow && a.trigger == b.trigger && a.act == b.act &&
         a.once == b.once;
}
inline bool same(const HookDelivery& a, const HookDelivery& b) {
  return a.tenant == b.tenant && a.workflow == b.workflow && a.trigger == b.trigger && a.headers == b.headers &&
         a.body == b.body;
}
inline bool same(const FindRunOfKey& a, const FindRunOfKey& b) { return a.tenant == b.tenant && a.key == b.key; }
inline bool same(const HookReply& a, const HookReply& b) {
  return a.fate == b.fate && a.key == b.key && a.why == b.why;
}
inline bool same(const TriggersReply& a, const TriggersReply& b) { return a.triggers == b.triggers; }
inline bool same(const TriggerReply& a, const TriggerReply& b) {
  return a.workflow == b.workflow && a.trigger == b.trigger && a.paused == b.paused && a.key == b.key;
}
inline bool same(const MoveReply& a, const MoveReply& b) {
  return a.partition == b.partition && a.from == b.from && a.to == b.to;
}
inline bool same(const DrainCoordinatorReply& a, const DrainCoordinatorReply& b) {
  return a.name == b.name && a.partitions == b.partitions;
}
inline bool same(const ExamineCluster&, const ExamineCluster&) { return true; }
inline bool same(const HealthReply& a, const HealthReply& b) { return a.coordinators == b.coordinators; }
inline bool same(const SignalRun& a, const SignalRun& b) {
  return a.run == b.run && a.name == b.name && a.payload == b.payload && a.key == b.key && a.caller == b.caller;
}
inline bool same(const DecideApproval& a, const DecideApproval& b) {
  return a.run == b.run && a.node == b.node && a.approve == b.approve && a.role == b.role && a.comment == b.comment &&
         a.caller == b.caller;
}
inline bool same(const PauseRun& a, const PauseRun& b) {
  return a.run == b.run && a.pause == b.pause && a.why == b.why;
}
inline bool same(const PauseScope& a, const PauseScope& b) {
  return a.what == b.what && a.pause == b.pause && a.why == b.why && a.caller == b.caller;
}
inline bool same(const ListPauses& a, const ListPauses& b) { return a.tenant == b.tenant; }
inline bool same(const PauseReply& a, const PauseReply& b) {
  return a.pause == b.pause && a.paused == b.paused && a.repeated == b.repeated;
}
inline bool same(const PausesReply& a, const PausesReply& b) { return a.pauses == b.pauses; }
inline bool same(const ActReply& a, const ActReply& b) {
  return a.run == b.run && a.state == b.state && a.node == b.node && a.node_state == b.node_state &&
         a.repeated == b.repeated;
}
inline bool same(const ErrorReply& a, const ErrorReply& b) { return a.error == b.error; }

template <class... T>
bool same(const std::variant<T...>& a, const std::variant<T...>& b) {
  if (a.index() != b.index()) return false;
  return std::visit([&](const auto& left) { return same(left, std::get<std::decay_t<decltype(left)>>(b)); }, a);
}

}  // namespace millrace::test
