// millrace-sim: plays seeds, prints what breaks, replays.
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "tests/sim/scale.h"
#include "tests/sim/simulation.h"

namespace millrace::sim {
namespace {

constexpr char kHelp[] = R"(Usage: millrace-sim [options]

Plays seeds: the real loops, partitions and agents under a simulated clock, network and store. Exits with 1 when an
invariant breaks; the seed, the faults and the end of the trace are printed then.

  --seeds A..B     the seeds to play (default 1..100)
  --faults LIST    none, or any of net, store, crash, loss, narrow, or all (the first three), separated by commas
                   (default all)
  --trace SEED     play this seed alone and print its whole trace
  --jobs N         threads (default 1)
  --workers N      instead of as many as the seed says
  --runs N         likewise
  --plant BUG      no-fencing, open-early, forget-lost, forget-suffix, forget-reclaimed, no-patience, take-twice,
                   forget-firings, compute-twice or start-paused: plant a bug, to see it caught
  --planted-bugs-are-caught    each bug in turn; exits with 0 when some seed catches each of them
  --same-hash      every seed twice: both traces must be the same (always done for every 50th)
  --regressions FILE    instead of --seeds: lines of "SEED FAULTS", '#' begins a comment
  --scale WORDS    instead of seeds: one large cluster without faults, in simulated time. WORDS are NAME=N, separated by
                   commas: coordinators, workers, slots, partitions, seconds, runs_a_minute, tasks, task_ms, seed
)";

struct Options {
  std::uint64_t first = 1;
  std::uint64_t last = 100;
  std::string faults = "all";
  Settings settings;
  std::optional<std::uint64_t> trace;
  unsigned jobs = 1;
  bool catch_plants = false;
  std::string as_given;  // what else a replay needs: " --workers 3 --plant no-fencing"
  bool same_hash = false;
  std::string regressions;
  std::optional<ScaleSettings> scale;
};

struct Game {
  std::uint64_t seed = 0;
  std::string faults;
};

[[noreturn]] void usage(const std::string& what) {
  std::cerr << "millrace-sim: " << what << "\n" << kHelp;
  std::exit(2);
}

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) usage("'" + text + "' is not a number");
  return value;
}

Settings with_faults(Settings settings, const std::string& list) {
  settings.net = settings.store = settings.crash = settings.loss = settings.narrow = false;
  std::istringstream in(list);
  for (std::string word; std::getline(in, word, ',');) {
    if (word == "none") continue;
    if (word != "all" && word != "net" && word != "store" && word != "crash" && word != "loss" && word != "narrow")
      usage("unknown fault '" + word + "'");
    settings.net |= word == "all" || word == "net";
    settings.store |= word == "all" || word == "store";
    settings.crash |= word == "all" || word == "crash";
    settings.loss |= word == "loss";
    settings.narrow |= word == "narrow";
  }
  return settings;
}

struct Planted {
  Plant plant = Plant::kNone;
  std::string faults;  // under which it is looked for
};

const std::map<std::string, Planted>& plants() {
  static const std::map<std::string, Planted> kPlants = {{"no-fencing", {Plant::kNoFencing, "all"}},
                                                         {"open-early", {Plant::kOpenEarly, "all"}},
                                                         {"forget-lost", {Plant::kForgetLost, "all"}},
                                                         {"forget-suffix", {Plant::kForgetSuffix, "all,loss"}},
                                                         {"forget-reclaimed", {Plant::kForgetReclaimed, "none"}},
                                                         {"no-patience", {Plant::kNoPatience, "narrow"}},
                                                         {"take-twice", {Plant::kTakeTwice, "all"}},
                                                         {"forget-firings", {Plant::kForgetFirings, "all"}},
                                                         {"compute-twice", {Plant::kComputeTwice, "none"}},
                                                         {"start-paused", {Plant::kStartPaused, "all"}}};
  return kPlants;
}

