// Checkpoints that are whole or absent: kill -9 at any moment leaves the previous one untouched.
//
// A checkpoint is a directory `step-0000123`. Its files are written to `step-0000123.partial` and
// synced; `state.json`, which holds their sizes and SHA-256, comes last; then one rename makes it a
// checkpoint. Layout: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace orchard::run {

struct CheckpointInfo {
  int64_t step = 0;
  std::filesystem::path directory;
};

// Puts the files of a checkpoint (safetensors, Hugging Face files, ...) into `directory`, any
// depth, but not `state.json`, and returns what else is needed to continue: random number counters,
// data cursor, best metric.
using CheckpointWriter = std::function<nlohmann::json(const std::filesystem::path& directory)>;

class CheckpointStore {
 public:
  // `directory` is made by the first `Write`. The newest `keep` checkpoints stay, at least one.
  explicit CheckpointStore(std::filesystem::path directory, int64_t keep = 2);

  // Writes a checkpoint, makes it the newest, and removes those beyond `keep`. One of the same step
  // is replaced; those of later steps, left by a run that went back to an older one, are removed.
  // What `writer` throws passes through with nothing left behind. Throws ResourceError (disk full,
  // I/O).
  CheckpointInfo Write(int64_t step, const CheckpointWriter& writer);

  // The complete checkpoints, oldest first. Not verified.
  std::vector<CheckpointInfo> List() const;

  // The newest checkpoint whose files have the sizes and SHA-256 that its state.json lists; nothing
  // when there is none at all. A damaged one is passed over for the one before it, and `damage`,
  // when given, gets a line on each. Throws DataError when there are checkpoints but all are
  // damaged.
  std::optional<CheckpointInfo> Newest(std::vector<std::string>* damage = nullptr) const;

  // What the CheckpointWriter returned. Throws DataError.
  static nlohmann::json ReadState(const CheckpointInfo& checkpoint);

  // Throws DataError naming the first file that is missing, or differs in size or SHA-256.
  static void Verify(const CheckpointInfo& checkpoint);

 private:
  void RemoveLeftovers() const;
  void RemoveOld(int64_t newest) const;

  std::filesystem::path directory_;
  int64_t keep_;
};

}  // namespace orchard::run
