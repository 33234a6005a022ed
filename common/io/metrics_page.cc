#include "common/io/metrics_page.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace millrace {
namespace {

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

// The fields of /proc/self/stat from the third on; the second, the name, may hold spaces.
std::vector<std::string> process_state() {
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::vector<std::string> out;
  for (std::string field; fields >> field;) out.push_back(std::move(field));
  return out;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::strtod(line.c_str() + 6, nullptr);
  }
  return 0;
}

}  // namespace

struct MetricsPage::Families {
  std::vector<prometheus::MetricFamily> all;
  std::map<std::string, std::size_t, std::less<>> index;

  prometheus::ClientMetric& add(std::string_view name, std::string_view help, prometheus::MetricType type,
                                MetricLabels&& labels) {
    auto known = index.find(name);
    if (known == index.end()) {
      known = index.emplace(std::string(name), all.size()).first;
      prometheus::MetricFamily family;
      family.name = std::string(name);
      family.help = std::string(help);
      family.type = type;
      all.push_back(std::move(family));
    }
    prometheus::ClientMetric metric;
    for (auto& [label, value] : labels) metric.label.push_back({std::move(label), std::move(value)});
    std::vector<prometheus::ClientMetric>& metrics = all[known->second].metric;
    metrics.push_back(std::move(metric));
    return metrics.back();
  }
};

MetricsPage::MetricsPage() : families_(std::make_unique<Families>()) {}
MetricsPage::~MetricsPage() = default;

void MetricsPage::counter(std::string_view name, std::string_view help, double value, MetricLabels labels) {
  families_->add(name, help, prometheus::MetricType::Counter, std::move(labels)).counter.value = value;
}

void MetricsPage::gauge(std::string_view name, std::string_view help, double value, MetricLabels labels) {
  families_->add(name, help, prometheus::MetricType::Gauge, std::move(labels)).gauge.value = value;
}

void MetricsPage::histogram(std::string_view name, std::string_view help, const LatencyHistogram& value,
                            MetricLabels labels) {
  auto& out = families_->add(name, help, prometheus::MetricType::Histogram, std::move(labels)).histogram;
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < LatencyHistogram::kBounds; ++i) {
    below += value.in_bucket(i);
    out.bucket.push_back({below, seconds(LatencyHistogram::bound(i))});
  }
  out.sample_count = value.count();  // the serializer adds the bucket without a bound
  out.sample_sum = seconds(value.sum());
}

void MetricsPage::process() {
  const std::vector<std::string> state = process_state();
  auto field = [&](std::size_t number) {  // as proc(5) numbers them
    return number - 3 < state.size() ? std::strtod(state[number - 3].c_str(), nullptr) : 0.0;
  };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  counter("process_cpu_seconds_total", "Processor time used, by user and system.", (field(14) + field(15)) / ticks);
  gauge("process_start_time_seconds", "When the process was started, in seconds since 1970.",
        boot_time() + field(22) / ticks);
  gauge("process_virtual_memory_bytes", "Virtual memory.", field(23));
  gauge("process_resident_memory_bytes", "Resident memory.", field(24) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  std::error_code error;
  std::size_t open_files = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error)) {
    ++open_files;
  }
  gauge("process_open_fds", "Open file descriptors.", static_cast<double>(open_files));
  rlimit most{};
  if (getrlimit(RLIMIT_NOFILE, &most) == 0)
    gauge("process_max_fds", "File descriptors that may be open.", static_cast<double>(most.rlim_cur));
}

std::string MetricsPage::text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families_->all);
  return out.str();
}

}  // namespace millrace