void set_seeds(Options& options, const std::string& value) {
  const std::size_t dots = value.find("..");
  options.first = number(value.substr(0, dots));
  options.last = dots == std::string::npos ? options.first : number(value.substr(dots + 2));
  if (options.first > options.last) usage("no seeds in '" + value + "'");
}

ScaleSettings scale_settings(const std::string& words) {
  ScaleSettings s;
  const std::map<std::string, int*> names = {{"coordinators", &s.coordinators},
                                             {"workers", &s.workers},
                                             {"slots", &s.slots},
                                             {"partitions", &s.partitions},
                                             {"seconds", &s.seconds},
                                             {"runs_a_minute", &s.runs_a_minute},
                                             {"tasks", &s.tasks},
                                             {"task_ms", &s.task_ms}};
  std::istringstream in(words);
  for (std::string word; std::getline(in, word, ',');) {
    const std::size_t is = word.find('=');
    const std::string name = word.substr(0, is);
    if (is == std::string::npos) usage("--scale takes NAME=N, not '" + word + "'");
    const std::uint64_t value = number(word.substr(is + 1));
    if (name == "seed") s.seed = value;
    else if (auto it = names.find(name); it != names.end()) *it->second = static_cast<int>(value);
    else usage("--scale knows no '" + name + "'");
  }
  return s;
}

int scale(const ScaleSettings& settings) {
  const std::string broken = play_scale(settings);
  std::cout << "scale: " << (broken.empty() ? "everything held" : broken) << std::endl;
  return broken.empty() ? 0 : 1;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    auto value = [&] {
      if (i + 1 == argc) usage(flag + " needs a value");
      return std::string(argv[++i]);
    };
    if ((flag == "--workers" || flag == "--runs" || flag == "--plant") && i + 1 < argc)
      options.as_given += " " + flag + " " + argv[i + 1];
    if (flag == "--seeds") set_seeds(options, value());
    else if (flag == "--faults") options.faults = value();
    else if (flag == "--trace") options.trace = number(value());
    else if (flag == "--jobs") options.jobs = static_cast<unsigned>(std::max<std::uint64_t>(1, number(value())));
    else if (flag == "--workers") options.settings.workers = static_cast<int>(number(value()));
    else if (flag == "--runs") options.settings.runs = static_cast<int>(number(value()));
    else if (flag == "--same-hash") options.same_hash = true;
    else if (flag == "--planted-bugs-are-caught") options.catch_plants = true;
    else if (flag == "--regressions") options.regressions = value();
    else if (flag == "--scale") options.scale = scale_settings(value());
    else if (flag == "--plant") {
      const std::string name = value();
      auto it = plants().find(name);
      if (it == plants().end()) usage("unknown bug '" + name + "'");
      options.settings.plant = it->second.plant;
    } else if (flag == "--help" || flag == "-h") {
      std::cout << kHelp;
      std::exit(0);
    } else {
      usage("unknown option " + flag);
    }
  }
  options.settings = with_faults(options.settings, options.faults);
  return options;
}

// An assert of the engine ends the process: the seed is said first.
thread_local char now_playing[160] = "";

void on_abort(int) { (void)!write(STDERR_FILENO, now_playing, std::strlen(now_playing)); }

Played play_named(const Game& game, const Settings& settings, bool print) {
  std::snprintf(
      now_playing, sizeof now_playing, "millrace-sim: aborted in seed %llu: replay with --faults %s --trace %llu\n",
      static_cast<unsigned long long>(game.seed), game.faults.c_str(), static_cast<unsigned long long>(game.seed));
  return play(game.seed, with_faults(settings, game.faults), print);
}

void print_failure(const Played& played, const std::string& faults, const std::string& as_given) {
  std::cout << "----- seed " << played.seed << " broke: " << played.broken << "\n";
  for (const std::string& line : played.last) std::cout << line << "\n";
  std::cout << "----- seed " << played.seed << ", faults " << faults << ": " << played.broken
            << "\n----- replay: millrace-sim --faults " << faults << as_given << " --trace " << played.seed
            << std::endl;
}

