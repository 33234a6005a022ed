// Submission: from a workflow file, inputs and labels on a command line to the request that starts a run.
//
// Fails: kInvalid with every problem of the file, or else of inputs and labels, at once. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/verb.h"
#include "common/model/workflow.h"

namespace millrace {

struct Submission {
  WorkflowSpec spec;
  SubmitRun request;
};

// --input, --inputs, --label, --priority, --tenant, --traceparent: what `run` and `submit` share.
std::vector<Option> submission_options();
Result<WorkflowSpec> load_workflow(const std::string& path);  // "-": standard input
Result<Submission> prepare_submission(const CommandContext& context, const Arguments& arguments,
                                      const std::string& path);

// The same of a workflow that is here already; `bytes`: its definition.
Result<Submission> prepare_submission(const CommandContext& context, const Arguments& arguments, WorkflowSpec spec,
                                      std::shared_ptr<const std::string> bytes);

// Sends it; again with the definition's bytes where the coordinator does not know them.
Result<SubmitReply> submit(Client& client, const SubmitRun& request, Duration timeout);

std::string random_key();                                            // 32 hex digits from the system's generator
Result<TraceId> trace_of(std::string_view traceparent);              // "00-<trace>-<span>-<flags>"
Result<Labels> parse_labels(const std::vector<std::string>& texts);  // k=v

}  // namespace millrace
