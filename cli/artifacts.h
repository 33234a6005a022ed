// Artifacts: the files that the tasks of a run have handed over, and how they come to a directory here.
//
// Promises: a file stands under its own name only when it is whole and what its hash says; what came of a broken
// download is gone on with. Nothing is written outside the directory, whatever the cluster says: DIR/NODE/NAME, made of
// names that are no paths. A file that is there and is another one stays, unless `force`. Threads: one.
// Fails: kNotFound for a name that no task of the run has handed over; kConflict for a file in the way; kFailed for
// what the file system says; what Client::fetch() says.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/client.h"
#include "common/model/run_view.h"

namespace millrace {

struct RunArtifact {
  std::string node;
  Artifact artifact;
  std::string file = {};  // where it was brought to
  bool fresh = false;     // it was not there already
};

std::vector<RunArtifact> artifacts_of(const RunView& view);  // in the order of the workflow, then of names
// Those that are named: NAME, or NODE/NAME. None named: all.
Result<std::vector<RunArtifact>> chosen(std::vector<RunArtifact> all, std::span<const std::string> names);
Status download(Client& client, const std::string& directory, bool force, Duration timeout,
                std::vector<RunArtifact>& artifacts);
Value artifact_json(const RunArtifact& one);

}  // namespace millrace
