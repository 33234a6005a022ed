#include <algorithm>

#include "cli/exit_code.h"
#include "cli/places.h"
#include "cli/render.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "common/io/allow_list.h"
#include "common/io/curve.h"
#include "common/io/small_file.h"

namespace millrace {
namespace {

Error usage(std::string what) { return {Code::kInvalid, "millrace keys " + what, {}, "usage"}; }

// Where keys are kept: --dir, else the user's own configuration.
Result<std::string> key_directory(const CommandContext& context, const Arguments& arguments) {
  if (arguments.given("dir")) return arguments.text("dir");
  const std::string own = user_directory(context.environment);
  return own.empty() ? Result<std::string>(usage("needs --dir: there is no home directory")) : own + "/keys";
}

Result<std::string> list_file(const CommandContext& context, const Arguments& arguments) {
  if (arguments.given("curve-authorized")) return arguments.text("curve-authorized");
  const char* named = context.environment("MILLRACE_CURVE_AUTHORIZED");
  if (named != nullptr && *named != '\0') return std::string(named);
  Result<std::string> directory = key_directory(context, arguments);
  if (!directory.ok()) return directory;
  return *directory + "/authorized";
}

Value key_json(const AllowedKey& key) {
  Value::Array ids;
  for (const std::string& id : key.ids) ids.emplace_back(id);
  return Value::Object{{"name", key.key.name},
                       {"role", to_string(key.key.role)},
                       {"public_key", key.key.public_key},
                       {"ids", std::move(ids)}};
}

// Rows of keys and the file they are from, under the name of what was done to them; `word` is for people, empty: a
// table.
std::string keys_text(const std::vector<AllowedKey>& keys, std::string_view member, std::string_view word,
                      const std::string& file, Format format, const Console& console) {
  if (is_for_people(format) && !word.empty()) {
    std::string text;
    for (const AllowedKey& key : keys) {
      text += std::string(to_string(key.key.role)) + " " + key.key.name + " " + std::string(word) + " in " +
              printable(file) + ": " + key.key.public_key + "\n";
    }
    return text;
  }
  Document document;
  document.name_key = "name";
  for (const AllowedKey& key : keys) document.rows.push_back(key_json(key));
  document.whole = Value::Object{{"file", file}, {std::string(member), Value::Array(document.rows)}};
  document.columns = {
      {"NAME", [](const Value& row) { return cell_text(row, "name"); }},
      {"ROLE", [](const Value& row) { return cell_text(row, "role"); }},
      {"PUBLIC KEY", [](const Value& row) { return cell_text(row, "public_key"); }},
      {"IDS", [](const Value& row) { return cell_pairs(row, "ids"); }},
  };
  return render(document, format, console);
}

// ---------------------------------------------------------------- generate

Result<int> generate(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 2) return usage("generate: one NAME is expected");
  const std::string name = arguments.operand(1);
  if (!is_key_name(name)) {
    return usage("generate: '" + name + "' is no name: up to 64 of A-Z a-z 0-9 . _ -, a letter or digit first");
  }
  Result<std::string> directory = key_directory(context, arguments);
  if (!directory.ok()) return directory.error();
  if (Status made = make_private_directory(*directory); !made.ok()) return made.error();

