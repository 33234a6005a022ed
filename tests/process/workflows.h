// Workflows that several process tests share. Each takes an input `marks`: a file that an attempt appends a line to
// when it starts, so that a test sees from outside how often a task ran.
#pragma once

#include <string>

namespace millrace::test {

// first -> slow -> last, with the answer 3. The first attempt of `slow` takes a minute, the next ones no time.
constexpr const char* kRelay = R"yaml(
name: relay
inputs:
  marks: {type: string, required: true}
nodes:
  first:
    executor: python
    script: |
      output = {"n": 1}
  slow:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}", N: "{{ nodes.first.n }}"}
    script: |
      echo "$$" >> "$MARKS"
      if [ "$(wc -l < "$MARKS")" -eq 1 ]; then sleep 60; fi
      echo $((N + 1))
  last:
    depends_on: [slow]
    executor: python
    script: |
      result = int(slow["stdout"]) + 1
outputs:
  answer: "{{ nodes.last }}"
)yaml";

// One task that runs until it is ended.
constexpr const char* kEndless = R"yaml(
name: endless
inputs:
  marks: {type: string, required: true}
nodes:
  sleeper:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: |
      echo "$$" >> "$MARKS"
      sleep 600
)yaml";

constexpr const char* kQuick = R"yaml(
name: quick
inputs:
  n: {type: integer, default: 1}
nodes:
  twice:
    executor: python
    script: |
      output = 2 * inputs["n"]
outputs:
  answer: "{{ nodes.twice }}"
)yaml";

constexpr const char* kFailing = R"yaml(
name: failing
nodes:
  broken: {executor: shell, script: "echo about to fail >&2; exit 3"}
)yaml";

// `depth` layers of `width` shell tasks of `seconds` each, every task after all of the layer before. Node ids are
// L<layer>-<place>; each adds its id to the file of marks. The output is the number of ids that the last task saw
// there.
inline std::string layers(int depth, int width, const std::string& seconds) {
  std::string text = "name: layers\ninputs:\n  marks: {type: string, required: true}\nnodes:\n";
  std::string before;
  for (int layer = 0; layer < depth; ++layer) {
    std::string here;
    for (int place = 0; place < width; ++place) {
      std::string id = "L" + std::to_string(layer) + "-" + std::to_string(place);
      text += "  " + id + ":\n    executor: shell\n";
      if (!before.empty()) text += "    depends_on: [" + before + "]\n";
      text += "    env: {MARKS: \"{{ inputs.marks }}\"}\n    script: |\n      sleep " + seconds + "\n      echo " + id +
              " >> \"$MARKS\"\n";
      here += (here.empty() ? "" : ", ") + id;
    }
    before = here;
  }
  text += "  total:\n    depends_on: [" + before +
          "]\n    executor: shell\n    env: {MARKS: \"{{ inputs.marks }}\"}\n" +
          "    script: sort -u \"$MARKS\" | wc -l\noutputs:\n  seen: \"{{ nodes.total.stdout }}\"\n";
  return text;
}

}  // namespace millrace::test
