#include "run/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"

namespace orchard::run {
namespace {

namespace fs = std::filesystem;
using Line = nlohmann::ordered_json;

void Put(Line& line, const Metric& metric) {
  const std::string key(metric.key);
  if (const double* number = std::get_if<double>(&metric.value);
      number != nullptr && !std::isfinite(*number)) {
    line[key] = nullptr;
    line[key + "_reason"] = FormatShortest(*number);
    return;
  }
  std::visit([&](const auto& value) { line[key] = value; }, metric.value);
}

// How many bytes of the file at its start belong to steps up to `last_step`.
uint64_t BytesThrough(const fs::path& path, int64_t last_step) {
  std::ifstream file(path, std::ios::binary);
  uint64_t kept = 0;
  std::string text;
  for (int64_t number = 1; std::getline(file, text); ++number) {
    if (file.eof()) break;  // no line feed: the write was cut short
    const Line line = Line::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) {
      // Damage after the last line (a crash of the machine) goes; damage in the middle is not ours
      // to hide.
      if (file.peek() == std::ifstream::traits_type::eof()) break;
      throw DataError("not a metrics line", path.string() + ":" + std::to_string(number),
                      "repair or remove the line");
    }
    if (line["step"].get<int64_t>() > last_step) break;
    kept += text.size() + 1;
  }
  return kept;
}

}  // namespace

struct MetricsWriter::State {
  fs::path path;
  std::mutex mutex;
  int descriptor = -1;

  ~State() {
    if (descriptor >= 0) ::close(descriptor);
  }
  [[noreturn]] void Fail(const char* what) const {
    throw ResourceError(what, path.string() + ": " + std::strerror(errno));
  }
};

MetricsWriter::MetricsWriter(const fs::path& path, std::optional<int64_t> keep_through)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  const uint64_t kept = keep_through ? BytesThrough(path, *keep_through) : 0;
  state_->descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (state_->descriptor < 0) state_->Fail("cannot open file");
  if (::ftruncate(state_->descriptor, static_cast<off_t>(kept)) != 0) {
    state_->Fail("cannot shorten file");
  }
}

MetricsWriter::~MetricsWriter() = default;
MetricsWriter::MetricsWriter(MetricsWriter&&) noexcept = default;

void MetricsWriter::Write(int64_t step, std::span<const Metric> metrics) {
  Line line = {{"step", step}};
  for (const Metric& metric : metrics) Put(line, metric);
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
  std::lock_guard lock(state_->mutex);
  WriteFully(state_->descriptor, std::as_bytes(std::span(text)), state_->path, text.size());
}

void MetricsWriter::Sync() {
  std::lock_guard lock(state_->mutex);
  if (::fdatasync(state_->descriptor) != 0 && errno != EINVAL) {
    state_->Fail("cannot write to disk");
  }
}

}  // namespace orchard::run
