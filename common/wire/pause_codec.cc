#include "common/wire/pause_codec.h"

namespace millrace {
namespace {

void write(const PauseName& what, pb::PauseName* out) {
  out->set_kind(static_cast<std::uint32_t>(what.kind));
  out->set_tenant(what.tenant);
  out->set_name(what.name);
}

PauseName read(Reader& in, const pb::PauseName& what) {
  return {in.to_enum(what.kind(), kPauseKindLast, "unknown kind of a pause"), what.tenant(), what.name()};
}

}  // namespace

void write(const Pause& pause, pb::Pause* out) {
  write(pause.what, out->mutable_what());
  out->set_since_us(to_us(pause.since));
  out->set_caller(pause.caller);
  out->set_why(pause.why);
}

Pause read_pause(Reader& in, const pb::Pause& pause) {
  return {read(in, pause.what()), from_us(pause.since_us()), pause.caller(), pause.why()};
}

void write(const PauseScope& scope, pb::PauseScope* out) {
  write(scope.what, out->mutable_what());
  out->set_pause(scope.pause);
  out->set_why(scope.why);
  out->set_caller(scope.caller);
}

PauseScope read_pause_scope(Reader& in, const pb::PauseScope& scope) {
  return {read(in, scope.what()), scope.pause(), scope.why(), scope.caller()};
}

void write(const PauseReply& reply, pb::PauseReply* out) {
  write(reply.pause, out->mutable_pause());
  out->set_paused(reply.paused);
  out->set_repeated(reply.repeated);
}

PauseReply read_pause_reply(Reader& in, const pb::PauseReply& reply) {
  return {read_pause(in, reply.pause()), reply.paused(), reply.repeated()};
}

void write(const PausesReply& reply, pb::PausesReply* out) {
  for (const Pause& pause : reply.pauses) write(pause, out->add_pauses());
}

PausesReply read_pauses(Reader& in, const pb::PausesReply& reply) {
  PausesReply out;
  for (const pb::Pause& pause : reply.pauses()) out.pauses.push_back(read_pause(in, pause));
  return out;
}

}  // namespace millrace
