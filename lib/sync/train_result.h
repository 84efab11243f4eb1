// What came out of a distributed training run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace orchard::sync {

// When a wanted accuracy was first seen.
struct ReachedTarget {
  double accuracy = 0;
  int64_t step = 0;
  double epoch = 0;
  int64_t bytes_sent = 0;  // by rank 0
  double seconds = 0;      // of training, without evaluation
};

struct SyncResult {
  std::string algorithm, engine;
  int ranks = 1;
  int64_t steps = 0, parameters = 0;
  double epochs = 0;
  double loss = 0;                      // of training, mean over ranks and the last logged steps
  std::optional<double> bits_per_byte;  // of the test text, where there is one
  double test_loss = 0, top1 = 0, top5 = 0, best_top1 = 0, drift = 0;
  int64_t bytes_sent = 0, bytes_received = 0;  // by rank 0 in training
  // About what Ethernet carries of bytes_sent, with headers and acknowledgements of what came.
  int64_t wire_bytes_estimated = 0;
  int64_t evaluation_bytes = 0;  // sent by rank 0 for evaluation, checkpoints, control
  double nominal_ratio = 1;      // what was asked for
  std::optional<double> ratio;   // dense traffic over traffic; not of one rank
  int64_t node_bytes_sent = 0;   // by rank 0 to ranks of its node, hierarchical mode
  // Of rank 0. The wire: what a step waits for messages when all ranks are there; apart from it,
  // how long the others were waited for.
  double train_seconds = 0, compute_seconds = 0, update_seconds = 0, wire_seconds = 0,
         wait_seconds = 0;
  double label_skew = 0;
  std::string tuning;  // what run.auto_tune measured and chose, in words
  std::vector<ReachedTarget> targets;
  std::filesystem::path final;
};

nlohmann::json ToJson(const SyncResult& result);
nlohmann::json ToJson(const ReachedTarget& target);
// The reverse. Throw nlohmann::json::exception.
ReachedTarget ParseReachedTarget(const nlohmann::json& json);
SyncResult ParseSyncResult(const nlohmann::json& json);

}  // namespace orchard::sync
