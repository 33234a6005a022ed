"""docs/expressions.md is true of this port: every example in its tables gives what the table says."""
import json
import pathlib
import re
import sys
import types
import unittest

HERE = pathlib.Path(__file__).resolve()

# The package without what it does at import: its expressions need neither zmq nor protobuf.
package = types.ModuleType("millrace_sdk")
package.__path__ = [str(HERE.parents[1] / "millrace_sdk")]
sys.modules["millrace_sdk"] = package

from millrace_sdk.expressions import Expression, Scope, Template, dump  # noqa: E402
from millrace_sdk.filters import FILTERS, parse_json  # noqa: E402
from millrace_sdk.syntax import ExpressionError  # noqa: E402

PAGE = (HERE.parents[3] / "docs/expressions.md").read_text()


def cells(line):
    parts = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [part.strip(" ").replace("\\|", "|") for part in (p[1:] if p.startswith(" ") else p for p in parts)]


def unticked(cell):
    return cell[1:-1] if len(cell) >= 2 and cell[0] == cell[-1] == "`" and "`" not in cell[1:-1] else cell


def raw_cells(line):
    """Like cells, but one blank at each side is all that goes: fields may begin with blanks."""
    out = []
    for part in re.split(r"(?<!\\)\|", line)[1:-1]:
        part = part.replace("\\|", "|")
        out.append(part[1 if part.startswith(" ") else 0 : -1 if part.endswith(" ") else None])
    return out


def rows(heading):
    inside = False
    for number, line in enumerate(PAGE.splitlines(), 1):
        if line == heading:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            row = raw_cells(line)
            yield number, unticked(row[0]), unticked(row[1])


def scope():
    return Scope(json.loads(re.search(r"```json\n(.*?)```", PAGE, re.S).group(1)))


class Expressions(unittest.TestCase):
    def check(self, number, text, expected, run):
        with self.subTest(line=number, text=text):
            try:
                got = dump(run(text))
            except ExpressionError as e:
                got = "error: " + str(e)
            if expected.startswith("error: "):
                self.assertTrue(got.startswith("error: "), got)
                self.assertIn(expected[7:], got)
            else:
                self.assertEqual(got, dump(parse_json(expected)))

    def test_every_example_of_the_documentation_gives_what_its_table_says(self):
        examples = list(rows("| expression | result |"))
        self.assertGreater(len(examples), 150)
        for number, text, expected in examples:
            self.check(number, text, expected, lambda text: Expression(text).evaluate(scope()))
        for number, text, expected in rows("| field | result |"):
            self.check(number, text, expected, lambda text: Template(text).render(scope()))

    def test_every_filter_of_the_documentation_is_there_and_no_other(self):
        documented = set()
        for line in PAGE.splitlines():
            match = re.match(r"\| `([a-z]+)(\(.*\))?` \| ", line)
            if match and line.count("|") - line.count("\\|") == 4:
                documented.add(match.group(1))
        self.assertEqual(documented, set(FILTERS))

    def test_a_problem_names_the_path_of_the_field_and_quotes_no_value(self):
        with self.assertRaises(ExpressionError) as caught:
            Template({"a": [{"b": "{{ inputs.name.x }}"}]}).render(scope())
        self.assertEqual(str(caught.exception),
                         "a[0].b: `inputs.name.x`: `inputs.name` is a string and has no member `x`")

    def test_floats_are_written_as_the_coordinators_write_them(self):
        for text, expected in ((100000.0, "1e+05"), (1e22, "1e+22"), (0.001, "0.001"), (-2.5, "-2.5"), (0.0, "0.0"),
                               (1.2345678901234568e20, "123456789012345683968.0"), (1e-7, "1e-07"), (1.0, "1.0"),
                               (12345.678, "12345.678"), (-0.0, "-0.0"), (1000.0, "1000.0"), (0.00012, "0.00012")):
            self.assertEqual(dump(text), expected)

    def test_work_and_results_are_bounded(self):
        for text, limit in (("3000000 | range | length", "steps_max"),
                            ("'x' | replace('x', 'y')", ""),
                            ("300000 | range | join('" + "x" * 300 + "')", "result_max")):
            try:
                Expression(text).evaluate(scope())
                self.assertEqual(limit, "")
            except ExpressionError as e:
                self.assertEqual(e.limit, limit, e)
        with self.assertRaises(ExpressionError):
            Expression("(" * 65 + "1" + ")" * 65)


if __name__ == "__main__":
    unittest.main()
