#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "bench/arithmetic.h"

namespace millrace::bench {
namespace {

using Of = std::function<double(const Measured&)>;

double rounded(double value) { return std::round(value * 10'000) / 10'000; }

class Writer {
 public:
  explicit Writer(const std::vector<Measured>& repeats) : repeats_(repeats) {}

  // The median over the repeats, remembered with its spread; or null where it does not apply.
  Value figure(const std::string& name, bool applies, const Of& of) {
    if (!applies) return nullptr;
    std::vector<double> values;
    for (const Measured& one : repeats_) values.push_back(of(one));
    const Spread spread = spread_of(values);
    spread_.set(name, Value::Array{rounded(spread.min), rounded(spread.max)});
    return rounded(spread.median);
  }
  Value spread() && { return std::move(spread_); }

 private:
  const std::vector<Measured>& repeats_;
  Value spread_ = Value::Object{};
};

struct Percent {
  const char* name;
  double share;
};
constexpr Percent kPercents[] = {{"p50_ms", 0.5}, {"p95_ms", 0.95}, {"p99_ms", 0.99}};
constexpr Percent kMore = {"p999_ms", 0.999};

Value percentile_of(Writer& writer, const Percent& percent, bool applies) {
  return writer.figure(percent.name, applies,
                       [share = percent.share](const Measured& m) { return percentile(m.latencies_ms, share); });
}

// Which percentiles rest on too few samples.
Value notes_on(std::size_t samples) {
  Value::Array notes;
  for (const Percent& percent : {kPercents[0], kPercents[1], kPercents[2], kMore}) {
    const std::size_t beyond = samples_beyond(samples, percent.share);
    if (beyond < kBeyondMin)
      notes.push_back(std::string(percent.name) + " rests on " + std::to_string(beyond) + " samples beyond it");
  }
  return notes;
}

// "at_50.p99_ms" stands as p99_ms in an object at_50.
void add_figures(Writer& writer, const std::vector<Measured>& repeats, Value& out) {
  std::string group;
  Value inside = Value::Object{};
  auto close = [&] {
    if (!group.empty()) out.set(group, std::move(inside));
    inside = Value::Object{};
  };
  for (const auto& [name, ignored] : repeats[0].figures) {
    const std::size_t dot = name.find('.');
    const std::string outer = dot == std::string::npos ? "" : name.substr(0, dot);
    if (outer != group) {
      close();
      group = outer;
    }
    Value figure = writer.figure(name, true, [&name = name](const Measured& m) { return m.figures.at(name); });
    if (group.empty()) out.set(name, std::move(figure));
    else inside.set(name.substr(dot + 1), std::move(figure));
  }
  close();
}

Value cpu_of(Writer& writer, bool redis) {
  Value cpu = Value::Object{};
  auto add = [&](const std::string& who, bool applies, auto of) {
    cpu.set(who, writer.figure("cpu_us_per_task." + who, applies,
                               [of](const Measured& m) { return of(m) * 1e6 / std::max(m.tasks, 1U); }));
  };
  add("coordinator", true, [](const Measured& m) { return m.coordinator.cpu_s; });
  add("workers", true, [](const Measured& m) { return m.workers.cpu_s; });
  add("redis", redis, [](const Measured& m) { return m.redis.cpu_s; });
  add("client", true, [](const Measured& m) { return m.client_cpu_s; });
  return cpu;
}

Value rss_of(Writer& writer, bool redis) {
  Value rss = Value::Object{};
  auto add = [&](const std::string& who, bool applies, auto of) {
    rss.set(who, writer.figure("rss_mb." + who, applies, [of](const Measured& m) { return of(m); }));
  };
  add("coordinator", true, [](const Measured& m) { return m.coordinator.rss_mb; });
  add("workers", true, [](const Measured& m) { return m.workers.rss_mb; });
  add("redis", redis, [](const Measured& m) { return m.redis.rss_mb; });
  return rss;
}

}  // namespace

Value report(const Options& o, const std::vector<Measured>& r) {
  const ScenarioKind* kind = find_scenario(o.scenario);
  const bool several = r[0].runs > 1;
  const bool latencies = several && !r[0].latencies_ms.empty();
  const bool redis = o.cluster.store == "redis";
  Writer writer(r);
  Value out = Value::Object{};
  out.set("scenario", o.scenario);
  out.set("tasks", std::uint64_t{r[0].tasks});
  out.set("workers", o.cluster.workers);
  out.set("store", o.cluster.store);
  out.set("appendfsync", redis ? Value(o.cluster.appendfsync) : Value());
  out.set("repeats", static_cast<std::int64_t>(r.size()));
  out.set("tasks_per_s", writer.figure("tasks_per_s", true, [](const Measured& m) { return m.tasks / m.total_s; }));
  out.set("runs_per_s", writer.figure("runs_per_s", several, [](const Measured& m) { return m.runs / m.total_s; }));
  for (const Percent& percent : kPercents) out.set(percent.name, percentile_of(writer, percent, latencies));
  out.set("per_hop_ms",
          writer.figure("per_hop_ms", o.scenario == "chain", [](const Measured& m) { return m.per_hop_ms; }));
  out.set("total_s", writer.figure("total_s", true, [](const Measured& m) { return m.total_s; }));
  out.set("cpu_us_per_task", cpu_of(writer, redis));
  out.set("rss_mb", rss_of(writer, redis));
  out.set("redis_bytes_per_task", writer.figure("redis_bytes_per_task", redis, [](const Measured& m) {
    return static_cast<double>(m.redis_bytes) / std::max(m.tasks, 1U);
  }));
  // Beyond what is fixed.
  out.set("p999_ms", percentile_of(writer, kMore, latencies));
  out.set("samples", latencies ? Value(static_cast<std::int64_t>(r[0].latencies_ms.size())) : Value());
  if (o.cluster.simulated) out.set("simulated_workers", true);
  if (o.cluster.transport != "tcp") out.set("transport", o.cluster.transport);
  if (o.cluster.curve) out.set("curve", true);
  out.set("latency_of", latencies ? Value(kind->latency_of) : Value());
  add_figures(writer, r, out);
  out.set("spread", std::move(writer).spread());
  out.set("notes", latencies ? notes_on(r[0].latencies_ms.size()) : Value(Value::Array{}));
  return out;
}

std::string table_of(const Value& report) {
  std::string out;
  const Value* spread = report.find("spread");
  const bool repeated = report.find("repeats")->as_int() > 1;
  auto line = [&](const std::string& name, const Value& value) {
    std::string row = name;
    row.resize(std::max<std::size_t>(row.size() + 1, 28), ' ');
    row += value.is_string() ? value.as_string() : value.is_null() ? "-" : value.dump();
    const Value* range = repeated ? spread->find(name) : nullptr;
    if (range != nullptr) {
      row.resize(std::max<std::size_t>(row.size() + 1, 44), ' ');
      row += range->as_array()[0].dump() + " .. " + range->as_array()[1].dump();
    }
    out += row + "\n";
  };
  for (const auto& [name, value] : report.as_object()) {
    if (name == "spread") continue;
    if (value.is_object()) {
      for (const auto& [part, figure] : value.as_object()) line(name + "." + part, figure);
    } else if (value.is_array()) {
      for (const Value& item : value.as_array()) line(name, item);
    } else {
      line(name, value);
    }
  }
  return out;
}

}  // namespace millrace::bench
