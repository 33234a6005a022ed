#include "common/wire/health_codec.h"

namespace millrace {

namespace pb = millrace::wire;

namespace {

void write(const ServerFacts& store, pb::StoreHealth* out) {
  out->set_kind(store.kind);
  out->set_version(store.version);
  out->set_mode(store.mode);
  out->set_role(store.role);
  out->set_answered_us(store.answered.count());
  out->set_format(store.format);
  out->set_function_version(store.function_version);
  out->set_used_bytes(store.used_bytes);
  out->set_max_bytes(store.max_bytes);
  out->set_eviction(store.eviction);
  out->set_appendonly(store.appendonly);
  out->set_appendfsync(store.appendfsync);
  out->set_save(store.save);
  out->set_durability(store.durability);
  out->set_replicas(store.replicas);
  out->set_last_write_failed(store.last_write_failed);
  out->set_config_told(store.config_told);
}

ServerFacts read(const pb::StoreHealth& m) {
  ServerFacts store;
  store.kind = m.kind();
  store.version = m.version();
  store.mode = m.mode();
  store.role = m.role();
  store.answered = Duration{m.answered_us()};
  store.format = m.format();
  store.function_version = m.function_version();
  store.used_bytes = m.used_bytes();
  store.max_bytes = m.max_bytes();
  store.eviction = m.eviction();
  store.appendonly = m.appendonly();
  store.appendfsync = m.appendfsync();
  store.save = m.save();
  store.durability = m.durability();
  store.replicas = m.replicas();
  store.last_write_failed = m.last_write_failed();
  store.config_told = m.config_told();
  return store;
}

void write(const CoordinatorHealth& one, pb::CoordinatorHealth* out) {
  out->set_name(one.name);
  out->set_version(one.version);
  out->set_endpoint(one.endpoint);
  out->set_protocol(one.protocol);
  out->set_function_version(one.function_version);
  out->set_format(one.format);
  out->set_now_us(to_us(one.now));
  out->set_store_up(one.store_up);
  write(one.store, out->mutable_store());
  out->set_partitions(one.partitions);
  out->set_owned(one.owned);
  out->set_awaited(one.awaited);
  out->set_runs_live(one.runs_live);
  out->set_ready(one.ready);
  out->set_running(one.running);
  out->set_slots(one.slots);
  out->set_workers_ready(one.workers_ready);
  out->set_workers_draining(one.workers_draining);
  out->set_workers_silent(one.workers_silent);
  for (const LimitUse& limit : one.limits) {
    pb::LimitUse* row = out->add_limits();
    row->set_name(limit.name);
    row->set_used(limit.used);
    row->set_max(limit.max);
  }
  out->set_audit_looked(one.audit.looked);
  out->set_audit_found(one.audit.found);
  out->set_audit_repaired(one.audit.repaired);
  for (const Finding& finding : one.findings) {
    pb::Finding* row = out->add_findings();
    row->set_severity(finding.severity);
    row->set_check(finding.check);
    row->set_subject(finding.subject);
    row->set_message(finding.message);
    row->set_action(finding.action);
  }
}

CoordinatorHealth read(const pb::CoordinatorHealth& m) {
  CoordinatorHealth one;
  one.name = m.name();
  one.version = m.version();
  one.endpoint = m.endpoint();
  one.protocol = m.protocol();
  one.function_version = m.function_version();
  one.format = m.format();
  one.now = from_us(m.now_us());
  one.store_up = m.store_up();
  one.store = read(m.store());
  one.partitions = m.partitions();
  one.owned = m.owned();
  one.awaited = m.awaited();
  one.runs_live = m.runs_live();
  one.ready = m.ready();
  one.running = m.running();
  one.slots = m.slots();
  one.workers_ready = m.workers_ready();
  one.workers_draining = m.workers_draining();
  one.workers_silent = m.workers_silent();
  for (const pb::LimitUse& row : m.limits()) one.limits.push_back({row.name(), row.used(), row.max()});
  one.audit = {m.audit_looked(), m.audit_found(), m.audit_repaired()};
  for (const pb::Finding& row : m.findings())
    one.findings.push_back({row.severity(), row.check(), row.subject(), row.message(), row.action()});
  return one;
}

}  // namespace

void write(const HealthReply& reply, pb::HealthReply* out) {
  for (const CoordinatorHealth& one : reply.coordinators) write(one, out->add_coordinators());
}

HealthReply read_health(const pb::HealthReply& reply) {
  HealthReply out;
  for (const pb::CoordinatorHealth& one : reply.coordinators()) out.coordinators.push_back(read(one));
  return out;
}

}  // namespace millrace
