// What one rank of a job needs to go on: its model, its algorithm's buffers, its norms' statistics.
#pragma once

#include <filesystem>

#include "comm/communicator.h"
#include "sync/algorithm.h"
#include "sync/averaged_model.h"
#include "sync/replica.h"

namespace orchard::sync {

// `rank00003.safetensors` of a checkpoint directory.
std::filesystem::path RankFile(const std::filesystem::path& directory, int rank);

// Throws ResourceError.
void SaveRank(const std::filesystem::path& file, Replica& replica, Algorithm<float>& algorithm);

// The reverse, to the last bit. Throws DataError where the file is of another model or algorithm.
void LoadRank(const std::filesystem::path& file, Replica& replica, Algorithm<float>& algorithm);

// The averaged model as a model: tensors under their names, in `model.safetensors`.
void SaveAveraged(const std::filesystem::path& file, const Replica& replica,
                  const AveragedModel& averaged);

// The averaged model's name in a checkpoint directory.
inline constexpr const char* kAveragedFile = "averaged.safetensors";

// Starts from the averaged model of a checkpoint of `saved_ranks` other ranks: no errors, nothing
// on its way, and the means of their moments where the algorithm has some. The algorithm is new.
void StartFromAverage(const std::filesystem::path& directory, int saved_ranks, Replica& replica,
                      Algorithm<float>& algorithm);

}  // namespace orchard::sync
