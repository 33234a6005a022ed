// Loop: what clients ask for. Live runs answer from memory, behind the commits that the answer rests on; others from
// the store.
#include <algorithm>

#include "coordinator/shell/loop_state.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/run_filter.h"

namespace millrace {
namespace {

constexpr std::size_t kPrefixMin = 4;
constexpr std::uint32_t kListMax = 1'000;
constexpr std::size_t kLabelsMax = 64;
constexpr std::size_t kNameMax = 256;  // keys, tenants, label keys and values, trace ids, callers

Error not_found(const std::string& what) { return Error{Code::kNotFound, what, {}, ""}; }

std::string check_names(const SubmitRun& submit) {
  if (submit.key.empty() || submit.key.size() > kNameMax) return "idempotency key: 1 to 256 bytes";
  if (submit.tenant.empty() || submit.tenant.size() > kNameMax) return "tenant: 1 to 256 bytes";
  if (submit.caller.size() > kNameMax) return "caller: at most 256 bytes";
  bool hex =
      std::ranges::all_of(submit.trace_id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!submit.trace_id.empty() && (submit.trace_id.size() != 32 || !hex)) return "trace id: 32 lower-case hex digits";
  if (submit.labels.size() > kLabelsMax) return "labels: at most 64";
  for (const auto& [key, value] : submit.labels) {
    if (key.empty() || key.size() > kNameMax || value.size() > kNameMax)
      return "label '" + key + "': key and value have at most 256 bytes";
  }
  return "";
}

}  // namespace

Hash128 request_hash(const SubmitRun& submit) {
  std::string text = to_string(submit.definition);
  auto add = [&](std::string_view part) { text.append(std::to_string(part.size())).append(1, ':').append(part); };
  add(submit.inputs.json());
  for (const auto& [key, value] : submit.labels) {
    add(key);
    add(value);
  }
  add(std::to_string(submit.priority));
  if (submit.resume) {
    add(to_string(submit.resume->of));
    add(std::to_string(static_cast<int>(submit.resume->scope)));
    for (const std::string& node : submit.resume->from) add(node);
  }
  if (submit.deadline.given())
    add(std::to_string(to_us(submit.deadline.at)) + "+" + std::to_string(submit.deadline.after.count()));
  return hash128(text);
}

// An answer from memory: leaves behind the commits that it rests on, and only while we surely own the partition.
void Loop::State::reply(RequestId request, OperatorReply reply, PartitionId of) {
  Outgoing out{of, {}};
  out.effects.replies.push_back({request, std::move(reply)});
  replies_direct.push_back(std::move(out));
}
void Loop::State::refuse(RequestId request, Error error) { reply(request, ErrorReply{std::move(error)}); }

Error Loop::State::not_serving(PartitionId partition) {
  return Error{Code::kUnavailable,
               "partition " + std::to_string(partition.value) + " is not served right now",
               {},
               "not_serving"};
}

// Something is done to a live run; what has ended, or is with somebody else by now, is told from the store.
bool Loop::State::act(Time now, Routed& one) {
  const RequestId request = one.request;
  const RunName* named = run_name_of(one.body);
  const RunName run_name = named != nullptr ? *named : RunName{};
  std::function<Input(RunId)> make;
  if (auto* signal = std::get_if<SignalRun>(&one.body)) {
    make = [=, m = std::move(*signal)](RunId run) {
      return SignalGiven{request, run, m.name, m.payload, m.key, m.caller};
    };
  } else if (auto* decision = std::get_if<DecideApproval>(&one.body)) {
    make = [=, m = std::move(*decision)](RunId run) {
      return ApprovalGiven{request, run, m.node, m.approve, m.role, m.comment, m.caller};
    };
  } else if (auto* pause = std::get_if<PauseRun>(&one.body)) {
    make = [=, m = std::move(*pause)](RunId run) { return PauseRequested{request, run, m.pause, m.why}; };
  } else {
    return false;
  }
  with_run(now, request, run_name, [=, this](Time at, RunId run) {
    Share* share = share_of(run);
    if (share != nullptr && share->has(run)) return share->core->step(at, make(run));
    with_stored(run, request, [=, this](Time, RestoredRun& stored) {
      if (!is_terminal(stored.record.state)) return refuse(request, not_serving(partition_of(run)));
      refuse(request, {Code::kConflict,
                       "run " + to_string(run) + " has ended: " + std::string(to_string(stored.record.state)),
                       {},
                       "run_ended"});
    });
  });
  return true;
}

// A request of which we are the owner, or that anybody can answer; or one whose owner nobody knows.
void Loop::State::answer(Time now, Routed& one) {
  if (answer_about_cluster(now, one) || answer_about_triggers(now, one) || answer_about_pauses(now, one) ||
      act(now, one))
    return;
  const RequestId request = one.request;
  OperatorRequest& body = one.body;
  if (auto* submit = std::get_if<SubmitRun>(&body)) {
    on_submit(now, request, *submit, one.hops);
  } else if (auto* workflow = std::get_if<WorkflowRequest>(&body)) {
    on_workflow(now, request, *workflow);
  } else if (auto* get = std::get_if<GetRun>(&body)) {
    with_run(now, request, get->run,
             [=, this, max = get->nodes_max](Time at, RunId run) { view(at, request, run, max, false); });
  } else if (auto* wait = std::get_if<WaitRun>(&body)) {
    with_run(now, request, wait->run,
             [=, this, max = wait->nodes_max](Time at, RunId run) { view(at, request, run, max, true); });
  } else if (auto* query = std::get_if<ListRuns>(&body)) {
    list(now, request, *query);
  } else if (auto* cancel = std::get_if<CancelRun>(&body)) {
    with_run(now, request, cancel->run, [=, this, why = cancel->why](Time at, RunId run) {
      Share* share = share_of(run);
      if (share != nullptr && share->has(run)) {
        share->core->step(at, CancelRequested{request, run, why});
        return;
      }
      with_stored(run, request, [=, this](Time, RestoredRun& stored) {
        if (!is_terminal(stored.record.state)) return refuse(request, not_serving(partition_of(run)));
        reply(request, CancelReply{run, stored.record.state, stored.record.state == RunState::kCancelled});
      });
    });
  } else if (auto* read = std::get_if<ReadEvents>(&body)) {
    with_run(now, request, read->run,
             [=, this, query = *read](Time at, RunId run) { events(at, request, run, query); });
  } else if (auto* lines = std::get_if<ReadLogs>(&body)) {
    with_run(now, request, lines->run,
             [=, this, query = *lines](Time at, RunId run) { logs(at, request, run, query); });
  } else if (auto* value = std::get_if<GetValue>(&body)) {
    give_value(request, *value);
  } else if (auto* part = std::get_if<PutInputs>(&body)) {
    take_inputs(now, request, *part);
  } else if (auto* drain = std::get_if<DrainWorkerRequest>(&body)) {
    auto worker = placement.find_name(drain->name);
    if (!worker) return refuse(request, not_found("no worker '" + drain->name + "'"));
    placement.drain(*worker);
    (void)tell(*worker, DrainWorker{});
    reply(request, DrainReply{drain->name});
  } else if (auto* definition = std::get_if<GetDefinition>(&body)) {
    with_run(now, request, definition->run, [=, this](Time, RunId run) {
      auto send = [=, this](const Hash128& hash) {
        const CachedPlan* plan = plans.find(hash);
        if (plan == nullptr)
          return refuse(request, not_found("the definition of run " + to_string(run) + " is not in the store"));
        reply(request, DefinitionReply{plan->bytes});
      };
      Share* share = share_of(run);
      const Run* live = share != nullptr && share->open() ? share->core->find(run) : nullptr;
      if (live != nullptr) send(live->info->definition);
      else with_stored(run, request, [=](Time, RestoredRun& stored) { send(stored.info->definition); });
    });
  } else {
    reply(request, pong());
  }
}

PingReply Loop::State::pong() const {
  PingReply pong{options.name,
                 options.version,
                 options.events_endpoint,
                 options.partitions,
                 static_cast<std::uint32_t>(placement.workers()),
                 {}};
  for (const MemberRecord* member : membership.living())
    pong.members.push_back({member->name, member->endpoint, member->events});
  return pong;
}

void Loop::State::on_submit(Time now, RequestId request, SubmitRun& submit, std::uint8_t hops) {
  meter.submitted(request, now);
  if (std::string wrong = check_names(submit); !wrong.empty()) return refuse(request, {Code::kInvalid, wrong, {}, ""});
  if (submit.inputs.is_reference()) return fetch_inputs(request, std::move(submit), hops);
  if (submit.resume) return on_resume(now, request, submit, hops);
  Result<std::shared_ptr<const Plan>> planned = plan_of(request, submit);
  if (!planned.ok()) return;
  std::shared_ptr<const Plan> plan = std::move(planned).value();
  if (!plan->workflow().inputs.empty() || !submit.inputs.is_null()) {
    Result<Value> given = Value::parse(submit.inputs.json());
    if (!given.ok()) return refuse(request, std::move(given).error());
    Result<Value> bound = bind_inputs(plan->workflow().inputs, *given);
    if (!bound.ok()) return refuse(request, std::move(bound).error());
    submit.inputs = Payload::inline_json(bound->dump());
  } else {
    submit.inputs = Payload::inline_json("{}");
  }
  const Hash128 hash = request_hash(submit);
  look_up_key(now, request, std::move(submit), hops, hash,
              [this, request, hash, plan = std::move(plan)](Time at, SubmitRun&& fresh) {
                admit(at, request, std::move(fresh), plan, hash);
              });
}

Result<std::shared_ptr<const Plan>> Loop::State::plan_of(RequestId request, const SubmitRun& submit) {
  if (const CachedPlan* cached = plans.find(submit.definition)) return cached->plan;
  if (submit.definition_bytes == nullptr) {
    reply(request, NeedDefinition{submit.definition});
    return Error{Code::kNotFound, "its definition is not known", {}, ""};
  }
  Result<const CachedPlan*> made = plans.put(submit.definition, submit.definition_bytes);
  if (made.ok()) return (*made)->plan;
  refuse(request, made.error());
  return made.error();
}

PartitionId Loop::State::home_of(const SubmitRun& submit) const {
  return submit.resume ? partition_of(submit.resume->of) : partition_for(submit.tenant, submit.key);
}

void Loop::State::look_up_key(Time now, RequestId request, SubmitRun&& submit, std::uint8_t hops, const Hash128& hash,
                              std::function<void(Time, SubmitRun&&)> fresh) {
  submit.definition_bytes = nullptr;
  Share& share = this->share(home_of(submit));
  if (!share.accepting()) return refuse(request, not_serving(share.id));
  if (share.keys.surely_new(key_fingerprint(submit.tenant, submit.key))) return fresh(now, std::move(submit));
  if (share.core->find_key(submit.tenant, submit.key)) return admit(now, request, std::move(submit), nullptr, hash);
  FindKey find{share.id, submit.tenant, submit.key};
  ask(find, [this, request, hops, hash, id = share.id, epoch = share.epoch, submit = std::move(submit),
             fresh = std::move(fresh)](Time at, StoreAnswer&& answer) mutable {
    Share& still = this->share(id);
    if (!still.open() || still.epoch != epoch)  // what was read may be out of date
      return hold(at, {request, std::move(submit), hops, at + kHoldMax});
    auto* key = std::get_if<KeyAnswer>(&answer);
    if (key == nullptr) return refuse(request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
    Share* owner = key->run ? share_of(*key->run) : nullptr;
    const bool in_memory = owner != nullptr && owner->has(*key->run);
    if (in_memory || still.core->find_key(submit.tenant, submit.key))
      return admit(at, request, std::move(submit), nullptr, hash);
    if (!key->run) return fresh(at, std::move(submit));
    if (key->request != short_request(hash)) {
      return refuse(request, {Code::kConflict,
                              "idempotency key '" + submit.key + "' was used for another request (run " +
                                  to_string(*key->run) + ")",
                              {},
                              "key_conflict"});
    }
    if (submit.wait && !still.serving())
      return hold(at, {request, std::move(submit), hops, at + kHoldMax});  // it comes
    if (submit.wait) return view(at, request, *key->run, submit.with_nodes ? kYamlNodesMax : 0, true);
    ask(LoadRun{*key->run}, [this, request, run = *key->run](Time, StoreAnswer&& answer) {
      if (auto* failed = std::get_if<ReadFailed>(&answer)) return refuse(request, std::move(failed->error));
      const auto* stored = std::get_if<RunAnswer>(&answer);
      const bool kept = stored != nullptr && stored->run.has_value();  // else it has ended, and only its key is left
      reply(request, SubmitReply{run, true, kept ? stored->run->info.trace_id : TraceId()});
    });
  });
}

// The limit that this submission would break, if any: named, with what stands against it.
std::optional<Error> Loop::State::full(const std::string& of, std::uint64_t adds, std::uint64_t adds_bytes) const {
  Load all;
  Load tenant;
  std::uint64_t bytes = 0;
  const bool by_tenant = options.tenant_runs_max > 0 || options.tenant_tasks_max > 0;
  for (const Share* share : cores) {
    if (!share->open()) continue;
    all.runs += share->core->runs_live();
    all.tasks += share->core->tasks_live();
    bytes += share->core->bytes_live();
    if (!by_tenant) continue;
    const Load load = share->core->load_of(of);
    tenant.runs += load.runs;
    tenant.tasks += load.tasks;
  }
  struct Limit {
    const char* what;
    const char* option;
    std::uint64_t has, adds, max;
    bool of_tenant;
  };
  const Limit limits[] = {
      {"live runs", "--runs-max", all.runs, 1, options.runs_max, false},
      {"tasks of live runs", "--tasks-max", all.tasks, adds, options.tasks_max, false},
      {"bytes of live runs", "--bytes-max", bytes, adds_bytes, options.bytes_max, false},
      {"live runs", "--tenant-runs-max", tenant.runs, 1, options.tenant_runs_max, true},
      {"tasks of live runs", "--tenant-tasks-max", tenant.tasks, adds, options.tenant_tasks_max, true},
  };
  for (const Limit& limit : limits) {
    if (limit.of_tenant && limit.max == 0) continue;  // no limit of its own
    if (limit.has + limit.adds <= limit.max) continue;
    std::string what = limit.what;
    if (limit.of_tenant) what += " of tenant '" + of + "'";
    const std::string more = limit.adds == 1 ? "" : ", and this one has " + std::to_string(limit.adds);
    Error error{Code::kRefused,
                "queue_full: " + std::to_string(limit.has) + " of " + std::to_string(limit.max) + " " + what + more +
                    " (" + limit.option + ")",
                {},
                "queue_full"};
    Problem detail;
    detail.message = what + ": " + std::to_string(limit.has) + more;
    detail.expected = "at most " + std::to_string(limit.max);
    detail.hint = std::string("wait until some have ended, or raise ") + limit.option;
    error.details.push_back(std::move(detail));
    return error;
  }
  return std::nullopt;
}

// Its key may name a run that is in memory: then the partition answers with that one.
void Loop::State::admit(Time now, RequestId request, SubmitRun&& submit, std::shared_ptr<const Plan> plan,
                        const Hash128& hash, std::shared_ptr<const RestoredRun> old, std::vector<Hash128> parts) {
  Share& share = this->share(home_of(submit));
  if (!share.open()) return refuse(request, not_serving(share.id));
  const bool known = share.core->find_key(submit.tenant, submit.key).has_value();
  if (!known) {
    if (std::optional<Error> why =
            full(submit.tenant, plan->node_count(), submit.inputs.is_null() ? 0 : submit.inputs.size()))
      return refuse(request, std::move(*why));
  }
  const std::uint64_t fingerprint = key_fingerprint(submit.tenant, submit.key);
  share.keys.add(fingerprint);
  if (share.keys_anew != nullptr) share.keys_anew->add(fingerprint);
  RunSubmitted in{request, std::move(submit), std::move(plan), hash};
  in.old = std::move(old);
  in.parts = std::move(parts);
  share.core->step(now, std::move(in));
}

// A full id, "@latest", or a unique prefix of at least four characters.
void Loop::State::with_run(Time now, RequestId request, const RunName& name, std::function<void(Time, RunId)> then) {
  if (auto run = parse_run_id(name.text)) {
    if (partition_of(*run).value < options.partitions) return then(now, *run);
    return refuse(request, not_found("no run " + name.text));
  }
  bool latest = name.text == "@latest";
  if (!latest && name.text.size() < kPrefixMin) {
    return refuse(request, {Code::kInvalid,
                            "'" + name.text + "' names no run: give an id, at least 4 characters of one, or @latest",
                            {},
                            ""});
  }
  FindRuns find;
  find.query.limit = latest ? 1 : 20;
  if (latest) find.query.caller = name.caller;
  else find.prefix = name.text;
  ask(find, [this, request, text = name.text, then = std::move(then)](Time at, StoreAnswer&& answer) {
    auto* found = std::get_if<RunsAnswer>(&answer);
    if (found == nullptr) return refuse(request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
    if (found->runs.empty()) return refuse(request, not_found("no run " + text));
    if (found->runs.size() == 1) return then(at, found->runs[0].run);
    Error error{Code::kInvalid, "'" + text + "' stands for several runs", {}, "ambiguous"};
    for (const RunSummary& run : found->runs) {
      error.details.push_back(
          {"", 0, 0, to_string(run.run) + " " + run.workflow + " " + std::string(to_string(run.state)), "one run", ""});
    }
    refuse(request, std::move(error));
  });
}

void Loop::State::with_stored(RunId run, RequestId request, std::function<void(Time, RestoredRun&)> then) {
  ask(LoadRun{run}, [this, run, request, then = std::move(then)](Time, StoreAnswer&& answer) {
    if (auto* failed = std::get_if<ReadFailed>(&answer)) return refuse(request, std::move(failed->error));
    auto* found = std::get_if<RunAnswer>(&answer);
    if (found == nullptr || !found->run) return refuse(request, not_found("no run " + to_string(run)));
    auto stored = std::make_shared<StoredRun>(std::move(*found->run));
    with_plan(partition_of(run), stored->info.definition,
              [this, request, stored, then](Time at, Result<std::shared_ptr<const Plan>> plan) {
                if (!plan.ok()) return without_plan(stored->info.run, request, std::move(plan).error());
                RestoredRun restored{std::make_shared<const RunInfo>(std::move(stored->info)), std::move(plan).value(),
                                     std::move(stored->record), std::move(stored->tasks)};
                then(at, restored);
              });
  });
}

// Between the two reads the run may have been deleted, and with it a definition that nothing else needs.
void Loop::State::without_plan(RunId run, RequestId request, Error why) {
  ask(LoadRun{run}, [this, run, request, why = std::move(why)](Time, StoreAnswer&& answer) mutable {
    const auto* again = std::get_if<RunAnswer>(&answer);
    if (again != nullptr && !again->run) why = not_found("no run " + to_string(run));
    refuse(request, std::move(why));
  });
}

void Loop::State::with_plan(PartitionId partition, const Hash128& definition,
                            std::function<void(Time, Result<std::shared_ptr<const Plan>>)> then) {
  if (const CachedPlan* cached = plans.find(definition)) return then(clock.now(), cached->plan);
  ask(LoadDefinition{partition, definition}, [this, definition, then = std::move(then)](Time at, StoreAnswer&& answer) {
    if (auto* failed = std::get_if<ReadFailed>(&answer)) return then(at, std::move(failed->error));
    auto* found = std::get_if<DefinitionAnswer>(&answer);
    if (found == nullptr || found->bytes == nullptr) {
      return then(
          at, Error{Code::kInternal, "definition " + to_string(definition) + " is not in the store", {}, "damaged"});
    }
    Result<const CachedPlan*> cached = plans.put(found->definition, found->bytes);
    if (!cached.ok()) return then(at, std::move(cached).error());
    then(at, (*cached)->plan);
  });
}

void Loop::State::view(Time now, RequestId request, RunId run, std::uint32_t nodes_max, bool wait_for_end) {
  Share* share = share_of(run);
  const Run* live = share != nullptr && share->open() ? share->core->find(run) : nullptr;
  if (live != nullptr) {
    if (wait_for_end) {
      share->core->step(now, WaitRequested{request, run, nodes_max});
      return;
    }
    RunReply answer{view_of(*live, now, nodes_max)};
    explain_waits(answer.view, *live, *share);
    reply(request, std::move(answer), share->id);
    return;
  }
  with_stored(run, request, [this, request, run, nodes_max, wait_for_end](Time at, RestoredRun& stored) {
    bool elsewhere = wait_for_end && !is_terminal(stored.record.state);  // live, and not with us any more
    if (elsewhere) return refuse(request, not_serving(partition_of(run)));
    reply(request, RunReply{view_of(stored, at, nodes_max)});
  });
}

void Loop::State::list(Time, RequestId request, const ListRuns& query) {
  if (Result<RunFilter> filter = RunFilter::compile(query); !filter.ok())
    return refuse(request, std::move(filter).error());
  FindRuns find{query, ""};
  find.query.limit = std::clamp<std::uint32_t>(query.limit, 1, kListMax);
  ask(find, [this, request](Time, StoreAnswer&& answer) {
    auto* found = std::get_if<RunsAnswer>(&answer);
    if (found == nullptr) {
      auto* failed = std::get_if<ReadFailed>(&answer);
      return refuse(request, failed != nullptr
                                 ? std::move(failed->error)
                                 : Error{Code::kUnavailable, "the store cannot be read right now", {}, ""});
    }
    for (RunSummary& run : found->runs) {  // live ones are ahead of what is stored of them
      Share* share = share_of(run.run);
      const Run* live = share != nullptr && share->open() ? share->core->find(run.run) : nullptr;
      if (live != nullptr) run = summary_of(*live);
    }
    reply(request, ListReply{std::move(found->runs), std::move(found->next)});
  });
}

void Loop::State::events(Time, RequestId request, RunId run, const ReadEvents& query) {
  ReadRunEvents read{run, query.since, std::clamp<std::uint32_t>(query.limit, 1, kListMax)};
  ask(read, [this, request, run](Time, StoreAnswer&& answer) {
    if (auto* failed = std::get_if<ReadFailed>(&answer)) return refuse(request, std::move(failed->error));
    auto found = std::make_shared<EventsAnswer>(std::get<EventsAnswer>(std::move(answer)));
    auto send = [this, request, run, found](const Plan& plan, bool ended) {
      for (Event& event : found->events) {
        if (is_task_event(event.type) && plan.node_of(event.task)) event.node = plan.id(event.task);
      }
      bool last = !found->events.empty() && is_run_end(found->events.back().type);
      reply(request, EventsReply{run, std::move(found->events), last || (found->events.empty() && ended)});
    };
    Share* share = share_of(run);
    const Run* live = share != nullptr && share->open() ? share->core->find(run) : nullptr;
    if (live != nullptr) return send(*live->plan, live->ended());
    with_stored(run, request,
                [send](Time, RestoredRun& stored) { send(*stored.plan, is_terminal(stored.record.state)); });
  });
}

void Loop::State::logs(Time, RequestId request, RunId run, const ReadLogs& query) {
  ReadRunLogs read{run, query.node, query.attempt, query.since, std::clamp<std::uint32_t>(query.limit, 1, kListMax)};
  const std::string node = query.node.substr(0, query.node.find('['));  // of an item that of its node
  ask(read, [this, request, run, node](Time, StoreAnswer&& answer) {
    if (auto* failed = std::get_if<ReadFailed>(&answer)) return refuse(request, std::move(failed->error));
    auto found = std::make_shared<LogsAnswer>(std::get<LogsAnswer>(std::move(answer)));
    auto send = [this, request, run, node, found](const Plan& plan, bool ended) {
      if (!node.empty() && !plan.find(node))
        return refuse(request, not_found("run " + to_string(run) + " has no node '" + node + "'"));
      bool over = ended && found->lines.empty();
      reply(request, LogsReply{run, std::move(found->lines), std::move(found->cursor), over});
    };
    Share* share = share_of(run);
    const Run* live = share != nullptr && share->open() ? share->core->find(run) : nullptr;
    if (live != nullptr) return send(*live->plan, live->ended());
    with_stored(run, request,
                [send](Time, RestoredRun& stored) { send(*stored.plan, is_terminal(stored.record.state)); });
  });
}

}  // namespace millrace
