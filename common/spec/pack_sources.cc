// Sources that a node names, `file` and `function`, are read where the workflow is, and go with its definition: a
// worker never reads them. What is packed: the file, or the module, and of what stands beside it the modules that it
// imports (of a template: the templates that it includes).
#include <algorithm>
#include <optional>

#include "common/spec/reader.h"

namespace millrace {
namespace {

std::string joined(const std::string& root, const std::string& path) {
  return root.empty() || path.starts_with('/') ? path : root + "/" + path;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

template <class Take>
void split(std::string_view text, char by, Take take) {
  while (true) {
    const std::size_t at = text.find(by);
    take(text.substr(0, at));
    if (at == std::string_view::npos) return;
    text.remove_prefix(at + 1);
  }
}

// The modules at the top of what a python source imports: `a` of `import a.b, c`, `from a.b import d`. What only looks
// like an import is harmless: it is packed if it is there.
std::vector<std::string> imports_of(std::string_view source) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view name) {
    name = trimmed(name);
    name = name.substr(0, name.find_first_of(". \t"));
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.emplace_back(name);
  };
  split(source, '\n', [&](std::string_view line) {
    split(line, ';', [&](std::string_view statement) {
      statement = trimmed(statement.substr(0, statement.find('#')));
      if (statement.starts_with("import ")) split(statement.substr(7), ',', add);
      else if (statement.starts_with("from ") && !trimmed(statement.substr(5)).starts_with('.'))
        add(statement.substr(5));
    });
  });
  return names;
}

struct Included {
  std::string name;
  bool may_be_missing = false;
};

// What the tags of a Jinja2 template name in quotes: {% include "x" %}, extends, import, from.
std::vector<Included> includes_of(std::string_view source) {
  std::vector<Included> found;
  for (std::size_t at = source.find("{%"); at != std::string_view::npos; at = source.find("{%", at + 2)) {
    std::string_view tag = source.substr(at + 2, source.find("%}", at) - at - 2);
    if (tag.starts_with('-') || tag.starts_with('+')) tag.remove_prefix(1);
    tag = trimmed(tag);
    const bool names = std::ranges::any_of(std::vector<std::string_view>{"include ", "extends ", "import ", "from "},
                                           [&](std::string_view word) { return tag.starts_with(word); });
    if (!names) continue;
    const bool any = tag.find('[') != std::string_view::npos || tag.find("ignore missing") != std::string_view::npos;
    for (std::size_t quote = tag.find_first_of("\"'"); quote != std::string_view::npos;) {
      const std::size_t end = tag.find(tag[quote], quote + 1);
      if (end == std::string_view::npos) break;
      found.push_back({std::string(tag.substr(quote + 1, end - quote - 1)), any});
      quote = tag.find_first_of("\"'", end + 1);
    }
  }
  return found;
}

// What a javascript source requires that lies beside it: "./words" of require('./words').
std::vector<std::string> requires_of(std::string_view source) {
  std::vector<std::string> found;
  for (std::size_t at = source.find("require("); at != std::string_view::npos; at = source.find("require(", at + 8)) {
    const std::string_view rest = trimmed(source.substr(at + 8, 512));
    if (rest.empty() || (rest.front() != '"' && rest.front() != '\'' && rest.front() != '`')) continue;
    const std::size_t end = rest.find(rest.front(), 1);
    const std::string_view name = end == std::string_view::npos ? rest.substr(0, 0) : rest.substr(1, end - 1);
    if (name.starts_with("./") || name.starts_with("../")) found.emplace_back(name);
  }
  return found;
}

// `name`, seen from the folder of `from`: "a/c" of "./c" in "a/b.js". Nothing: it leads out of the root.
std::optional<std::string> beside(const std::string& from, std::string_view name) {
  std::vector<std::string_view> steps;
  const auto walk = [&](std::string_view path) {
    bool inside = true;
    split(path, '/', [&](std::string_view step) {
      if (step.empty() || step == ".") return;
      if (step != "..") return steps.push_back(step);
      inside = inside && !steps.empty();
      if (!steps.empty()) steps.pop_back();
    });
    return inside;
  };
  const std::size_t slash = from.rfind('/');
  if (slash != std::string::npos) walk(std::string_view(from).substr(0, slash));
  if (!walk(name) || steps.empty()) return std::nullopt;
  std::string path;
  for (const std::string_view step : steps) path.append(path.empty() ? "" : "/").append(step);
  return path;
}

class Packing {
 public:
  Packing(Reader& reader, std::uint32_t at, std::string what, std::string root)
      : reader_(reader), at_(at), what_(std::move(what)), root_(std::move(root)) {}

  // Whether it was there. `wanted`: it is a problem if it was not.
  bool add(const std::string& path, bool wanted) {
    if (sources_.find(path) != nullptr) return true;
    if (failed_) return true;
    Result<std::string> text = reader_.outside.read_source(joined(root_, path));
    if (!text.ok()) {
      if (wanted || text.error().code != Code::kNotFound)
        fail("cannot have " + joined(root_, path) + ": " + text.error().what,
             "a file that is there, beside the workflow");
      return false;
    }
    if (text->size() > kSourceFileMax || to_valid_utf8(*text) != *text) {
      fail("cannot have " + joined(root_, path) + ": " +
               (text->size() > kSourceFileMax ? "it has more" : "it is not text in UTF-8"),
           "text of at most " + std::to_string(kSourceFileMax) + " bytes");
      return true;
    }
    reader_.source_bytes += text->size();
    if (sources_.as_object().size() >= kSourceFilesMax || reader_.source_bytes > kSourcesMax) {
      fail("packs too much: with " + joined(root_, path) + " more than " + std::to_string(kSourceFilesMax) +
               " files, or " + std::to_string(kSourcesMax) + " bytes" + " in the whole workflow",
           "sources of the node's own; libraries are installed on workers ('requirements', 'venv')");
      return true;
    }
    sources_.set(path, std::move(*text));
    return true;
  }
  const std::string& text(const std::string& path) const { return sources_.find(path)->as_string(); }

