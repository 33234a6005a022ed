// The verbs of `millrace`, one file each.
#pragma once

#include "cli/verb.h"

namespace millrace {

Verb run_verb();
Verb validate_verb();
Verb graph_verb();
Verb schedule_verb();
Verb submit_verb();
Verb status_verb();
Verb wait_verb();
Verb list_verb();
Verb cancel_verb();
Verb signal_verb();
Verb approve_verb();
Verb pause_verb();
Verb resume_verb();
Verb retry_verb();
Verb rerun_verb();
Verb events_verb();
Verb logs_verb();
Verb artifacts_verb();
Verb workers_verb();
Verb drain_verb();
Verb doctor_verb();
Verb keys_verb();
Verb secret_verb();
Verb store_verb();
Verb coordinators_verb();
Verb partitions_verb();
Verb version_verb();
Verb workflow_verb();
Verb trigger_verb();
Verb completion_verb();

}  // namespace millrace
