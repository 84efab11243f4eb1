// The end of an expansion: from a folder of shards to a model directory.
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "expand/expand_model.h"
#include "expand/job.h"
#include "io/json_file.h"
#include "io/safetensors.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

// A job is ours, but the folder stood open to others since it was written.
void CheckJob(const Json& job, const std::string& where) {
  const auto require = [&](bool fine, const char* what) {
    if (!fine) throw DataError(std::string("not a job: ") + what, where, "start anew");
  };
  const auto has = [](const Json& object, const char* key, auto is_type) {
    return object.is_object() && object.contains(key) && (object[key].*is_type)();
  };
  require(has(job, "config", &Json::is_object), "no object 'config'");
  require(has(job, "expansion", &Json::is_object), "no object 'expansion'");
  require(has(job, "tensors", &Json::is_object), "no object 'tensors'");
  require(has(job, "shards", &Json::is_array) && !job["shards"].empty(), "no list 'shards'");
  for (const Json& shard : job["shards"]) {
    require(has(shard, "file", &Json::is_string) && has(shard, "bytes", &Json::is_number_unsigned),
            "a shard without file and bytes");
    const fs::path file = shard["file"].get<std::string>();
    require(!file.empty() && file == file.filename(), "a shard outside the folder");
  }
  for (const auto& [name, shard] : job["tensors"].items()) {
    require(shard.is_number_unsigned() && shard.get<size_t>() < job["shards"].size(),
            "a tensor in no shard");
  }
}

Json ReadJob(const fs::path& partial) {
  const fs::path path = partial / "job.json";
  if (!fs::exists(path)) throw DataError("there is no unfinished expansion here", partial.string());
  Json job = Json::parse(io::ReadJsonFile(path).dump());
  CheckJob(job, path.string());
  return job;
}

// The reports of all shards, as one text. Throws when a shard is missing.
std::string GatherReports(const fs::path& partial, const Json& shards) {
  std::string missing, all;
  for (size_t k = 0; k < shards.size(); ++k) {
    const std::string file = shards[k].at("file").get<std::string>();
    std::ifstream in(partial / ReportName(k), std::ios::binary);
    if (!in || !fs::exists(partial / file)) {
      missing += (missing.empty() ? "" : ", ") + file;
      continue;
    }
    all.append(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  if (!missing.empty())
    throw DataError("shards are missing: " + missing, partial.string(),
                    "run the parts that write them");
  return all;
}

Json ReportLine(const std::string& text, const std::string& where) {
  Json line = Json::parse(text, nullptr, false);
  const bool hash = line.is_object() && line.contains("sha256") && line.contains("source") &&
                    line["source"].is_string();
  const bool tensor = line.is_object() && line.contains("tensor") && line["tensor"].is_string() &&
                      line.contains("class") && line.contains("policy") && line.contains("sources");
  if (!hash && !tensor)
    throw DataError("damaged report of a shard", where, "remove its shard-*.jsonl and --resume");
  return line;
}

// lemon_expand.json: the job's provenance, with class, policy and sources of every tensor and the
// hashes of the sources.
Json Provenance(const Json& job, const std::string& reports, const std::string& where) {
  Json expansion = job.at("expansion");
  Json tensors = Json::object(), sources = Json::object();
  size_t at = 0;
  while (at < reports.size()) {
    const size_t end = reports.find('\n', at);
    const Json line = ReportLine(reports.substr(at, end - at), where);
    at = end == std::string::npos ? reports.size() : end + 1;
    if (line.contains("sha256")) {
      sources[line["source"].get<std::string>()] = line["sha256"];
      continue;
    }
    Json entry = {{"class", line.at("class")},
                  {"policy", line.at("policy")},
                  {"sources", line.at("sources")}};
    if (line.contains("largest_rounding")) entry["largest_rounding"] = line["largest_rounding"];
    tensors[line.at("tensor").get<std::string>()] = entry;
  }
  expansion["tensors"] = tensors;
  expansion["source_sha256"] = sources;
  return expansion;
}

void WriteIndex(const fs::path& partial, const Json& job) {
  const Json& shards = job.at("shards");
  if (shards.size() == 1) return;
  std::map<std::string, std::string> weight_map;
  uint64_t total = 0;
  for (const Json& shard : shards) total += shard.at("bytes").get<uint64_t>();
  for (const auto& [name, shard] : job.at("tensors").items()) {
    weight_map[name] = shards.at(shard.get<size_t>()).at("file").get<std::string>();
  }
  io::WriteSafetensorsIndex(partial / "model.safetensors.index.json", weight_map, total);
}

// `partial` takes the destination's name; what stood there goes away only then.
void MoveIntoPlace(const fs::path& partial, const fs::path& destination, bool force) {
  if (fs::exists(destination)) {
    if (!force) throw UsageError("already exists", destination.string(), "--force replaces it");
    fs::path old = destination;
    old += ".replaced";
    fs::remove_all(old);
    fs::rename(destination, old);
    fs::rename(partial, destination);
    fs::remove_all(old);
  } else {
    fs::rename(partial, destination);
  }
  SyncDirectory(fs::absolute(destination).parent_path());
}

}  // namespace

void Finalize(const fs::path& destination, bool force) {
  const fs::path partial = PartialOf(destination);
  const Json job = ReadJob(partial);
  const std::string reports = GatherReports(partial, job.at("shards"));
  const Json provenance = Provenance(job, reports, partial.string());
  WriteIndex(partial, job);
  WriteFileAtomically(partial / "config.json", job.at("config").dump(2) + "\n");
  WriteFileAtomically(partial / "lemon_expand.json", provenance.dump(1) + "\n");
  WriteFileAtomically(partial / "report.jsonl", reports);
  fs::path clean = destination.lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  MoveIntoPlace(partial, clean, force);
  // Last, so that an end that is cut short can be repeated.
  for (size_t k = 0; k < job.at("shards").size(); ++k) fs::remove(clean / ReportName(k));
  fs::remove(clean / "job.json");
}

}  // namespace orchard::expand