  // A module at the top, beside the workflow: a file, or all of a package. False: there is none.
  bool add_module(const std::string& name) {
    if (name == "millrace") return false;  // the worker's own
    if (std::ranges::find(modules_, name) != modules_.end()) return true;
    if (add(name + ".py", false)) {
      modules_.push_back(name);
      if (sources_.find(name + ".py") != nullptr) add_imports(name + ".py");
      return true;
    }
    const std::vector<std::string> files = reader_.outside.list_sources(joined(root_, name));
    if (std::ranges::none_of(files, [](const std::string& file) { return file.ends_with(".py"); })) return false;
    modules_.push_back(name);
    for (const std::string& file : files) {
      const std::string path = name + "/" + file;
      if (failed_ || !add(path, true)) return true;
      if (file.ends_with(".py") && sources_.find(path) != nullptr) add_imports(path);
    }
    return true;
  }
  void add_imports(const std::string& path) {
    const std::vector<std::string> names = imports_of(text(path));
    for (const std::string& name : names) {
      if (!failed_) (void)add_module(name);
    }
  }
  void add_includes(const std::string& path) {
    const std::vector<Included> names = includes_of(text(path));
    for (const Included& one : names) {
      if (failed_ || sources_.find(one.name) != nullptr || !add(one.name, !one.may_be_missing)) continue;
      if (sources_.find(one.name) != nullptr) add_includes(one.name);
    }
  }
  // A javascript module by its path: as node finds it. False: there is none.
  bool add_javascript(const std::string& path) {
    for (const char* end : {"", ".js", ".json", "/index.js"}) {
      const std::string file = path + end;
      if (!file.ends_with(".js") && !file.ends_with(".json")) continue;
      const bool fresh = !has(file);
      if (!add(file, false)) continue;
      if (fresh && has(file) && file.ends_with(".js")) add_requires(file);
      return true;
    }
    return false;
  }
  void add_requires(const std::string& path) {
    const std::vector<std::string> names = requires_of(text(path));
    for (const std::string& name : names) {
      const std::optional<std::string> module = beside(path, name);
      if (!failed_ && module) (void)add_javascript(*module);
    }
  }
  bool has(const std::string& path) const { return sources_.find(path) != nullptr; }
  bool has_below(const std::string& folder) const {
    return std::ranges::any_of(sources_.as_object(), [&](const auto& one) { return one.first.starts_with(folder); });
  }
  void fail(std::string what, std::string expected) {
    if (std::exchange(failed_, true)) return;
    reader_.problem(at_, what_ + " " + std::move(what), std::move(expected));
  }
  bool failed() const { return failed_; }
  Value take() {
    std::ranges::sort(sources_.as_object(), {}, [](const auto& one) -> const std::string& { return one.first; });
    return std::move(sources_);
  }

 private:
  Reader& reader_;
  std::uint32_t at_;
  std::string what_;
  std::string root_;
  Value sources_ = Value::Object{};
  std::vector<std::string> modules_;
  bool failed_ = false;
};

void pack_function(Packing& packing, std::string_view executor, const std::string& function) {
  const std::string module = function.substr(0, function.find(':'));
  if (executor == "javascript") return (void)packing.add_javascript(module);  // else one that is installed
  if (!packing.add_module(module.substr(0, module.find('.')))) return;        // one of the worker's python
  if (packing.failed()) return;
  std::string path = module;
  std::ranges::replace(path, '.', '/');
  if (!packing.has(path + ".py") && !packing.has_below(path + "/"))
    packing.fail("names module " + module + ", which is not there",
                 "a module beside the workflow, or one that is installed");
}

}  // namespace

void pack_sources(Reader& reader, std::string_view executor, const std::vector<Entry>& own, const std::string& where,
                  Value& fields) {
  const bool calls = executor == "python" || executor == "javascript";
  if (!reader.outside.read_source || (!calls && executor != "template")) return;
  for (const Entry& entry : own) {
    if (entry.name != "file" && (entry.name != "function" || !calls)) continue;
    const Value* written = fields.find(entry.name);
    if (written == nullptr || !written->is_string() || written->as_string().empty()) continue;
    const std::string named = written->as_string();
    const std::string what = "'" + entry.name + "' of " + where;
    if (named.find("{{") != std::string::npos) {
      reader.problem(entry.value, what + " holds an expression",
                     "a name as it is: its source is read when the workflow is submitted");
      continue;
    }
    const std::size_t slash = named.rfind('/');
    const bool function = entry.name == "function";
    const std::string root =
        function || slash == std::string::npos ? "" : named.substr(0, std::max<std::size_t>(slash, 1));
    Packing packing(reader, entry.value, what, root);
    if (function) {
      if (named.find(':') != std::string::npos) pack_function(packing, executor, named);
    } else {
      const std::string file = slash == std::string::npos ? named : named.substr(slash + 1);
      if (packing.add(file, true) && packing.has(file)) {
        if (executor == "python") packing.add_imports(file);
        else if (executor == "javascript") packing.add_requires(file);
        else packing.add_includes(file);
      }
    }
    Value sources = packing.take();
    if (!sources.as_object().empty()) fields.set("sources", std::move(sources));
  }
}

}  // namespace millrace
