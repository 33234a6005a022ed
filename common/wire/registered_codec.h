// Registered workflows on the wire (private to common/wire).
#pragma once

#include "common/model/operator_messages.h"
#include "common/wire/shapes.h"
#include "operator.pb.h"

namespace millrace {

void write(const WorkflowRequest& request, pb::WorkflowRequest* out);
WorkflowRequest read_workflow_request(Reader& in, pb::WorkflowRequest* m);
void write(const WorkflowReply& reply, pb::WorkflowReply* out);
WorkflowReply read_workflow_reply(pb::WorkflowReply* m);
void write(const WorkflowsReply& reply, pb::WorkflowsReply* out);
WorkflowsReply read_workflows(const pb::WorkflowsReply& m);

}  // namespace millrace
