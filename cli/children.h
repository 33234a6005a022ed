// Children: the registered workflows that nodes of a workflow run, where the cluster is this process and knows none but
// those that --apply names.
//
// Threads: one. Fails: kInvalid for what is wrong in the files or missing, before anything is started.
#pragma once

#include <string>
#include <vector>

#include "cli/client.h"
#include "common/model/workflow.h"

namespace millrace {

// The workflows of these files. Nodes of `workflow`, and of theirs, run no others: each that is not among them is told,
// with the way out.
Result<std::vector<WorkflowSpec>> load_children(const WorkflowSpec& workflow, const std::vector<std::string>& files);
// Registers them, each as version 1.
Status apply_children(Client& client, const std::vector<WorkflowSpec>& workflows, const std::string& tenant,
                      Duration timeout);

}  // namespace millrace