struct Total {
  std::uint64_t seeds = 0;
  std::uint64_t broken = 0;
  std::uint64_t runs = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t actions = 0;
  std::uint64_t hash = 0;
};

// Plays all games on `jobs` threads. Stops early after `failures_max` failures, which are printed if `loud`.
Total play_all(const std::vector<Game>& games, const Options& options, std::uint64_t failures_max, bool loud) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;  // of the total and of the output
  Total total;
  auto work = [&] {
    for (std::size_t i = next++; i < games.size(); i = next++) {
      const Game& game = games[i];
      Played played = play_named(game, options.settings, false);
      if (played.broken.empty() && (options.same_hash || i % 50 == 0)) {
        const Played again = play_named(game, options.settings, false);
        if (again.hash != played.hash) played.broken = "two runs of the seed gave different traces";
      }
      const std::lock_guard lock(mutex);
      ++total.seeds;
      total.runs += played.runs;
      total.succeeded += played.succeeded;
      total.actions += played.actions;
      total.hash ^= played.hash * (2 * played.seed + 1);
      if (played.broken.empty()) continue;
      ++total.broken;
      if (loud) print_failure(played, game.faults, options.as_given);
      else std::cout << "  seed " << played.seed << ": " << played.broken << "\n";
      if (total.broken >= failures_max) next = games.size();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < options.jobs; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return total;
}

std::vector<Game> games_of(const Options& options) {
  std::vector<Game> games;
  if (options.regressions.empty()) {
    for (std::uint64_t seed = options.first; seed <= options.last; ++seed) games.push_back({seed, options.faults});
    return games;
  }
  std::ifstream in(options.regressions);
  if (!in) usage("cannot read " + options.regressions);
  for (std::string line; std::getline(in, line);) {
    line.resize(std::min(line.find('#'), line.size()));
    std::istringstream words(line);
    std::string seed;
    std::string faults;
    if (words >> seed >> faults) games.push_back({number(seed), faults});
  }
  return games;
}

// Some need a rare meeting of things: so many seeds at least.
constexpr std::uint64_t kPlantSeeds = 800;

int catch_plants(Options options) {
  options.last = std::max(options.last, options.first + kPlantSeeds - 1);
  bool all = true;
  for (const auto& [name, planted] : plants()) {
    std::cout << name << ":" << std::endl;
    options.settings.plant = planted.plant;
    options.faults = planted.faults;
    const Total total = play_all(games_of(options), options, 1, false);
    std::cout << "  " << (total.broken > 0 ? "caught" : "NOT caught") << " within " << total.seeds << " seeds"
              << std::endl;
    all &= total.broken > 0;
  }
  return all ? 0 : 1;
}

int trace(const Options& options) {
  const Played played = play_named({*options.trace, options.faults}, options.settings, true);
  std::cout << "seed " << played.seed << ": " << (played.broken.empty() ? "everything held" : played.broken) << "; "
            << played.runs << " runs, " << played.actions << " actions, hash " << std::hex << played.hash << std::endl;
  return played.broken.empty() ? 0 : 1;
}

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::signal(SIGABRT, on_abort);
  if (options.scale) return scale(*options.scale);
  if (options.trace) return trace(options);
  if (options.catch_plants) return catch_plants(options);
  const Total total = play_all(games_of(options), options, 5, true);
  std::cout << total.seeds << " seeds, faults " << (options.regressions.empty() ? options.faults : "as listed") << ": "
            << total.broken << " broken; " << total.runs << " runs (" << total.succeeded << " succeeded), "
            << total.actions << " actions, hash " << std::hex << total.hash << std::endl;
  return total.broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace millrace::sim

int main(int argc, char** argv) { return millrace::sim::run(argc, argv); }
