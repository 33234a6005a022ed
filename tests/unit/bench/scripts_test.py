#!/usr/bin/env python3
"""The scripts of bench/ judged on made-up reports: ratios, verdicts, growth. `scripts_test.py` exits 1 on a failure."""
import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest
from xml.etree import ElementTree

BENCH = pathlib.Path(__file__).resolve().parents[3] / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True
import figures  # noqa: E402


def script(name):
    loader = importlib.machinery.SourceFileLoader(name, str(BENCH / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


compare = script("compare")
report = script("report")
growth = script("growth")
profile = script("profile")


class Figures(unittest.TestCase):
    def test_nested_figures_are_found_and_what_is_null_is_none(self):
        one = {"tasks_per_s": 5, "cpu_us_per_task": {"redis": 2.5}, "p50_ms": None}
        self.assertEqual(figures.figure(one, "tasks_per_s"), 5)
        self.assertEqual(figures.figure(one, "cpu_us_per_task.redis"), 2.5)
        self.assertIsNone(figures.figure(one, "p50_ms"))
        self.assertIsNone(figures.figure(one, "rss_mb.redis"))

    def test_above_one_is_worse_for_rates_as_for_times(self):
        self.assertEqual(figures.worse_by("tasks_per_s", 200, 100), 2)
        self.assertEqual(figures.worse_by("p50_ms", 1, 2), 2)
        self.assertEqual(figures.worse_by("p50_ms", 2, 1), 0.5)
        self.assertIsNone(figures.worse_by("p50_ms", 0, 1))
        self.assertIsNone(figures.worse_by("p50_ms", None, 1))

    def test_numbers_keep_three_digits(self):
        self.assertEqual([figures.number(v) for v in (0.123456, 12.34, 123.4, 1234567.8, None)],
                         ["0.123", "12.3", "123", "1,234,568", "-"])


def pair(old, new):
    return {"tasks_per_s": old, "p50_ms": 1}, {"tasks_per_s": new, "p50_ms": 1}


class Compare(unittest.TestCase):
    def test_a_ratio_is_of_each_pair_and_not_of_the_medians(self):
        out = compare.compare_reports([pair(100, 50), pair(10, 10), pair(30, 90)])["tasks_per_s"]
        self.assertEqual((out["ratio"], out["ratio_min"], out["ratio_max"]), (1, 1 / 3, 2))

    def test_a_figure_that_one_side_lacks_is_left_out(self):
        self.assertNotIn("rss_mb.redis", compare.compare_reports([({"rss_mb": {"redis": 5}}, {})]))

    def test_the_gate_wants_a_bad_median_and_every_pair_worse(self):
        worse = {"single": compare.compare_reports([pair(100, 80), pair(100, 85), pair(100, 70)])}
        self.assertEqual(len(compare.too_bad(worse, 1.1)), 1)
        self.assertEqual(compare.too_bad(worse, 1.5), [])
        noise = {"single": compare.compare_reports([pair(100, 80), pair(100, 101), pair(100, 70)])}
        self.assertEqual(compare.too_bad(noise, 1.1), [])

    def test_named_scenarios_replace_the_default_and_options_pass_on(self):
        options = compare.parse(["--old-bin", "a", "--new-bin", "b", "--scenario", "chain", "single", "--", "--store",
                                 "memory"])
        self.assertEqual(options.scenario, ["chain", "single"])
        self.assertEqual(options.passed, ["--store", "memory"])
        self.assertEqual(compare.parse(["--old-bin", "a", "--new-bin", "b"]).scenario, list(compare.DEFAULT_SCENARIOS))


class Report(unittest.TestCase):
    def test_a_median_that_meets_its_bound_passes_and_one_beyond_is_short(self):
        single = {"p50_ms": 0.5, "p99_ms": 1.6, "spread": {"p50_ms": [0.4, 0.6], "p99_ms": [1, 2]}}
        lines = report.table({"single": [single]}, quick=False).splitlines()
        self.assertRegex(lines[2], r"\| p50 \| <= 0.5 ms \| 0.3 ms \| 0.5 ms \| 0.4 - 0.6 \| PASS \|$")
        self.assertRegex(lines[3], r"\| p99 \| <= 1.5 ms \| - \| 1.6 ms \| 1 - 2 \| short \|$")

    def test_what_was_not_measured_is_never_a_pass(self):
        self.assertRegex(report.table({"chain": [{"failed": "why"}]}, quick=False), r"\| failed \| - \| short \|$")

    def test_engine_cpu_is_coordinator_and_redis(self):
        one = {"cpu_us_per_task": {"coordinator": 5, "redis": 3, "workers": 50, "client": 9}}
        self.assertRegex(report.table({"cpu": [one]}, quick=False), r"\| 8 us \|.*PASS")

    def test_half_of_the_rate_is_half_of_what_is_asked_for(self):
        self.assertEqual(report.rate_of_half([{"rate": 10_000}], quick=False), 12_500)
        self.assertEqual(report.rate_of_half([{"rate": 60_000}], quick=False), 12_500)


def points(cost_of, name=growth.ENGINE):
    return [{"size": size, name: cost_of(size)} for size in (10, 100, 1_000, 10_000)]


class Growth(unittest.TestCase):
    def test_what_stays_or_falls_or_grows_as_log_n_is_fine(self):
        for cost in (lambda n: 5, lambda n: 5 / n, growth.log_growth, lambda n: 1.2 * growth.log_growth(n)):
            self.assertEqual(growth.too_fast(points(cost)), [])

    def test_what_grows_as_a_root_of_n_is_found_with_its_worst_pair(self):
        found = growth.too_fast(points(lambda n: n ** 0.5, growth.CORE))
        self.assertEqual([(name, small, large) for name, small, large, *_ in found], [(growth.CORE, 10, 10_000)])

    def test_a_rise_behind_a_fall_is_found(self):
        costs = {10: 100, 100: 1, 1_000: 1, 10_000: 10}
        self.assertEqual([pair[1:3] for pair in growth.too_fast(points(costs.get))], [(1_000, 10_000)])

    def test_a_figure_that_is_not_judged_may_grow(self):
        self.assertEqual(growth.too_fast(points(lambda n: n, growth.WALL)), [])

    def test_a_plot_is_well_formed_and_has_each_line(self):
        made = [{"size": n, growth.WALL: 9, growth.COORDINATOR: 2, growth.REDIS: 1, growth.ENGINE: 3, growth.CORE: 0.7}
                for n in (1, 10, 100)]
        drawn = ElementTree.fromstring(growth.svg("workers", made))
        self.assertEqual(len(drawn.findall("{http://www.w3.org/2000/svg}polyline")), 5)


class Profile(unittest.TestCase):
    LINES = ("millrace-coordi   100/100    55d0c8a1 millrace::Partition::on+0x20 (/x/bin/millrace-coordinator)",
             "ZMQbg/IO/0        100/101    7f00aa10 zmq::epoll_t::loop+0x1 (/usr/lib/libzmq.so.5.2.4)",
             "redis-server      200/200    7f00aa10 malloc (/usr/lib/libjemalloc.so.2)",
             "redis-server      200/200 ffffffff81 tcp_sendmsg ([kernel.kallsyms])",
             "sh                 50/50  ffffffff81 do_exec ([kernel.kallsyms])")

    def test_threads_count_for_their_process_and_strangers_not_at_all(self):
        kinds, symbols = profile.read_samples(self.LINES)
        self.assertEqual(dict(kinds), {("coordinator", "its own code"): 1, ("coordinator", "libzmq"): 1,
                                       ("Redis", "allocator"): 1, ("Redis", "kernel: network"): 1})
        self.assertEqual(dict(symbols), {("coordinator", "millrace::Partition::on"): 1})

    def test_samples_become_microseconds_a_task(self):
        self.assertAlmostEqual(profile.per_task(profile.FREQUENCY, 100_000), 10)


if __name__ == "__main__":
    unittest.main()
