#include "segment/failures.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/atomic_file.h"

namespace orchard::segment {

void WriteFailures(const std::filesystem::path& folder, const std::vector<Failure>& failures) {
  const std::filesystem::path path = folder / "failures.json";
  std::error_code error;
  if (failures.empty()) {
    std::filesystem::remove(path, error);  // of an earlier run that failed
    return;
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Failure& f : failures) {
    list.push_back({{"case", f.name},
                    {"input", f.input.string()},
                    {"error", f.error},
                    {"exit_code", f.exit_code}});
  }
  const nlohmann::ordered_json json = {
      {"format", "orchard-failures"}, {"version", 1}, {"failures", list}};
  std::filesystem::create_directories(folder, error);
  WriteFileAtomically(path,
                      json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace orchard::segment
