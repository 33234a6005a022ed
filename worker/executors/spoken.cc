#include "worker/executors/spoken.h"

#include <utility>

namespace millrace {
namespace {

constexpr const char* kOver = "the task has ended";

void give_secret(const std::optional<AttemptId>& attempt, const PythonReply& said, const Secrets& secrets,
                 TaskObserver& observer, const AnswerToTask& answer) {
  if (!attempt) return answer(kOver, false);
  const Result<std::string> secret = secrets.find(said.message);
  if (!secret.ok()) return answer(secret.error().what, false);
  observer.on_secret(*attempt, *secret);
  answer(*secret, true);
}

}  // namespace

void take_spoken(const std::optional<AttemptId>& attempt, const PythonReply& said, const Secrets& secrets,
                 TaskObserver& observer, const AnswerToTask& answer) {
  if (said.kind == PythonReply::Kind::kSecret) return give_secret(attempt, said, secrets, observer, answer);
  if (said.kind == PythonReply::Kind::kArtifact) {
    const std::string problem = attempt ? observer.on_artifact(*attempt, artifact_part(said)) : kOver;
    return answer(problem, problem.empty());
  }
  if (said.kind != PythonReply::Kind::kProgress || !attempt) return;
  if (Result<Value> data = Value::parse(said.output); data.ok() && data->is_object())
    observer.on_news(*attempt, EventType::kTaskProgress, std::move(*data));
}

}  // namespace millrace
