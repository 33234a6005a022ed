// What `millrace doctor` is told (health.h), between the model and protobuf.
#pragma once

#include "common/model/health.h"
#include "common/model/operator_messages.h"
#include "operator.pb.h"

namespace millrace {

void write(const HealthReply& reply, wire::HealthReply* out);
HealthReply read_health(const wire::HealthReply& reply);

}  // namespace millrace
