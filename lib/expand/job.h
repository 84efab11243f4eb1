// The job of an out-of-core expansion, as stored in DST.partial/job.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "expand/expand_model.h"

namespace orchard::expand {

struct Shard {
  std::string file;             // model-00001-of-00003.safetensors
  std::vector<size_t> tensors;  // indices into Plan::tensors
  int64_t bytes = 0;
};

// Tensors in order of name, a new file where the next one would exceed `shard_size`.
std::vector<Shard> DivideIntoShards(const Plan& plan, int64_t shard_size);

// Shards [first, end) of a part, 1 <= part <= parts. Parts beyond the shards are empty.
struct ShardRange {
  size_t first = 0, end = 0;
};
ShardRange ShardsOfPart(size_t shards, int64_t part, int64_t parts);

// Everything that decides the target's bytes and all that `Finalize` writes. Two parts with
// different jobs must not share a folder.
Json MakeJob(const SourceModel& source, const Plan& plan, const MethodOptions& method,
             const ExpandOptions& options, const std::vector<Shard>& shards);

std::filesystem::path PartialOf(const std::filesystem::path& destination);
std::string ReportName(size_t shard);  // shard-00001.jsonl

// Files of the source directory that are not weights or configuration, copied into `partial`:
// tokenizers, licences, pooling settings (their width edited). Returns warnings about files that
// expansion would make wrong.
std::vector<std::string> CopyPassThrough(const SourceModel& source, const Plan& plan,
                                         const std::filesystem::path& partial);

}  // namespace orchard::expand
