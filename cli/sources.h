// Sources that a workflow names, as they lie beside its file.
//
// Promises: names are relative to the folder of the workflow's file (of the working directory where it comes from
// standard input). A listing has at most kSourceFilesMax + 1 files, in order; hidden folders and __pycache__ are left
// out, links to folders not followed. Threads: any. Fails: kNotFound, kInvalid with the reason of the system.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/spec/parse.h"

namespace millrace {

Outside outside_of(const std::string& workflow_file);

}  // namespace millrace
