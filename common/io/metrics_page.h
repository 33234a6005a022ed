// MetricsPage: one scrape in the making, in Prometheus' text format. Only metrics_page.cc sees prometheus-cpp.
//
// Promises: metrics come out in the order of their first mention; the series of one name stand together. Names and help
// are the caller's; label values may hold anything. Threads: one at a time. Fails: never.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/histogram.h"

namespace millrace {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class MetricsPage {
 public:
  static constexpr std::string_view kType = "text/plain; version=0.0.4; charset=utf-8";

  MetricsPage();
  ~MetricsPage();
  void counter(std::string_view name, std::string_view help, double value, MetricLabels labels = {});
  void gauge(std::string_view name, std::string_view help, double value, MetricLabels labels = {});
  // In seconds.
  void histogram(std::string_view name, std::string_view help, const LatencyHistogram& value, MetricLabels labels = {});
  // What every process tells under Prometheus' usual names: processor time, memory, open files, start.
  void process();
  std::string text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace millrace
