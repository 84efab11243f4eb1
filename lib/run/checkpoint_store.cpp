#include "run/checkpoint_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"

namespace orchard::run {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStateFile = "state.json";
constexpr const char* kFormat = "orchard-checkpoint";
constexpr int kVersion = 1;
constexpr const char* kPrefix = "step-";

std::string Name(int64_t step) {
  const std::string digits = std::to_string(step);
  const size_t width = 7;
  return kPrefix + std::string(digits.size() < width ? width - digits.size() : 0, '0') + digits;
}

// The step of a name that `Name` makes; nothing for `.partial`, `.old` and whatever else lies
// there.
std::optional<int64_t> StepOf(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  int64_t step = 0;
  const auto parsed = std::from_chars(name.data() + std::strlen(kPrefix), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || Name(step) != name) return std::nullopt;
  return step;
}

struct FileDigest {
  uint64_t bytes = 0;
  std::string sha256;
};

FileDigest Digest(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("cannot read file", path.string());
  FileDigest digest;
  Sha256 hash;
  std::vector<char> block(1 << 20);
  do {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    const auto count = static_cast<size_t>(file.gcount());
    hash.Update(std::as_bytes(std::span(block.data(), count)));
    digest.bytes += count;
  } while (file);
  digest.sha256 = hash.Hex();
  return digest;
}

void SyncFile(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool ok = descriptor >= 0 && (::fsync(descriptor) == 0 || errno == EINVAL);
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!ok) throw ResourceError("cannot write to disk", path.string() + ": " + std::strerror(error));
}

// Syncs everything below `directory` and returns {relative name: {bytes, sha256}}.
json SyncAndDigest(const fs::path& directory) {
  json files = json::object();
  std::vector<fs::path> directories = {directory};
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_directory()) {
      directories.push_back(entry.path());
      continue;
    }
    SyncFile(entry.path());
    const FileDigest digest = Digest(entry.path());
    files[entry.path().lexically_relative(directory).generic_string()] = {
        {"bytes", digest.bytes}, {"sha256", digest.sha256}};
  }
  // The innermost first, so that no name is on the disk before what it names.
  for (auto path = directories.rbegin(); path != directories.rend(); ++path) SyncDirectory(*path);
  return files;
}

// Makes `partial` take the name `final`. A checkpoint that has this name already is swapped out in
// one system call where the file system can (every local one), so that at no moment there is none.
void Publish(const fs::path& partial, const fs::path& final) {
  if (::rename(partial.c_str(), final.c_str()) == 0) return;
  if (errno == ENOTEMPTY || errno == EEXIST) {
    if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0) {
      fs::remove_all(partial);
      return;
    }
    fs::path old = final;
    old += ".old";
    if (::rename(final.c_str(), old.c_str()) == 0 &&
        ::rename(partial.c_str(), final.c_str()) == 0) {
      fs::remove_all(old);
      return;
    }
  }
  throw ResourceError("cannot rename the checkpoint to",
                      final.string() + ": " + std::strerror(errno));
}

json ReadStateFile(const CheckpointInfo& checkpoint) {
  const fs::path path = checkpoint.directory / kStateFile;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("checkpoint without its state", path.string());
  json state = json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!state.is_object() || state.value("format", json()) != kFormat) {
    throw DataError("not the state of a checkpoint", path.string());
  }
  if (state.value("version", json()) != kVersion) {
    throw DataError("checkpoint of another version", path.string(),
                    "this program reads version " + std::to_string(kVersion));
  }
  if (!state.value("files", json()).is_object() || !state.contains("state") ||
      state.value("step", json()) != checkpoint.step) {
    throw DataError("the state of the checkpoint is damaged", path.string());
  }
  return state;
}

}  // namespace

CheckpointStore::CheckpointStore(fs::path directory, int64_t keep)
    : directory_(std::move(directory)), keep_(std::max<int64_t>(keep, 1)) {}

