#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "cli/exit_code.h"
#include "cli/inputs.h"
#include "cli/places.h"
#include "cli/render.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "common/io/curve.h"
#include "common/model/secret.h"

namespace millrace {
namespace {

Error usage(std::string what) { return {Code::kInvalid, "millrace secret " + what, {}, "usage"}; }

std::int64_t now_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// While it lives nothing that is typed is shown.
class Unseen {
 public:
  Unseen() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~Unseen() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

std::string typed_line() {
  std::string line;
  line.reserve(kSecretMax + 2);  // so that growing leaves no copy behind
  const Unseen unseen;
  for (char c = 0; line.size() <= kSecretMax && read(STDIN_FILENO, &c, 1) == 1 && c != '\n';) line.push_back(c);
  return line;
}

// One newline at its end is not part of it, as with files of secrets.
Result<std::string> read_value(const CommandContext& context, const Arguments& arguments, const std::string& name) {
  const std::string from = arguments.text("from-file", "-");
  if (from == "-" && isatty(STDIN_FILENO) == 1) {
    context.console.err("value of " + name + " (not shown): ");
    std::string value = typed_line();
    context.console.err("\n");
    return value;
  }
  Result<std::string> value = read_file(from);
  if (value.ok() && value->ends_with('\n')) value->pop_back();
  return value;
}

std::string secrets_text(const SecretBook::Entries& entries, std::string_view member, std::string_view word,
                         const std::string& file, Format format, const Console& console) {
  if (is_for_people(format) && !word.empty()) {
    std::string text;
    for (const auto& [name, entry] : entries) text += name + " " + std::string(word) + " " + printable(file) + "\n";
    return text;
  }
  Document document;
  document.name_key = "name";
  for (const auto& [name, entry] : entries)
    document.rows.push_back(Value::Object{{"name", name}, {"set", iso_time(from_us(entry.set_us))}});
  document.whole = Value::Object{{"file", file}, {std::string(member), Value::Array(document.rows)}};
  document.columns = {{"NAME", [](const Value& row) { return cell_text(row, "name"); }},
                      {"SET", [](const Value& row) { return cell_text(row, "set"); }}};
  return render(document, format, console);
}

// ---------------------------------------------------------------- actions

Result<int> init(const CommandContext& context, const Arguments& arguments, const SecretPaths& paths) {
  if (arguments.operands().size() != 1) return usage("init: takes no argument");
  for (const std::string& path : {paths.file, paths.key_file}) {
    const std::string directory = std::filesystem::path(path).parent_path().string();
    if (directory.empty()) continue;
    if (Status made = make_private_directory(directory); !made.ok()) return made.error();
  }
  const Result<SecretsKey> key = create_secrets(paths);
  if (!key.ok()) return key.error();
  const Value whole = Value::Object{{"file", paths.file}, {"key_file", paths.key_file}, {"key", key->id()}};
  const Format format = output_format(arguments);
  context.console.out(is_for_people(format) ? "no secrets yet\n  file  " + cell_text(whole, "file") + "\n  key   " +
                                                  cell_text(whole, "key_file") + "  (keep it private)\n"
                                            : render_object(whole, "file", format));
  return kExitOk;
}

Result<int> set(const CommandContext& context, const Arguments& arguments, const SecretPaths& paths) {
  // What stands too much may be the value itself: it is not quoted.
  if (arguments.operands().size() != 2)
    return usage("set: one NAME is expected; its value comes from standard input or --from-file, never as an argument");
  const std::string name = arguments.operand(1);
  if (Status named = check_secret_name(name); !named.ok()) return usage("set: " + named.error().what);
  Result<std::string> value = read_value(context, arguments, name);
  if (!value.ok()) return value.error();
  SecretBook::Entries done;
  const Status changed = change_secrets(paths, [&](SecretBook& book) -> Status {
    Status status = book.set(name, *value, now_us());
    if (status.ok()) done.emplace(name, SecretBook::Entry{"", book.find(name)->set_us});
    return status;
  });
  wipe(*value);
  if (!changed.ok()) return changed.error();
  context.console.out(secrets_text(done, "written", "set in", paths.file, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> list(const CommandContext& context, const Arguments& arguments, const SecretPaths& paths) {
  if (arguments.operands().size() != 1) return usage("list: takes no argument");
  const Result<SecretBook> book = read_secrets(paths);
  if (!book.ok()) return book.error();
  context.console.out(
      secrets_text(book->entries(), "secrets", "", paths.file, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> remove(const CommandContext& context, const Arguments& arguments, const SecretPaths& paths) {
  if (arguments.operands().size() < 2) return usage("rm: at least one NAME is expected");
  SecretBook::Entries done;
  const Status changed = change_secrets(paths, [&](SecretBook& book) -> Status {
    for (const std::string& name : arguments.operands().subspan(1)) {
      const SecretBook::Entry* entry = book.find(name);
      if (entry == nullptr) return secret_error(Code::kNotFound, name, "is not in " + paths.file);
      done.emplace(name, SecretBook::Entry{"", entry->set_us});
      book.remove(name);
    }
    return Done{};
  });
  if (!changed.ok()) return changed.error();
  context.console.out(
      secrets_text(done, "removed", "removed from", paths.file, output_format(arguments), context.console));
  return kExitOk;
}

// ---------------------------------------------------------------- the verb

struct Action {
  std::string_view name;
  Result<int> (*run)(const CommandContext& context, const Arguments& arguments, const SecretPaths& paths);
};
constexpr Action kActions[] = {{"init", init}, {"set", set}, {"list", list}, {"rm", remove}};

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const auto* const action = std::ranges::find(kActions, arguments.operand(0), &Action::name);
  if (arguments.given("from-file") && action->name != "set")
    return usage(std::string(action->name) + ": --from-file is of no use here");
  const SecretPaths paths = secrets_paths(context.environment, arguments);
  if (paths.file.empty()) return usage("needs --secrets-file: there is no home directory");
  return action->run(context, arguments, paths);
}

}  // namespace

Verb secret_verb() {
  std::vector<Option> options = {output_option()};
  for (const Option& option : secrets_options()) options.push_back(option);
  options.push_back({"from-file",
                     0,
                     Takes::kText,
                     "FILE",
                     "set: the value is the text of this file (default: standard input)",
                     false,
                     {},
                     Completes::kFile});
  return {
      "secret",
      "keep secrets for workers in an encrypted file",
      "init makes an empty file and the key that it is encrypted with. set NAME reads a value from standard input, or\n"
      "from a file; a value is never an argument. list names the secrets and says when each was set; values are never\n"
      "printed. rm NAME... takes secrets away. A worker with --secrets-file and --secrets-key-file, and `millrace "
      "run`,\n"
      "read them as {{ secrets.NAME }}; a running worker notices changes by itself. See docs/security.md.",
      {"millrace secret init", "millrace secret set API_TOKEN < token.txt",
       "millrace secret set DB_PASSWORD --from-file password.txt --secrets-file cluster.secrets",
       "millrace secret list", "millrace secret rm API_TOKEN"},
      {{{"ACTION", "init, set, list or rm", true, false, Completes::kNothing, {"init", "set", "list", "rm"}},
        {"NAME", "the secret to set; those to take away", false, true, Completes::kNothing, {}}},
       std::move(options)},
      run};
}

}  // namespace millrace