  CurveKeys keys = new_curve_keys();
  KeyFile file{{name, *parse_role(arguments.text("role", "worker")), keys.public_key}, {}};
  const std::string base = *directory + "/" + name;
  if (mark_of(base + ".pub") != FileMark{}) {
    return Error{Code::kConflict, base + ".pub is there already; choose another name or --dir", {}, "key_exists"};
  }
  const std::string public_text = key_file_text(file);
  file.secret = std::move(keys.secret_key);
  std::string secret_text = key_file_text(file);
  Status written = write_private_file(base + ".key", secret_text, false);
  wipe(secret_text);
  if (written.ok()) written = write_private_file(base + ".pub", public_text, false);
  if (!written.ok()) {
    Error error = written.error();
    if (error.code == Code::kConflict) error.name = "key_exists";
    return error;
  }
  const Value whole = Value::Object{{"name", name},
                                    {"role", to_string(file.key.role)},
                                    {"public_key", file.key.public_key},
                                    {"key_file", base + ".key"},
                                    {"public_file", base + ".pub"}};
  const Format format = output_format(arguments);
  context.console.out(is_for_people(format)
                          ? std::string(to_string(file.key.role)) + " " + name + ": " + file.key.public_key +
                                "\n  secret key  " + cell_text(whole, "key_file") + "  (keep it private)\n" +
                                "  public key  " + cell_text(whole, "public_file") + "\n"
                          : render_object(whole, "name", format));
  return kExitOk;
}

// ---------------------------------------------------------------- authorize, revoke, list

// What an operand of `authorize` names: a key file, the name of one in the directory, or a key itself with --name.
Result<AllowedKey> named_key(const std::string& operand, const std::string& directory, const Arguments& arguments) {
  NamedKey key;
  const std::string in_directory = directory + "/" + operand + ".pub";
  if (mark_of(operand) != FileMark{} || (is_key_name(operand) && mark_of(in_directory) != FileMark{})) {
    Result<KeyFile> file = read_key_file(mark_of(operand) != FileMark{} ? operand : in_directory);
    if (!file.ok()) return file.error();
    key = file->key;
  } else if (is_curve_key(operand)) {
    if (!arguments.given("name")) return usage("authorize: a key by itself needs --name, and --role");
    key.public_key = operand;
  } else {
    return Error{Code::kNotFound,
                 "no key '" + operand + "': neither a file, nor a name with a file " + in_directory + ", nor a key",
                 {},
                 ""};
  }
  if (arguments.given("name")) key.name = arguments.text("name");
  if (!is_key_name(key.name)) return usage("authorize: '" + key.name + "' is no name");
  if (arguments.given("role")) key.role = *parse_role(arguments.text("role"));
  AllowedKey allowed{std::move(key), arguments.list("ids")};
  if (!allowed.ids.empty() && allowed.key.role != Role::kWorker) return usage("authorize: --ids is for workers");
  for (const std::string& pattern : allowed.ids) {
    if (!is_id_pattern(pattern)) return usage("authorize: --ids " + pattern + ": an id, or the beginning of one and *");
  }
  if (allowed.ids.size() > kIdPatternsMax) return usage("authorize: too many --ids");
  return allowed;
}

Result<int> authorize(const CommandContext& context, const Arguments& arguments) {
  Result<std::string> directory = key_directory(context, arguments);
  Result<std::string> file = list_file(context, arguments);
  if (!directory.ok()) return directory.error();
  if (!file.ok()) return file.error();
  if (arguments.operands().size() < 2) return usage("authorize: at least one FILE, NAME or KEY is expected");
  if (arguments.operands().size() > 2 && arguments.given("name")) return usage("authorize: --name is for one key");
  std::vector<AllowedKey> keys;
  for (const std::string& operand : arguments.operands().subspan(1)) {
    Result<AllowedKey> key = named_key(operand, *directory, arguments);
    if (!key.ok()) return key.error();
    keys.push_back(std::move(key).value());
  }
  const bool rotate = arguments.given("rotate");
  const Status changed = change_allow_list(*file, /*create=*/true, [&](AllowList& list) -> Status {
    for (const AllowedKey& key : keys) {
      if (Status added = list.add(key, rotate); !added.ok()) return added;
    }
    return Done{};
  });
  if (!changed.ok()) return changed.error();
  context.console.out(keys_text(keys, "authorized", "authorized", *file, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> revoke(const CommandContext& context, const Arguments& arguments) {
  Result<std::string> file = list_file(context, arguments);
  if (!file.ok()) return file.error();
  if (arguments.operands().size() < 2) return usage("revoke: at least one NAME, KEY or FILE is expected");
  std::vector<AllowedKey> removed;
  const Status changed = change_allow_list(*file, /*create=*/false, [&](AllowList& list) -> Status {
    for (const std::string& operand : arguments.operands().subspan(1)) {
      std::vector<AllowedKey> gone = list.remove(operand);
      if (gone.empty() && mark_of(operand) != FileMark{}) {
        Result<KeyFile> key = read_key_file(operand);
        if (!key.ok()) return key.error();
        gone = list.remove(key->key.public_key);
      }
      if (gone.empty()) return Error{Code::kNotFound, "'" + operand + "' is not authorized in " + *file, {}, ""};
      removed.insert(removed.end(), gone.begin(), gone.end());
    }
    return Done{};
  });
  if (!changed.ok()) return changed.error();
  context.console.out(keys_text(removed, "revoked", "revoked", *file, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> list(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() > 1) return usage("list: takes no argument");
  Result<std::string> file = list_file(context, arguments);
  if (!file.ok()) return file.error();
  Result<AllowList> list = AllowList::read(*file);
  if (!list.ok()) return list.error();
  std::vector<AllowedKey> keys = list->keys();
  if (arguments.given("role")) {
    std::erase_if(keys, [&](const AllowedKey& key) { return arguments.text("role") != to_string(key.key.role); });
  }
  context.console.out(keys_text(keys, "keys", "", *file, output_format(arguments), context.console));
  return kExitOk;
}

// ---------------------------------------------------------------- the verb

struct Action {
  std::string_view name;
  Result<int> (*run)(const CommandContext& context, const Arguments& arguments);
  std::vector<std::string_view> options;  // besides --dir and --output
};

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  static const std::vector<Action> actions = {
      {"generate", generate, {"role"}},
      {"authorize", authorize, {"role", "name", "ids", "rotate", "curve-authorized"}},
      {"revoke", revoke, {"curve-authorized"}},
      {"list", list, {"role", "curve-authorized"}},
  };
  const auto action = std::ranges::find(actions, arguments.operand(0), &Action::name);
  for (const Arguments::Given& given : arguments.in_order()) {
    if (given.option == "dir" || given.option == "output") continue;
    if (std::ranges::find(action->options, given.option) == action->options.end()) {
      return usage(std::string(action->name) + ": --" + std::string(given.option) + " is of no use here");
    }
  }
  return action->run(context, arguments);
}

}  // namespace

Verb keys_verb() {
  return {
      "keys",
      "make keys, and say who may connect to a cluster",
      "generate NAME makes a key pair, NAME.key (secret) and NAME.pub. authorize adds public keys to the allow-list "
      "that a coordinator was given with --curve-authorized, revoke takes them away, list shows them; a running "
      "coordinator notices by itself. See docs/security.md.",
      {"millrace keys generate w1 --role worker --dir keys", "millrace keys authorize w1 --dir keys",
       "millrace keys revoke w1 --dir keys", "millrace keys list --dir keys -o json"},
      {{{"ACTION",
         "generate, authorize, revoke or list",
         true,
         false,
         Completes::kNothing,
         {"generate", "authorize", "revoke", "list"}},
        {"KEY",
         "NAME to generate; NAME, FILE or public key to authorize or revoke",
         false,
         true,
         Completes::kFile,
         {}}},
       {output_option(),
        {"role",
         0,
         Takes::kText,
         "ROLE",
         "what the key may do (default: worker, or what its file says)",
         false,
         {"worker", "operator", "coordinator"}},
        {"dir",
         'd',
         Takes::kText,
         "DIR",
         "where keys are kept (default: ~/.config/millrace/keys)",
         false,
         {},
         Completes::kFile},
        {"curve-authorized",
         0,
         Takes::kText,
         "FILE",
         "the allow-list (environment: MILLRACE_CURVE_AUTHORIZED; default: DIR/authorized)",
         false,
         {},
         Completes::kFile},
        {"name", 0, Takes::kText, "NAME", "authorize: under another name than its file says"},
        {"ids", 0, Takes::kText, "PATTERN", "authorize: worker ids that the key may use, such as w-*", true},
        {"rotate", 0, Takes::kNothing, "", "authorize: beside the key that the name has, until that is revoked"}}},
      run};
}

}  // namespace millrace
