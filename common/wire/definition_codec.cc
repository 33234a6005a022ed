#include <cmath>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/wire/codec.h"
#include "common/wire/row_codec.h"
#include "common/wire/scratch.h"
#include "common/wire/shapes.h"

namespace millrace {
namespace {

Value read_json(Reader& in, const std::string& json) {
  if (json.empty()) return {};
  Result<Value> value = Value::parse(json);
  if (!in.require(value.ok(), "a value is not JSON")) return {};
  return std::move(value).value();
}

std::optional<Value> read_optional_json(Reader& in, const std::string& json) {
  if (json.empty()) return std::nullopt;
  return read_json(in, json);
}

void write_input(const InputSpec& input, pb::InputSpec* out) {
  out->set_name(input.name);
  out->set_type(static_cast<std::uint32_t>(input.type));
  out->set_required(input.required);
  if (input.default_value) out->set_default_json(input.default_value->dump());
  out->set_description(input.description);
}

InputSpec read_input(Reader& in, const pb::InputSpec& input) {
  InputSpec out;
  out.name = input.name();
  out.type = in.to_enum(input.type(), kInputTypeLast, "unknown input type");
  out.required = input.required();
  out.default_value = read_optional_json(in, input.default_json());
  out.description = input.description();
  return out;
}

void write_spec_runs(const std::vector<std::uint32_t>& spec_of, pb::Definition* out) {
  for_each_stretch(spec_of, std::equal_to<>(), [&](std::size_t first, std::size_t count) {
    out->add_spec_runs(spec_of[first]);
    out->add_spec_runs(static_cast<std::uint32_t>(count));
  });
}

std::vector<std::uint32_t> read_spec_runs(Reader& in, const pb::Definition& definition, std::size_t nodes) {
  std::vector<std::uint32_t> spec_of;
  const auto& runs = definition.spec_runs();
  if (runs.empty()) {
    in.require(definition.specs_size() == static_cast<int>(nodes), "nodes and specs differ in number");
    return spec_of;
  }
  if (!in.require(runs.size() % 2 == 0, "spec runs are not pairs")) return spec_of;
  spec_of.reserve(nodes);
  for (int i = 0; i < runs.size(); i += 2) {
    const std::uint32_t spec = runs[i];
    const std::uint32_t count = runs[i + 1];
    if (!in.require(spec < static_cast<std::uint32_t>(definition.specs_size()), "a spec index is out of range") ||
        !in.require(count > 0 && count <= nodes - spec_of.size(), "spec runs and nodes differ in number")) {
      return spec_of;
    }
    spec_of.insert(spec_of.end(), count, spec);
  }
  in.require(spec_of.size() == nodes, "spec runs and nodes differ in number");
  return spec_of;
}

std::vector<std::string> read_ids(Reader& in, TextField* field, std::size_t nodes) {
  if (field->empty()) return {};
  std::vector<std::string> ids;
  if (!in.require(static_cast<std::size_t>(field->size()) == nodes, "nodes and ids differ in number")) return ids;
  ids.reserve(nodes);
  for (std::string& id : *field) ids.push_back(std::move(id));
  std::unordered_set<std::string_view> seen;
  seen.reserve(nodes);
  for (const std::string& id : ids) {
    if (!in.require(is_node_path(id), "a node id is not valid") ||
        !in.require(seen.insert(id).second, "a node id stands twice")) {
      break;
    }
  }
  return ids;
}

Adjacency read_upstream(Reader& in, const pb::Definition& definition) {
  // Every row and every edge takes a byte at least, so what is allocated is bounded by what was sent.
  const std::size_t bytes = definition.rows().size();
  if (!in.require(definition.nodes() <= kTasksMax && definition.nodes() <= bytes, "too many nodes") ||
      !in.require(definition.edges() <= kEdgesMax && definition.edges() <= bytes, "too many edges")) {
    return {};
  }
  std::optional<Adjacency> rows = read_rows(definition.rows(), definition.nodes(), definition.edges());
  if (!in.require(rows.has_value(), "the edges are not valid")) return {};
  return std::move(*rows);
}

void write_hints(const std::vector<PlaceHint>& hints, google::protobuf::RepeatedPtrField<pb::PlaceHint>* out) {
  for (const PlaceHint& hint : hints) {
    pb::PlaceHint* one = out->Add();
    one->set_node(hint.node);
    one->set_text(hint.text);
  }
}

std::vector<PlaceHint> read_hints(Reader& in, const google::protobuf::RepeatedPtrField<pb::PlaceHint>& hints) {
  std::vector<PlaceHint> out;
  in.require(static_cast<std::size_t>(hints.size()) <= kHintsMax, "too many hints");
  if (!in.ok()) return out;
  for (const pb::PlaceHint& hint : hints) out.push_back({hint.node(), hint.text()});
  return out;
}

std::vector<LabelRule> read_rules(Reader& in, const google::protobuf::RepeatedPtrField<pb::LabelRule>& rules) {
  std::vector<LabelRule> out;
  in.require(static_cast<std::size_t>(rules.size()) <= kLabelRulesMax, "too many label rules");
  for (const pb::LabelRule& rule : rules) {
    if (!in.require(static_cast<std::size_t>(rule.values_size()) <= kLabelValuesMax, "too many label values")) break;
    out.push_back({rule.label(), rule.negated(), {rule.values().begin(), rule.values().end()}});
  }
  return out;
}

template <class List>
void write_texts(const std::vector<std::string>& texts, List* out) {
  for (const std::string& text : texts) *out->Add() = text;
}

template <class List>
std::vector<std::string> read_texts(Reader& in, const List& list, std::size_t most) {
  in.require(static_cast<std::size_t>(list.size()) <= most, "too many names");
  if (!in.ok()) return {};
  return {list.begin(), list.end()};
}

void write_wait(const WaitSpec& wait, pb::Wait* out) {
  out->set_kind(static_cast<std::uint32_t>(wait.kind));
  if (wait.limit) out->set_limit_json(wait.limit->dump());
  out->set_until(wait.until);
  out->set_signal(wait.signal);
  if (wait.otherwise) out->set_otherwise_json(wait.otherwise->dump());
  out->set_decides(static_cast<std::uint32_t>(wait.decides));
  write_texts(wait.roles, out->mutable_roles());
  if (wait.message) out->set_message_json(wait.message->dump());
  out->set_workflow(wait.workflow);
  out->set_version(wait.version);
  if (wait.with) out->set_with_json(wait.with->dump());
}

WaitSpec read_wait(Reader& in, const pb::Wait& wait) {
  WaitSpec out;
  out.kind = in.to_enum(wait.kind(), kWaitKindLast, "unknown kind of wait");
  out.limit = read_optional_json(in, wait.limit_json());
  out.until = wait.until();
  out.signal = wait.signal();
  out.otherwise = read_optional_json(in, wait.otherwise_json());
  out.decides = in.to_enum(wait.decides(), kApprovalDefaultLast, "unknown default of an approval");
  out.roles = read_texts(in, wait.roles(), kRolesMax);
  out.message = read_optional_json(in, wait.message_json());
  out.workflow = wait.workflow();
  out.version = wait.version();
  out.with = read_optional_json(in, wait.with_json());
  return out;
}

void write_foreach(const ForeachSpec& spec, pb::Foreach* out) {
  out->set_kind(static_cast<std::uint32_t>(spec.kind));
  out->set_over_json(spec.over.dump());
  out->set_chunk(spec.chunk);
  out->set_parallel_max(spec.parallel_max);
  out->set_on_error(static_cast<std::uint32_t>(spec.on_error));
  if (spec.collect) out->set_collect_json(spec.collect->dump());
}

void write_flow(const FlowSpec& flow, pb::NodeSpec* out) {
  if (flow.wait) write_wait(*flow.wait, out->mutable_wait());
  write_texts(flow.on_failure, out->mutable_on_failure());
  if (!flow.compensate.empty()) out->set_compensate(flow.compensate);
  if (flow.when) out->set_when_json(flow.when->dump());
  if (flow.fallback) out->set_fallback_json(flow.fallback->dump());
  if (!flow.gate.empty()) out->set_gate(flow.gate);
  if (flow.cache) {
    pb::Cache* cache = out->mutable_cache();
    if (flow.cache->key) cache->set_key_json(flow.cache->key->dump());
    cache->set_ttl_us(flow.cache->ttl.count());
  }
  out->set_fallback_cached(flow.fallback_cached);
  out->set_round(flow.round);
  out->set_sets(flow.sets);
  if (flow.loop) out->set_loop_rounds(flow.loop->rounds), out->set_loop_fails(flow.loop->fails);
  if (!flow.stand_in.empty()) out->set_stand_in(flow.stand_in);
  out->set_join(flow.join);
  out->set_on_upstream_failure(static_cast<std::uint32_t>(flow.on_upstream_failure));
  if (flow.foreach) write_foreach(*flow.foreach, out->mutable_foreach());
  if (!flow.branch) return;
  pb::Branch* branch = out->mutable_branch();
  for (const BranchCase& one : flow.branch->cases) {
    pb::BranchCase* to = branch->add_cases();
    to->set_when_json(one.when.dump());
    for (const std::string& id : one.to) *to->add_to() = id;
  }
  for (const std::string& id : flow.branch->otherwise) *branch->add_otherwise() = id;
  branch->set_first(flow.branch->first);
}

ForeachSpec read_foreach(Reader& in, const pb::Foreach& foreach) {
  ForeachSpec out;
  out.kind = in.to_enum(foreach.kind(), kForeachKindLast, "unknown kind of foreach");
  out.over = read_json(in, foreach.over_json());
  out.chunk = foreach.chunk();
  out.parallel_max = foreach.parallel_max();
  out.on_error = in.to_enum(foreach.on_error(), kOnItemErrorLast, "unknown on_item_error");
  out.collect = read_optional_json(in, foreach.collect_json());
  in.require(out.chunk <= kChunkMax && out.parallel_max <= kParallelMax, "a fan-out out of range");
  return out;
}

FlowSpec read_flow(Reader& in, const pb::NodeSpec& spec) {
  FlowSpec flow;
  flow.when = read_optional_json(in, spec.when_json());
  flow.fallback = read_optional_json(in, spec.fallback_json());
  flow.stand_in = spec.stand_in();
  flow.gate = spec.gate();
  flow.fallback_cached = spec.fallback_cached();
  if (spec.has_cache())
    flow.cache = CacheSpec{read_optional_json(in, spec.cache().key_json()), Duration{spec.cache().ttl_us()}};
  flow.round = spec.round();
  flow.sets = spec.sets();
  if (spec.loop_rounds() > 0) flow.loop = LoopSpec{spec.loop_rounds(), spec.loop_fails()};
  flow.join = spec.join();
  flow.on_upstream_failure =
      in.to_enum(spec.on_upstream_failure(), kOnUpstreamFailureLast, "unknown on_upstream_failure");
  if (spec.has_wait()) flow.wait = read_wait(in, spec.wait());
  flow.on_failure = read_texts(in, spec.on_failure(), kHandlersMax);
  flow.compensate = spec.compensate();
  if (spec.has_foreach()) flow.foreach = read_foreach(in, spec.foreach ());
  if (!spec.has_branch()) return flow;
  const pb::Branch& branch = spec.branch();
  if (!in.require(branch.cases_size() <= static_cast<int>(kBranchCasesMax), "too many cases of a branch")) return flow;
  flow.branch.emplace();
  for (const pb::BranchCase& one : branch.cases())
    flow.branch->cases.push_back({read_json(in, one.when_json()), {one.to().begin(), one.to().end()}});
  flow.branch->otherwise.assign(branch.otherwise().begin(), branch.otherwise().end());
  flow.branch->first = branch.first();
  return flow;
}

void write(const WebhookSpec& webhook, pb::Webhook* out) {
  out->set_secret(webhook.secret);
  out->set_auth(static_cast<std::uint32_t>(webhook.auth));
  out->set_signature_header(webhook.signature_header);
  out->set_delivery_header(webhook.delivery_header);
  for (const std::string& header : webhook.headers) out->add_headers(header);
}

WebhookSpec read_webhook(Reader& in, const pb::Webhook& webhook) {
  WebhookSpec out{webhook.secret(), in.to_enum(webhook.auth(), kHookAuthLast, "unknown way to know a sender"),
                  webhook.signature_header(), webhook.delivery_header()};
  out.headers = read_texts(in, webhook.headers(), kHookHeadersMax);
  in.require(out.secret.size() <= kNodeIdMax && out.signature_header.size() <= kHeaderNameMax &&
                 out.delivery_header.size() <= kHeaderNameMax,
             "a text of a webhook is too long");
  return out;
}

CollectSpec read_collect(Reader& in, const pb::Collect& collect) {
  const CollectSpec out{Duration{collect.debounce_us()}, Duration{collect.longest_us()}, collect.batch(),
                        Duration{collect.window_us()}};
  for (const Duration one : {out.debounce, out.longest, out.window})
    in.require(one >= Duration::zero() && one <= kWindowMax, "a window of a trigger is out of range");
  in.require(out.batch <= kCollectMax, "the batch of a trigger is out of range");
  return out;
}

void write_trigger(const TriggerSpec& trigger, pb::Trigger* out) {
  out->set_name(trigger.name);
  out->set_inputs_json(trigger.inputs.dump());
  out->set_filter(trigger.filter);
  if (trigger.run_end) write(*trigger.run_end, out->mutable_run_end());
  if (trigger.webhook) write(*trigger.webhook, out->mutable_webhook());
  if (trigger.stream) {
    out->mutable_stream()->set_redis(trigger.stream->redis);
    out->mutable_stream()->set_key(trigger.stream->key);
    out->mutable_stream()->set_from_begin(trigger.stream->from_begin);
  }
  if (trigger.keyspace) {
    out->mutable_keyspace()->set_redis(trigger.keyspace->redis);
    out->mutable_keyspace()->set_pattern(trigger.keyspace->pattern);
    for (const std::string& event : trigger.keyspace->events) out->mutable_keyspace()->add_events(event);
  }
  if (trigger.collect != CollectSpec{}) {
    out->mutable_collect()->set_debounce_us(trigger.collect.debounce.count());
    out->mutable_collect()->set_longest_us(trigger.collect.longest.count());
    out->mutable_collect()->set_batch(trigger.collect.batch);
    out->mutable_collect()->set_window_us(trigger.collect.window.count());
  }
  pb::Schedule* schedule = out->mutable_schedule();
  schedule->set_cron(trigger.schedule.cron);
  schedule->set_timezone(trigger.schedule.timezone);
  schedule->set_jitter_us(trigger.schedule.jitter.count());
  schedule->set_overlap(static_cast<std::uint32_t>(trigger.schedule.overlap));
  schedule->set_catch_up(static_cast<std::uint32_t>(trigger.schedule.catch_up));
  schedule->set_catch_up_limit(trigger.schedule.catch_up_limit);
}

TriggerSpec read_trigger(Reader& in, const pb::Trigger& trigger) {
  const pb::Schedule& schedule = trigger.schedule();
  TriggerSpec out;
  out.name = trigger.name();
  out.inputs = read_json(in, trigger.inputs_json());
  out.schedule.cron = schedule.cron();
  out.schedule.timezone = schedule.timezone();
  out.schedule.jitter = Duration{schedule.jitter_us()};
  out.schedule.overlap = in.to_enum(schedule.overlap(), kOverlapLast, "unknown overlap");
  out.schedule.catch_up = in.to_enum(schedule.catch_up(), kCatchUpLast, "unknown catch_up");
  out.schedule.catch_up_limit = schedule.catch_up_limit();
  out.filter = trigger.filter();
  if (trigger.has_run_end()) out.run_end = read_run_end(in, trigger.run_end());
  if (trigger.has_webhook()) out.webhook = read_webhook(in, trigger.webhook());
  if (trigger.has_stream()) {
    out.stream = StreamSpec{trigger.stream().redis(), trigger.stream().key(), trigger.stream().from_begin()};
    in.require(out.stream->redis.size() <= kStreamNameMax && out.stream->key.size() <= kStreamKeyMax,
               "a text of a stream is too long");
  }
  if (trigger.has_keyspace()) {
    out.keyspace = KeyspaceSpec{trigger.keyspace().redis(), trigger.keyspace().pattern()};
    out.keyspace->events = read_texts(in, trigger.keyspace().events(), kKeyspaceEventsMax);
    in.require(out.keyspace->redis.size() <= kStreamNameMax && out.keyspace->pattern.size() <= kStreamKeyMax,
               "a text of a key-space is too long");
  }
  if (trigger.has_collect()) out.collect = read_collect(in, trigger.collect());
  in.require(out.inputs.is_object(), "the inputs of a trigger are no object");
  in.require(out.schedule.cron.size() <= kCronMax && out.schedule.timezone.size() <= kZoneNameMax &&
                 out.name.size() <= kNodeIdMax,
             "a text of a trigger is too long");
  in.require(out.schedule.jitter >= Duration::zero() && out.schedule.jitter <= kJitterMax,
             "the jitter of a trigger is out of range");
  in.require(out.schedule.catch_up_limit <= kCatchUpMax, "the catch-up of a trigger is out of range");
  return out;
}

}  // namespace

void write(const RunEndSpec& runs, pb::RunEnd* out) {
  out->set_workflow(runs.workflow);
  for (const RunState state : runs.statuses) out->add_statuses(static_cast<std::uint32_t>(state));
}

RunEndSpec read_run_end(Reader& in, const pb::RunEnd& runs) {
  RunEndSpec out{runs.workflow()};
  in.require(runs.statuses_size() <= static_cast<int>(kRunStateLast) + 1, "too many statuses");
  if (!in.ok()) return out;
  for (const std::uint32_t state : runs.statuses())
    out.statuses.push_back(in.to_enum(state, kRunStateLast, "unknown run state"));
  return out;
}

void write(const NodeSpec& spec, pb::NodeSpec* out) {
  out->set_executor(spec.executor);
  if (spec.value) out->set_value_json(spec.value->dump());
  if (!spec.fields.is_null()) out->set_fields_json(spec.fields.dump());
  out->set_attempts_max(spec.retry.attempts_max);
  out->set_losses_max(spec.retry.losses_max);
  out->set_backoff_initial_us(spec.retry.backoff.initial.count());
  out->set_backoff_factor(spec.retry.backoff.factor);
  out->set_backoff_max_us(spec.retry.backoff.max.count());
  if (spec.retry.backoff.jitter != BackoffPolicy{}.jitter) out->set_backoff_jitter(spec.retry.backoff.jitter);
  write_texts(spec.retry.on, out->mutable_retry_on());
  out->set_on_loss(static_cast<std::uint32_t>(spec.on_loss));
  out->set_timeout_us(spec.timeout.count());
  out->set_limit_us(spec.limit.count());
  out->set_priority(spec.priority);
  out->set_queue(spec.queue);
  write_flow(spec.flow, out);
  for (const LabelRule& rule : spec.labels) {
    pb::LabelRule* one = out->add_labels();
    one->set_label(rule.label);
    one->set_negated(rule.negated);
    for (const std::string& value : rule.values) *one->add_values() = value;
  }
  write_resources(spec.resources, out->mutable_resources());
  write_hints(spec.sticky, out->mutable_sticky());
  write_hints(spec.apart, out->mutable_apart());
}

NodeSpec read_node_spec(Reader& in, const pb::NodeSpec& spec) {
  NodeSpec out;
  out.executor = spec.executor();
  out.value = read_optional_json(in, spec.value_json());
  out.fields = read_json(in, spec.fields_json());
  out.retry.attempts_max = spec.attempts_max();
  out.retry.losses_max = spec.losses_max();
  out.retry.backoff.initial = Duration{spec.backoff_initial_us()};
  out.retry.backoff.factor = spec.backoff_factor();
  out.retry.backoff.max = Duration{spec.backoff_max_us()};
  if (spec.has_backoff_jitter()) out.retry.backoff.jitter = spec.backoff_jitter();
  out.retry.on = read_texts(in, spec.retry_on(), kRetryOnMax);
  out.on_loss = in.to_enum(spec.on_loss(), kOnLossLast, "unknown on_loss");
  out.timeout = Duration{spec.timeout_us()};
  out.limit = Duration{spec.limit_us()};
  out.priority = spec.priority();
  out.queue = spec.queue();
  out.flow = read_flow(in, spec);
  out.labels = read_rules(in, spec.labels());
  out.resources = read_resources(in, spec.resources());
  out.sticky = read_hints(in, spec.sticky());
  out.apart = read_hints(in, spec.apart());
  in.require(std::isfinite(out.retry.backoff.factor), "a backoff factor is not a number");
  in.require(out.retry.backoff.jitter >= 0 && out.retry.backoff.jitter <= 1, "a jitter is not between 0 and 1");
  in.require(
      spec.backoff_initial_us() >= 0 && spec.backoff_max_us() >= 0 && spec.timeout_us() >= 0 && spec.limit_us() >= 0,
      "a duration is negative");
  return out;
}

std::string encode_definition(const WorkflowSpec& spec) {
  Scratch<pb::Definition> out;
  out->set_name(spec.name);
  out->set_description(spec.description);
  for (const InputSpec& input : spec.inputs) write_input(input, out->add_inputs());
  for (const NodeSpec& node : spec.specs) write(node, out->add_specs());
  for (const std::string& id : spec.ids) *out->add_ids() = id;
  write_spec_runs(spec.spec_of, &*out);
  out->set_nodes(spec.node_count());
  out->set_edges(spec.upstream.targets.size());
  *out->mutable_rows() = write_rows(spec.upstream);
  for (const auto& [name, json] : spec.outputs) {
    pb::Output* output = out->add_outputs();
    output->set_name(name);
    output->set_json(json.dump());
  }
  out->set_outputs_declared(spec.outputs_declared);
  out->set_fail_fast(spec.fail_fast);
  out->set_timeout_us(spec.timeout.count());
  out->set_priority(spec.priority);
  write_texts(spec.on_failure, out->mutable_on_failure());
  write_texts(spec.finally_run, out->mutable_finally_run());
  for (const TriggerSpec& trigger : spec.triggers) write_trigger(trigger, out->add_triggers());
  out->set_deadline_us(to_us(spec.deadline.at));
  out->set_deadline_after_us(spec.deadline.after.count());
  return out.serialize();
}

Result<WorkflowSpec> decode_definition(std::string_view bytes) {
  Reader in("definition");
  Scratch<pb::Definition> message;
  if (!in.require(message.parse(bytes), "malformed")) return in.error();
  pb::Definition& definition = *message;
  WorkflowSpec spec;
  spec.upstream = read_upstream(in, definition);
  if (!in.ok()) return in.error();
  const std::size_t nodes = spec.node_count();
  spec.spec_of = read_spec_runs(in, definition, nodes);
  spec.ids = read_ids(in, definition.mutable_ids(), nodes);
  if (!in.ok()) return in.error();
  spec.name = definition.name();
  spec.description = definition.description();
  for (const pb::InputSpec& input : definition.inputs()) spec.inputs.push_back(read_input(in, input));
  for (const pb::NodeSpec& node : definition.specs()) spec.specs.push_back(read_node_spec(in, node));
  for (const pb::Output& output : definition.outputs()) {
    spec.outputs.push_back({output.name(), read_json(in, output.json())});
  }
  spec.outputs_declared = definition.outputs_declared();
  spec.fail_fast = definition.fail_fast();
  spec.timeout = Duration{definition.timeout_us()};
  spec.priority = definition.priority();
  spec.on_failure = read_texts(in, definition.on_failure(), kHandlersMax);
  spec.finally_run = read_texts(in, definition.finally_run(), kHandlersMax);
  in.require(static_cast<std::size_t>(definition.triggers_size()) <= kTriggersMax, "too many triggers");
  if (!in.ok()) return in.error();
  for (const pb::Trigger& trigger : definition.triggers()) spec.triggers.push_back(read_trigger(in, trigger));
  spec.deadline = {from_us(definition.deadline_us()), Duration{definition.deadline_after_us()}};
  in.require(spec.timeout >= Duration::zero() && spec.deadline.sane(), "a duration is out of range");
  if (!in.ok()) return in.error();
  return spec;
}

}  // namespace millrace
