// http and llm tasks of real programs: no slot each, tokens while they come, and secrets that stand nowhere.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/cluster.h"
#include "tests/support/stand_in.h"

namespace millrace::test {
namespace {

constexpr const char* kCanary = "canary-5f2b9c71";
constexpr const char* kKeyCanary = "sk-canary-91ab77d0";

// Every file below a directory that holds the text.
std::vector<std::string> files_with(const std::string& directory, const std::string& text) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    if (read_file(entry.path()).find(text) != std::string::npos) found.push_back(entry.path());
  }
  return found;
}

TEST(IoTasks, ManyAreInFlightOnAWorkerWithOneSlot) {
  StandIn web;
  Cluster cluster{{.workers = {"w1"}, .slots = 1, .worker_options = {"--allow-egress", web.host_port()}}};
  std::string text = "nodes:\n";
  for (int i = 0; i < 60; ++i)
    text += "  n" + std::to_string(i) + ": {executor: http, url: '" + web.web() + "/slow'}\n";
  const auto begun = std::chrono::steady_clock::now();
  const Value run = cluster.wait(cluster.submit(cluster.workflow("many.yaml", text)));
  EXPECT_EQ(text_at(run, {"status"}), "succeeded") << run.dump();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 30s) << "one after the other, they take a minute";
}

