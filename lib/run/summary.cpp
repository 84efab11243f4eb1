#include "run/summary.h"

#include <unistd.h>

#include <array>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/version.h"

namespace orchard::run {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormat = "orchard-run";
constexpr int kVersion = 1;

std::string HostName() {
  std::array<char, 256> name = {};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

ordered_json VersionsJson() {
  const Versions& v = BuildVersions();
  return {{"orchard", v.orchard}, {"revision", v.revision}, {"libtorch", v.libtorch},
          {"cuda", v.cuda},       {"mpi", v.mpi},           {"hdf5", v.hdf5},
          {"opencv", v.opencv}};
}

}  // namespace

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm parts;
  gmtime_r(&now, &parts);
  std::array<char, 32> text;
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text.data(), size);
}

std::string VersionLine() {
  return "Orchard " + BuildVersions().orchard + " (" + BuildVersions().revision + ")";
}

void WriteSummary(const std::filesystem::path& path, const Summary& summary, const json& result) {
  const ordered_json whole = {
      {"format", kFormat},
      {"version", kVersion},
      {"program", summary.program},
      {"command", summary.command},
      {"arguments", summary.arguments},
      {"exit",
       {{"state", summary.state},
        {"code", static_cast<int>(summary.exit_code)},
        {"message", summary.message}}},
      {"started", summary.started},
      {"attempts", summary.attempts},
      {"seconds", summary.seconds},
      {"device", summary.device},
      {"threads", summary.threads},
      {"host", {{"name", HostName()}, {"cores", ::sysconf(_SC_NPROCESSORS_ONLN)}}},
      {"versions", VersionsJson()},
      {"result", ordered_json(result)}};
  WriteFileAtomically(path, whole.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

Summary ReadSummary(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const json whole = json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!file || !whole.is_object() || whole.value("format", json()) != kFormat) {
    throw DataError("not the summary of a run", path.string());
  }
  try {
    Summary summary;
    summary.program = whole.at("program");
    summary.command = whole.at("command");
    summary.arguments = whole.at("arguments").get<std::vector<std::string>>();
    summary.device = whole.at("device");
    summary.threads = whole.at("threads");
    summary.started = whole.at("started");
    summary.attempts = whole.at("attempts");
    summary.seconds = whole.at("seconds");
    summary.state = whole.at("exit").at("state");
    summary.exit_code = static_cast<ExitCode>(whole.at("exit").at("code").get<int>());
    summary.message = whole.at("exit").at("message");
    return summary;
  } catch (const json::exception& error) {
    throw DataError("the summary of the run is damaged", path.string() + ": " + error.what());
  }
}

}  // namespace orchard::run
