#include "cli/embedded.h"

#include <utility>

namespace millrace {

Result<std::unique_ptr<Embedded>> Embedded::start(ZmqContext& context, const Options& options) {
  CoordinatorOptions coordinator;
  coordinator.name = "embedded";
  coordinator.listen = {kEndpoint};
  coordinator.events = kEvents;
  coordinator.store = "memory";
  coordinator.unplaceable_after = Duration::zero();  // nobody else will come
  coordinator.fixed_fleet = true;
  auto made = Coordinator::create(context, std::move(coordinator));
  if (!made.ok()) return std::move(made).error();

  WorkerOptions worker;
  worker.name = "local";
  worker.coordinators = {kEndpoint};
  worker.slots = options.slots;
  worker.queues = {"*"};
  if (!options.python.empty()) worker.python = options.python;
  worker.requirements_dir = options.requirements_dir;
  worker.find_links = options.find_links;
  worker.no_index = options.no_index;
  worker.secrets_file = options.secrets.file;
  worker.secrets_key_file = options.secrets.key_file;
  worker.hides_secrets = false;                   // nothing of who runs this is hidden from what they run
  worker.allow_egress = {"loopback", "private"};  // who runs this may reach them anyway
  auto employed = Worker::create(context, std::move(worker));
  if (!employed.ok()) return std::move(employed).error();

  std::unique_ptr<Embedded> embedded(new Embedded);
  embedded->coordinator_ = std::move(*made);
  embedded->worker_ = std::move(*employed);
  Embedded* self = embedded.get();
  self->coordinator_thread_ = std::thread([self] { self->ended("coordinator", self->coordinator_->run()); });
  self->worker_thread_ = std::thread([self] { self->ended("worker", self->worker_->run()); });
  return embedded;
}

Embedded::~Embedded() {
  kill();  // the run has ended or is given up: nothing is waited for
  if (worker_thread_.joinable()) worker_thread_.join();
  if (coordinator_ != nullptr) coordinator_->stop();
  if (coordinator_thread_.joinable()) coordinator_thread_.join();
}

void Embedded::kill() {
  if (worker_ == nullptr) return;
  worker_->drain();
  worker_->drain();  // the second one kills
}

void Embedded::ended(const char* what, const Status& status) {
  if (status.ok()) return;
  std::lock_guard lock(mutex_);
  if (fault_) return;
  fault_ = status.error();
  fault_->what = "the embedded " + std::string(what) + " ended: " + fault_->what;
}

std::optional<Error> Embedded::fault() const {
  std::lock_guard lock(mutex_);
  return fault_;
}

}  // namespace millrace