TEST(IoTasks, TokensAreHeardWhileTheModelSpeaks) {
  StandIn model({"--pause-ms", "100"});
  Cluster cluster{{.workers = {"w1"}, .worker_options = {"--providers", "openai=" + model.url()}}};
  const std::string run = cluster.submit(cluster.workflow("talk.yaml", R"yaml(
nodes:
  before: {executor: noop, delay: 1500ms}
  talk: {executor: llm, depends_on: [before], model: stand-in, prompt: "One two three. Four five six. Seven."}
)yaml"));
  Program events = cluster.start_cli({"events", run, "-f", "--all", "-o", "jsonl"}, "events");
  EXPECT_TRUE(eventually(20s, [&] { return events.out().find("\"task_tokens\"") != std::string::npos; }))
      << events.out();
  EXPECT_EQ(cluster.node_status(run, "talk"), "running") << "tokens came only with the end";
  const Value end = cluster.wait(run);
  EXPECT_EQ(text_at(end, {"nodes", "talk", "outputs", "text"}), "In short: One two three. Four five six.");
  EXPECT_EQ(events.wait(20s), 0);
  std::string told;
  std::istringstream lines(events.out());
  for (std::string line; std::getline(lines, line);) {
    const Value event = Value::parse(line).value();
    if (text_at(event, {"type"}) != "task_tokens") continue;
    EXPECT_TRUE(at(event, {"seq"}).is_null());
    EXPECT_EQ(text_at(event, {"node"}), "talk");
    told += text_at(event, {"data", "text"});
  }
  EXPECT_EQ(told, "In short: One two three. Four five six.");
  for (const Value& event : cluster.rows({"events", run}))
    EXPECT_NE(text_at(event, {"type"}), "task_tokens") << "they are not stored";
}

TEST(IoTasks, ARedirectToAMetadataAddressIsRefusedAndThatIsFinal) {
  StandIn model;
  Cluster cluster{{.workers = {"w1"}, .worker_options = {"--providers", "openai=" + model.url()}}};
  const Value run = cluster.wait(cluster.submit(cluster.workflow("ssrf.yaml", R"yaml(
nodes:
  talk: {executor: llm, model: stand-in-redirect, prompt: x, retry: {max_attempts: 3}}
)yaml")));
  EXPECT_EQ(text_at(run, {"status"}), "failed");
  EXPECT_EQ(number_at(run, {"nodes", "talk", "attempts"}), 1);
  EXPECT_NE(text_at(run, {"error", "message"}).find("169.254.169.254 is a metadata address and refused"),
            std::string::npos)
      << run.dump();
}

// What a secret may touch, and where it must not be found afterwards: logs, events, records, Redis, the command line.
TEST(IoTasks, ASecretStandsNowhere) {
  StandIn web({"--key", "another"});
  ScratchDirectory secrets;
  secrets.write("TOKEN", std::string(kCanary) + "\n");
  secrets.write("MODEL_KEY", kKeyCanary);
  Cluster cluster{{.workers = {"w1"},
                   .worker_options = {"--allow-egress", "loopback", "--secrets-dir",
                                      std::filesystem::path(secrets.file("TOKEN")).parent_path()}}};
  const std::string file = cluster.workflow("secrets.yaml", R"yaml(
fail_fast: false
inputs:
  which: {type: secret, default: TOKEN}
  web: string
nodes:
  prints:
    executor: shell
    env: {T: "{{ secrets.TOKEN }}"}
    script: |
      echo "out $T"; echo "err $T" >&2; printf '%s' "$T" | cut -c 1-8 | tr -d '\n'; sleep 0.3; printf '%s\n' "$T" | cut -c 9-
  fails:
    executor: shell
    env: {T: "{{ secrets[inputs.which] }}"}
    script: echo "the token $T is wrong" >&2; exit 3
  raises:
    executor: python
    env: {T: "{{ secrets.TOKEN }}"}
    script: |
      import os
      print(os.environ["T"])
      raise ValueError("bad: " + os.environ["T"])
  echoes:
    executor: http
    url: "{{ inputs.web }}/get"
    query: {key: "{{ secrets.TOKEN }}"}
    auth: {basic: {user: ada, password: "{{ secrets.TOKEN }}"}}
  refuses:
    executor: llm
    base_url: "{{ inputs.web }}/v1"
    api_key: "{{ secrets.MODEL_KEY }}"
    model: stand-in
    prompt: x
  after: {value: "{{ nodes.prints.stdout }}", depends_on: [prints]}
  missing: {executor: shell, env: {T: "{{ secrets.NOT_THERE }}"}, script: "true"}
)yaml");
  const std::string run = cluster.submit(file, {"-i", "web=" + web.web()});
  const Value end = cluster.wait(run);
  EXPECT_EQ(text_at(end, {"nodes", "prints", "outputs", "stdout"}), "out ***\n***") << end.dump();
  EXPECT_EQ(text_at(end, {"nodes", "prints", "outputs", "stderr"}), "err ***");
  EXPECT_EQ(text_at(end, {"nodes", "fails", "status"}), "failed");
  EXPECT_EQ(text_at(end, {"nodes", "echoes", "outputs", "body", "args", "key"}), "***");
  EXPECT_EQ(text_at(end, {"nodes", "refuses", "status"}), "failed");
  EXPECT_EQ(text_at(end, {"nodes", "missing", "status"}), "failed");
  std::string all = end.dump();
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"status", run, "-o", "json"},
                                                                                     {"events", run, "-o", "json"},
                                                                                     {"logs", run, "-o", "json"},
                                                                                     {"list", "-o", "json"}})
    all += cluster.cli(words).out;
  EXPECT_NE(all.find("the token *** is wrong"), std::string::npos) << all;
  EXPECT_NE(all.find("ValueError: bad: ***"), std::string::npos) << all;
  EXPECT_NE(all.find("Incorrect API key provided: Bearer ***"), std::string::npos) << all;
  for (const char* canary :
       {kCanary, kKeyCanary, "YWRhOmNhbmFyeS01ZjJiOWM3MQ"}) {  // the last: "ada:" and the first in base64
    EXPECT_EQ(all.find(canary), std::string::npos) << canary << "\n" << all;
    EXPECT_EQ(files_with(cluster.scratch().path(), canary), std::vector<std::string>())
        << canary;  // logs of the daemons
    EXPECT_EQ(files_with(cluster.redis().directory(), canary), std::vector<std::string>())
        << canary;  // the append-only file
  }
}

