// What a running task says before its end, by the object `millrace` of javascript or the interface of plug-ins: its
// progress, the secrets that it asks for, the files that it hands over.
//
// `attempt`: whose it is; nothing: of none any more. `answer`: sends the answer, where one is waited for. Threads: the
// Reactor's. Fails: in words, to the task.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "worker/executors/executor.h"
#include "worker/executors/interpreter.h"

namespace millrace {

using AnswerToTask = std::function<void(std::string_view text, bool good)>;

void take_spoken(const std::optional<AttemptId>& attempt, const PythonReply& said, const Secrets& secrets,
                 TaskObserver& observer, const AnswerToTask& answer);

}  // namespace millrace
