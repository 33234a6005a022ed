// The executor `template`: a text by Jinja2, the real one, in the warm python interpreters of the executor `python`.
//
// The template sees `inputs`, `nodes`, `run`, the visible nodes and the inputs by name, and `vars` before them. It runs
// in Jinja2's sandbox. Output: the text, or with `outputs: json` what it reads as. Errors name the line of the template
// and quote it.
#pragma once

#include <memory>

#include "worker/executors/executor.h"

namespace millrace {

// `python` outlives it and runs its tasks, in a warm interpreter where the operator's `least` allows it.
std::unique_ptr<Executor> make_template_executor(Executor& python, Isolation least, TaskObserver& observer);

}  // namespace millrace
