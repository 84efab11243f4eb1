// metrics.jsonl: one JSON object per line, {"step": 12, "loss": 2.31, ...}, written through to the
// file as it happens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace orchard::run {

using MetricValue = std::variant<double, int64_t, bool, std::string_view>;

struct Metric {
  template <class T>
  Metric(std::string_view key, const T& value) : key(key), value(Convert(value)) {}

  std::string_view key;
  MetricValue value;

 private:
  template <class T>
  static MetricValue Convert(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      return value;
    } else if constexpr (std::is_integral_v<T>) {
      return static_cast<int64_t>(value);
    } else if constexpr (std::is_floating_point_v<T>) {
      return static_cast<double>(value);
    } else {
      return std::string_view(value);
    }
  }
};

// Doubles are written so that they read back as the same double. A value that is not finite becomes
// null, and `<key>_reason` says "nan", "inf" or "-inf". Thread-safe.
class MetricsWriter {
 public:
  // Starts an empty file. With `keep_through`, continues the one there instead: lines of later
  // steps, and a last line cut short by a kill, are removed, so that the file reads as if it had
  // never been interrupted. Throws DataError (file:line) when a line to be kept is not a metrics
  // line, ResourceError when the file cannot be written.
  explicit MetricsWriter(const std::filesystem::path& path,
                         std::optional<int64_t> keep_through = std::nullopt);
  ~MetricsWriter();
  MetricsWriter(MetricsWriter&&) noexcept;

  // Appends one line. Write the metrics of a step before its checkpoint; steps do not decrease.
  void Write(int64_t step, std::span<const Metric> metrics);
  void Write(int64_t step, std::initializer_list<Metric> metrics) {
    Write(step, std::span(metrics.begin(), metrics.size()));
  }

  // Puts all lines on the disk; a checkpoint does this first.
  void Sync();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::run
