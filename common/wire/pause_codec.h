// Pauses (pause.h), between the model and protobuf.
#pragma once

#include "common/model/operator_messages.h"
#include "common/wire/shapes.h"
#include "operator.pb.h"

namespace millrace {

void write(const Pause& pause, pb::Pause* out);
Pause read_pause(Reader& in, const pb::Pause& pause);

void write(const PauseScope& scope, pb::PauseScope* out);
PauseScope read_pause_scope(Reader& in, const pb::PauseScope& scope);

void write(const PauseReply& reply, pb::PauseReply* out);
PauseReply read_pause_reply(Reader& in, const pb::PauseReply& reply);

void write(const PausesReply& reply, pb::PausesReply* out);
PausesReply read_pauses(Reader& in, const pb::PausesReply& reply);

}  // namespace millrace
