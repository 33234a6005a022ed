// Places: where this user keeps keys and secrets, unless the command or the environment says otherwise.
//
// Threads: any. Fails: make_private_directory() with kInvalid, naming it.
#pragma once

#include <string>
#include <vector>

#include "cli/arguments.h"
#include "common/io/config.h"
#include "common/vault/secret_file.h"

namespace millrace {

std::string user_directory(const Environment& environment);  // ~/.config/millrace; empty: there is no home
// --requirements-dir, else MILLRACE_REQUIREMENTS_DIR, else in the user's cache. Empty: nowhere.
std::string requirements_directory(const Environment& environment, const Arguments& arguments);
Status make_private_directory(const std::string& directory);  // with mode 0700, where it is not there yet

std::vector<Option> secrets_options();
// --secrets-file and --secrets-key-file, else their variables, else `secrets` in the user's directory. Empty: nowhere.
SecretPaths secrets_paths(const Environment& environment, const Arguments& arguments);
// The same for who only reads: empty where nobody named the file and it is not there.
SecretPaths secrets_to_use(const Environment& environment, const Arguments& arguments);

}  // namespace millrace
