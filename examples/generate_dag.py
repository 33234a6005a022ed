#!/usr/bin/env python3
"""Writes a layered workflow whose right answer is known: examples/dag200.yaml by default.

    python3 examples/generate_dag.py [--nodes 199] [--width 20] [--seed 7] > examples/dag200.yaml

Every node adds one to the sum of what it depends on, modulo a prime; the last node collects all sinks. The expected
total stands in the file and is checked by the workflow itself.
"""
import argparse
import random

PRIME = 1_000_003


def make_graph(nodes, width, seed):
    """Node i -> the ascending list of nodes it depends on, all from one of the two layers before its own."""
    rng = random.Random(seed)
    upstream = []
    for i in range(nodes - 1):
        first = i // width * width  # of its layer
        before = range(max(0, first - 2 * width), first)
        upstream.append(sorted(rng.sample(before, min(len(before), rng.randint(1, 3)))))
    has_downstream = {u for row in upstream for u in row}
    upstream.append([i for i in range(nodes - 1) if i not in has_downstream])
    return upstream


def evaluate(upstream):
    values = []
    for row in upstream:
        values.append((1 + sum(values[u] for u in row)) % PRIME)
    return values


def render(upstream):
    nodes = len(upstream)
    expected = evaluate(upstream)[-1]
    name = [f"n{i:03d}" for i in range(nodes)]
    print(f"# {nodes + 1} nodes in layers, written by examples/generate_dag.py. The total must be {expected}.")
    print(f"name: dag{nodes + 1}")
    print("nodes:")
    for i, row in enumerate(upstream):
        print(f"  {name[i]}:")
        if row:
            print(f"    depends_on: [{', '.join(name[u] for u in row)}]")
        print("    executor: python")
        terms = " + ".join(["1"] + [name[u] for u in row])
        print(f"    script: output = ({terms}) % {PRIME}")
    print("  check:")
    print("    executor: python")
    print(f"    depends_on: [{name[-1]}]")
    print("    script: |")
    print(f"      assert {name[-1]} == {expected}, f\"the total is {{{name[-1]}}}\"")
    print(f"      output = {{\"total\": {name[-1]}}}")
    print("outputs:")
    print("  total: \"{{ nodes.check.total }}\"")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=199, help="how many nodes, the check apart (default 199)")
    parser.add_argument("--width", type=int, default=20, help="nodes in a layer (default 20)")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.nodes < 2 or options.width < 1:
        parser.error("at least 2 nodes and a width of 1")
    render(make_graph(options.nodes, options.width, options.seed))


if __name__ == "__main__":
    main()