// `millrace secret`, and a worker that is told of its files; what changes in them counts without a restart.
TEST(IoTasks, SecretsOfAnEncryptedFileStandNowhereAndChangeWhileTheWorkerRuns) {
  ScratchDirectory place;
  const std::string file = place.file("secrets"), key_file = place.file("keys/secrets.key");
  const Variables variables = {{"MILLRACE_SECRETS_FILE", file}, {"MILLRACE_SECRETS_KEY_FILE", key_file}};
  std::string all;
  auto secret = [&](const std::string& words, const std::string& input = "") {
    const std::string command = bin("millrace") + " secret " + words + " < " + place.write("input", input);
    const Finished done = run_program({"/bin/sh", "-c", command}, variables);
    std::filesystem::remove(place.file("input"));
    EXPECT_EQ(done.exit_code, 0) << words << "\n" << done.err;
    all += done.out + done.err;
  };
  secret("init");
  secret("set TOKEN", std::string(kCanary) + "\n");
  Cluster cluster{{.workers = {"w1"}, .worker_options = {"--secrets-file", file, "--secrets-key-file", key_file}}};
  const std::string workflow = cluster.workflow("secrets.yaml", R"yaml(
fail_fast: false
inputs: {files: string}
nodes:
  prints: {executor: shell, env: {T: "{{ secrets.TOKEN }}"}, script: 'echo "it is $T"; echo "it is $T" >&2'}
  asks:
    executor: python
    script: |
      import millrace
      print(millrace.secret("TOKEN"))
      result = {"token": millrace.secret("TOKEN")}
  looks: {executor: shell, args: ["{{ inputs.files }}"], script: 'cat "$1"/secrets "$1"/keys/secrets.key'}
)yaml");
  auto run = [&] {
    const std::string id = cluster.submit(workflow, {"-i", "files=" + place.path()});
    const Value end = cluster.wait(id);
    for (const char* verb : {"status", "events", "logs"}) all += cluster.cli({verb, id, "-o", "json"}).out;
    EXPECT_EQ(text_at(end, {"nodes", "looks", "status"}), "failed") << "tasks cannot read the files";
    return end;
  };
  const Value first = run();
  EXPECT_EQ(text_at(first, {"nodes", "prints", "outputs", "stdout"}), "it is ***") << first.dump();
  EXPECT_EQ(text_at(first, {"nodes", "asks", "outputs", "token"}), "***") << first.dump();

  secret("set TOKEN", kKeyCanary);
  const Value second = run();
  EXPECT_EQ(text_at(second, {"nodes", "prints", "outputs", "stdout"}), "it is ***") << second.dump();
  secret("list");
  secret("rm TOKEN");
  const Value third = run();
  EXPECT_EQ(text_at(third, {"nodes", "prints", "status"}), "failed");
  EXPECT_NE(third.dump().find("looked for: MILLRACE_SECRET_TOKEN, " + file), std::string::npos) << third.dump();

  for (const char* canary : {kCanary, kKeyCanary}) {
    EXPECT_EQ(all.find(canary), std::string::npos) << all;
    for (const std::string& directory : {cluster.scratch().path(), cluster.redis().directory(), place.path()})
      EXPECT_EQ(files_with(directory, canary), std::vector<std::string>()) << canary;
  }
}

TEST(IoTasks, AWorkerWithSecretsThatItCannotReadDoesNotStart) {
  ScratchDirectory place;
  const Variables variables = {{"MILLRACE_SECRETS_FILE", place.file("secrets")}};
  EXPECT_EQ(run_program({bin("millrace"), "secret", "init"}, variables).exit_code, 0);
  std::filesystem::permissions(place.file("secrets.key"), std::filesystem::perms(0644));
  const Finished open = run_program({bin("millrace-worker")}, variables);
  EXPECT_EQ(open.exit_code, 2);
  EXPECT_NE(open.err.find("is open to others on this machine: chmod 600"), std::string::npos) << open.err;
  place.write("secrets.key", "hunter2");
  std::filesystem::permissions(place.file("secrets.key"), std::filesystem::perms(0600));
  const Finished damaged = run_program({bin("millrace-worker")}, variables);
  EXPECT_EQ(damaged.exit_code, 2);
  EXPECT_EQ(damaged.err.find("hunter2"), std::string::npos) << damaged.err;
}

}  // namespace
}  // namespace millrace::test