CheckpointInfo CheckpointStore::Write(int64_t step, const CheckpointWriter& writer) {
  if (step < 0) throw Error(ExitCode::kInternal, "a checkpoint of a negative step");
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error)
    throw ResourceError("cannot create directory", directory_.string() + ": " + error.message());
  RemoveLeftovers();
  const CheckpointInfo checkpoint{step, directory_ / Name(step)};
  fs::path partial = checkpoint.directory;
  partial += ".partial";
  try {
    fs::create_directory(partial);
    const json state = writer(partial);
    const json whole = {{"format", kFormat},
                        {"version", kVersion},
                        {"step", step},
                        {"files", SyncAndDigest(partial)},
                        {"state", state}};
    WriteFileAtomically(partial / kStateFile, whole.dump(1) + "\n");
    Publish(partial, checkpoint.directory);
  } catch (const fs::filesystem_error& failure) {
    fs::remove_all(partial, error);
    throw ResourceError("cannot write the checkpoint", failure.what());
  } catch (...) {
    fs::remove_all(partial, error);
    throw;
  }
  SyncDirectory(directory_);
  RemoveOld(step);
  return checkpoint;
}

std::vector<CheckpointInfo> CheckpointStore::List() const {
  std::vector<CheckpointInfo> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_, error)) {
    const auto step = StepOf(entry.path().filename().string());
    if (step && fs::exists(entry.path() / kStateFile, error))
      found.push_back({*step, entry.path()});
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.step < b.step; });
  return found;
}

std::optional<CheckpointInfo> CheckpointStore::Newest(std::vector<std::string>* damage) const {
  const std::vector<CheckpointInfo> all = List();
  std::string first;
  for (auto checkpoint = all.rbegin(); checkpoint != all.rend(); ++checkpoint) {
    try {
      Verify(*checkpoint);
      return *checkpoint;
    } catch (const DataError& error) {
      if (first.empty()) first = error.what();
      if (damage != nullptr) damage->push_back(error.what());
    }
  }
  if (all.empty()) return std::nullopt;
  throw DataError("every checkpoint is damaged; the newest: " + first, directory_.string(),
                  "start again with --force");
}

json CheckpointStore::ReadState(const CheckpointInfo& checkpoint) {
  return ReadStateFile(checkpoint)["state"];
}

void CheckpointStore::Verify(const CheckpointInfo& checkpoint) {
  const json whole = ReadStateFile(checkpoint);
  for (const auto& [name, entry] : whole["files"].items()) {
    const fs::path path = checkpoint.directory / name;
    if (!entry.is_object() || !entry.value("bytes", json()).is_number_unsigned() ||
        !entry.value("sha256", json()).is_string()) {
      throw DataError("the state of the checkpoint is damaged",
                      (checkpoint.directory / kStateFile).string());
    }
    std::error_code error;
    if (fs::file_size(path, error) != entry["bytes"].get<uint64_t>() || error) {
      throw DataError("a file of the checkpoint is missing or has another size", path.string());
    }
    if (Digest(path).sha256 != entry["sha256"].get<std::string>()) {
      throw DataError("a file of the checkpoint has another SHA-256 than when it was written",
                      path.string());
    }
  }
}

// What a killed process left: half a checkpoint, or half a removal.
void CheckpointStore::RemoveLeftovers() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_, error)) {
    const fs::path name = entry.path().filename();
    if ((name.extension() == ".partial" || name.extension() == ".old") &&
        StepOf(name.stem().string())) {
      fs::remove_all(entry.path(), error);
    }
  }
}

void CheckpointStore::RemoveOld(int64_t newest) const {
  std::vector<CheckpointInfo> all = List();
  const auto later = std::find_if(all.begin(), all.end(),
                                  [&](const CheckpointInfo& c) { return c.step > newest; });
  const int64_t valid = later - all.begin();
  const int64_t dropped = std::max<int64_t>(0, valid - keep_);
  all.erase(all.begin() + dropped, later);  // what stays
  std::error_code error;
  for (const CheckpointInfo& checkpoint : all) {
    // Renamed first: half-removed, it must not pass for a checkpoint.
    fs::path old = checkpoint.directory;
    old += ".old";
    fs::rename(checkpoint.directory, old, error);
    if (!error) fs::remove_all(old, error);
  }
}

}  // namespace orchard::run
