#include "worker/shell/uploads.h"

#include <algorithm>
#include <utility>

#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr unsigned kDamagesMax = 3;

}  // namespace

void Uploads::takes_parts(LinkId link, bool takes) {
  if (takes) links_.insert(link);
  else links_.erase(link);
}

bool Uploads::begin(Time now, const AttemptId& attempt, Outcome& outcome, std::vector<SpoolFile> files) {
  const bool large = outcome.items == nullptr && outcome.output.is_inline() && outcome.output.size() > kUploadAbove;
  if (links_.empty() || (!large && files.empty())) {
    outcome.artifacts = nullptr;
    return false;
  }
  Upload& upload = uploads_.emplace_back();
  upload.attempt = attempt;
  upload.outcome = std::move(outcome);
  upload.files = std::move(files);
  upload.with_output = large;
  upload.link = *links_.begin();
  start_next(now);
  return true;
}

void Uploads::start_next(Time now) {
  for (Upload& upload : uploads_) {
    if (active_ >= kUploadsAtOnce) return;
    if (upload.active || upload.done) continue;
    upload.active = true;
    ++active_;
    next_value(now, upload);
  }
}

void Uploads::next_value(Time now, Upload& upload) {
  upload.from = 0;
  upload.damages = 0;
  if (upload.with_output) {
    upload.size = upload.outcome.output.size();
    upload.hash = hash128(upload.outcome.output.json());
  } else if (upload.file < upload.files.size()) {
    const Artifact& artifact = (*upload.outcome.artifacts)[upload.file];
    upload.size = artifact.size;
    upload.hash = artifact.hash;
  } else {
    return end(upload);
  }
  send(now, upload);
}

void Uploads::send(Time now, Upload& upload) {
  PutPart part{upload.hash, upload.size, upload.attempt.run, upload.from, 0, {}};
  if (upload.with_output) part.bytes = upload.outcome.output.json().substr(upload.from, upload.pace.bytes());
  else part.bytes = upload.files[upload.file].read(upload.from, upload.pace.bytes());
  part.check = part_check(part.hash, part.from, part.bytes);
  upload.sent = now;
  upload.again = now + upload.pause;
  requests_.push_back({upload.link, std::move(part)});
}

bool Uploads::forget(const AttemptId& attempt) {
  const auto at = std::ranges::find(uploads_, attempt, &Upload::attempt);
  if (at == uploads_.end()) return false;
  if (at->active) --active_;
  uploads_.erase(at);
  return true;
}

void Uploads::taken(Time now, const PartTaken& taken) {
  for (Upload& upload : uploads_) {
    if (upload.active && upload.hash == taken.hash) this->taken(now, upload, taken);
  }
  start_next(now);
}

// What is told of a part may come late, and twice: only what is news leads to the next, so that one part is out at a
// time. Less than was told before is believed after a silence: what had come may have been lost meanwhile.
void Uploads::taken(Time now, Upload& upload, const PartTaken& taken) {
  if (taken.kept) {
    if (upload.with_output) upload.outcome.output = Payload::reference(upload.hash, upload.size);
    else upload.files[upload.file++] = SpoolFile();
    upload.with_output = false;
    return next_value(now, upload);
  }
  if (taken.damaged && ++upload.damages >= kDamagesMax) {
    const Duration ran = upload.outcome.ran;
    const std::string what = upload.with_output ? "the output" : "an artifact";
    upload.outcome = failed(Reason::kInvalidOutput, what + " of " + std::to_string(upload.size) +
                                                        " bytes could not be kept: it arrives damaged");
    upload.outcome.ran = ran;
    return end(upload);
  }
  const bool back = taken.have < upload.from && upload.resent;
  if (!taken.damaged && taken.have <= upload.from && !back) return;
  upload.pace.came(now - upload.sent);
  upload.from = std::min(taken.have, upload.size);
  upload.pause = kPartAgain;
  upload.resent = false;
  send(now, upload);
}

void Uploads::end(Upload& upload) {
  upload.active = false;
  upload.done = true;
  upload.again = kNever;
  --active_;
}

void Uploads::pass(Time now) {
  for (Upload& upload : uploads_) {
    if (upload.again > now) continue;
    upload.pause = std::min(upload.pause * 2, kPartAgainMax);
    upload.resent = true;
    const auto next = links_.upper_bound(upload.link);
    if (!links_.empty()) upload.link = next == links_.end() ? *links_.begin() : *next;
    send(now, upload);
  }
}

Time Uploads::next_deadline() const {
  Time next = kNever;
  for (const Upload& upload : uploads_) next = std::min(next, upload.again);
  return next;
}

void Uploads::take_done(const std::function<void(const AttemptId&, Outcome&&)>& take) {
  for (auto it = uploads_.begin(); it != uploads_.end();) {
    if (!it->done) {
      ++it;
      continue;
    }
    take(it->attempt, std::move(it->outcome));
    it = uploads_.erase(it);
  }
}

void Uploads::take_requests(std::vector<ToCoordinator>& requests) {
  std::ranges::move(requests_, std::back_inserter(requests));
  requests_.clear();
}

void Uploads::add_attempts(std::vector<AttemptId>& attempts) const {
  for (const Upload& upload : uploads_) attempts.push_back(upload.attempt);
}

}  // namespace millrace
